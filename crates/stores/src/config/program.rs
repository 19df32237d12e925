//! The programs that read the configuration.

/// A program that reads the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `cadmill-api`: the HTTP server.
    Api,
    /// `cadmill-converter`: the worker.
    Worker,
    /// `cadmill serve`: both, and the embedded backend.
    Serve,
}

impl Program {
    /// The name of the program.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "cadmill-api",
            Self::Worker => "cadmill-converter",
            Self::Serve => "cadmill serve",
        }
    }
}
