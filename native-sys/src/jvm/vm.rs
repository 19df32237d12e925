//! The JVM. One thread creates it and makes every call into it.
//!
//! This must not be the main thread of the process: there the JVM would read the bounds of its
//! stack from `/proc/self/maps`, which the sandbox blocks.

use super::options;
use super::setting::{JvmSetting, broken};
use crate::companions::Companions;
use crate::engine::{Events, Level, Stage};
use crate::library::{self, Broken, LoadError, Wanted};
use jni::objects::{JByteArray, JClass, JObject, JValue};
use jni::strings::JNIStr;
use jni::sys::{JNI_OK, JNI_VERSION_10, JavaVMInitArgs, JavaVMOption, jboolean, jbyteArray, jdouble, jint};
use jni::{Env, EnvUnowned, JavaVM, NativeMethod, jni_sig, jni_str};
use std::ffi::{CString, OsStr, c_void};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

const BRIDGE: &JNIStr = jni_str!("io/cadmill/bridge/Bridge");

const WANTED: Wanted = Wanted {
    library: "Java",
    names: &["libjvm.so"],
    functions: &["JNI_CreateJavaVM"],
    supported: "17 and later",
    is_old: |_| None,
};

/// The stack size of the main thread of a process.
const STACK_BYTES: usize = 8 << 20;

/// A method of the bridge.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    /// Locates the converter class without running any of its code.
    Find,
    /// Instantiates the converter and queries its description.
    Open,
    /// Converts a file.
    Convert,
}

type Answered = Result<Vec<u8>, String>;

/// A JVM that lives as long as the process.
pub(super) struct Vm {
    calls: Sender<(Call, Vec<u8>)>,
    answers: Receiver<Answered>,
}

impl Vm {
    pub(super) fn start(setting: &JvmSetting) -> Result<Self, LoadError> {
        // The JVM takes the encoding of file names from the locale. Only `LC_CTYPE` is set: numbers
        // stay as in the C locale, and for messages glibc would open a directory that the sandbox
        // blocks.
        // SAFETY: the process is still single-threaded, so no thread reads the environment.
        unsafe {
            std::env::remove_var("LC_ALL");
            std::env::set_var("LC_CTYPE", "C.UTF-8");
        }
        let (calls, to_do) = channel();
        let (done, answers) = channel();
        let (ready, is_ready) = channel();
        let libjvm = setting.libjvm.clone();
        let options = options::list(setting);
        std::thread::Builder::new()
            .name("jvm".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || serve(&libjvm, &options, &ready, &to_do, &done))
            .map_err(|e| broken(Broken::Memory, format!("no thread for the JVM: {e}")))?;
        is_ready.recv().unwrap_or_else(|_| Err(broken(Broken::Missing, "the JVM ended".to_owned())))?;
        Ok(Self { calls, answers })
    }

    /// Calls the bridge and waits for the response.
    pub(super) fn call(&self, call: Call, request: Vec<u8>) -> Answered {
        let gone = || "the thread of the JVM ended".to_owned();
        self.calls.send((call, request)).map_err(|_| gone())?;
        self.answers.recv().map_err(|_| gone())?
    }
}

/// The main loop of the thread. It never detaches: the process ends with `_exit`.
fn serve(
    libjvm: &Path,
    options: &[CString],
    ready: &Sender<Result<(), LoadError>>,
    calls: &Receiver<(Call, Vec<u8>)>,
    answers: &Sender<Answered>,
) {
    let vm = match create(libjvm, options) {
        Ok(vm) => vm,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let served: Result<(), jni::errors::Error> = vm.attach_current_thread(|env| {
        let class = match prepare(env) {
            Ok(class) => class,
            Err(error) => {
                let found = "an older Java, or has another bridge";
                let text = format!("{} is {found}: {error}; 17 or later is needed", libjvm.display());
                let _ = ready.send(Err(broken(Broken::Version, text)));
                return Ok(());
            }
        };
        let _ = ready.send(Ok(()));
        for (call, request) in calls {
            // The bridge catches everything, so an exception here is an error of JNI itself.
            let answer = invoke(env, &class, call, &request).map_err(|e| format!("the bridge failed: {e}"));
            if answers.send(answer).is_err() {
                break;
            }
        }
        Ok(())
    });
    drop(served);
}

type CreateJavaVm =
    unsafe extern "system" fn(*mut *mut jni::sys::JavaVM, *mut *mut c_void, *mut c_void) -> jint;

fn create(libjvm: &Path, options: &[CString]) -> Result<JavaVM, LoadError> {
    let (library, path) = library::open(&WANTED, Some(libjvm))?;
    // SAFETY: the symbol was just found; its type has been defined by the JNI specification, "The
    // Invocation API", since version 1.2.
    let create = unsafe { library.get::<CreateJavaVm>("JNI_CreateJavaVM") }.map_err(|error| {
        broken(Broken::Symbol, format!("{} lacks JNI_CreateJavaVM: {error}", path.display()))
    })?;
    let mut list: Vec<JavaVMOption> = options
        .iter()
        .map(|option| JavaVMOption {
            optionString: option.as_ptr().cast_mut(),
            extraInfo: std::ptr::null_mut(),
        })
        .collect();
    list.push(JavaVMOption {
        optionString: c"abort".as_ptr().cast_mut(),
        extraInfo: on_abort as *mut c_void,
    });
    let mut arguments = JavaVMInitArgs {
        version: JNI_VERSION_10,
        nOptions: list.len() as jint,
        options: list.as_mut_ptr(),
        ignoreUnrecognized: false,
    };
    let (mut vm, mut env) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the arguments, their options and the option strings live through the call, which
    // copies them; the two pointers are valid for writes.
    let answer = unsafe { create(&mut vm, &mut env, (&raw mut arguments).cast()) };
    // The library stays loaded: a JVM cannot be unloaded.
    std::mem::forget(library);
    if answer != JNI_OK || vm.is_null() {
        return Err(refused(&path, answer));
    }
    // SAFETY: `vm` is the JVM that was just created.
    Ok(unsafe { JavaVM::from_raw(vm) })
}

/// Why the JVM could not be created, by the error codes of the JNI specification.
fn refused(path: &Path, answer: jint) -> LoadError {
    let text = format!("the JVM of {} could not be created: error {answer}", path.display());
    match answer {
        jni::sys::JNI_ENOMEM => broken(Broken::Memory, text),
        jni::sys::JNI_EVERSION => broken(Broken::Version, text),
        _ => broken(Broken::Missing, text),
    }
}

/// Called when the JVM aborts, mostly for lack of memory. Death by SIGABRT is diagnosed by the
/// parent; an exit code would carry no information.
extern "C" fn on_abort() {
    std::process::abort();
}

/// Looks up the bridge class and registers its native methods.
fn prepare<'local>(env: &mut Env<'local>) -> Result<JClass<'local>, jni::errors::Error> {
    let class = env.find_class(BRIDGE)?;
    // SAFETY: static methods of the bridge; each function has the type of its JNI signature, with
    // the class as its second parameter.
    unsafe {
        let methods = [
            NativeMethod::from_raw_parts(jni_str!("progress"), jni_str!("(D)V"), on_progress as *mut c_void),
            NativeMethod::from_raw_parts(jni_str!("warn"), jni_str!("([B)V"), on_warn as *mut c_void),
            NativeMethod::from_raw_parts(jni_str!("cancelled"), jni_str!("()Z"), on_cancelled as *mut c_void),
            NativeMethod::from_raw_parts(jni_str!("locate"), jni_str!("([B)[B"), on_locate as *mut c_void),
            NativeMethod::from_raw_parts(jni_str!("expect"), jni_str!("([B)[B"), on_expect as *mut c_void),
            NativeMethod::from_raw_parts(
                jni_str!("takeAlong"),
                jni_str!("([B)[B"),
                on_take_along as *mut c_void,
            ),
        ];
        env.register_native_methods(&class, &methods)?;
    }
    Ok(class)
}

fn invoke(
    env: &mut Env<'_>,
    class: &JClass<'_>,
    call: Call,
    request: &[u8],
) -> Result<Vec<u8>, jni::errors::Error> {
    let name = match call {
        Call::Find => jni_str!("find"),
        Call::Open => jni_str!("open"),
        Call::Convert => jni_str!("convert"),
    };
    env.with_local_frame(8, |env| {
        let request = env.byte_array_from_slice(request)?;
        let request = JObject::from(request);
        let signature = jni_sig!("([B)[B");
        let answer =
            env.call_static_method(class, name, signature, &[JValue::Object(&request)])?.into_object()?;
        let answer = env.cast_local::<JByteArray<'_>>(answer)?;
        env.convert_byte_array(answer)
    })
}

/// What the native methods of the bridge need of the conversion.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) events: Arc<dyn Events>,
    pub(super) companions: Arc<Companions>,
    pub(super) output_dir: PathBuf,
}

/// The conversion. There is one per process.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

pub(super) fn serves(conversion: Current) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(conversion);
}

fn current() -> Option<Current> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn events() -> Option<Arc<dyn Events>> {
    current().map(|current| current.events)
}

extern "system" fn on_progress(_env: EnvUnowned<'_>, _class: JClass<'_>, fraction: jdouble) {
    if let Some(events) = events() {
        events.reported(fraction);
        events.progress(Stage::Translate, fraction);
    }
}

extern "system" fn on_warn<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    line: JByteArray<'local>,
) {
    let outcome = env.with_env(|env| env.convert_byte_array(&line)).into_outcome();
    if let (jni::Outcome::Ok(line), Some(events)) = (outcome, events()) {
        let line = String::from_utf8_lossy(&line);
        events.log(Level::of_words(&line), &line);
    }
}

extern "system" fn on_cancelled(_env: EnvUnowned<'_>, _class: JClass<'_>) -> jboolean {
    events().is_some_and(|events| events.cancelled())
}

/// The path of the file that a name means, or null.
extern "system" fn on_locate<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    name: JByteArray<'local>,
) -> jbyteArray {
    about_name(env, &name, |current, name| {
        let found = current.companions.find(Path::new(OsStr::from_bytes(name)));
        found.map(|file| file.into_os_string().into_vec())
    })
}

/// The path of the file that a name means; null after a report.
extern "system" fn on_expect<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    name: JByteArray<'local>,
) -> jbyteArray {
    about_name(env, &name, |current, name| {
        current.companions.expect(name).map(|file| file.into_os_string().into_vec())
    })
}

/// Why a file could not be copied beside the result; null if it was, or after a report.
extern "system" fn on_take_along<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    name: JByteArray<'local>,
) -> jbyteArray {
    about_name(env, &name, |current, name| {
        let taken = current.companions.take_along(name, &current.output_dir);
        taken.err().map(|error| error.to_string().into_bytes())
    })
}

/// An answer about a name in the input. Null as well if JNI fails, which leaves an exception.
fn about_name<'local>(
    mut env: EnvUnowned<'local>,
    name: &JByteArray<'local>,
    ask: impl FnOnce(&Current, &[u8]) -> Option<Vec<u8>>,
) -> jbyteArray {
    let outcome = env.with_env(|env| -> Result<jbyteArray, jni::errors::Error> {
        let name = env.convert_byte_array(name)?;
        let Some(answer) = current().and_then(|current| ask(&current, &name)) else {
            return Ok(std::ptr::null_mut());
        };
        Ok(env.byte_array_from_slice(&answer)?.into_raw())
    });
    match outcome.into_outcome() {
        jni::Outcome::Ok(answer) => answer,
        _ => std::ptr::null_mut(),
    }
}
