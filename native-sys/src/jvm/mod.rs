//! Java converters: a JVM in this process, which runs the bridge (`java/bridge`).
//!
//! libjvm is loaded at run time from the Java installation given in the setting. One thread creates
//! the JVM and makes every call into it; requests and responses are passed as bytes ([`vm`]). The
//! bridge turns an exception of a converter into a response; neither exceptions nor stack traces
//! reach this side.
//!
//! Rejected are: a Java older than 17, a class path with missing entries, and a class path without
//! exactly one converter. The sandbox is not set up here: the engine host has done that before.

mod options;
mod setting;
mod vm;

pub use setting::JvmSetting;

use crate::companions::Companions;
use crate::engine::{
    Converted, Description, Engine, EngineError, Events, Inspection, Level, Output, Request,
};
use crate::library::{Broken, LoadError};
use crate::model;
use cadmill_core::domain::contents::Contents;
use setting::broken;
use std::sync::Arc;
use vm::{Call, Current, Vm};

/// A converter in a JVM.
struct Jvm {
    vm: Vm,
    description: Description,
}

/// Starts a JVM and locates the converter.
pub(crate) fn load(setting: &JvmSetting, before: &mut dyn FnMut()) -> Result<Box<dyn Engine>, LoadError> {
    if let Some(missing) = setting.class_path.iter().find(|path| !path.exists()) {
        let text = format!("cannot load {}: No such file or directory", missing.display());
        return Err(broken(Broken::Missing, text));
    }
    let vm = Vm::start(setting)?;
    let wanted = setting.converter.as_deref().unwrap_or_default();
    let call = |call| vm.call(call, wanted.as_bytes().to_vec()).map_err(|e| broken(Broken::Missing, e));
    // This loads the converter class, but does not initialise it.
    let answer = call(Call::Find)?;
    let found = Answer::parse(&answer);
    if found.kind != "found" {
        let text = format!("the converter cannot be used: {}", found.text());
        return Err(unusable(&found).unwrap_or_else(|| broken(Broken::Missing, text)));
    }
    before();
    let answer = call(Call::Open)?;
    let description = described(&Answer::parse(&answer), setting)?;
    Ok(Box::new(Jvm { vm, description }))
}

impl Engine for Jvm {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn convert(&self, request: &Request<'_>, events: &Arc<dyn Events>) -> Result<Converted, EngineError> {
        model::whole(request.input)?;
        // Other libraries may read more, or less.
        let left_out = match self.description.library.as_str() {
            "Assimp" => model::left_out(request.input, &self.description.version, request.format_id)?,
            _ => Vec::new(),
        };
        left_out.iter().for_each(|line| events.log(Level::of_words(line), line));
        let companions = Arc::new(Companions::of(request.input, request.input_dir, Arc::clone(events)));
        vm::serves(Current {
            events: Arc::clone(events),
            companions: Arc::clone(&companions),
            output_dir: request.output_dir.to_owned(),
        });
        let answer = self.vm.call(Call::Convert, encode(request)?).map_err(EngineError::Rejected)?;
        let answered = converted(&Answer::parse(&answer), events)?;
        Ok(Converted { warnings: answered.warnings + companions.lines() + left_out.len() as u64, ..answered })
    }

    /// The interface of converters in Java has no such call.
    fn inspect(&self, _: &Inspection<'_>, _: &Arc<dyn Events>) -> Result<Contents, EngineError> {
        Err(EngineError::Unfit("a converter in Java does not tell what a file contains".to_owned()))
    }
}

/// The fields of a conversion, in the encoding of the bridge.
fn encode(request: &Request<'_>) -> Result<Vec<u8>, EngineError> {
    let mut fields: Vec<&[u8]> = Vec::new();
    for path in [request.input, request.input_dir, request.output, request.output_dir] {
        let name = path.to_str().ok_or_else(|| {
            EngineError::Rejected("the file's name is not UTF-8, which Java needs".to_owned())
        })?;
        fields.push(name.as_bytes());
    }
    fields.push(request.format_id.as_bytes());
    for (name, value) in request.options {
        fields.extend([name.as_bytes(), value.as_bytes()]);
    }
    if fields.iter().any(|field| field.contains(&0)) {
        return Err(EngineError::Option("a name or an option contains a NUL character".to_owned()));
    }
    Ok(fields.join(&0))
}

/// A response of the bridge: its kind and fields.
struct Answer<'a> {
    kind: &'a str,
    fields: Vec<&'a str>,
}

impl<'a> Answer<'a> {
    /// The bridge writes UTF-8; a response forged by a vendor class gets an unknown kind.
    fn parse(bytes: &'a [u8]) -> Self {
        let mut fields = std::str::from_utf8(bytes).unwrap_or_default().split('\0');
        Self { kind: fields.next().unwrap_or_default(), fields: fields.collect() }
    }

    fn text(&self) -> String {
        let text = self.fields.first().copied().unwrap_or_default();
        if text.is_empty() { "the converter gave no reason".to_owned() } else { text.to_owned() }
    }
}

fn described(answer: &Answer<'_>, setting: &JvmSetting) -> Result<Description, LoadError> {
    if let Some(error) = unusable(answer) {
        return Err(error);
    }
    let ("described", [library, version, inputs, outputs @ ..]) = (answer.kind, answer.fields.as_slice())
    else {
        return Err(broken(Broken::Missing, format!("the converter cannot be used: {}", answer.text())));
    };
    let outputs =
        outputs.chunks_exact(2).map(|pair| Output { id: pair[0].to_owned(), extension: pair[1].to_owned() });
    Ok(Description {
        library: (*library).to_owned(),
        version: (*version).to_owned(),
        // The first entry is the bridge; the next one belongs to the converter.
        path: setting.class_path.get(1).cloned().unwrap_or_default(),
        inputs: inputs.split(',').filter(|input| !input.is_empty()).map(str::to_owned).collect(),
        outputs: outputs.collect(),
        options: Vec::new(),
    })
}

fn converted(answer: &Answer<'_>, events: &Arc<dyn Events>) -> Result<Converted, EngineError> {
    // Cancellation takes precedence over the response: stopping may also cause an exception, and
    // what was written is incomplete.
    if events.cancelled() {
        return Err(EngineError::Cancelled);
    }
    match answer.kind {
        "converted" => {
            let warnings = answer.fields.first().and_then(|n| n.parse().ok()).unwrap_or_default();
            Ok(Converted { warnings, counts: None, facts: Vec::new() })
        }
        "cancelled" => Err(EngineError::Rejected("the converter stopped without a request".to_owned())),
        "memory" => Err(EngineError::OutOfMemory(answer.text())),
        "option" => Err(EngineError::Option(answer.text())),
        "unfit" => Err(EngineError::Unfit(answer.text())),
        _ => match unusable(answer) {
            Some(error) => Err(EngineError::Unusable(error)),
            None => Err(model::refused(&answer.text())),
        },
    }
}

/// The responses that concern the class path rather than the input.
fn unusable(answer: &Answer<'_>) -> Option<LoadError> {
    let how = match answer.kind {
        "missing" => Broken::Missing,
        "symbol" => Broken::Symbol,
        "version" => Broken::Version,
        "memory" => Broken::Memory,
        _ => return None,
    };
    Some(broken(how, answer.text()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Level, Stage};
    use std::path::Path;

    struct Silent;
    impl Events for Silent {
        fn progress(&self, _: Stage, _: f64) {}
        fn log(&self, _: Level, _: &str) {}
        fn cancelled(&self) -> bool {
            false
        }
    }

    fn end(bytes: &[u8]) -> Result<Converted, EngineError> {
        let events: Arc<dyn Events> = Arc::new(Silent);
        converted(&Answer::parse(bytes), &events)
    }

    #[test]
    fn answers_have_their_kinds() {
        assert_eq!(
            end(b"converted\x003").unwrap(),
            Converted { warnings: 3, counts: None, facts: Vec::new() }
        );
        assert!(matches!(end(b"rejected\0x.Y: z"), Err(EngineError::Rejected(text)) if text == "x.Y: z"));
        assert!(matches!(end(b"memory\0heap"), Err(EngineError::OutOfMemory(_))));
        assert!(matches!(end(b"option\0no"), Err(EngineError::Option(_))));
        assert!(matches!(end(b"unfit\0lines"), Err(EngineError::Unfit(_))));
        assert!(matches!(end(b"missing\0libx"), Err(EngineError::Unusable(LoadError::Broken { .. }))));
        // No cancellation was requested, and a forged response is not a success.
        for forged in [&b"cancelled\0"[..], b"", b"\xff\xfe", b"CONVERTED", b"described\0x"] {
            assert!(matches!(end(forged), Err(EngineError::Rejected(_))), "{forged:?}");
        }
    }

    #[test]
    fn a_request_is_fields_without_nul() {
        let options = [("a".to_owned(), "b\0c".to_owned())];
        let path = Path::new("/x");
        let request = |options| Request {
            input: path,
            input_dir: path,
            output: path,
            output_dir: path,
            format_id: "f",
            layer: None,
            options,
            strict: false,
        };
        assert_eq!(encode(&request(&[])).unwrap(), b"/x\0/x\0/x\0/x\0f");
        assert!(matches!(encode(&request(&options)), Err(EngineError::Option(_))));
    }
}
