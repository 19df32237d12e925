//! The records of a ledger and their members.
//!
//! Every record has `at_ms`, `ledger`, `mono_ms`, `prev`, `seq` and `type`; see [`Header`]. The
//! other members depend on the type. Parsing is strict: a missing or unknown member makes the
//! record invalid, because ignoring unknown members would allow content to be smuggled past a
//! reader.

mod read;

use super::line::{Field, Fields};
use super::{Format, LedgerId};
use crate::domain::job::{Millis, Stage};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Number of a file or directory in its ledger: from 1, in the order of appearance. 0 means none.
pub type FileId = u64;

/// Members common to all records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The ledger's id.
    pub ledger: LedgerId,
    /// Number of the record, from 0.
    pub seq: u64,
    /// SHA-256 of the previous line including its LF, in hexadecimal; 64 zeros in the first record.
    pub prev: String,
    /// Wall clock of the worker: milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: Millis,
    /// Milliseconds since the ledger was opened, by a monotonic clock.
    pub mono_ms: Millis,
}

macro_rules! words {
    ($(#[$doc:meta])+ $name:ident { $($(#[doc = $text:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $text])+ $variant,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The value as written in the record.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $word,)+ } }

            fn read(text: &str) -> Option<Self> { match text { $($word => Some(Self::$variant),)+ _ => None } }
        }
    };
}

words! {
    /// A file or a directory.
    Kind {
        /// A file.
        File = "file",
        /// A directory.
        Directory = "directory",
    }
}

words! {
    /// The purpose of a file.
    FileRole {
        /// The job's directory, and directories in it.
        Workspace = "workspace",
        /// The uploaded object; no longer written, because archives are unpacked while they arrive.
        Source = "source",
        /// Files expanded from the archive.
        Input = "input",
        /// Output of the engine.
        Output = "output",
        /// Temporary files of the engine.
        Temporary = "temporary",
        /// Left by a killed worker; a sweep cannot know more.
        Leftover = "leftover",
    }
}

words! {
    /// An act on a file.
    Act {
        /// Create it.
        Create = "create",
        /// Write it.
        Write = "write",
        /// Overwrite its bytes.
        Wipe = "wipe",
        /// Unlink it.
        Unlink = "unlink",
        /// Remove the directory.
        Rmdir = "rmdir",
    }
}

words! {
    /// The beginning or end of a stage.
    Boundary {
        /// The stage begins.
        Begin = "begin",
        /// The stage ended.
        End = "end",
    }
}

/// What is known about a file when it appears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// A file or a directory.
    pub kind: Kind,
    /// The purpose of the file.
    pub role: FileRole,
    /// The parent directory; 0 for the job's directory.
    pub parent: FileId,
    /// HMAC of its name; see [`super::chain::NameKey`].
    pub name: String,
}

/// An act about to happen, and what is known about it beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Create the file.
    Create(Creation),
    /// Write the file.
    Write,
    /// Overwrite the file with this method.
    Wipe {
        /// The method, e.g. `zeros-1`.
        method: String,
    },
    /// Unlink the file.
    Unlink,
    /// Remove the directory.
    Rmdir,
}

impl Intent {
    /// The act.
    pub fn act(&self) -> Act {
        match self {
            Self::Create(_) => Act::Create,
            Self::Write => Act::Write,
            Self::Wipe { .. } => Act::Wipe,
            Self::Unlink => Act::Unlink,
            Self::Rmdir => Act::Rmdir,
        }
    }
}

/// An act that happened, and what is known about it afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The file was created.
    Create,
    /// The file was written.
    Write {
        /// Its size, in bytes.
        bytes: u64,
        /// HMAC of its content; empty if it was not computed.
        content: String,
    },
    /// The file was overwritten.
    Wipe {
        /// Number of bytes overwritten.
        bytes: u64,
        /// Whether all of them were read back as written.
        verified: bool,
    },
    /// The file was unlinked.
    Unlink,
    /// The directory was removed.
    Rmdir,
}

impl Effect {
    /// The act.
    pub fn act(&self) -> Act {
        match self {
            Self::Create => Act::Create,
            Self::Write { .. } => Act::Write,
            Self::Wipe { .. } => Act::Wipe,
            Self::Unlink => Act::Unlink,
            Self::Rmdir => Act::Rmdir,
        }
    }
}

/// The counts in the close record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Files and directories that were created or found.
    pub created: u64,
    /// Those that were removed.
    pub destroyed: u64,
    /// Those that were not removed.
    pub residual: u64,
    /// Acts without a recorded end.
    pub unfinished: u64,
    /// Number of incidents.
    pub incidents: u64,
}

/// Everything of a job was deleted from the object store, and a listing after that found nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Deleted objects, counting each version.
    pub objects: u64,
    /// Deleted markers of objects that had been deleted before.
    pub marks: u64,
    /// Aborted multipart uploads.
    pub uploads: u64,
    /// When the listing was empty, by the store's clock.
    pub confirmed_at: Millis,
    /// Age of the oldest of them when the listing was empty, in milliseconds by the store's clock; `None`
    /// if there was nothing, or the store does not say.
    pub oldest_age_ms: Option<Millis>,
    /// Name of the program that deleted. It is not always the one that writes the ledger.
    pub by: String,
}

/// A record without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The first record: worker, build and guards.
    Open {
        /// The format of the ledger.
        format: Format,
        /// Name of the worker.
        worker: String,
        /// Version of the program.
        build: String,
        /// The guards in force: name and value.
        posture: BTreeMap<String, String>,
    },
    /// An act on a file is about to happen.
    Intent {
        /// The file.
        file: FileId,
        /// The act.
        intent: Intent,
    },
    /// The act happened, or failed.
    Done {
        /// The file.
        file: FileId,
        /// `seq` of the intent.
        intent: u64,
        /// Whether it succeeded. If it failed, `effect` is what is known about it.
        ok: bool,
        /// What is known afterwards.
        effect: Effect,
    },
    /// A file created by the engine or by a killed worker was found.
    Found {
        /// The file.
        file: FileId,
        /// What is known about it.
        birth: Creation,
        /// Its size, in bytes; 0 for a directory.
        bytes: u64,
    },
    /// A stage begins or ended.
    Stage {
        /// The stage.
        stage: Stage,
        /// Beginning or end.
        mark: Boundary,
    },
    /// An anomaly.
    Incident {
        /// An identifier, e.g. `wipe.failed`.
        code: String,
        /// The affected file; 0 for none.
        file: FileId,
        /// A sentence without names or content.
        note: String,
    },
    /// The leftovers of another worker are destroyed here, which ends that worker's ledger.
    Sweep {
        /// That worker's ledger.
        ledger: LedgerId,
        /// `seq` of its last record; 0 if it has none.
        last_seq: u64,
        /// SHA-256 of its last line; 64 zeros if it has none.
        last_hash: String,
    },
    /// A deletion from the object store. Since [`Format::V2`].
    Purge(Purge),
    /// The last record.
    Close {
        /// How the attempt ended: `completed` or a failure code; [`PURGED`] for a deletion.
        outcome: String,
        /// The counts.
        counts: Counts,
    },
}

/// Outcome of the ledger of a deletion.
pub const PURGED: &str = "purged";

/// Code of the incident that records a step back of the wall clock.
pub const CLOCK_STEPPED_BACK: &str = "clock.stepped_back";

/// SHA-256 of a posture, in hexadecimal: over `NAME=VALUE` and an LF for each member, sorted by
/// name.
pub fn posture_digest(posture: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    for (name, value) in posture {
        digest.update(format!("{name}={value}\n"));
    }
    hex::encode(digest.finalize())
}

/// Prefix of the members that contain the posture.
const POSTURE: &str = "posture.";

impl Record {
    /// The value of `type`.
    pub fn type_word(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Intent { .. } => "intent",
            Self::Done { .. } => "done",
            Self::Found { .. } => "found",
            Self::Stage { .. } => "stage",
            Self::Incident { .. } => "incident",
            Self::Sweep { .. } => "sweep",
            Self::Purge(_) => "purge",
            Self::Close { .. } => "close",
        }
    }

    /// All members of the record.
    pub fn fields(&self, header: &Header) -> Fields {
        let mut put = Put(Fields::new());
        put.number("at_ms", header.at_ms).number("mono_ms", header.mono_ms).number("seq", header.seq);
        put.text("ledger", &header.ledger.to_string()).text("prev", &header.prev);
        put.word("type", self.type_word());
        self.put(&header.ledger, &mut put);
        put.0
    }

    fn put(&self, id: &LedgerId, put: &mut Put) {
        match self {
            Self::Open { format, worker, build, posture } => {
                put.text("format", format.as_str()).text("job", &id.job.to_string());
                put.number("attempt", id.attempt.into()).number("part", id.part.into());
                put.text("worker", worker).text("build", build);
                put.text("posture_digest", &posture_digest(posture));
                for (name, value) in posture {
                    put.text(format!("{POSTURE}{name}"), value);
                }
            }
            Self::Intent { file, intent } => {
                put.number("file", *file).word("act", intent.act().as_str());
                match intent {
                    Intent::Create(birth) => put.birth(birth),
                    Intent::Wipe { method } => {
                        put.text("method", method);
                    }
                    Intent::Write | Intent::Unlink | Intent::Rmdir => {}
                }
            }
            Self::Done { file, intent, ok, effect } => {
                put.number("file", *file).number("intent", *intent);
                put.word("act", effect.act().as_str()).word("result", if *ok { "ok" } else { "failed" });
                match effect {
                    Effect::Write { bytes, content } => {
                        put.number("bytes", *bytes).text("content", content);
                    }
                    Effect::Wipe { bytes, verified } => {
                        put.number("bytes", *bytes).number("verified", u64::from(*verified));
                    }
                    Effect::Create | Effect::Unlink | Effect::Rmdir => {}
                }
            }
            Self::Found { file, birth, bytes } => {
                put.number("file", *file).number("bytes", *bytes).birth(birth);
            }
            Self::Stage { stage, mark } => {
                put.text("stage", stage.as_str()).text("mark", mark.as_str());
            }
            Self::Incident { code, file, note } => {
                put.text("code", code).number("file", *file).text("note", note);
            }
            Self::Sweep { ledger, last_seq, last_hash } => {
                put.text("of_ledger", &ledger.to_string());
                put.number("of_last_seq", *last_seq).text("of_last_hash", last_hash);
            }
            Self::Purge(Purge { objects, marks, uploads, confirmed_at, oldest_age_ms, by }) => {
                put.number("objects", *objects).number("marks", *marks).number("uploads", *uploads);
                put.number("confirmed_at_ms", *confirmed_at).text("by", by);
                if let Some(age) = oldest_age_ms {
                    put.number("oldest_age_ms", *age);
                }
            }
            Self::Close { outcome, counts } => {
                put.text("outcome", outcome);
                put.number("created", counts.created).number("destroyed", counts.destroyed);
                put.number("residual", counts.residual).number("unfinished", counts.unfinished);
                put.number("incidents", counts.incidents);
            }
        }
    }
}

struct Put(Fields);

impl Put {
    fn number(&mut self, name: &'static str, value: u64) -> &mut Self {
        self.0.insert(name.into(), Field::Number(value.min(super::line::MAX_NUMBER)));
        self
    }

    fn text(&mut self, name: impl Into<Cow<'static, str>>, value: &str) -> &mut Self {
        self.0.insert(name.into(), Field::Text(value.to_owned().into()));
        self
    }

    fn word(&mut self, name: &'static str, value: &'static str) -> &mut Self {
        self.0.insert(name.into(), Field::Text(value.into()));
        self
    }

    fn birth(&mut self, birth: &Creation) {
        self.word("kind", birth.kind.as_str()).word("role", birth.role.as_str());
        self.number("parent", birth.parent).text("name", &birth.name);
    }
}
