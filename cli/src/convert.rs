//! `cadmill convert`.

use crate::args::ConvertArgs;
use crate::progress::Progress;
use crate::recording::{self, Recording};
use crate::{context, error, output, preset, sweep};
use cadmill_converter::conversion;
use cadmill_converter::conversion::report::ConversionReport;
use cadmill_converter::conversion::request::ConversionRequest;
use cadmill_converter::publish::destination::{Destination, Published};
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::limits::millis;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

pub(crate) fn run(args: &ConvertArgs) -> ExitCode {
    let Ended { result, facts, audit } = match prepare_and_run(args) {
        Ok(ended) => ended,
        Err(failure) => return error::report(&failure, None, args.json),
    };
    match result {
        Ok(published) if args.json => {
            let mut object = facts_object(&facts);
            object.extend(audit);
            object.insert("outcome".to_owned(), json!("converted"));
            object.insert(
                "output".to_owned(),
                json!({
                    "path": published.path,
                    "bytes": published.bytes,
                    "sha256": published.sha256,
                    "engine_files": facts.output_files,
                }),
            );
            output::result(&format!("{:#}", Value::Object(object)));
            ExitCode::SUCCESS
        }
        Ok(published) => {
            output::result(&published.path.display().to_string());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let mut object = facts_object(&facts);
            object.extend(audit);
            error::report(&failure, Some(object), args.json)
        }
    }
}

struct Ended {
    result: Result<Published, Failure>,
    facts: ConversionReport,
    /// Where the plaintext was, and the ledger, for the JSON output.
    audit: Map<String, Value>,
}

fn prepare_and_run(args: &ConvertArgs) -> Result<Ended, Failure> {
    let (format, options) = preset::resolve(args.preset.as_deref(), args.to.as_deref(), &args.options)?;
    let mut setting = context::build(args.engines.engines_file.as_deref())?;
    let destination = Destination::new(args.output.as_deref())?;
    let order = ConversionRequest {
        format,
        engine: args.engine.clone(),
        root: if args.all { Some("*".to_owned()) } else { args.root.clone() },
        options,
        compress: args.compress,
        strict: args.strict,
        caps: Caps {
            memory_bytes: args.memory,
            time: args.timeout,
            output_bytes: args.max_output,
            ..Caps::default()
        },
        archive: ArchiveLimits {
            entries: args.max_entries,
            expanded_bytes: args.max_expanded,
            ratio: args.max_ratio,
            ..ArchiveLimits::default()
        },
        crash_retries: 0,
    };
    let cancel = context::cancel_on_signals(&context::Second::Same)?;
    // Kept until the workspace in it is gone.
    let (private, posture) = context::private(&mut setting, args.audit.is_some())?;
    let open = |(directory, posture): (_, &_)| Recording::open(directory, args.audit_key.as_deref(), posture);
    let recording = args.audit.as_deref().zip(posture.as_ref()).map(open).transpose()?;
    sweep::killed(&setting, recording.as_ref());
    let ledger = recording.as_ref().map(Recording::conversion).transpose()?;
    let mut progress = Progress::new();
    let (result, facts) = match &ledger {
        None => conversion::run(&order, &args.input, &destination, &setting, &cancel, &mut progress),
        Some(ledger) => recording::run(ledger, &mut progress, |recorded| {
            let input = args.input.as_path();
            conversion::run_recorded(&order, input, &destination, &setting, &cancel, recorded, ledger)
        }),
    };
    progress.finish(result.is_ok(), &facts);
    let mut audit = Map::new();
    audit.insert("private_workspace".to_owned(), json!(private.is_some()));
    if let Some((recording, ledger)) = recording.as_ref().zip(ledger) {
        let path = recording.path(ledger.id());
        output::note(&format!("ledger: {}", path.display()));
        audit.insert("ledger".to_owned(), json!(path));
    }
    Ok(Ended { result, facts, audit })
}

/// What is known about the job, for the JSON output of success and failure alike.
fn facts_object(facts: &ConversionReport) -> Map<String, Value> {
    let times = &facts.times;
    let object = json!({
        "engine": facts.target.as_ref().map(|target| json!({
            "name": target.engine,
            "library": facts.identity.as_ref().map(|i| &i.library),
            "version": facts.identity.as_ref().map(|i| &i.version),
            "path": facts.identity.as_ref().map(|i| &i.path),
            "format_id": target.format_id,
        })),
        "input": {
            "bytes": facts.input_bytes,
            "root": facts.root,
            "unpacked_bytes": facts.unpacked_bytes,
            "unpacked_files": facts.unpacked_files,
        },
        "timings_ms": {
            "unpack": millis(times.unpack),
            "load": millis(times.load),
            "convert": millis(times.convert),
            "publish": millis(times.publish),
            "remove": millis(times.remove),
            "total": millis(times.total),
        },
        "parts": facts.parts.iter().map(|part| json!({
            "root": part.root,
            "engine": part.engine,
            "directory": part.directory,
            "counts": part.counts,
            "facts": part.engine_facts,
            "warnings_total": part.warnings,
        })).collect::<Vec<_>>(),
        "engine_cpu_ms": millis(facts.engine_processor_time),
        "peak_memory_bytes": facts.peak_memory_bytes,
        "warnings": facts.warnings.lines,
        "warnings_total": facts.warnings.total,
        "losses": facts.warnings.losses,
        "counts": facts.counts,
        "facts": facts.engine_facts,
        "cadmill": cadmill_core::BUILD,
    });
    match object {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
