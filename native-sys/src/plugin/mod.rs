//! Plugins: converters behind the interface of `include/cadmill_plugin.h`.
//!
//! A plugin is a shared library with one exported function. Everything that it says of itself is
//! checked here, and its results are mapped to those of every engine. Rejected are: a library
//! without the function, one that does not speak version 1, and one whose description cannot be
//! worked with.

mod description;
mod host;
mod memory;

use crate::bindings::plugin as ffi;
use crate::engine::{Converted, Description, Engine, EngineError, Events, Inspection, Nature, Request};
use crate::library::{self, Broken, LoadError, Wanted};
use cadmill_core::domain::contents::Contents;
use cadmill_core::domain::option_spec;
use description::{Described, Remarks};
use host::Context;
use std::ffi::CString;
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// The exported function.
const ENTRY: &str = "cadmill_plugin_entry_v1";

const SUPPORTED: &str = "plugins of version 1 of the interface";

/// How often cancellation is looked for, for a plugin with a function to stop; at first more often, so
/// that a short conversion can be stopped too.
const LOOK: Duration = Duration::from_millis(50);
const FIRST_LOOKS: Duration = Duration::from_millis(2);

pub(crate) const WANTED: Wanted =
    Wanted { library: "plugin", names: &[], functions: &[ENTRY], supported: SUPPORTED, is_old: |_| None };

type Entry = unsafe extern "C" fn(u32) -> *const ffi::cadmill_plugin;

/// A loaded plugin.
pub(crate) struct Plugin {
    functions: ffi::cadmill_plugin,
    described: Described,
    /// How long the first call of `describe()` took.
    describe_time: Duration,
    entry: Entry,
    path: PathBuf,
}

impl Plugin {
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, LoadError> {
        let (library, path) = library::open(&WANTED, path)?;
        let broken =
            |how, text: String| LoadError::Broken { how, text: format!("{}: {text}", path.display()) };
        // SAFETY: the interface gives the function this type. It exists, as `open` has checked.
        let entry = unsafe { library.get::<Entry>(ENTRY) }.map(|entry| *entry);
        let entry = entry.map_err(|e| broken(Broken::Symbol, e.to_string()))?;
        // What the plugin returns is valid until the process ends.
        std::mem::forget(library);
        // SAFETY: this thread is the main one from here on.
        let made = unsafe { entry(ffi::CADMILL_ABI) };
        if made.is_null() {
            let text = "it does not serve a host of version 1 of the interface".to_owned();
            return Err(broken(Broken::Version, text));
        }
        // SAFETY: not null, so a struct of the interface (rule R2).
        let functions = unsafe { memory::copied(made) }.map_err(|text| broken(Broken::Version, text))?;
        if functions.abi != ffi::CADMILL_ABI {
            let text = format!("it was made for version {} of the interface, this is 1", functions.abi);
            return Err(broken(Broken::Version, text));
        }
        let (Some(describe), Some(_)) = (functions.describe, functions.convert) else {
            return Err(broken(Broken::Symbol, "it lacks describe() or convert()".to_owned()));
        };
        let begun = Instant::now();
        // SAFETY: on the main thread.
        let description = unsafe { describe() };
        let describe_time = begun.elapsed();
        // SAFETY: what it returns is valid until the process ends (rule R6).
        let described = unsafe { description::read(description) };
        let wrong = |text| broken(Broken::Description, format!("its description is wrong: {text}"));
        let described = described.map_err(wrong)?;
        Ok(Self { functions, described, describe_time, entry, path })
    }

    /// Runs a function of the plugin that ends with a status. `stop` is the plugin's own function to
    /// stop, if it has one for this call: a thread looks for cancellation then.
    fn run(
        &self,
        context: &'static Context,
        stop: Option<unsafe extern "C" fn()>,
        call: impl FnOnce(&ffi::cadmill_host) -> i32,
    ) -> Result<(), EngineError> {
        let host = context.host();
        let has_ended = AtomicBool::new(false);
        let is_ready = Barrier::new(2);
        let status = std::thread::scope(|scope| {
            let stop = stop.map(|cancel| {
                // Before the plugin can ask: it is asked to stop by its own function first.
                context.stops_first();
                let (has_ended, is_ready) = (&has_ended, &is_ready);
                let stop = scope.spawn(move || {
                    is_ready.wait();
                    let begun = Instant::now();
                    while !has_ended.load(Ordering::Acquire) {
                        // It has called the host, or had the time to begin.
                        let runs = context.was_called() || begun.elapsed() >= LOOK;
                        if runs && context.begins_to_stop() {
                            // SAFETY: allowed on any thread while a conversion runs.
                            unsafe { cancel() };
                            return;
                        }
                        let is_first = begun.elapsed() < LOOK;
                        std::thread::park_timeout(if is_first { FIRST_LOOKS } else { LOOK });
                    }
                });
                is_ready.wait();
                stop
            });
            let status = call(host);
            context.ends(status);
            has_ended.store(true, Ordering::Release);
            if let Some(stop) = stop {
                stop.thread().unpark();
                // The scope waits for its work alone, and not until the thread has ended.
                let _ = stop.join();
            }
            status
        });
        // What was written before it stopped is incomplete, whatever the plugin says.
        if context.is_to_stop() {
            return Err(EngineError::Cancelled);
        }
        let reason = || context.reason().unwrap_or_else(|| "it gave no reason".to_owned());
        match u32::try_from(status).unwrap_or(ffi::CADMILL_FAILED) {
            // A reason and success contradict each other, and the result may lack something.
            ffi::CADMILL_OK => match context.reason() {
                Some(reason) => {
                    Err(EngineError::Defect(format!("it called fail() and returned CADMILL_OK: {reason}")))
                }
                None => Ok(()),
            },
            ffi::CADMILL_REJECTED => Err(EngineError::Rejected(reason())),
            ffi::CADMILL_BAD_OPTION => Err(EngineError::Option(reason())),
            ffi::CADMILL_NO_MEMORY => Err(EngineError::OutOfMemory(reason())),
            ffi::CADMILL_UNFIT => Err(EngineError::Unfit(reason())),
            ffi::CADMILL_TEXT_LOST => Err(EngineError::TextLost(reason())),
            ffi::CADMILL_UNUSABLE => {
                let text = format!("{}: {}", self.path.display(), reason());
                Err(EngineError::Unusable(LoadError::Broken { how: Broken::Missing, text }))
            }
            ffi::CADMILL_CANCELLED => Err(EngineError::Defect("it stopped without a request".to_owned())),
            _ => Err(EngineError::Defect(reason())),
        }
    }
}

impl Engine for Plugin {
    fn describe(&self) -> Description {
        let Described { name, version, inputs, outputs, options, .. } = self.described.clone();
        Description { library: name, version, path: self.path.clone(), inputs, outputs, options }
    }

    fn prepare(&self, events: &Arc<dyn Events>) -> Result<(), EngineError> {
        let Some(prepare) = self.functions.prepare else { return Ok(()) };
        // SAFETY: on the main thread, with a host that stays valid.
        self.run(Context::new(events), None, |host| unsafe { prepare(host) })
    }

    fn convert(&self, request: &Request<'_>, events: &Arc<dyn Events>) -> Result<Converted, EngineError> {
        if !self.described.outputs.iter().any(|output| output.id == request.format_id) {
            let text = format!("{} does not write '{}'", self.described.name, request.format_id);
            return Err(EngineError::Option(text));
        }
        option_spec::check_all(&self.described.options, request.options).map_err(EngineError::Option)?;
        let texts = Texts::of(request)?;
        let (names, values) = texts.options();
        let made = texts.request(&names, &values, request.strict);
        let convert =
            self.functions.convert.ok_or_else(|| EngineError::Defect("it lacks convert()".to_owned()))?;
        let context = Context::new(events);
        // SAFETY: on the main thread; the request and all that it leads to is valid during the call, and
        // the host for longer.
        self.run(context, self.functions.cancel, |host| unsafe { convert(&raw const made, host) })?;
        Ok(Converted { warnings: context.warnings(), counts: None, facts: context.facts() })
    }

    fn late_calls(&self) -> u64 {
        host::late_calls()
    }

    fn nature(&self) -> Option<Nature> {
        // SAFETY: on the main thread; the entry function may be called several times.
        let again = unsafe { (self.entry)(ffi::CADMILL_ABI) };
        // SAFETY: null, or a struct of the interface.
        let functions = unsafe { memory::copied(again) }.ok();
        let mut describe_time = self.describe_time;
        let described = functions.and_then(|functions| functions.describe).and_then(|describe| {
            let begun = Instant::now();
            // SAFETY: on the main thread.
            let description = unsafe { describe() };
            describe_time = describe_time.max(begun.elapsed());
            // SAFETY: valid until the process ends.
            unsafe { description::read(description) }.ok()
        });
        let Described { flags, licence, data, several_files, remarks, .. } = self.described.clone();
        let Remarks { mut wrong, unknown, mut larger } = remarks;
        // SAFETY: `copied` has accepted it above, or it is not read.
        larger.extend(functions.and_then(|_| unsafe { memory::is_larger(again) }));
        if self.functions.reserved != 0 {
            wrong.push(format!("`reserved` of cadmill_plugin is {}", self.functions.reserved));
        }
        Some(Nature {
            flags,
            several_files,
            data,
            licence,
            wrong,
            unknown,
            larger,
            describe_time,
            has_cancel: self.functions.cancel.is_some(),
            same: described.as_ref() == Some(&self.described),
        })
    }

    /// Version 1 of the interface has no such call.
    fn inspect(&self, _: &Inspection<'_>, _: &Arc<dyn Events>) -> Result<Contents, EngineError> {
        Err(EngineError::Unfit("a plugin does not tell what a file contains".to_owned()))
    }
}

/// The texts that a request points to.
struct Texts {
    input: CString,
    input_dir: CString,
    output: CString,
    output_dir: CString,
    scratch_dir: CString,
    output_format: CString,
    options: Vec<(CString, CString)>,
}

impl Texts {
    fn of(request: &Request<'_>) -> Result<Self, EngineError> {
        let text = |bytes: &[u8]| {
            CString::new(bytes).map_err(|_| EngineError::Option("a name or an option has a NUL".to_owned()))
        };
        let path = |path: &Path| text(path.as_os_str().as_bytes());
        // The host's current directory is the job's scratch directory.
        let scratch = std::env::current_dir()
            .map_err(|e| EngineError::Defect(format!("the scratch directory cannot be found: {e}")))?;
        let options =
            request.options.iter().map(|(name, value)| Ok((text(name.as_bytes())?, text(value.as_bytes())?)));
        Ok(Self {
            input: path(request.input)?,
            input_dir: path(request.input_dir)?,
            output: path(request.output)?,
            output_dir: path(request.output_dir)?,
            scratch_dir: path(&scratch)?,
            output_format: text(request.format_id.as_bytes())?,
            options: options.collect::<Result<_, EngineError>>()?,
        })
    }

    /// Names and values of the options.
    fn options(&self) -> (Vec<*const std::ffi::c_char>, Vec<*const std::ffi::c_char>) {
        self.options.iter().map(|(name, value)| (name.as_ptr(), value.as_ptr())).unzip()
    }

    fn request(
        &self,
        names: &[*const std::ffi::c_char],
        values: &[*const std::ffi::c_char],
        strict: bool,
    ) -> ffi::cadmill_request {
        ffi::cadmill_request {
            size: size_of::<ffi::cadmill_request>() as u64,
            input: self.input.as_ptr(),
            input_dir: self.input_dir.as_ptr(),
            output: self.output.as_ptr(),
            output_dir: self.output_dir.as_ptr(),
            scratch_dir: self.scratch_dir.as_ptr(),
            input_format: std::ptr::null(),
            output_format: self.output_format.as_ptr(),
            option_names: names.as_ptr(),
            option_values: values.as_ptr(),
            option_count: names.len() as u64,
            flags: if strict { u64::from(ffi::CADMILL_REQUEST_STRICT) } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ffi;
    use cadmill_plugin::private as rust;

    /// The structs of the crate for plugins in Rust are those of the header.
    macro_rules! same {
        ($c:ty, $rust:ty, [$($member:ident),*]) => {
            assert_eq!(size_of::<$c>(), size_of::<$rust>(), stringify!($c));
            $(assert_eq!(
                std::mem::offset_of!($c, $member),
                std::mem::offset_of!($rust, $member),
                stringify!($c, $member)
            );)*
        };
    }

    #[test]
    fn the_crate_for_plugins_has_the_structs_of_the_header() {
        same!(
            ffi::cadmill_host,
            rust::AbiHost,
            [size, abi, max_threads, max_memory, context, progress, log, cancelled, fail, fact, extension]
        );
        same!(ffi::cadmill_format, rust::AbiFormat, [size, id, extensions, title, flags, reserved]);
        same!(
            ffi::cadmill_option,
            rust::AbiOption,
            [size, name, help, choices, preset, kind, reserved, least, most]
        );
        same!(
            ffi::cadmill_description,
            rust::AbiDescription,
            [size, name, version, vendor, licence, inputs, outputs, options, data, flags]
        );
        same!(
            ffi::cadmill_request,
            rust::AbiRequest,
            [
                size,
                input,
                input_dir,
                output,
                output_dir,
                scratch_dir,
                input_format,
                output_format,
                option_names,
                option_values,
                option_count,
                flags
            ]
        );
        same!(
            ffi::cadmill_plugin,
            rust::Exported,
            [size, abi, reserved, describe, prepare, convert, cancel, extension]
        );
    }
}
