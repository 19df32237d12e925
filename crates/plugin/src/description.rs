//! What a plugin says of itself.

use crate::abi;
use std::ffi::{CString, c_char};
use std::mem::size_of;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    name: String,
    version: String,
    vendor: Option<String>,
    licence: Option<String>,
    inputs: Vec<Format>,
    outputs: Vec<Format>,
    options: Vec<OptionSpec>,
    flags: u64,
}

/// A format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    id: String,
    extensions: String,
    title: Option<String>,
    flags: u32,
}

/// An option.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionSpec {
    name: String,
    help: String,
    kind: Kind,
    preset: Option<String>,
}

/// The values that an option takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// A decimal integer, from and to these values; both 0 for no limits.
    Integer(f64, f64),
    /// A decimal number with a point, from and to these values; both 0 for no limits.
    Number(f64, f64),
    /// One of these words.
    Choice(Vec<String>),
    /// Text.
    Text,
}

impl Description {
    /// A description of the library behind the plugin and its version.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            vendor: None,
            licence: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            options: Vec::new(),
            flags: 0,
        }
    }

    /// Adds a format that is read.
    #[must_use]
    pub fn input(mut self, format: Format) -> Self {
        self.inputs.push(format);
        self
    }

    /// Adds a format that is written; the first of those with the same extension is preferred.
    #[must_use]
    pub fn output(mut self, format: Format) -> Self {
        self.outputs.push(format);
        self
    }

    /// Adds an option.
    #[must_use]
    pub fn option(mut self, option: OptionSpec) -> Self {
        self.options.push(option);
        self
    }

    /// Names the vendor.
    #[must_use]
    pub fn vendor(self, vendor: &str) -> Self {
        Self { vendor: Some(vendor.to_owned()), ..self }
    }

    /// Names the licence, as an SPDX expression.
    #[must_use]
    pub fn licence(self, licence: &str) -> Self {
        Self { licence: Some(licence.to_owned()), ..self }
    }

    /// Says that the same input and options give the same bytes.
    #[must_use]
    pub fn deterministic(self) -> Self {
        Self { flags: self.flags | 1, ..self }
    }

    /// Says that it starts threads, at most [`crate::Host::max_threads`] at a time.
    #[must_use]
    pub fn with_threads(self) -> Self {
        Self { flags: self.flags | 2, ..self }
    }

    /// Says that it calls [`crate::Host::is_cancelled`] at least every 2 s.
    #[must_use]
    pub fn asks_cancelled(self) -> Self {
        Self { flags: self.flags | 4, ..self }
    }

    /// The struct of the interface, which is never freed: it is valid until the process ends.
    pub(crate) fn leak(&self) -> *const abi::Description {
        leaked(abi::Description {
            size: size_of::<abi::Description>() as u64,
            name: text(&self.name),
            version: text(&self.version),
            vendor: optional(self.vendor.as_deref()),
            licence: optional(self.licence.as_deref()),
            inputs: array(self.inputs.iter().map(Format::leak)),
            outputs: array(self.outputs.iter().map(Format::leak)),
            options: array(self.options.iter().map(OptionSpec::leak)),
            data: std::ptr::null(),
            flags: self.flags,
        })
    }
}

impl Format {
    /// A format with an id that users type, and its extensions, of which the first is the default.
    pub fn new(id: &str, extensions: &[&str]) -> Self {
        Self { id: id.to_owned(), extensions: extensions.join(" "), title: None, flags: 0 }
    }

    /// Adds a title.
    #[must_use]
    pub fn title(self, title: &str) -> Self {
        Self { title: Some(title.to_owned()), ..self }
    }

    /// Says that further files belong to the main one.
    #[must_use]
    pub fn several_files(self) -> Self {
        Self { flags: self.flags | 1, ..self }
    }

    /// Says that it is text, which compresses well.
    #[must_use]
    pub fn text(self) -> Self {
        Self { flags: self.flags | 2, ..self }
    }

    fn leak(&self) -> *const abi::Format {
        leaked(abi::Format {
            size: size_of::<abi::Format>() as u64,
            id: text(&self.id),
            extensions: text(&self.extensions),
            title: optional(self.title.as_deref()),
            flags: self.flags,
            reserved: 0,
        })
    }
}

impl OptionSpec {
    /// An option, with one sentence that says what it does.
    pub fn new(name: &str, kind: Kind, help: &str) -> Self {
        Self { name: name.to_owned(), help: help.to_owned(), kind, preset: None }
    }

    /// Sets the default.
    #[must_use]
    pub fn preset(self, preset: &str) -> Self {
        Self { preset: Some(preset.to_owned()), ..self }
    }

    fn leak(&self) -> *const abi::OptionSpec {
        let (kind, least, most) = match self.kind {
            Kind::YesNo => (1, 0.0, 0.0),
            Kind::Integer(least, most) => (2, least, most),
            Kind::Number(least, most) => (3, least, most),
            Kind::Choice(_) => (4, 0.0, 0.0),
            Kind::Text => (5, 0.0, 0.0),
        };
        let choices = match &self.kind {
            Kind::Choice(choices) => Some(choices.join(" ")),
            _ => None,
        };
        leaked(abi::OptionSpec {
            size: size_of::<abi::OptionSpec>() as u64,
            name: text(&self.name),
            help: text(&self.help),
            choices: optional(choices.as_deref()),
            preset: optional(self.preset.as_deref()),
            kind,
            reserved: 0,
            least,
            most,
        })
    }
}

fn leaked<T>(value: T) -> *const T {
    Box::leak(Box::new(value))
}

/// A text up to its first NUL, which the interface cannot carry.
fn text(text: &str) -> *const c_char {
    let text = text.split('\0').next().unwrap_or_default();
    CString::new(text).unwrap_or_default().into_raw()
}

fn optional(value: Option<&str>) -> *const c_char {
    value.map_or(std::ptr::null(), text)
}

/// The pointers and a null.
fn array<T>(elements: impl Iterator<Item = *const T>) -> *const *const T {
    let elements: Vec<*const T> = elements.chain([std::ptr::null()]).collect();
    Box::leak(elements.into_boxed_slice()).as_ptr()
}
