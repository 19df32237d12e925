//! The program as which a deployment is checked: a permission that it does not need is not missing.

use cadmill_stores::config::Program;

/// A program of the deployment, or an operator with the permissions of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Api,
    Worker,
    Cleanup,
    Operator,
}

impl Who {
    /// The program of this name; the operator if none is given.
    pub(super) fn named(name: Option<&str>) -> Self {
        match name {
            Some("api") => Self::Api,
            Some("worker") => Self::Worker,
            Some("cleanup") => Self::Cleanup,
            _ => Self::Operator,
        }
    }

    /// The program whose keys of the configuration count.
    pub(super) fn program(self) -> Program {
        match self {
            Self::Api => Program::Api,
            Self::Worker => Program::Worker,
            Self::Cleanup => Program::Cleanup,
            Self::Operator => Program::Serve,
        }
    }

    /// Whether one of these programs is checked.
    pub(super) fn is_of(self, programs: &[Self]) -> bool {
        self == Self::Operator || programs.contains(&self)
    }

    /// The role of the template.
    pub(super) fn role(self) -> &'static str {
        match self {
            Self::Api => "ApiRole",
            Self::Worker => "WorkerRole",
            Self::Cleanup => "CleanupRole",
            Self::Operator => "ApiRole, WorkerRole, CleanupRole",
        }
    }
}
