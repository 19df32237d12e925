//! Each alert fires for the fault that it names, and for no other: half an hour in which a healthy
//! installation breaks in one way after ten minutes.

use super::promtool;
use std::fmt::Write;

/// A fault: the alert, its labels and its summary, and the series that differ from those of health.
struct Fault {
    alert: &'static str,
    labels: &'static str,
    summary: &'static str,
    series: &'static [(&'static str, &'static str)],
}

/// Series of an installation in health: 15 s between two values, half an hour.
const HEALTH: &[(&str, &str)] = &[
    ("up{job=\"cadmill-api\",instance=\"a\"}", "1x119"),
    ("cadmill_store_calls_total{store=\"jobs\",operation=\"replace_crew\",outcome=\"ok\"}", "0+3x119"),
    ("cadmill_store_calls_total{store=\"objects\",operation=\"head\",outcome=\"ok\"}", "0+3x119"),
    ("cadmill_store_calls_total{store=\"objects\",operation=\"head\",outcome=\"unavailable\"}", "0x119"),
    ("cadmill_cleanup_attended", "1x119"),
    ("cadmill_oldest_due_seconds{kind=\"delete\"}", "3x119"),
    ("cadmill_oldest_due_seconds{kind=\"wake\"}", "3x119"),
    ("cadmill_unconfirmed_purges", "0x119"),
    ("cadmill_purge_delay_seconds_bucket{le=\"5\"}", "0+1x119"),
    ("cadmill_purge_delay_seconds_bucket{le=\"60\"}", "0+1x119"),
    ("cadmill_purge_delay_seconds_bucket{le=\"300\"}", "0+1x119"),
    ("cadmill_purge_delay_seconds_bucket{le=\"+Inf\"}", "0+1x119"),
    ("cadmill_purge_ledgers_total{outcome=\"written\"}", "0+1x119"),
    ("cadmill_purge_ledgers_total{outcome=\"failed\"}", "0x119"),
    ("cadmill_purge_ledgers_total{outcome=\"lost\"}", "0x119"),
    ("cadmill_wipes_total{outcome=\"failed\"}", "0x119"),
    ("cadmill_engine_crashes_total{engine=\"gdal\",signal=\"SIGSYS\"}", "0x119"),
    ("cadmill_engine_crashes_total{engine=\"gdal\",signal=\"SIGSEGV\"}", "0x119"),
    ("cadmill_orphans_total", "0x119"),
    ("cadmill_queue_messages{queue=\"dead\",state=\"ready\"}", "0x119"),
    ("cadmill_queue_messages{queue=\"events\",state=\"ready\"}", "1x119"),
    ("cadmill_job_wait_seconds_count", "0+1x119"),
    ("cadmill_job_wait_seconds_bucket{le=\"10\"}", "0+1x119"),
    ("cadmill_job_wait_seconds_bucket{le=\"300\"}", "0+1x119"),
    ("cadmill_job_wait_seconds_bucket{le=\"1800\"}", "0+1x119"),
    ("cadmill_job_wait_seconds_bucket{le=\"+Inf\"}", "0+1x119"),
    ("cadmill_leases_lapsed_total", "0x119"),
    ("cadmill_attempts_total{outcome=\"retried\"}", "0x119"),
    ("cadmill_jobs_ended_total{state=\"COMPLETED\",code=\"none\"}", "0+1x119"),
    ("cadmill_jobs_ended_total{state=\"FAILED\",code=\"infra.worker_lost\"}", "0x119"),
    // An hour before the first value.
    ("cadmill_start_time_seconds", "-3600+0x119"),
    ("cadmill_http_requests_total{route=\"/api/jobs\",method=\"POST\",status=\"201\"}", "0+9x119"),
    ("cadmill_http_requests_total{route=\"/api/jobs\",method=\"POST\",status=\"503\"}", "0x119"),
];

const FAULTS: &[Fault] = &[
    Fault {
        alert: "CadmillTargetDown",
        labels: "severity: critical, job: cadmill-api, instance: a",
        summary: "a does not answer",
        series: &[("up{job=\"cadmill-api\",instance=\"a\"}", "1x40 0x78")],
    },
    Fault {
        alert: "CadmillNoCleanup",
        labels: "severity: critical",
        summary: "No cleanup program renews its lease",
        series: &[(
            "cadmill_store_calls_total{store=\"jobs\",operation=\"replace_crew\",outcome=\"ok\"}",
            "0+3x40 120x78",
        )],
    },
    Fault {
        alert: "CadmillDeletionOverdue",
        labels: "severity: critical",
        summary: "Files have been due for deletion for 5m 0s",
        series: &[("cadmill_oldest_due_seconds{kind=\"delete\"}", "3x40 300x78")],
    },
    Fault {
        alert: "CadmillDeletionUnconfirmed",
        labels: "severity: critical",
        summary: "The files of 2 ended jobs could not be deleted",
        series: &[("cadmill_unconfirmed_purges", "0x40 2x78")],
    },
    Fault {
        alert: "CadmillDeletionSlow",
        labels: "severity: warning",
        summary: "One deletion in a hundred is later than 4m 57s",
        series: &[
            ("cadmill_purge_delay_seconds_bucket{le=\"5\"}", "0+1x40 40x78"),
            ("cadmill_purge_delay_seconds_bucket{le=\"60\"}", "0+1x40 40x78"),
        ],
    },
    Fault {
        alert: "CadmillDeletionUnrecorded",
        labels: "severity: warning",
        summary: "The ledgers of deletions cannot be written",
        series: &[("cadmill_purge_ledgers_total{outcome=\"failed\"}", "0x40 0+1x78")],
    },
    Fault {
        alert: "CadmillWakeOverdue",
        labels: "severity: warning",
        summary: "Jobs have been due for an announcement for 5m 0s",
        series: &[("cadmill_oldest_due_seconds{kind=\"wake\"}", "3x40 300x78")],
    },
    Fault {
        alert: "CadmillPlaintextLeft",
        labels: "severity: critical",
        summary: "A workspace could not be destroyed",
        series: &[("cadmill_wipes_total{outcome=\"failed\"}", "0x40 0+1x78")],
    },
    Fault {
        alert: "CadmillForbiddenCall",
        labels: "severity: critical, engine: gdal",
        summary: "The engine gdal made a forbidden system call",
        series: &[("cadmill_engine_crashes_total{engine=\"gdal\",signal=\"SIGSYS\"}", "0x40 0+1x78")],
    },
    Fault {
        alert: "CadmillEngineCrashes",
        labels: "severity: warning, engine: gdal",
        summary: "The engine gdal crashes often",
        series: &[("cadmill_engine_crashes_total{engine=\"gdal\",signal=\"SIGSEGV\"}", "0x40 0+1x78")],
    },
    Fault {
        alert: "CadmillOrphans",
        labels: "severity: warning",
        summary: "Objects of jobs without a record were deleted",
        series: &[("cadmill_orphans_total", "0x40 1x78")],
    },
    Fault {
        alert: "CadmillDeadLetters",
        labels: "severity: warning",
        summary: "1 messages are in the dead-letter queue",
        series: &[("cadmill_queue_messages{queue=\"dead\",state=\"ready\"}", "0x40 1x78")],
    },
    Fault {
        alert: "CadmillNoWorker",
        labels: "severity: critical",
        summary: "Jobs wait, and no worker takes one",
        series: &[
            ("cadmill_job_wait_seconds_count", "0+1x40 40x78"),
            ("cadmill_job_wait_seconds_bucket{le=\"10\"}", "0+1x40 40x78"),
            ("cadmill_job_wait_seconds_bucket{le=\"300\"}", "0+1x40 40x78"),
            ("cadmill_job_wait_seconds_bucket{le=\"1800\"}", "0+1x40 40x78"),
            ("cadmill_job_wait_seconds_bucket{le=\"+Inf\"}", "0+1x40 40x78"),
        ],
    },
    Fault {
        alert: "CadmillJobsWait",
        labels: "severity: warning",
        summary: "One job in ten waits longer than 27m 30s for a worker",
        series: &[
            ("cadmill_job_wait_seconds_bucket{le=\"10\"}", "0+1x40 40x78"),
            ("cadmill_job_wait_seconds_bucket{le=\"300\"}", "0+1x40 40x78"),
        ],
    },
    Fault {
        alert: "CadmillLeasesLapse",
        labels: "severity: warning",
        summary: "A worker died or lost its stores while it had a job",
        series: &[("cadmill_leases_lapsed_total", "0x40 1x78")],
    },
    Fault {
        alert: "CadmillAttemptsRetried",
        labels: "severity: warning",
        summary: "Attempts end with system errors",
        series: &[("cadmill_attempts_total{outcome=\"retried\"}", "0x40 0+1x78")],
    },
    Fault {
        alert: "CadmillJobsLost",
        labels: "severity: critical",
        summary: "Jobs failed by system errors, in all their attempts",
        series: &[("cadmill_jobs_ended_total{state=\"FAILED\",code=\"infra.worker_lost\"}", "0x40 1x78")],
    },
    Fault {
        alert: "CadmillApiErrors",
        labels: "severity: critical",
        summary: "10% of the requests to the API fail",
        series: &[(
            "cadmill_http_requests_total{route=\"/api/jobs\",method=\"POST\",status=\"503\"}",
            "0x40 0+1x78",
        )],
    },
    Fault {
        alert: "CadmillStoreFails",
        labels: "severity: critical, store: objects",
        summary: "25% of the calls of objects fail",
        series: &[(
            "cadmill_store_calls_total{store=\"objects\",operation=\"head\",outcome=\"unavailable\"}",
            "0x40 0+1x78",
        )],
    },
];

/// A worker that starts with the fault and meets it before its first scrape.
const NEW: (&str, &str) =
    ("cadmill_start_time_seconds{job=\"cadmill-worker\",instance=\"new\"}", "_x65 970x53");

/// The same alerts by other signs of their faults: what APIs and workers see, and the first event of a new
/// process.
const OTHER_SIGNS: &[Fault] = &[
    Fault {
        alert: "CadmillNoCleanup",
        labels: "severity: critical",
        summary: "No cleanup program renews its lease",
        series: &[("cadmill_cleanup_attended", "1x40 0x78")],
    },
    Fault {
        alert: "CadmillPlaintextLeft",
        labels: "severity: critical",
        summary: "A workspace could not be destroyed",
        series: &[
            NEW,
            ("cadmill_wipes_total{outcome=\"failed\",job=\"cadmill-worker\",instance=\"new\"}", "_x65 1x53"),
        ],
    },
    Fault {
        alert: "CadmillForbiddenCall",
        labels: "severity: critical, engine: gdal",
        summary: "The engine gdal made a forbidden system call",
        series: &[
            NEW,
            (
                "cadmill_engine_crashes_total{engine=\"gdal\",signal=\"SIGSYS\",job=\"cadmill-worker\",instance=\"new\"}",
                "_x65 1x53",
            ),
        ],
    },
    Fault {
        alert: "CadmillLeasesLapse",
        labels: "severity: warning",
        summary: "A worker died or lost its stores while it had a job",
        series: &[NEW, ("cadmill_leases_lapsed_total{job=\"cadmill-worker\",instance=\"new\"}", "_x65 1x53")],
    },
    Fault {
        alert: "CadmillJobsLost",
        labels: "severity: critical",
        summary: "Jobs failed by system errors, in all their attempts",
        series: &[
            NEW,
            (
                "cadmill_jobs_ended_total{state=\"FAILED\",code=\"infra.worker_lost\",job=\"cadmill-worker\",instance=\"new\"}",
                "_x65 1x53",
            ),
        ],
    },
];

/// What is no fault: series that differ from those of health, for which no alert fires.
const NO_FAULTS: &[(&str, &[(&str, &str)])] = &[
    (
        "Prometheus is new, or was away, and the counts are old",
        &[
            ("cadmill_jobs_ended_total{state=\"FAILED\",code=\"infra.worker_lost\"}", "_x60 7x58"),
            ("cadmill_leases_lapsed_total", "_x60 7x58"),
            ("cadmill_wipes_total{outcome=\"failed\"}", "_x60 7x58"),
            ("cadmill_engine_crashes_total{engine=\"gdal\",signal=\"SIGSYS\"}", "_x60 7x58"),
            ("cadmill_start_time_seconds", "_x60 -3600x58"),
        ],
    ),
    (
        "one of two workers was not reached for a while, fifteen minutes before",
        &[
            (
                "cadmill_jobs_ended_total{state=\"FAILED\",code=\"infra.worker_lost\",instance=\"b\"}",
                "7x33 stale _x12 7x69",
            ),
            ("cadmill_start_time_seconds{instance=\"b\"}", "-3600x119"),
        ],
    ),
    (
        "as many crashes and retries as are taken for granted",
        &[
            ("cadmill_engine_crashes_total{engine=\"gdal\",signal=\"SIGSEGV\"}", "0x60 1 2 3 4 5x55"),
            ("cadmill_attempts_total{outcome=\"retried\"}", "0x60 1 2 3x57"),
        ],
    ),
    (
        "a process has started, and nothing happens",
        &[
            ("cadmill_jobs_ended_total{state=\"FAILED\",code=\"infra.worker_lost\"}", "7x40 0x78"),
            ("cadmill_leases_lapsed_total", "7x40 0x78"),
            ("cadmill_start_time_seconds", "-3600x40 600x78"),
        ],
    ),
];

/// A test of promtool: the values of all series, and the alert that fires at the end.
fn test(series: &[(&str, &str)], alerts: &[&str], changed: &[(&str, &str)], fault: Option<&Fault>) -> String {
    let mut text = "  - interval: 15s\n    input_series:\n".to_owned();
    let kept = series.iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    for (name, values) in kept.chain(changed) {
        let _ = writeln!(text, "      - series: '{name}'\n        values: '{values}'");
    }
    text.push_str("    alert_rule_test:\n");
    for alert in alerts {
        let _ = writeln!(text, "      - eval_time: 24m\n        alertname: {alert}");
        if let Some(fault) = fault.filter(|fault| fault.alert == *alert) {
            let (labels, summary) = (fault.labels, fault.summary);
            let _ = writeln!(
                text,
                "        exp_alerts:\n          - exp_labels: {{ {labels} }}\n            exp_annotations: {{ summary: \"{summary}\" }}"
            );
        }
    }
    text
}

#[test]
fn each_alert_fires_for_its_fault_and_for_no_other() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/alerts.yaml");
    let text = std::fs::read_to_string(rules).unwrap();
    let alerts: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(alerts, FAULTS.iter().map(|fault| fault.alert).collect::<Vec<_>>());
    let mut tests = format!("rule_files: ['{rules}']\nevaluation_interval: 15s\ntests:\n");
    tests += &test(HEALTH, &alerts, &[], None);
    for fault in FAULTS.iter().chain(OTHER_SIGNS) {
        tests += &test(HEALTH, &alerts, fault.series, Some(fault));
    }
    for (_, series) in NO_FAULTS {
        tests += &test(HEALTH, &alerts, series, None);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.yaml");
    std::fs::write(&path, tests).unwrap();
    let said = promtool(&["test", "rules", path.to_str().unwrap()], "");
    assert!(said.contains("SUCCESS") && !said.ends_with("failed"), "{said}");
}
