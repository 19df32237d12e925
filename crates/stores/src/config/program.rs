//! The programs that read the configuration.

/// A program that reads the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `cadmill-api`: the HTTP server.
    Api,
    /// `cadmill-converter`: the worker.
    Worker,
    /// `cadmill-cleanup`: deletes what is due.
    Cleanup,
    /// `cadmill serve`: all of them, and the embedded backend.
    Serve,
}

impl Program {
    /// The name of the program.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "cadmill-api",
            Self::Worker => "cadmill-converter",
            Self::Cleanup => "cadmill-cleanup",
            Self::Serve => "cadmill serve",
        }
    }
}
