//! The labels of metrics and their closed sets of values.

use crate::domain::failure::FailureCode;
use crate::domain::format::{ASSIMP_OUTPUTS, GDAL_OUTPUTS, OCCT_OUTPUTS};
use std::sync::LazyLock;

/// What a value outside the set becomes.
pub const OTHER: &str = "other";

/// Value of a label for which there is none, e.g. the code of a job that completed.
pub const NONE: &str = "none";

/// A label with its closed set of values.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    values: Values,
}

#[derive(Debug, Clone, Copy)]
enum Values {
    /// These, and [`OTHER`] if it is among them.
    These(&'static [&'static str]),
    /// Those of a table of the domain.
    Table(&'static LazyLock<Vec<&'static str>>),
    /// One value, which the build has.
    Build(&'static str),
}

impl Label {
    /// Every value, in the order of its table.
    pub fn values(&self) -> Vec<&'static str> {
        match self.values {
            Values::These(values) => values.to_vec(),
            Values::Table(table) => table.to_vec(),
            Values::Build(value) => vec![value],
        }
    }

    /// The value as the set has it; [`OTHER`] if it does not.
    pub fn bounded(&self, value: &str) -> &'static str {
        let in_set = |values: &[&'static str]| values.iter().find(|known| **known == value).copied();
        let found = match self.values {
            Values::These(values) => in_set(values),
            Values::Table(table) => in_set(table),
            Values::Build(value) => Some(value),
        };
        found.unwrap_or(OTHER)
    }

    const fn these(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values: Values::These(values) }
    }

    const fn table(name: &'static str, table: &'static LazyLock<Vec<&'static str>>) -> Self {
        Self { name, values: Values::Table(table) }
    }
}

/// Ids and extensions of the formats that the built-in engines write.
fn outputs() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    GDAL_OUTPUTS.iter().chain(OCCT_OUTPUTS).chain(ASSIMP_OUTPUTS)
}

/// Extensions of the formats that the built-in engines write. Formats of an engines file are others.
static FORMATS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut formats: Vec<&'static str> = outputs().map(|(_, extension)| *extension).collect();
    formats.sort_unstable();
    formats.dedup();
    formats.push(OTHER);
    formats
});

/// Failures of requests and of audits, with which no job ends.
const NOT_OF_JOBS: [&str; 6] = ["api.", "audit.", "auth.", "request.", "server.", "upload."];

static CODES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let codes = FailureCode::ALL.iter().map(|code| code.as_str());
    let of_jobs = codes.filter(|code| !NOT_OF_JOBS.iter().any(|group| code.starts_with(group)));
    of_jobs.chain([NONE, OTHER]).collect()
});

/// Routes of the API with their methods.
pub const ROUTES: &[(&str, &[&str])] = &[
    ("/api/events", &["GET"]),
    ("/api/failures", &["GET"]),
    ("/api/formats", &["GET"]),
    ("/api/jobs", &["GET", "POST"]),
    ("/api/jobs/{job_id}", &["DELETE"]),
    ("/api/jobs/{job_id}/audit", &["GET"]),
    ("/api/jobs/{job_id}/downloaded", &["POST"]),
    ("/api/jobs/{job_id}/events", &["GET"]),
    ("/api/jobs/{job_id}/events/ticket", &["POST"]),
    ("/api/jobs/{job_id}/status", &["GET"]),
    ("/api/jobs/{job_id}/ticket", &["POST"]),
    ("/api/jobs/{job_id}/uploads", &["GET"]),
    ("/api/jobs/{job_id}/uploads/abort", &["POST"]),
    ("/api/jobs/{job_id}/uploads/complete", &["POST"]),
    ("/api/jobs/{job_id}/uploads/parts", &["GET"]),
    ("/healthz", &["GET"]),
    ("/openapi.json", &["GET"]),
    ("/readyz", &["GET"]),
];

static ROUTE_NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let routes = ROUTES.iter().map(|(route, _)| *route);
    routes.chain([NONE]).collect()
});

/// The route, if the API has it.
pub(super) fn route_of(route: &str) -> &'static str {
    ROUTES.iter().find(|(known, _)| *known == route).map_or(NONE, |(known, _)| known)
}

/// Whether it is measured how long the route takes: a histogram is six series, and answers that are made of
/// nothing that is stored take no time.
pub(super) fn is_timed(route: &str) -> bool {
    route.starts_with("/api/jobs") || ["/api/events", NONE].contains(&route)
}

/// The method, if the route has it: a stranger who tries every method on every route adds one series
/// for each.
pub(super) fn method_of(route: &str, method: &str) -> &'static str {
    let route = ROUTES.iter().find(|(known, _)| *known == route);
    let method = route.and_then(|(_, methods)| methods.iter().find(|known| **known == method));
    method.copied().unwrap_or(OTHER)
}

/// The extension of a format, whether it is named by that or by an engine's own id; as
/// [`crate::domain::route`], whatever its case.
pub(super) fn extension_of(format: &str) -> &'static str {
    let format = format.strip_prefix('.').unwrap_or(format);
    let named = |name: &str| name.eq_ignore_ascii_case(format);
    let by_extension = FORMATS.iter().find(|extension| named(extension)).copied();
    let by_id = || outputs().find(|(id, _)| named(id)).map(|(_, extension)| *extension);
    by_extension.or_else(by_id).unwrap_or(OTHER)
}

pub(super) const BUILD_VERSION: Label =
    Label { name: "version", values: Values::Build(env!("CARGO_PKG_VERSION")) };
pub(super) const BUILD_REVISION: Label =
    Label { name: "revision", values: Values::Build(env!("CADMILL_REVISION")) };
pub(super) const FORMAT: Label = Label::table("format", &FORMATS);
pub(super) const CODE: Label = Label::table("code", &CODES);
pub(super) const ROUTE: Label = Label::table("route", &ROUTE_NAMES);
pub(super) const METHOD: Label = Label::these("method", &["DELETE", "GET", "POST", OTHER]);
pub(super) const STATUS: Label = Label::these(
    "status",
    &[
        "200", "201", "204", "304", "400", "401", "403", "404", "405", "408", "409", "413", "415", "422",
        "429", "431", "500", "503", "504", OTHER,
    ],
);
pub(super) const STATE: Label =
    Label::these("state", &["PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]);
pub(super) const ENDED_STATE: Label = Label::these("state", &["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]);
pub(super) const STAGE: Label = Label::these("stage", &["fetch", "convert", "publish", "wipe", "total"]);
/// The built-in engines. Those of an engines file are others.
pub(super) const ENGINE: Label = Label::these("engine", &["gdal", "occt", "assimp", "assimp-jvm", OTHER]);
pub(super) const SIGNAL: Label = Label::these(
    "signal",
    &["SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL", "SIGSEGV", "SIGSYS", "SIGTRAP", OTHER],
);
pub(super) const STORE: Label = Label::these("store", &["objects", "jobs", "queue", "audit"]);
pub(super) const OPERATION: Label = Label::these(
    "operation",
    &[
        // Objects. Presigning calls no store.
        "abort_multipart",
        "begin_multipart",
        "checksum",
        "complete_multipart",
        "delete",
        "find",
        "head",
        "parts",
        "purge",
        "put",
        "put_part",
        "read",
        "stored",
        // Jobs; delete and check as above and below.
        "create",
        "crew",
        "due",
        "get",
        "get_many",
        "list",
        "replace",
        "replace_crew",
        "replace_usage",
        "set_aside",
        "usage",
        // The queue.
        "change_visibility",
        "dead_letter",
        "delete_dead",
        "depth",
        "receive",
        "receive_dead",
        "release_dead",
        "send",
        // Ledgers; read as above.
        "append",
        "begin",
        "read_head",
        "seal",
        "sign",
        "sync",
        // All checks of one store.
        "check",
        OTHER,
    ],
);
pub(super) const CALL: Label = Label::these(
    "outcome",
    &[
        "ok",
        "not_found",
        "hidden",
        "precondition",
        "conflict",
        "unavailable",
        "unknown",
        "refused",
        "damaged",
        "newer",
        "corrupt",
    ],
);
pub(super) const ATTEMPT: Label =
    Label::these("outcome", &["completed", "failed", "retried", "stopped", "superseded"]);
pub(super) const WIPE: Label = Label::these("outcome", &["done", "swept", "failed"]);
pub(super) const PURGE: Label = Label::these("outcome", &["done", "failed"]);
pub(super) const EVIDENCE: Label = Label::these("outcome", &["written", "failed", "lost"]);
pub(super) const MEMORY: Label = Label::these("kind", &["budget", "reserved"]);
pub(super) const DUE: Label = Label::these("kind", &["delete", "wake"]);
pub(super) const QUEUE: Label = Label::these("queue", &["events", "dead"]);
pub(super) const QUEUE_STATE: Label = Label::these("state", &["ready", "hidden"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_outside_the_set_is_other() {
        assert_eq!(ENGINE.bounded("gdal"), "gdal");
        for hostile in ["", "gdal\"} 1", "GDAL", "\u{0}", "../../etc", &"x".repeat(1 << 16)] {
            assert_eq!(ENGINE.bounded(hostile), OTHER, "{hostile:?}");
        }
        assert_eq!(CODE.bounded("engine.crashed"), "engine.crashed");
        assert_eq!(CODE.bounded("auth.invalid"), OTHER);
    }

    #[test]
    fn formats_are_told_by_their_extensions() {
        for (format, expected) in [
            ("dxf", "dxf"),
            ("DXF", "dxf"),
            (".dxf", "dxf"),
            ("ESRI Shapefile", "shp"),
            ("gltf2", "gltf"),
            ("nope", OTHER),
            ("", OTHER),
        ] {
            assert_eq!(extension_of(format), expected, "{format}");
        }
    }

    #[test]
    fn a_method_that_a_route_does_not_have_is_other() {
        assert_eq!(method_of("/api/jobs", "POST"), "POST");
        assert_eq!(method_of("/api/jobs", "BREW"), OTHER);
        assert_eq!(method_of("/api/jobs", "DELETE"), OTHER);
        assert_eq!(method_of(NONE, "GET"), OTHER);
    }
}
