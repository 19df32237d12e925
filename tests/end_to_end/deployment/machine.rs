//! Faults of a task: its confinement, its memory, its clock and its credentials.

use super::{Deployment, Report};
use crate::attacks::{preceded, without_landlock};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

const WORKER: [&str; 3] = ["--json", "--program", "worker"];

/// A server that gives this answer to everything, on loopback.
fn serve(answer: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let body = answer.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    url
}

#[track_caller]
fn fault<'a>(report: &'a Report, name: &str) -> &'a Value {
    let found =
        report.checks().into_iter().find(|check| check["name"] == name && check["verdict"] == "fault");
    found.unwrap_or_else(|| panic!("{name} is not found: {}", report.json))
}

/// Engines cannot be confined as the configuration asks, so no worker starts.
#[tokio::test(flavor = "multi_thread")]
async fn confinement_below_the_minimum() {
    let cloud = Deployment::new().await;
    let wrapper = without_landlock();
    let command = preceded(&[wrapper.to_str().expect("UTF-8")], &cloud.command(&WORKER, &[]));
    let report = cloud.run(command).await;
    assert_eq!(fault(&report, "worker.posture")["resource"], "WorkerTask");
    let alone = report.names("fault") == ["worker.posture"];
    assert_eq!(report.run.code, Some(if alone { 19 } else { 20 }), "{:?}", report.run);
    cloud.is_clean().await;
}

/// The 64 MiB of a container's /dev/shm.
#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_of_64_mib() {
    let cloud = Deployment::new().await;
    let place = cloud.bench.place().to_str().expect("UTF-8").to_owned();
    let script = "mount -t tmpfs -o size=64m,mode=777 none \"$0\" && exec \"$@\"";
    let before = ["unshare", "-m", "sh", "-c", script, &place];
    let mut tried = preceded(&before, &Command::new("true"));
    if !tried.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("skipped: this host gives no mount namespace");
        return;
    }
    let variables = [("CADMILL_PRIVATE_WORKSPACE", "no"), ("CADMILL_WORKER_MEMORY", "4G")];
    let report = cloud.run(preceded(&before, &cloud.command(&WORKER, &variables))).await;
    report.names_faults(&[("worker.workspace", "WorkerTask")]);
    assert!(
        fault(&report, "worker.workspace")["found"].as_str().unwrap().contains("64.0 MiB for 4.00 GiB"),
        "{}",
        report.json
    );
}

/// Workspace and engine are more than the task has, of which ECS knows the limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_and_an_engine_over_the_memory_of_the_task() {
    let cloud = Deployment::new().await;
    let task = serve(&json!({"Limits": {"CPU": 2, "Memory": 3072}}));
    let variables = [
        ("ECS_CONTAINER_METADATA_URI_V4", task.as_str()),
        ("CADMILL_PRIVATE_WORKSPACE", "no"),
        ("CADMILL_WORKER_MEMORY", "2G"),
        ("CADMILL_LIMITS_MEMORY", "2G"),
    ];
    // In a task, the operator's checks have those of the worker.
    let report = cloud.doctor(&[], &variables).await;
    report.names_faults(&[("worker.memory", "WorkerTask")]);
}

/// The clock of the machine is ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_20_minutes_off() {
    let cloud = Deployment::new().await;
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    assert!(Path::new(&library).is_file(), "{library} is missing: `make setup` installs it");
    for (offset, way) in [("+1200", "20m ahead of"), ("-1200", "behind")] {
        let variables =
            [("LD_PRELOAD", library.as_str()), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        let report = cloud.doctor(&[], &variables).await;
        report.names_faults(&[("clock", "")]);
        assert!(fault(&report, "clock")["found"].as_str().unwrap().contains(way), "{}", report.json);
    }
    cloud.is_clean().await;
}

/// The credentials of the task end before the URLs that they sign.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_end_before_a_url() {
    let cloud = Deployment::new().await;
    let report = |minutes: u64| {
        let expires = SystemTime::now() + Duration::from_secs(minutes * 60);
        let endpoint = serve(&json!({
            "AccessKeyId": super::OPERATOR,
            "SecretAccessKey": "a-secret-key",
            "Token": "a-secret-key-of-a-session",
            "Expiration": humantime::format_rfc3339_seconds(expires).to_string(),
        }));
        let url = format!("{endpoint}/credentials");
        let mut command = cloud.command(&["--json"], &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        cloud.run(command)
    };
    report(60).await.is_good();
    report(5).await.names_faults(&[("urls", "ApiTask")]);
    cloud.is_clean().await;
}
