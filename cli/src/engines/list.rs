//! `cadmill engines` without a command: each engine as its own library describes it, and the table of formats.

use crate::args::EnginesArgs;
use crate::{context, error, output};
use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::conversion::{self, Description};
use cadmill_converter::engine::registry::Engine;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::EngineFormats;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn run(args: &EnginesArgs) -> ExitCode {
    let setting = match context::build(args.engines.engines_file.as_deref()) {
        Ok(setting) => setting,
        Err(failure) => return error::report(&failure, None, args.json),
    };
    let cancel = match context::cancel_on_signals(&context::Second::Same) {
        Ok(cancel) => cancel,
        Err(failure) => return error::report(&failure, None, args.json),
    };
    let found = ask_all(&setting, &cancel);
    if cancel.load(Ordering::Relaxed) {
        let failure = Failure::new(FailureCode::Cancelled, "cancelled while asking the engines");
        return error::report(&failure, None, args.json);
    }
    let defaults = defaults(&setting.engines.formats());
    if args.json {
        output::result(&format!("{:#}", as_json(&found, &defaults)));
    } else {
        output::result(as_text(&found, &defaults).trim_end());
    }
    ExitCode::SUCCESS
}

type Found<'a> = (&'a Engine, Result<Description, Failure>);

/// Queries every engine concurrently, each in its own process.
fn ask_all<'a>(setting: &'a ConversionContext, cancel: &AtomicBool) -> Vec<Found<'a>> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = setting
            .engines
            .iter()
            .map(|engine| (engine, scope.spawn(move || conversion::describe(engine, setting, cancel))))
            .collect();
        asked.into_iter().filter_map(|(engine, answer)| Some((engine, answer.join().ok()?))).collect()
    })
}

/// The engine and format id selected by each extension: extension, engine, id, and also the engine
/// used when the first one does not read the input.
fn defaults(engines: &[EngineFormats]) -> Vec<(String, String, String)> {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for formats in engines {
        for output in &formats.outputs {
            let listed: Vec<&str> = rows
                .iter()
                .filter(|(extension, ..)| *extension == output.extension)
                .map(|(_, engine, _)| engine.as_str())
                .collect();
            if serves(formats, &listed, engines) {
                rows.push((output.extension.clone(), formats.engine.clone(), output.id.clone()));
            }
        }
    }
    // Stable sort: if two engines share an extension, the preferred one stays first.
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

/// Whether an engine is ever selected after the listed ones: it must read an input that none of
/// them reads.
fn serves(formats: &EngineFormats, listed: &[&str], engines: &[EngineFormats]) -> bool {
    let others: Vec<&EngineFormats> =
        engines.iter().filter(|other| listed.contains(&other.engine.as_str())).collect();
    formats.inputs.iter().any(|input| !others.iter().any(|other| other.reads(input)))
}

/// The extensions that the library reads: those that select the engine automatically, and ambiguous
/// ones that require `--engine`.
fn reads<'a>(engine: &Engine, description: &'a Description) -> (Vec<&'a str>, Vec<&'a str>) {
    let formats = engine.formats();
    description.inputs.iter().map(String::as_str).partition(|extension| formats.reads(extension))
}

fn as_json(found: &[Found<'_>], defaults: &[(String, String, String)]) -> Value {
    let engines: Vec<Value> = found
        .iter()
        .map(|(engine, answer)| match answer {
            Ok(description) => {
                let (always, when_named) = reads(engine, description);
                json!({
                    "name": engine.name,
                    "kind": engine.kind,
                    "available": true,
                    "library": description.identity.library,
                    "version": description.identity.version,
                    "path": description.identity.path,
                    "reads": always,
                    "reads_when_named": when_named,
                    "writes": description.outputs.iter()
                        .map(|(id, extension)| json!({"id": id, "extension": extension})).collect::<Vec<_>>(),
                    "options": description.options.iter().map(|option| json!({
                        "name": option.name,
                        "values": option.values(),
                        "preset": option.preset,
                        "help": option.help,
                    })).collect::<Vec<_>>(),
                })
            }
            Err(failure) => json!({
                "name": engine.name,
                "kind": engine.kind,
                "available": false,
                "error": error::error_object(failure),
            }),
        })
        .collect();
    let defaults: Vec<Value> = defaults
        .iter()
        .map(|(extension, engine, id)| json!({"extension": extension, "engine": engine, "format_id": id}))
        .collect();
    json!({"engines": engines, "defaults": defaults})
}

fn as_text(found: &[Found<'_>], defaults: &[(String, String, String)]) -> String {
    let mut text = String::new();
    for (engine, answer) in found {
        match answer {
            Ok(description) => {
                let identity = &description.identity;
                let path = identity.path.display();
                text += &format!("{}: {} {} ({path})\n", engine.name, identity.library, identity.version);
                let (always, when_named) = reads(engine, description);
                text += &wrapped("  reads   ", always.into_iter());
                if !when_named.is_empty() {
                    text += &wrapped("  and with --engine  ", when_named.into_iter());
                }
                let mut ids: Vec<&str> = description.outputs.iter().map(|(id, _)| id.as_str()).collect();
                ids.dedup();
                text += &wrapped("  writes  ", ids.iter().copied());
                for option in &description.options {
                    let preset =
                        option.preset.as_ref().map(|preset| format!("={preset}")).unwrap_or_default();
                    text +=
                        &format!("  --opt   {}{preset}: {} {}\n", option.name, option.help, option.values());
                }
            }
            Err(failure) => {
                text += &format!("{}: not available: {} [{}]\n", engine.name, failure.message, failure.code);
                text += &format!("  hint    {}\n", failure.code.hint());
            }
        }
        text.push('\n');
    }
    text += "--to        engine      format id\n";
    for (extension, engine, id) in defaults {
        text += &format!("{extension:<10}  {engine:<10}  {id}\n");
    }
    text
}

/// Comma-separated words, in lines of 100 characters, aligned under the first word.
fn wrapped<'a>(head: &str, words: impl Iterator<Item = &'a str>) -> String {
    let mut lines = vec![head.to_owned()];
    for word in words {
        let line = lines.last_mut().map_or(0, |l| l.len());
        if line + word.len() > 100 {
            lines.push(" ".repeat(head.len()));
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
            line.push_str(", ");
        }
    }
    let mut text: Vec<String> = lines.iter().map(|l| l.trim_end().to_owned()).collect();
    if let Some(last) = text.last_mut() {
        *last = last.trim_end_matches(',').to_owned();
    }
    text.join("\n") + "\n"
}
