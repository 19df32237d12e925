//! Why a call failed, by whom it concerns.

/// Why a call failed: a status of the interface, and the reason in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    status: i32,
    reason: String,
}

impl Error {
    fn new(status: i32, reason: impl ToString) -> Self {
        Self { status, reason: reason.to_string() }
    }

    /// The input is not what it should be, or is incomplete.
    pub fn rejected(reason: impl ToString) -> Self {
        Self::new(1, reason)
    }

    /// The value of an option cannot be used. The description has excluded unknown options and values
    /// of another kind.
    pub fn bad_option(reason: impl ToString) -> Self {
        Self::new(2, reason)
    }

    /// An allocation failed.
    pub fn no_memory(reason: impl ToString) -> Self {
        Self::new(3, reason)
    }

    /// [`Host::is_cancelled`] returned true.
    pub fn cancelled() -> Self {
        Self::new(4, "cancelled")
    }

    /// A licence, data or a library is missing.
    pub fn unusable(reason: impl ToString) -> Self {
        Self::new(5, reason)
    }

    /// A defect of the plugin, or a file that cannot be written.
    pub fn failed(reason: impl ToString) -> Self {
        Self::new(6, reason)
    }

    /// The input is good, but does not fit the output format or the options.
    pub fn unfit(reason: impl ToString) -> Self {
        Self::new(7, reason)
    }

    /// Characters of the input would be missing, or be others, in the output.
    pub fn text_lost(reason: impl ToString) -> Self {
        Self::new(8, reason)
    }

    /// The status, as the interface numbers it.
    pub fn status(&self) -> i32 {
        self.status
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Error {}
