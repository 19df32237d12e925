//! A right deployment, and a probe that is interrupted.

use super::{Deployment, OPERATOR, ORIGIN};
use crate::pipeline::processes::Service;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_right_deployment_is_good_and_nothing_is_left_in_it() {
    let cloud = Deployment::new().await;
    let report = cloud.doctor(&[], &[("CADMILL_API_CORS_ORIGINS", ORIGIN)]).await;
    report.is_good();
    let good = report.names("ok");
    for name in ["clock", "urls", "table", "bucket.list", "bucket.read", "bucket.delete", "bucket.cors"] {
        assert!(good.contains(&name), "{name}: {}", report.json);
    }
    for name in ["events", "queue.rights", "queue.redrive", "queue.dead_letters", "bucket.lifecycle"] {
        assert!(good.contains(&name), "{name}: {}", report.json);
    }
    // Without the permissions to read settings, the probe object alone decides.
    cloud.grants(&cloud.policies());
    let report = cloud.doctor(&[], &[]).await;
    report.is_good();
    assert!(report.names("ok").contains(&"events"), "{}", report.json);
    assert!(report.names("unseen").contains(&"bucket.lifecycle"), "{}", report.json);
    // Each program with its own permissions.
    for (program, policy) in ["api", "worker", "cleanup"].into_iter().zip(cloud.policies()) {
        cloud.grants(&[policy]);
        let report = cloud.doctor(&["--program", program], &[]).await;
        // The memory of this host is not that of a task.
        let faults = report.names("fault");
        assert!(faults.iter().all(|name| name.starts_with("worker.")), "{program}: {}", report.json);
    }
    cloud.is_clean().await;
}

/// The text says the same as the JSON.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_for_people_names_the_faults_last() {
    let cloud = Deployment::new().await;
    cloud.redrive(10).await;
    let mut command = cloud.command(&[], &[]);
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("starts");
    let (shown, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("FAULT   queue.redrive") && shown.contains("template: Queue\n"), "{shown}");
    assert!(said.contains("queue.redrive found a fault [infra.store_refused]"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_probe_leaves_nothing() {
    let cloud = Deployment::new().await;
    cloud.rule("incoming/").await;
    let mut command = cloud.command(&["--wait", "60s"], &[]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cadmill starts");
    // It has read the probe, and waits for the event.
    let since = Instant::now();
    let has_read = || {
        let used = cloud.proxy.used();
        used.iter().any(|grant| grant.sid == "ReadUploads")
            && used.iter().any(|grant| grant.action == "sqs:ReceiveMessage")
    };
    while !has_read() {
        assert!(since.elapsed() < Duration::from_secs(30), "it does not come to the probe");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("no panic");
    assert_eq!(output.expect("ended").status.code(), Some(130));
    cloud.is_clean().await;
}

/// A worker that receives the event first deletes the probe, which shows the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_may_take_the_probe() {
    let cloud = Deployment::new().await;
    let endpoint = cloud.moto.endpoint().to_owned();
    let queue = &cloud.world.queue;
    let mut worker = Service::worker(&[
        ("CADMILL_BACKEND", "aws".to_owned()),
        ("CADMILL_AWS_REGION", "us-east-1".to_owned()),
        ("CADMILL_AWS_ENDPOINT", endpoint),
        ("CADMILL_S3_BUCKET", cloud.world.objects.bucket.clone()),
        ("CADMILL_S3_PATH_STYLE", "true".to_owned()),
        ("CADMILL_DYNAMODB_TABLE", cloud.world.jobs.table.clone()),
        ("CADMILL_SQS_QUEUE_URL", queue.queue_url.clone()),
        ("CADMILL_SQS_DEAD_LETTER_URL", queue.dead_letter_url.clone().expect("dead letters")),
        ("AWS_ACCESS_KEY_ID", OPERATOR.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]);
    worker.wait_for("ready");
    let report = cloud.doctor(&[], &[]).await;
    report.is_good();
    assert!(report.names("ok").contains(&"events"), "{}", report.json);
    cloud.is_clean().await;
}
