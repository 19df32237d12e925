//! Counts of requests, by program and action, and of write units.

use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Client,
    Api,
    Worker,
    Cleanup,
}

impl Program {
    pub(crate) const ALL: [Self; 4] = [Self::Client, Self::Api, Self::Worker, Self::Cleanup];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Cleanup => "cleanup",
        }
    }
}

/// What a request takes permission for, as docs/PIPELINE.md has it, or the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    PutObject,
    GetObject,
    DeleteObject,
    ListParts,
    ListVersions,
    ListUploads,
    GetVersioning,
    AbortUpload,
    ReadItem,
    Query,
    BatchRead,
    WriteItem,
    DeleteItem,
    Send,
    Receive,
    DeleteMessage,
    ChangeVisibility,
}

impl Action {
    pub(crate) const ALL: [Self; 17] = [
        Self::PutObject,
        Self::GetObject,
        Self::DeleteObject,
        Self::ListParts,
        Self::ListVersions,
        Self::ListUploads,
        Self::GetVersioning,
        Self::AbortUpload,
        Self::ReadItem,
        Self::Query,
        Self::BatchRead,
        Self::WriteItem,
        Self::DeleteItem,
        Self::Send,
        Self::Receive,
        Self::DeleteMessage,
        Self::ChangeVisibility,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PutObject => "s3:PutObject",
            Self::GetObject => "s3:GetObject",
            Self::DeleteObject => "s3:DeleteObject",
            Self::ListParts => "s3:ListMultipartUploadParts",
            Self::ListVersions => "s3:ListBucketVersions",
            Self::ListUploads => "s3:ListBucketMultipartUploads",
            Self::GetVersioning => "s3:GetBucketVersioning",
            Self::AbortUpload => "s3:AbortMultipartUpload",
            Self::ReadItem => "dynamodb:GetItem",
            Self::Query => "dynamodb:Query",
            Self::BatchRead => "dynamodb:BatchGetItem",
            Self::WriteItem => "dynamodb:PutItem",
            Self::DeleteItem => "dynamodb:DeleteItem",
            Self::Send => "sqs:SendMessage",
            Self::Receive => "sqs:ReceiveMessage",
            Self::DeleteMessage => "sqs:DeleteMessage",
            Self::ChangeVisibility => "sqs:ChangeMessageVisibility",
        }
    }
}

/// The counts of a simulation.
#[derive(Default)]
pub(crate) struct Bill {
    requests: [[AtomicU64; Action::ALL.len()]; Program::ALL.len()],
    write_units: AtomicU64,
}

impl Bill {
    pub(crate) fn add(&self, program: Program, action: Action, count: u64) {
        self.requests[program as usize][action as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn add_units(&self, units: f64) {
        self.write_units.fetch_add(units as u64, Ordering::Relaxed);
    }

    pub(crate) fn requests(&self, program: Program, action: Action) -> u64 {
        self.requests[program as usize][action as usize].load(Ordering::Relaxed)
    }

    /// Those of all programs.
    pub(crate) fn all(&self, actions: &[Action]) -> u64 {
        let each = |action: &Action| Program::ALL.map(|program| self.requests(program, *action));
        actions.iter().flat_map(each).sum()
    }

    pub(crate) fn write_units(&self) -> u64 {
        self.write_units.load(Ordering::Relaxed)
    }
}
