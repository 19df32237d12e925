//! Every way a conversion can fail, by meaning.
//!
//! Each failure has a stable dotted code, a fault (who has to act), whether a retry can help, the
//! exit code of the CLI, and a hint. The table below is the only list: `docs/FAILURES.md` is
//! generated from it, and a test compares the two. Codes are never renamed or reused; new ones are
//! added.

use serde::Serialize;
use std::fmt;

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The caller that made the request.
    Usage,
    /// The author of the file.
    Input,
    /// The engine's maintainers.
    Engine,
    /// The person who sets the limits.
    Limit,
    /// The operator of the service.
    System,
    /// No one.
    Nobody,
}

macro_rules! failure_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $fault:ident, $exit:literal, $retry:literal, $hint:literal;)+) => {
        /// A stable failure code. See the module documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FailureCode { $($(#[doc = $doc])+ $variant,)+ }

        impl FailureCode {
            /// Every code, in the order of the documented table.
            pub const ALL: &'static [FailureCode] = &[$(FailureCode::$variant,)+];

            /// The stable dotted code.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $code,)+ } }
            /// Who has to act.
            pub fn fault(self) -> Fault { match self { $(Self::$variant => Fault::$fault,)+ } }
            /// Exit code of the CLI.
            pub fn exit_code(self) -> u8 { match self { $(Self::$variant => $exit,)+ } }
            /// Whether retrying the unchanged job can succeed.
            pub fn retryable(self) -> bool { match self { $(Self::$variant => $retry,)+ } }
            /// What the reader can do about it: one sentence.
            pub fn hint(self) -> &'static str { match self { $(Self::$variant => $hint,)+ } }
            /// What the code means: one sentence.
            pub fn meaning(self) -> &'static str { match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ } }
        }
    };
}

failure_codes! {
    /// An argument is missing, malformed or contradicts another.
    UsageInvalid = "usage.invalid", Usage, 2, false, "Run the command with --help to see its arguments.";
    /// The requested memory cap is too small to load an engine.
    UsageMemory = "usage.memory", Usage, 2, false, "Give --memory at least 64M; 4G is the default.";
    /// The engine does not know this option, or not this value for it.
    UsageOption = "usage.option", Usage, 2, false, "See docs/ENGINES.md for the options of each engine.";
    /// The engines file cannot be read or does not parse.
    UsageEnginesFile = "usage.engines_file", Usage, 2, false, "Correct the file; docs/ENGINES.md describes its keys.";
    /// The directory of the output path does not exist or is not a directory.
    OutputDirectory = "usage.output_directory", Usage, 2, false, "Create the directory first, or choose another path.";
    /// The output directory cannot be written to.
    OutputNotWritable = "usage.output_not_writable", Usage, 2, false, "Choose a writable directory.";

    /// There is no such input file.
    InputNotFound = "input.not_found", Input, 10, false, "Check the path.";
    /// The input file cannot be opened or read.
    InputUnreadable = "input.unreadable", Input, 10, false, "Check the permissions of the file.";
    /// The input is a directory, a device or a pipe.
    InputNotAFile = "input.not_a_file", Input, 10, false, "Give one regular file; zip a directory first.";
    /// The input has no bytes.
    InputEmpty = "input.empty", Input, 10, false, "The file has 0 bytes; export or upload it again.";
    /// The size of the uploaded object differs from the declared size.
    InputSizeMismatch = "input.size_mismatch", Input, 10, false, "Upload the complete file whose size was declared.";
    /// The SHA-256 of the uploaded object differs from the declared one.
    InputDigestMismatch = "input.digest_mismatch", Input, 10, false, "The file was changed before or during the upload; declare the SHA-256 of the uploaded file.";
    /// The object was replaced by another, or the file changed, while it was read.
    InputReplaced = "input.replaced", Input, 10, false, "Upload the file once, and do not change it until the job has ended.";
    /// The input names files that are not part of it, or calls functions that reach them.
    InputExternalReference = "input.external_reference", Input, 10, false, "Export the data into a self-contained file: without virtual tables that read other files, views that call functions of an extension, or references to files elsewhere.";
    /// The archive ends too early: its end record is missing, or an entry is cut short.
    ArchiveTruncated = "input.archive.truncated", Input, 10, false, "The archive is incomplete; make or transfer it again.";
    /// Bytes that are not part of the archive lie before or after it.
    ArchiveTrailingData = "input.archive.trailing_data", Input, 10, false, "Remove what was put before or after the archive, or make it again; self-extracting archives are not read.";
    /// The archive's end can be read in more than one way.
    ArchiveAmbiguousEnd = "input.archive.ambiguous_end", Input, 10, false, "Make the archive again with an ordinary zip tool.";
    /// The archive is one part of several.
    ArchiveMultiDisk = "input.archive.multi_disk", Input, 10, false, "Make one archive, not split into parts.";
    /// The zip64 records contradict the others, or are not whole.
    ArchiveZip64 = "input.archive.zip64", Input, 10, false, "Make the archive again with an ordinary zip tool.";
    /// The directory is damaged, or does not hold what the end record says.
    ArchiveDirectory = "input.archive.directory", Input, 10, false, "The archive is damaged; make or transfer it again.";
    /// The directory is larger than its number of entries needs.
    ArchiveDirectorySize = "input.archive.directory_size", Input, 10, false, "Archive without comments and large extra fields.";
    /// The archive contains no file.
    ArchiveEmpty = "input.archive.empty", Input, 10, false, "Put the file to convert into the archive.";
    /// The archive has more entries than allowed.
    ArchiveTooManyEntries = "input.archive.too_many_entries", Input, 10, false, "Archive only what the conversion needs, or raise --max-entries.";
    /// The archive expands to more bytes than allowed.
    ArchiveExpandedSize = "input.archive.expanded_size", Input, 10, false, "Split the data, or raise --max-expanded if the machine has the memory.";
    /// An entry expands more than real design data does: it looks like a zip bomb.
    ArchiveRatio = "input.archive.ratio", Input, 10, false, "If the archive is genuine, raise --max-ratio.";
    /// An entry's name is too long or too deep, or has characters or parts that no file name should.
    ArchiveName = "input.archive.name", Input, 10, false, "Archive the files with plain relative names, without '.', control characters or empty parts.";
    /// An entry's name is absolute or leads out of the archive, here or on another system.
    ArchivePathEscape = "input.archive.path_escape", Input, 10, false, "Archive the files with relative names, without '..' and drives, and with one separator.";
    /// An entry's name or comment is not in the encoding that it declares, or the name has two forms that contradict.
    ArchiveNameEncoding = "input.archive.name_encoding", Input, 10, false, "Make the archive with a tool that writes names in UTF-8.";
    /// Two entries have the same name, or names that differ in case or composition only.
    ArchiveDuplicateName = "input.archive.duplicate_name", Input, 10, false, "Rename one of the entries.";
    /// An entry is a symbolic link.
    ArchiveSymlink = "input.archive.symlink", Input, 10, false, "Archive the files themselves, not links to them.";
    /// An entry is a device, a pipe, a socket or a volume label.
    ArchiveSpecialFile = "input.archive.special_file", Input, 10, false, "Archive regular files and directories only.";
    /// An entry is a directory by its name or by its attributes but not by both, or one with content.
    ArchiveTypeMismatch = "input.archive.type_mismatch", Input, 10, false, "Make the archive again with an ordinary zip tool.";
    /// An entry is encrypted.
    ArchiveEncrypted = "input.archive.encrypted", Input, 10, false, "Make the archive without a password.";
    /// An entry uses a compression method other than stored, deflate and Deflate64.
    ArchiveMethod = "input.archive.method", Input, 10, false, "Make the archive with the deflate method, the default of most tools.";
    /// An entry needs a version of the format that is not read.
    ArchiveVersion = "input.archive.version", Input, 10, false, "Make the archive with the deflate method, the default of most tools.";
    /// An entry has flags that are reserved or change its meaning.
    ArchiveFlags = "input.archive.flags", Input, 10, false, "Make the archive again with an ordinary zip tool.";
    /// An entry has extra fields that do not parse, are there twice, or change its meaning.
    ArchiveExtraField = "input.archive.extra_field", Input, 10, false, "Make the archive again with an ordinary zip tool.";
    /// An entry is stored and its length follows it, in a form or with content in which readers find other ends.
    ArchiveStoredDescriptor = "input.archive.stored_descriptor", Input, 10, false, "Write the archive to a file, not to a pipe, or compress the entries.";
    /// An entry's local header or data descriptor contradicts the directory.
    ArchiveHeaderMismatch = "input.archive.header_mismatch", Input, 10, false, "Make the archive again with an ordinary zip tool.";
    /// Two entries, or an entry and the directory, share bytes.
    ArchiveOverlap = "input.archive.overlap", Input, 10, false, "Make the archive again with an ordinary zip tool.";
    /// The archive has bytes that no record owns.
    ArchiveUnownedBytes = "input.archive.unowned_bytes", Input, 10, false, "Make the archive again with an ordinary zip tool.";
    /// An entry's content does not have the size that the directory declares.
    ArchiveSizeMismatch = "input.archive.size_mismatch", Input, 10, false, "The archive is damaged; make or transfer it again.";
    /// An entry's content does not match its checksum.
    ArchiveCrc = "input.archive.crc", Input, 10, false, "The archive is damaged; make or transfer it again.";
    /// An entry's compressed data is damaged.
    ArchiveDamagedData = "input.archive.damaged_data", Input, 10, false, "The archive is damaged; make or transfer it again.";
    /// Several files in the archive could be the one to convert.
    RootAmbiguous = "input.root_ambiguous", Input, 10, false, "Name the file to convert with --root, or convert each with --all.";
    /// No file in the archive can be converted to the requested format.
    RootNotFound = "input.root_not_found", Input, 10, false, "Name the file to convert with --root, or see `cadmill engines` for the formats that are read.";
    /// The file named by --root is not in the archive, or the input is not an archive.
    RootMissing = "input.root_missing", Input, 10, false, "Give --root as the path inside the archive, as `unzip -l` prints it.";

    /// No engine reads files of this name extension.
    InputFormatUnknown = "format.input_unknown", Input, 11, false, "See `cadmill engines` for the formats that are read, or choose an engine with --engine.";
    /// No engine writes this format.
    FormatUnknown = "format.output_unknown", Usage, 11, false, "See `cadmill engines` for the formats that are written.";
    /// Both formats are known, but no engine converts one to the other.
    FormatNoRoute = "format.no_route", Usage, 11, false, "See `cadmill engines` for what each engine reads and writes.";
    /// No engine has this name.
    EngineUnknown = "engine.unknown", Usage, 11, false, "See `cadmill engines` for the names of the engines.";
    /// The engine's library cannot be found or loaded.
    EngineLibraryMissing = "engine.library_missing", System, 11, false, "Install the engine's package (Debian: libassimp5, libgdal32, libocct-data-exchange-7.6, default-jre-headless for Java), or set its path in the engines file.";
    /// The engine's library lacks a required function.
    EngineSymbolMissing = "engine.symbol_missing", System, 11, false, "The file is another library or another major version; install the one that the message names.";
    /// The engine's library has a version that is not supported.
    EngineVersion = "engine.version", System, 11, false, "Install a supported version, or set the path of one in the engines file.";
    /// Engines of this kind are not part of this build of cadmill.
    EngineNotBuilt = "engine.not_built", System, 11, false, "Install a build that has the feature, as default builds do, or choose another engine: `cadmill engines` shows them.";
    /// The library's SHA-256 is not the one pinned in the engines file.
    EnginePin = "engine.pin_mismatch", System, 11, false, "If the library was updated on purpose, pin its new SHA-256.";

    /// The engine needed more memory than the cap allows.
    LimitMemory = "limit.memory", Limit, 12, false, "Raise --memory, or convert a smaller file.";
    /// The conversion took longer than the cap allows.
    LimitTime = "limit.time", Limit, 13, false, "Raise --timeout, or convert a smaller file.";
    /// The engine wrote more output than the cap allows.
    LimitOutput = "limit.output", Limit, 16, false, "Raise --max-output, or convert a smaller file.";
    /// The engine wrote more files and directories than the cap allows, or nested them too deeply, or where they cannot be counted.
    LimitFiles = "limit.files", Limit, 16, false, "Convert to a format with fewer files, or a smaller file.";
    /// The engine printed more text than the cap allows.
    LimitMessages = "limit.messages", Limit, 16, false, "The engine misbehaves on this file; report it to its maintainers.";

    /// The engine started more threads than the cap allows.
    LimitThreads = "limit.threads", Limit, 16, false, "The engine misbehaves on this file; report it to its maintainers.";
    /// The machine or the container ran out of memory, and the kernel killed the engine.
    LimitMachineMemory = "limit.machine_memory", Limit, 12, true, "Give the machine or the container more memory, or convert fewer files at once.";

    /// The job needs more memory than any worker has to give.
    LimitAdmission = "limit.admission", Limit, 12, false, "Convert a smaller file, or give the workers more memory.";

    /// The engine crashed on the file.
    EngineCrashed = "engine.crashed", Engine, 14, true, "Nothing else was harmed; check the file with the program that made it, or try another engine.";
    /// The engine exited without a reply.
    EngineNoAnswer = "engine.no_answer", Engine, 17, true, "Nothing else was harmed; check the file with the program that made it, or try another engine.";
    /// The engine sent a message out of sequence, or left files that cannot be read.
    EngineMisbehaved = "engine.misbehaved", Engine, 17, false, "Keep the file for an investigation; if every file fails like this, check the engine's library with `cadmill engines`.";
    /// The engine made a forbidden system call, which no conversion needs.
    EngineViolation = "engine.violation", Engine, 18, false, "Treat the file as hostile and keep it for an investigation; if it is harmless, the engine makes a system call that no job has: `cadmill engines check` names what a plugin calls.";
    /// The engine read the file and refused it.
    EngineRejected = "engine.rejected", Engine, 15, false, "Check the file with the program that made it; the message is the engine's own.";

    /// The engine read the input, which does not fit the output format or the options.
    EngineUnfit = "engine.unfit", Usage, 27, false, "Choose another output format or a part of the input, or give the options that the message names.";
    /// The result differs from the input in what no option asked for, and the order is strict.
    EngineIncomplete = "engine.incomplete", Usage, 28, false, "Choose another output format, ask for the difference by an option, or convert without --strict (API: \"strict\": false) and read the warnings.";
    /// Characters of the input would be missing in the output, or be others there.
    EngineTextLost = "engine.text_lost", Usage, 26, false, "Name the encoding of the input with --opt encoding=NAME, or choose an output format that keeps the text, e.g. gpkg.";

    /// A library did not pass `cadmill engines check`.
    EngineCheckFailed = "engine.check_failed", Engine, 34, false, "Mend what the report names as failed; docs/BRING-YOUR-OWN.md explains each check.";
    /// `cadmill engines check` could not check what is essential.
    EngineUnchecked = "engine.unchecked", Usage, 35, false, "Give at least one file that the library converts: --sample FILE.";

    /// The machine offers no memory-backed directory for the workspace.
    WorkspaceUnavailable = "infra.workspace_unavailable", System, 20, true, "Mount a tmpfs and name it in CADMILL_WORKSPACE, e.g. /dev/shm.";
    /// The workspace has too little room for this job.
    WorkspaceFull = "infra.workspace_full", System, 20, true, "Give the tmpfs more room, or convert fewer files at once.";
    /// The engine host could not be found or started, or broke the protocol.
    EngineHost = "infra.engine_host", System, 20, true, "Install cadmill-engine-host of the same version in the directory of cadmill.";
    /// The engine would be confined less than the configuration requires.
    Confinement = "infra.confinement", System, 19, false, "See `cadmill doctor` for what is missing; CADMILL_MIN_POSTURE sets the minimum.";
    /// The job store, the object store or the queue does not respond.
    StoreUnavailable = "infra.store_unavailable", System, 20, true, "Try again in a minute; if the failure persists, check that the services named in the message are up.";
    /// The job store, the object store or the queue rejected the request.
    StoreRefused = "infra.store_refused", System, 20, false, "Check the names, the credentials and the permissions in the configuration.";
    /// No cleanup program is alive, so nothing would delete the file.
    NoCleanup = "infra.no_cleanup", System, 20, true, "Start cadmill-cleanup, or set job.require_cleanup = false if something else deletes the files.";
    /// A file of the data directory is missing, truncated or damaged.
    DataDirectory = "infra.data_directory", System, 25, false, "See the message for the file, what is lost and how to recover; docs/PIPELINE.md describes how to copy a data directory.";
    /// The record of a job cannot be read: it is damaged, or a newer version wrote it.
    RecordUnreadable = "infra.record_unreadable", System, 20, false, "Use the version that wrote it, or repair or delete the record in the job store; the job's files stay until then.";
    /// A worker died while it processed the job, in each of the allowed attempts.
    WorkerLost = "infra.worker_lost", System, 20, true, "Try again; if it fails the same way, run `cadmill convert` on the file to find the cause.";
    /// Reading or writing failed for a reason outside the job.
    Io = "infra.io", System, 20, true, "See the message for the operation and the system's reason.";
    /// The ledger cannot be written, so no plaintext may be created.
    Audit = "infra.audit", System, 20, true, "Check that the audit sink is writable and the signing key usable; the message names which one failed.";
    /// Another worker has the job, or the job has ended; the work of this worker is discarded.
    Superseded = "infra.superseded", System, 20, false, "No action is needed: the job continues elsewhere.";
    /// The job was cancelled before it ended.
    Cancelled = "job.cancelled", Nobody, 130, true, "Start the job again to get the result.";

    /// The ledger was modified after it was written: changed, truncated or reassembled.
    AuditTampered = "audit.tampered", Input, 30, false, "Get the ledger from the location where the worker wrote it, and its head from the job's record; if they still differ, treat it as an incident.";
    /// The ledger has no end: its worker died or could not record any more.
    AuditIncomplete = "audit.incomplete", Input, 31, false, "Look for the ledger of the sweep that followed: the same attempt, the next part.";
    /// The ledger is consistent, but nothing proves who wrote it.
    AuditUnsigned = "audit.unsigned", Input, 32, false, "Give the public key of the workers with --key, and the signed head with --head.";
    /// The ledger is genuine, but records that something was not destroyed as required.
    AuditUnclean = "audit.unclean", Input, 33, false, "See the remarks: files that were left, removed without being overwritten, or incidents.";
    /// Something is in the object store without a reason.
    AuditResidue = "audit.residue", System, 36, false, "Look whether cadmill-cleanup runs and what it logs of these jobs; what has no record is deleted after api.upload_url_lifetime and job.linger, what is in no place of cadmill is yours to delete.";
    /// Not everything in the object store could be compared with the records.
    AuditUnseen = "audit.unseen", System, 37, false, "Give the permissions that the message names, or repair the records, and look again.";
    /// The ledger is of a format that this version does not know.
    AuditFormat = "audit.format", Input, 38, false, "Verify it with the version of cadmill that its first record names, or a newer one.";
    /// A key or a head is malformed.
    AuditKey = "audit.key", Usage, 2, false, "Give an Ed25519 public key in PEM, as `openssl pkey -pubout` writes it, and a head as the worker or the API gives it.";

    /// The request is malformed: its path, query, headers or body.
    RequestInvalid = "request.invalid", Usage, 2, false, "Correct the field that the detail names; /openapi.json describes every request.";
    /// The body or the header of the request is larger than any request of this API.
    RequestTooLarge = "request.too_large", Usage, 2, false, "Files go to the upload URL, not to this server.";
    /// A result is not kept for this time.
    RequestResultTtl = "request.result_ttl", Usage, 2, false, "Ask for a time within the range that the detail names, or for none.";
    /// There is nothing at this path.
    RequestNotFound = "request.not_found", Usage, 22, false, "See /openapi.json for the paths.";
    /// The path exists, but not with this method.
    RequestMethod = "request.method", Usage, 2, false, "See the Allow header of the answer for the methods.";
    /// The body is not declared as JSON.
    RequestMediaType = "request.media_type", Usage, 2, false, "Send JSON with `Content-Type: application/json`.";
    /// The caller exceeded the request rate.
    RequestRateLimited = "request.rate_limited", Limit, 24, true, "Wait as long as the Retry-After header says.";
    /// The owner has as many jobs, or as many bytes, in flight as allowed.
    ApiQuota = "api.quota", Limit, 24, true, "Try again when one of your jobs has ended, at the earliest after the time that the Retry-After header says; end the jobs that you do not need.";
    /// The server did not finish the request in time.
    RequestTimeout = "request.timeout", System, 24, true, "Retry the request; every request can be repeated.";
    /// The server cannot be reached, or is not ready.
    ServerUnavailable = "server.unavailable", System, 24, true, "Try again in a minute; if the failure persists, tell the operator.";
    /// The server met an unexpected internal error.
    ServerInternal = "server.internal", System, 20, false, "Report the request id to the operator; the server's log has the cause.";
    /// The request has no credentials.
    AuthRequired = "auth.required", Usage, 21, false, "Send `Authorization: Bearer TOKEN`.";
    /// The token is not one that this server accepts.
    AuthInvalid = "auth.invalid", Usage, 21, false, "Check the token and where it comes from.";
    /// The token has expired.
    AuthExpired = "auth.expired", Usage, 21, false, "Get a new token.";
    /// The token was made for another service.
    AuthAudience = "auth.audience", Usage, 21, false, "Get a token for the audience of this server.";
    /// The keys that tokens are checked with cannot be fetched.
    AuthUnavailable = "auth.unavailable", System, 24, true, "Try again in a minute; if the failure persists, check that the identity provider is up.";
    /// There is no such job, or it is not the caller's.
    JobNotFound = "job.not_found", Usage, 22, false, "Check the job id; records are deleted some days after the end of a job.";
    /// The job id is already used by a different request.
    JobConflict = "job.conflict", Usage, 23, false, "Choose another job_id, or leave it out.";
    /// The job has ended.
    JobEnded = "job.ended", Usage, 23, false, "Create another job.";
    /// The job has no result yet, or never will.
    JobNotCompleted = "job.not_completed", Usage, 23, false, "Query the status of the job.";
    /// The name of the file is not one that can be stored.
    UploadFileName = "upload.file_name", Usage, 2, false, "Send the file's own name, without directories and control characters.";
    /// The job is no longer waiting for an upload.
    UploadNotExpected = "upload.not_expected", Usage, 23, false, "Query the status of the job.";
    /// The uploaded file is incomplete.
    UploadIncomplete = "upload.incomplete", Usage, 23, false, "Upload the parts that the details name as missing, then complete the upload again.";
    /// The file is larger than this server accepts.
    UploadTooLarge = "upload.too_large", Limit, 16, false, "Split the file; the details name the limit.";
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for FailureCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|code| code.as_str() == text);
        found.copied().ok_or_else(|| "there is no such failure code".to_owned())
    }
}

impl<'de> serde::Deserialize<'de> for FailureCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for FailureCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A failure as reported to the owner of the job.
///
/// - `message` says what was attempted, on what, and what was found. It may contain the owner's
///   file names: it is sent to the owner and never logged.
/// - `details` are short facts for programs, e.g. `limit_bytes`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The stable code.
    pub code: FailureCode,
    /// What happened, in one sentence or two.
    pub message: String,
    /// Facts for programs: names and values.
    pub details: Vec<(&'static str, Detail)>,
}

/// The value of one detail of a [`Failure`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Detail {
    /// A count, a size in bytes or a time in milliseconds, as the name says.
    Number(u64),
    /// A word.
    Text(String),
    /// Several words, e.g. the candidates for the root file.
    List(Vec<String>),
}

impl From<u64> for Detail {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<String> for Detail {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Detail {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Vec<String>> for Detail {
    fn from(value: Vec<String>) -> Self {
        Self::List(value)
    }
}

impl Failure {
    /// A failure with a message and no details.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// A failure of the system: what was attempted, and the operating system's reason.
    pub fn io(attempted: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(FailureCode::Io, format!("{attempted}: {error}"))
    }

    /// The same for a file in the workspace, which may be full. Other full file systems do not get
    /// that code, because more room in the workspace would not help.
    pub fn in_workspace(attempted: impl fmt::Display, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::new(FailureCode::WorkspaceFull, format!("{attempted}: {error}"))
            }
            _ => Self::io(attempted, error),
        }
    }

    /// The same failure with an additional detail.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Detail>) -> Self {
        self.details.push((name, value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_dotted_and_in_their_class() {
        let mut seen = HashSet::new();
        for code in FailureCode::ALL {
            assert!(seen.insert(code.as_str()), "{code} is listed twice");
            assert!(
                code.as_str().bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_')),
                "{code}"
            );
            assert!(code.as_str().contains('.'), "{code}");
            assert!(code.hint().ends_with('.'), "{code}: the hint is a sentence");
            assert!(code.meaning().ends_with('.'), "{code}: the meaning is a sentence");
            let class_exits: &[u8] = match code.fault() {
                // API errors: the caller's identity (21), something that does not exist (22), the
                // job's state (23). 26 to 28: the output format or the options do not fit the input.
                // 34 and 35: verdicts on a library.
                Fault::Usage => &[2, 11, 21, 22, 23, 26, 27, 28, 35],
                // 30 to 33 and 38: verdicts on a ledger.
                Fault::Input => &[10, 11, 30, 31, 32, 33, 38],
                Fault::Engine => &[14, 15, 17, 18, 34],
                Fault::Limit => &[12, 13, 16, 24],
                // 24: the server rather than the job, a later retry may help. 25: the server's
                // files. 36 and 37: verdicts on a store.
                Fault::System => &[11, 19, 20, 24, 25, 36, 37],
                Fault::Nobody => &[130],
            };
            assert!(class_exits.contains(&code.exit_code()), "{code}: exit {}", code.exit_code());
        }
    }

    #[test]
    fn a_full_workspace_is_told_apart_from_a_full_disk_and_other_errors() {
        let full = std::io::Error::from_raw_os_error(28);
        assert_eq!(Failure::in_workspace("writing", &full).code, FailureCode::WorkspaceFull);
        assert_eq!(Failure::io("writing", &full).code, FailureCode::Io);
        let other = std::io::Error::from_raw_os_error(5);
        assert_eq!(Failure::in_workspace("writing", &other).code, FailureCode::Io);
    }

    /// The documented table must match the code. With `UPDATE_DOCS=1` in the environment the test
    /// writes the table instead.
    #[test]
    fn documented_table_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/FAILURES.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (head, _) = document.split_once(TABLE_HEAD).expect("docs/FAILURES.md has the table's head");
        let rows: String = FailureCode::ALL.iter().map(|&code| row(code)).collect();
        let expected = format!("{head}{TABLE_HEAD}{rows}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &expected).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap() == expected,
            "docs/FAILURES.md is out of date: UPDATE_DOCS=1 cargo test -p cadmill-core"
        );
    }

    const TABLE_HEAD: &str = "| code | exit | retry | meaning | what to do |\n|---|---|---|---|---|\n";

    fn row(code: FailureCode) -> String {
        let retry = if code.retryable() { "yes" } else { "no" };
        format!("| `{code}` | {} | {retry} | {} | {} |\n", code.exit_code(), code.meaning(), code.hint())
    }
}
