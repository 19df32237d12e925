//! Logging to standard error, so that standard output carries results only. A log line is one
//! readable sentence with fields.
//!
//! Field names are the same everywhere: `job.id`, `attempt`, `state`, `stage`, `code`, `error`;
//! units are part of the names (`bytes`, `…_ms`). Never logged: file names, object keys, URLs,
//! tokens, engine output, messages to owners. The AWS SDK and the HTTP libraries would log some
//! of these at their finer levels, so the configured level applies to cadmill only; the libraries
//! log errors at most.

use crate::config::Log;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

/// Starts logging. A panic is logged with its location in the code but without its message, which
/// may contain anything.
///
/// # Errors
/// If logging was already started, or the level does not exist.
pub fn start(log: &Log) -> Result<(), String> {
    let ours: Result<Vec<Directive>, _> =
        ["cadmill_core", "cadmill_stores", "cadmill_archive", "cadmill_converter", "cadmill_api", "cadmill"]
            .iter()
            .map(|name| format!("{name}={}", log.level).parse())
            .collect();
    // `s3s` quotes requests that it does not understand.
    let mut filter = EnvFilter::new("error,s3s=off");
    for directive in ours.map_err(|_| format!("there is no log level '{}'", log.level))? {
        filter = filter.add_directive(directive);
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let started = if log.json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    started.map_err(|_| "logging was started before".to_owned())?;
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        tracing::error!(place, "a panic");
    }));
    Ok(())
}
