//! What a plugin says of itself, read and checked.
//!
//! Refused is a description that users could not work with: names that cannot be typed, formats or
//! options that occur twice, defaults that the option itself would not take. What is against the
//! interface and does no harm is a remark, for `cadmill engines check`.

use super::memory::{Made, copied, elements, is_larger, text};
use crate::bindings::plugin as ffi;
use crate::engine::Output;
use cadmill_core::domain::option_spec::{OptionKind, OptionSpec};
use std::ffi::c_char;

/// Longest name of an option, in bytes.
const MAX_NAME: usize = 64;

/// Longest id of a format and longest extension, in bytes.
const MAX_ID: usize = 32;

/// Flags that this version knows.
const FORMAT_FLAGS: u32 = ffi::CADMILL_FORMAT_SEVERAL_FILES | ffi::CADMILL_FORMAT_TEXT;
const FLAGS: u64 = (ffi::CADMILL_DETERMINISTIC
    | ffi::CADMILL_THREADS
    | ffi::CADMILL_ASKS_CANCELLED
    | ffi::CADMILL_ONE_CONVERSION) as u64;

/// What is noticed while a description is read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Remarks {
    /// What the interface forbids.
    pub(super) wrong: Vec<String>,
    /// What may be of a later version: flags, and structs that are larger than this host knows.
    pub(super) unknown: Vec<String>,
    pub(super) larger: Vec<String>,
}

impl Remarks {
    /// Copies a struct.
    ///
    /// # Safety
    /// As for [`copied`].
    unsafe fn copied<T: Made>(&mut self, pointer: *const T) -> Result<T, String> {
        // SAFETY: as the caller guarantees.
        let made = unsafe { copied(pointer) }?;
        // SAFETY: `copied` has accepted it.
        self.larger.extend(unsafe { is_larger(pointer) });
        Ok(made)
    }

    fn wrong_if(&mut self, condition: bool, text: impl FnOnce() -> String) {
        if condition {
            self.wrong.push(text());
        }
    }

    fn unknown_flags(&mut self, flags: u64, known: u64, of: &str) {
        if flags & !known != 0 {
            self.unknown.push(format!("flags {:#x} of {of}", flags & !known));
        }
    }

    /// A text that may be absent, and is on one line.
    ///
    /// # Safety
    /// As for [`text`].
    unsafe fn line(&mut self, pointer: *const c_char, what: &str) -> Result<Option<String>, String> {
        // SAFETY: as the caller guarantees.
        let line = unsafe { text(pointer, what) }?;
        self.wrong_if(line.as_ref().is_some_and(|line| line.chars().any(char::is_control)), || {
            format!("{what} has control characters")
        });
        Ok(line)
    }
}

/// A checked description.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) version: String,
    /// Extensions, each once.
    pub(super) inputs: Vec<String>,
    /// Each extension of each format.
    pub(super) outputs: Vec<Output>,
    pub(super) options: Vec<OptionSpec>,
    pub(super) flags: u64,
    pub(super) licence: Option<String>,
    /// Directories that the plugin says it reads.
    pub(super) data: Vec<String>,
    /// Ids of the outputs that have several files.
    pub(super) several_files: Vec<String>,
    pub(super) remarks: Remarks,
}

/// Reads a description.
///
/// # Errors
/// A sentence that names the member that is wrong.
///
/// # Safety
/// `pointer` is null, or leads to a description that is valid as rule R6 of the interface says.
pub(super) unsafe fn read(pointer: *const ffi::cadmill_description) -> Result<Described, String> {
    let mut remarks = Remarks::default();
    // SAFETY: that is what the caller guarantees, here and below: the description and all that it
    // leads to is valid until the process ends.
    let made = unsafe { remarks.copied(pointer) }?;
    let mut inputs = Vec::new();
    // SAFETY: as above.
    for element in unsafe { elements(made.inputs, "inputs") }? {
        // SAFETY: as above.
        let (_, extensions, _) = unsafe { format(element, &mut remarks) }?;
        for extension in extensions {
            if inputs.contains(&extension) {
                return Err(format!("two inputs have the extension '{extension}'"));
            }
            inputs.push(extension);
        }
    }
    let mut outputs: Vec<Output> = Vec::new();
    let mut several_files = Vec::new();
    // SAFETY: as above.
    for element in unsafe { elements(made.outputs, "outputs") }? {
        // SAFETY: as above.
        let (id, extensions, flags) = unsafe { format(element, &mut remarks) }?;
        if outputs.iter().any(|output| output.id == id) {
            return Err(format!("two outputs have the id '{id}'"));
        }
        if flags & ffi::CADMILL_FORMAT_SEVERAL_FILES != 0 {
            several_files.push(id.clone());
        }
        outputs.extend(extensions.into_iter().map(|extension| Output { id: id.clone(), extension }));
    }
    if inputs.is_empty() || outputs.is_empty() {
        return Err("it has no inputs or no outputs".to_owned());
    }
    let mut options: Vec<OptionSpec> = Vec::new();
    // SAFETY: as above.
    for element in unsafe { elements(made.options, "options") }? {
        // SAFETY: as above.
        let option = unsafe { option(element, &mut remarks) }?;
        if options.iter().any(|other| other.name == option.name) {
            return Err(format!("two options have the name '{}'", option.name));
        }
        options.push(option);
    }
    // SAFETY: as above.
    let (name, version) = unsafe { (line(made.name, "its name")?, line(made.version, "its version")?) };
    // SAFETY: as above.
    let licence = unsafe { remarks.line(made.licence, "its licence") }?;
    // SAFETY: as above.
    unsafe { remarks.line(made.vendor, "its vendor") }?;
    // SAFETY: as above; the elements of this array are texts.
    let data = unsafe { elements(made.data, "data") }?;
    // SAFETY: as above.
    let data = data.into_iter().map(|path| unsafe { remarks.line(path, "a directory of its data") });
    let data: Vec<String> = data.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    for path in &data {
        remarks.wrong_if(!path.starts_with('/'), || {
            format!("a directory of its data is not an absolute path: '{path}'")
        });
    }
    remarks.unknown_flags(made.flags, FLAGS, "the description");
    remarks.larger.sort();
    remarks.larger.dedup();
    let flags = made.flags;
    Ok(Described { name, version, inputs, outputs, options, flags, licence, data, several_files, remarks })
}

/// The id, the extensions and the flags of a format.
///
/// # Safety
/// As for [`read`].
unsafe fn format(
    pointer: *const ffi::cadmill_format,
    remarks: &mut Remarks,
) -> Result<(String, Vec<String>, u32), String> {
    // SAFETY: as the caller guarantees.
    let made = unsafe { remarks.copied(pointer) }?;
    // SAFETY: as the caller guarantees.
    let (id, extensions) = unsafe {
        (line(made.id, "the id of a format")?, line(made.extensions, "the extensions of a format")?)
    };
    if !is_name(&id, MAX_ID) {
        return Err(format!(
            "the id of a format is '{id}': 1 to {MAX_ID} of a-z 0-9 _ . - are allowed, the first of a-z 0-9"
        ));
    }
    // SAFETY: as the caller guarantees.
    unsafe { remarks.line(made.title, &format!("the title of format '{id}'")) }?;
    remarks.unknown_flags(made.flags.into(), FORMAT_FLAGS.into(), &format!("format '{id}'"));
    remarks.wrong_if(made.reserved != 0, || format!("`reserved` of format '{id}' is {}", made.reserved));
    let extensions: Vec<String> =
        extensions.split(' ').filter(|e| !e.is_empty()).map(str::to_owned).collect();
    match extensions.iter().find(|extension| !is_name(extension, MAX_ID)) {
        Some(extension) => Err(format!("format '{id}' has the extension '{extension}'")),
        None if extensions.is_empty() => Err(format!("format '{id}' has no extension")),
        None => Ok((id, extensions, made.flags)),
    }
}

/// # Safety
/// As for [`read`].
unsafe fn option(pointer: *const ffi::cadmill_option, remarks: &mut Remarks) -> Result<OptionSpec, String> {
    // SAFETY: as the caller guarantees.
    let made = unsafe { remarks.copied(pointer) }?;
    // SAFETY: as the caller guarantees.
    let (name, help) = unsafe { (line(made.name, "the name of an option")?, line(made.help, "a help")?) };
    if !is_name(&name, MAX_NAME) {
        return Err(format!(
            "the name of an option is '{name}': 1 to {MAX_NAME} of a-z 0-9 _ . - are allowed, the first of a-z 0-9"
        ));
    }
    // SAFETY: as the caller guarantees.
    let (choices, preset) = unsafe { (text(made.choices, "choices")?, text(made.preset, "a default")?) };
    let (least, most) = (made.least, made.most);
    // Also refuses what is not a number.
    if !(least <= most && least.is_finite() && most.is_finite()) {
        return Err(format!("option '{name}' has values from {least} to {most}"));
    }
    let is_choice = made.kind == ffi::CADMILL_OPTION_CHOICE;
    let is_number = matches!(made.kind, ffi::CADMILL_OPTION_INTEGER | ffi::CADMILL_OPTION_NUMBER);
    remarks.wrong_if(made.reserved != 0, || format!("`reserved` of option '{name}' is {}", made.reserved));
    remarks.wrong_if(choices.is_some() && !is_choice, || {
        format!("option '{name}' has choices and is of another kind")
    });
    remarks.wrong_if(!is_number && (least, most) != (0.0, 0.0), || {
        format!("option '{name}' has a least and a most value and is not a number")
    });
    let words: Vec<&str> =
        choices.iter().flat_map(|words| words.split(' ')).filter(|w| !w.is_empty()).collect();
    remarks.wrong_if((1..words.len()).any(|at| words[..at].contains(&words[at])), || {
        format!("option '{name}' has a choice twice")
    });
    let kind = match made.kind {
        ffi::CADMILL_OPTION_YES_NO => OptionKind::YesNo,
        ffi::CADMILL_OPTION_INTEGER => OptionKind::Integer { least, most },
        ffi::CADMILL_OPTION_NUMBER => OptionKind::Number { least, most },
        ffi::CADMILL_OPTION_CHOICE => {
            let choices = choices.unwrap_or_default();
            OptionKind::Choice(choices.split(' ').filter(|c| !c.is_empty()).map(str::to_owned).collect())
        }
        ffi::CADMILL_OPTION_TEXT => OptionKind::Text,
        kind => return Err(format!("option '{name}' is of the kind {kind}, which is unknown")),
    };
    if matches!(&kind, OptionKind::Choice(choices) if choices.is_empty()) {
        return Err(format!("option '{name}' has no choices"));
    }
    let option = OptionSpec { name, help, kind, preset };
    match option.preset.as_ref().map(|preset| option.check(preset)) {
        Some(Err(_)) => Err(format!("option '{}' does not take its own default", option.name)),
        _ => Ok(option),
    }
}

/// A text that must be there, on one line.
///
/// # Safety
/// As for [`read`].
unsafe fn line(pointer: *const c_char, what: &str) -> Result<String, String> {
    // SAFETY: as the caller guarantees.
    match unsafe { text(pointer, what) }? {
        Some(line) if !line.is_empty() && !line.chars().any(char::is_control) => Ok(line),
        _ => Err(format!("{what} is missing or not one line")),
    }
}

fn is_name(name: &str, longest: usize) -> bool {
    let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    (1..=longest).contains(&name.len()) && begins_well && name.bytes().all(is_good)
}
