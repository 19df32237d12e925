//! `cadmill submit`: converts a file on a server.
//!
//! The job id is generated here, so that an order whose reply was lost can be sent again without
//! creating a second job; `--job-id` resumes the job of another run. The token is read from the
//! environment or a file. Neither the token nor a presigned URL is ever shown.

mod client;
mod decode;
mod download;
mod follow;
mod history;
mod show;
mod source;
mod upload;
mod wire;

use crate::args::SubmitArgs;
use crate::context::{self, Second};
use crate::{error, output, preset, progress};
use cadmill_converter::intake::Local;
use cadmill_converter::publish::destination::{Destination, Published};
use cadmill_core::domain::coding::Coding;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::{FileName, JobId};
use cadmill_core::domain::job::Compress;
use cadmill_core::domain::limits::ArchiveLimits;
use client::Client;
use download::Fetched;
use serde_json::{Map, Value, json};
use show::Show;
use source::Source;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use upload::Uploader;
use wire::{Created, Download, NewJob, Status};

/// Environment variable that contains the token.
const TOKEN_VARIABLE: &str = "CADMILL_TOKEN";

/// Shortest token, in characters.
const MIN_TOKEN: usize = cadmill_api::auth::tokens::MIN_TOKEN_LENGTH;

/// Longest token, in bytes.
const MAX_TOKEN: u64 = 64 << 10;

/// Entries of an archive that are judged before it is uploaded.
const MAX_ENTRIES: u64 = 1_000_000;

/// Content codings that are decoded here.
const DECODED: &[&str] = &[Coding::Gzip.as_str()];

/// Poll interval when the server does not specify one.
const POLL: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &SubmitArgs) -> ExitCode {
    let mut facts = Map::new();
    match submit(args, &mut facts) {
        Ok(published) if args.json => {
            facts.insert("outcome".to_owned(), json!("converted"));
            let Published { path, bytes, sha256 } = published;
            facts.insert("output".to_owned(), json!({"path": path, "bytes": bytes, "sha256": sha256}));
            output::result(&format!("{:#}", Value::Object(facts)));
            ExitCode::SUCCESS
        }
        Ok(published) => {
            output::result(&published.path.display().to_string());
            ExitCode::SUCCESS
        }
        Err(failure) => error::report(&failure, (!facts.is_empty()).then_some(facts), args.json),
    }
}

fn submit(args: &SubmitArgs, facts: &mut Map<String, Value>) -> Result<Published, Failure> {
    let id = match &args.job_id {
        Some(text) => {
            text.parse().map_err(|e| Failure::new(FailureCode::UsageInvalid, format!("--job-id: {e}")))?
        }
        None => JobId::random(),
    };
    let file_name = file_name(args)?;
    let (format, options) = preset::resolve(args.preset.as_deref(), args.to.as_deref(), &args.options)?;
    let options = options.into_iter().collect();
    let source = Source::open(&args.input)?;
    judge(args)?;
    let destination = Destination::new(args.output.as_deref())?;
    if args.output.as_deref().is_some_and(|path| source.is_at(path)) {
        let message = "the output is the input file; choose another path with -o";
        return Err(Failure::new(FailureCode::UsageInvalid, message));
    }
    let client = Client::new(&args.server, token(args)?, context::cancel_on_signals(&Second::Ends)?)?;
    let show = Show::new();
    if client.exposes_token() {
        show.note("warning: the token is sent unencrypted; use https");
    }
    facts.insert("job_id".to_owned(), json!(id));
    facts.insert("cadmill".to_owned(), json!(cadmill_core::BUILD));
    let job = format!("/api/jobs/{id}");
    let run = Run {
        args,
        format: &format,
        options: &options,
        client: &client,
        show: &show,
        source: &source,
        job: &job,
    };
    let result = run.convert(id, &file_name, &destination, facts);
    if client.is_cancelled() && result.is_err() {
        show.note("cancelling the job");
        client.delete_once(&job);
    }
    show.finish();
    facts.insert("total_ms".to_owned(), json!(show.millis()));
    result
}

/// Refuses an archive that no server reads, before it is uploaded. The limits on numbers and sizes
/// are the server's own.
fn judge(args: &SubmitArgs) -> Result<(), Failure> {
    let limits = ArchiveLimits {
        entries: MAX_ENTRIES,
        expanded_bytes: u64::MAX,
        ratio: u64::MAX,
        ..ArchiveLimits::default()
    };
    match Local::open(&args.input, &limits) {
        // A path that is not UTF-8 can be uploaded.
        Err(failure) if failure.code != FailureCode::UsageInvalid => Err(failure),
        _ => Ok(()),
    }
}

struct Run<'a> {
    args: &'a SubmitArgs,
    format: &'a str,
    options: &'a BTreeMap<String, String>,
    client: &'a Client,
    show: &'a Show,
    source: &'a Source,
    job: &'a str,
}

impl Run<'_> {
    fn convert(
        &self,
        id: JobId,
        file_name: &FileName,
        destination: &Destination,
        facts: &mut Map<String, Value>,
    ) -> Result<Published, Failure> {
        let checksum = match self.args.no_checksum {
            true => None,
            false => Some(self.source.digest(self.client, self.show)?),
        };
        let mut order = NewJob {
            file_name: file_name.as_str(),
            size_bytes: self.source.size,
            target_format: self.format,
            options: self.options,
            root: if self.args.all { Some("*") } else { self.args.root.as_deref() },
            // An older server does not know this field, and does not zip either.
            compress: Some(self.args.compress).filter(|&compress| compress != Compress::Never),
            // An older server refuses this field: it could not keep the promise.
            strict: self.args.strict.then_some(true),
            accept_encoding: Some(DECODED).filter(|_| !self.args.no_gzip),
            // The same.
            result_ttl_seconds: self.args.result_ttl.map(|time| time.as_secs()),
            job_id: id.to_string(),
            checksum_sha256: checksum.as_deref(),
        };
        let create = |order: &NewJob<'_>| {
            self.client.post_or_wait("/api/jobs", Some(order), &|line| self.show.note(line))
        };
        let answer = match create(&order) {
            // An older server refuses a field that it does not know. Without it, the result comes as
            // it is.
            Err(failure)
                if failure.code == FailureCode::RequestInvalid && order.accept_encoding.is_some() =>
            {
                order.accept_encoding = None;
                create(&order)?
            }
            answer => answer?,
        };
        let is_new = answer.status == ureq::http::StatusCode::CREATED;
        self.show.event(&format!("job {id}"));
        if let Some(upload) = answer.json::<Created>()?.upload {
            let threads = self.args.parallel;
            let Self { client, show, source, job, .. } = *self;
            Uploader { client, source, show, job, threads }.run(upload, is_new)?;
            self.show.event("uploaded");
        }
        let status = self.wait()?;
        self.note(&status, facts);
        for line in [history::states(&status), history::stages(&status)].into_iter().flatten() {
            self.show.note(&line);
        }
        for line in progress::warnings(&status.warnings, status.warnings_total) {
            self.show.note(&line);
        }
        let download = result_of(status)?;
        let incoming = destination.begin(&self.local_name(&download.file_name, file_name))?;
        if self.source.is_at(incoming.path()) {
            let message = "the result has the name of the input file; choose another path with -o";
            return Err(Failure::new(FailureCode::UsageInvalid, message));
        }
        let fresh = || result_of(self.status(None)?.status.ok_or_else(gone)?);
        let Fetched { published, response_bytes } =
            download::fetch(self.client, self.show, download, incoming, fresh)?;
        facts.insert("downloaded_bytes".to_owned(), json!(response_bytes));
        self.show.event("downloaded and verified");
        if !self.args.keep {
            self.acknowledge();
        }
        Ok(published)
    }

    fn status(&self, etag: Option<&str>) -> Result<Polled, Failure> {
        let answer = self.client.get(&format!("{}/status", self.job), etag)?;
        let unchanged = answer.status == ureq::http::StatusCode::NOT_MODIFIED;
        let status = if unchanged { None } else { Some(answer.json()?) };
        Ok(Polled { status, etag: answer.etag, retry_after: answer.retry_after })
    }

    /// Waits for the end of the job and reports each change of its state.
    fn wait(&self) -> Result<Status, Failure> {
        let mut told = String::new();
        let events = format!("{}/events", self.job);
        follow::until_end(self.client, &events, &mut |status| self.tell(status, &mut told))?;
        self.poll(&mut told)
    }

    /// The same by polling; one request if the job has ended.
    fn poll(&self, told: &mut String) -> Result<Status, Failure> {
        let (mut etag, mut poll) = (None::<String>, POLL);
        loop {
            let Polled { status, etag: next, retry_after } = self.status(etag.as_deref())?;
            etag = next.or(etag);
            match status {
                Some(status) => {
                    self.tell(&status, told);
                    if status.has_ended() {
                        return Ok(status);
                    }
                    poll = status.poll_after_ms.map(Duration::from_millis).or(retry_after).unwrap_or(POLL);
                }
                None => poll = retry_after.unwrap_or(poll),
            }
            self.client.wait(poll.clamp(Duration::from_millis(20), Duration::from_secs(60)))?;
        }
    }

    /// Shows the state if it is another than was told last.
    fn tell(&self, status: &Status, told: &mut String) {
        let mut line = status.state.clone();
        if let ("PROCESSING", Some(stage)) = (status.state.as_str(), &status.stage) {
            line = format!("{line} {stage}");
            self.show.progress(stage, status.progress);
        }
        if line != *told {
            self.show.event(&line);
            *told = line;
        }
    }

    /// Facts about the ended job, for the JSON output.
    fn note(&self, status: &Status, facts: &mut Map<String, Value>) {
        facts.insert("state".to_owned(), json!(status.state));
        facts.insert("attempt".to_owned(), json!(status.attempt));
        facts.insert("stage_millis".to_owned(), json!(status.stage_millis));
        facts.insert("warnings".to_owned(), json!(status.warnings));
        facts.insert("warnings_total".to_owned(), json!(status.warnings_total));
        facts.insert("losses".to_owned(), json!(status.losses));
        facts.insert("counts".to_owned(), json!(status.counts));
        facts.insert("facts".to_owned(), json!(status.facts));
    }

    /// The local file name when the command line gives none: the server's name, if it is a plain
    /// file name and not hidden.
    fn local_name(&self, served: &str, input: &FileName) -> String {
        match served.parse::<FileName>() {
            Ok(name) if !served.starts_with('.') => name.as_str().to_owned(),
            _ => {
                let stem = input.as_str().rsplit_once('.').map_or(input.as_str(), |(stem, _)| stem);
                format!("{}.result", stem.trim_start_matches('.'))
            }
        }
    }

    /// Confirms the download, so that the server need not keep the result. If that fails, the
    /// server deletes the result later by itself.
    fn acknowledge(&self) {
        if let Err(failure) = self.client.post(&format!("{}/downloaded", self.job), None::<&()>) {
            self.show.note(&format!("note: the server keeps the result for a while: {}", failure.message));
        }
    }
}

/// The response to a status request.
struct Polled {
    /// None when the status matches the ETag that was sent.
    status: Option<Status>,
    etag: Option<String>,
    /// When to poll again.
    retry_after: Option<Duration>,
}

/// The download of a job that has ended, or why there is none.
fn result_of(status: Status) -> Result<Download, Failure> {
    match (status.state.as_str(), status.download, status.failure) {
        ("COMPLETED", Some(download), _) => Ok(download),
        ("COMPLETED", None, _) => Err(gone()),
        ("CANCELLED", _, _) => Err(Failure::new(FailureCode::Cancelled, "the job was cancelled")),
        (_, _, Some(failure)) => Err(client::failure(Some(&failure.code), &failure.message, None)),
        ("EXPIRED", _, None) => {
            let code = client::code("job.expired", FailureCode::Io);
            Err(Failure::new(code, "the upload did not arrive in time"))
        }
        (_, _, None) => {
            Err(Failure::new(FailureCode::Io, "the job ended without a result and without a reason"))
        }
    }
}

fn gone() -> Failure {
    let message =
        "the result is no longer available: it was already downloaded, or its retention has expired";
    Failure::new(FailureCode::JobEnded, message)
}

fn file_name(args: &SubmitArgs) -> Result<FileName, Failure> {
    let name = args.input.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.parse().map_err(|e| Failure::new(FailureCode::UsageInvalid, format!("the input's name: {e}")))
}

/// The token, from the file given on the command line or from the environment.
fn token(args: &SubmitArgs) -> Result<Option<String>, Failure> {
    let text = match &args.token_file {
        Some(path) => {
            let read = || {
                use std::io::Read;
                let mut text = String::new();
                std::fs::File::open(path)?.take(MAX_TOKEN).read_to_string(&mut text).map(|_| text)
            };
            read().map_err(|e| {
                let message = format!("reading the token file {}: {e}", path.display());
                Failure::new(FailureCode::UsageInvalid, message)
            })?
        }
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) if !text.is_empty() => text,
            Ok(_) | Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => String::from("\0"),
        },
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let message = "the token must be one word of ASCII characters; it is not shown here";
        return Err(Failure::new(FailureCode::UsageInvalid, message));
    }
    // No server accepts a shorter token, and a short one can be guessed.
    if token.len() < MIN_TOKEN {
        let message = format!("the token has {} characters, expected at least {MIN_TOKEN}", token.len());
        return Err(Failure::new(FailureCode::UsageInvalid, message));
    }
    Ok(Some(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> Status {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn ends_without_a_result_have_codes() {
        for (text, code) in [
            (r#"{"state": "CANCELLED"}"#, FailureCode::Cancelled),
            (r#"{"state": "COMPLETED"}"#, FailureCode::JobEnded),
            (
                r#"{"state": "FAILED", "failure": {"code": "limit.time", "message": "m"}}"#,
                FailureCode::LimitTime,
            ),
            (r#"{"state": "FAILED", "failure": {"code": "brand.new", "message": "m"}}"#, FailureCode::Io),
            (r#"{"state": "NEW_STATE"}"#, FailureCode::Io),
        ] {
            assert!(result_of(status(text)).is_err_and(|failure| failure.code == code), "{text}");
        }
    }
}
