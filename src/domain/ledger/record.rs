//! The records of a ledger, each with its members.
//!
//! Every record has `at_ms`, `ledger`, `mono_ms`, `prev`, `seq` and `type`; see
//! [`Header`]. The rest is by type. Reading is strict: a member that is missing or
//! unknown makes it no record, because a reader that skips what it does not know
//! could be told things beside the ledger.

mod read;

use super::line::{Field, Fields};
use super::{FORMAT, LedgerId};
use crate::domain::job::{Millis, Stage};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Number of a file or directory in its ledger: from 1, in the order of appearance.
/// 0 is none.
pub type FileId = u64;

/// What every record has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose ledger.
    pub ledger: LedgerId,
    /// Number of the record, from 0.
    pub seq: u64,
    /// SHA-256 of the line before, its LF included, in hexadecimal; 64 zeros in the first.
    pub prev: String,
    /// The wall clock of the worker: milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: Millis,
    /// Milliseconds since the ledger was opened, by a clock that cannot be set.
    pub mono_ms: Millis,
}

macro_rules! words {
    ($(#[$doc:meta])+ $name:ident { $($(#[doc = $text:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $text])+ $variant,)+ }

        impl $name {
            /// Every word, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in the record.
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
    /// What a file is for.
    FileRole {
        /// The directory of the job, and those in it.
        Workspace = "workspace",
        /// The uploaded object, where it is kept whole.
        Source = "source",
        /// What the archive expanded to.
        Input = "input",
        /// What the engine makes.
        Output = "output",
        /// What the engine makes for itself.
        Temporary = "temporary",
        /// What a killed worker left; a sweep cannot know more.
        Leftover = "leftover",
    }
}

words! {
    /// What is done to a file.
    Act {
        /// It is made.
        Create = "create",
        /// It is filled.
        Write = "write",
        /// Its bytes are overwritten.
        Wipe = "wipe",
        /// Its name is removed.
        Unlink = "unlink",
        /// The directory is removed.
        Rmdir = "rmdir",
    }
}

words! {
    /// End of a stage or its beginning.
    Boundary {
        /// It begins.
        Begin = "begin",
        /// It ended.
        End = "end",
    }
}

/// What is known of a file when it appears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// A file or a directory.
    pub kind: Kind,
    /// What it is for.
    pub role: FileRole,
    /// The directory that it is in; 0 for the directory of the job.
    pub parent: FileId,
    /// HMAC of its name; see [`super::chain::NameKey`].
    pub name: String,
}

/// What is about to be done, and what of it is known before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// It is made.
    Create(Creation),
    /// It is filled.
    Write,
    /// It is overwritten, in this way.
    Wipe {
        /// A word for the way, e.g. `zeros-1`.
        method: String,
    },
    /// Its name is removed.
    Unlink,
    /// The directory is removed.
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

/// What was done, and what of it is known after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It was made.
    Create,
    /// It was filled.
    Write {
        /// Its size, in bytes.
        bytes: u64,
        /// HMAC of its content; empty when it was not computed.
        content: String,
    },
    /// It was overwritten.
    Wipe {
        /// Bytes that were overwritten.
        bytes: u64,
        /// Whether all of them were read back as what was written.
        verified: bool,
    },
    /// Its name was removed.
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

/// The counts at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Files and directories that came to be, those that were found included.
    pub created: u64,
    /// Those of them that were removed.
    pub destroyed: u64,
    /// Those that were not.
    pub residual: u64,
    /// Acts whose end was not recorded.
    pub unfinished: u64,
    /// Incidents.
    pub incidents: u64,
}

/// A record, without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The first: what ran where, under which guards.
    Open {
        /// Name of the worker.
        worker: String,
        /// Version of the program.
        build: String,
        /// The guards in force: name and value.
        posture: BTreeMap<String, String>,
    },
    /// Something is about to be done to a file.
    Intent {
        /// The file.
        file: FileId,
        /// What.
        intent: Intent,
    },
    /// It was done, or failed.
    Done {
        /// The file.
        file: FileId,
        /// `seq` of the intent.
        intent: u64,
        /// Whether it succeeded. Of what failed the effect is what is known of it.
        ok: bool,
        /// What is known after.
        effect: Effect,
    },
    /// A file that another made, the engine or a killed worker, was found.
    Found {
        /// The file.
        file: FileId,
        /// What is known of it.
        birth: Creation,
        /// Its size, in bytes; 0 for a directory.
        bytes: u64,
    },
    /// A stage begins or ended.
    Stage {
        /// Which.
        stage: Stage,
        /// Beginning or end.
        mark: Boundary,
    },
    /// Something that should not be.
    Incident {
        /// A word for it, e.g. `wipe.failed`.
        code: String,
        /// The file that it is about; 0 for none.
        file: FileId,
        /// A sentence without names and content.
        note: String,
    },
    /// What another worker left is destroyed here; that worker's ledger ends so.
    Sweep {
        /// Its ledger.
        ledger: LedgerId,
        /// `seq` of its last record; 0 when there is none.
        last_seq: u64,
        /// SHA-256 of its last line; 64 zeros when there is none.
        last_hash: String,
    },
    /// The last.
    Close {
        /// How the attempt ended: `completed` or a failure's code.
        outcome: String,
        /// The counts.
        counts: Counts,
    },
}

/// Code of the incident by which the writer names a wall clock that went back.
pub const CLOCK_STEPPED_BACK: &str = "clock.stepped_back";

/// SHA-256 of a posture, in hexadecimal: over `NAME=VALUE` and LF for each member,
/// sorted by the name.
pub fn posture_digest(posture: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    for (name, value) in posture {
        digest.update(format!("{name}={value}\n"));
    }
    hex::encode(digest.finalize())
}

/// Prefix of the members that hold the posture.
const POSTURE: &str = "posture.";

impl Record {
    /// The word in `type`.
    pub fn type_word(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Intent { .. } => "intent",
            Self::Done { .. } => "done",
            Self::Found { .. } => "found",
            Self::Stage { .. } => "stage",
            Self::Incident { .. } => "incident",
            Self::Sweep { .. } => "sweep",
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
            Self::Open { worker, build, posture } => {
                put.text("format", FORMAT).text("job", &id.job.to_string());
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
