//! Parsing a record: each known member is taken out of the line, so that unknown members remain.

use super::super::Format;
use super::{
    Act, Boundary, Counts, Creation, Effect, Field, Fields, FileRole, Header, Intent, Kind, POSTURE, Purge,
    Record, posture_digest,
};
use crate::domain::job::Stage;
use std::collections::BTreeMap;

impl Record {
    /// Parses the members of a line.
    ///
    /// # Errors
    /// A description of what is wrong with it.
    pub fn read(fields: Fields) -> Result<(Header, Record), String> {
        let mut take = Take(fields);
        let header = take.header()?;
        let kind = take.text("type")?;
        let record = take.record(&kind, &header)?;
        match take.0.keys().next() {
            None => Ok((header, record)),
            Some(name) => Err(format!("{name} is not a member of this record")),
        }
    }
}

impl Header {
    /// Parses the members that records of all formats have.
    ///
    /// # Errors
    /// A description of what is wrong with them.
    pub fn read(fields: Fields) -> Result<Self, String> {
        Take(fields).header()
    }
}

/// The members not taken yet.
struct Take(Fields);

impl Take {
    fn number(&mut self, name: &str) -> Result<u64, String> {
        match self.0.remove(name) {
            Some(Field::Number(number)) => Ok(number),
            Some(Field::Text(_)) => Err(format!("{name} is not a number")),
            None => Err(format!("{name} is missing")),
        }
    }

    fn optional_number(&mut self, name: &str) -> Result<Option<u64>, String> {
        if self.0.contains_key(name) { self.number(name).map(Some) } else { Ok(None) }
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        match self.0.remove(name) {
            Some(Field::Text(text)) => Ok(text.into_owned()),
            Some(Field::Number(_)) => Err(format!("{name} is not a text")),
            None => Err(format!("{name} is missing")),
        }
    }

    fn word<T>(&mut self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        read(&self.text(name)?).ok_or_else(|| format!("{name} has a word that is not known"))
    }

    fn hash(&mut self, name: &str) -> Result<String, String> {
        let text = self.text(name)?;
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 64 && digits { Ok(text) } else { Err(format!("{name} is not a SHA-256")) }
    }

    fn birth(&mut self) -> Result<Creation, String> {
        Ok(Creation {
            kind: self.word("kind", Kind::read)?,
            role: self.word("role", FileRole::read)?,
            parent: self.number("parent")?,
            name: self.hash("name")?,
        })
    }

    fn header(&mut self) -> Result<Header, String> {
        let ledger = self.text("ledger")?;
        Ok(Header {
            ledger: ledger.parse().map_err(|_| "ledger is not the name of a ledger".to_owned())?,
            seq: self.number("seq")?,
            prev: self.hash("prev")?,
            at_ms: self.number("at_ms")?,
            mono_ms: self.number("mono_ms")?,
        })
    }

    fn record(&mut self, kind: &str, header: &Header) -> Result<Record, String> {
        Ok(match kind {
            "open" => self.open(header)?,
            "intent" => Record::Intent { file: self.number("file")?, intent: self.intent()? },
            "done" => Record::Done {
                file: self.number("file")?,
                intent: self.number("intent")?,
                ok: self.word("result", flag("failed", "ok"))?,
                effect: self.effect()?,
            },
            "found" => Record::Found {
                file: self.number("file")?,
                bytes: self.number("bytes")?,
                birth: self.birth()?,
            },
            "stage" => Record::Stage {
                stage: self.word("stage", |t| Stage::ALL.iter().copied().find(|s| s.as_str() == t))?,
                mark: self.word("mark", Boundary::read)?,
            },
            "incident" => Record::Incident {
                code: self.text("code")?,
                file: self.number("file")?,
                note: self.text("note")?,
            },
            "sweep" => Record::Sweep {
                ledger: self.word("of_ledger", |text| text.parse().ok())?,
                last_seq: self.number("of_last_seq")?,
                last_hash: self.hash("of_last_hash")?,
            },
            "purge" => Record::Purge(Purge {
                objects: self.number("objects")?,
                marks: self.number("marks")?,
                uploads: self.number("uploads")?,
                confirmed_at: self.number("confirmed_at_ms")?,
                oldest_age_ms: self.optional_number("oldest_age_ms")?,
                by: self.text("by")?,
            }),
            "close" => Record::Close {
                outcome: self.text("outcome")?,
                counts: Counts {
                    created: self.number("created")?,
                    destroyed: self.number("destroyed")?,
                    residual: self.number("residual")?,
                    unfinished: self.number("unfinished")?,
                    incidents: self.number("incidents")?,
                },
            },
            _ => return Err("type has a word that is not known".to_owned()),
        })
    }

    fn open(&mut self, header: &Header) -> Result<Record, String> {
        let format = self.word("format", Format::read)?;
        let id = &header.ledger;
        let named = (self.text("job")?, self.number("attempt")?, self.number("part")?);
        if named != (id.job.to_string(), id.attempt.into(), id.part.into()) {
            return Err("job, attempt and part are not those of ledger".to_owned());
        }
        let (worker, build, digest) =
            (self.text("worker")?, self.text("build")?, self.hash("posture_digest")?);
        let names: Vec<_> = self.0.keys().filter(|name| name.starts_with(POSTURE)).cloned().collect();
        let mut posture = BTreeMap::new();
        for name in names {
            let value = self.text(&name)?;
            posture.insert(name[POSTURE.len()..].to_owned(), value);
        }
        if posture_digest(&posture) != digest {
            return Err("posture_digest is not that of the posture".to_owned());
        }
        Ok(Record::Open { format, worker, build, posture })
    }

    fn intent(&mut self) -> Result<Intent, String> {
        Ok(match self.word("act", Act::read)? {
            Act::Create => Intent::Create(self.birth()?),
            Act::Write => Intent::Write,
            Act::Wipe => Intent::Wipe { method: self.text("method")? },
            Act::Unlink => Intent::Unlink,
            Act::Rmdir => Intent::Rmdir,
        })
    }

    fn effect(&mut self) -> Result<Effect, String> {
        Ok(match self.word("act", Act::read)? {
            Act::Create => Effect::Create,
            Act::Write => Effect::Write { bytes: self.number("bytes")?, content: self.content()? },
            Act::Wipe => Effect::Wipe {
                bytes: self.number("bytes")?,
                verified: match self.number("verified")? {
                    0 => false,
                    1 => true,
                    _ => return Err("verified is neither 0 nor 1".to_owned()),
                },
            },
            Act::Unlink => Effect::Unlink,
            Act::Rmdir => Effect::Rmdir,
        })
    }

    fn content(&mut self) -> Result<String, String> {
        if self.0.get("content") == Some(&Field::Text("".into())) {
            return self.text("content");
        }
        self.hash("content")
    }
}

fn flag(no: &'static str, yes: &'static str) -> impl Fn(&str) -> Option<bool> {
    move |text| match text {
        _ if text == yes => Some(true),
        _ if text == no => Some(false),
        _ => None,
    }
}
