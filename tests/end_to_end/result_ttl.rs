//! A client that wants its result to be kept for a short time.

use crate::serve::Installation;
use crate::support::{Bench, real};
use serde_json::Value;

fn status(url: &str, id: &str) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let mut answer = agent.get(format!("{url}/api/jobs/{id}/status")).call().expect("the job");
    serde_json::from_str(&answer.body_mut().read_to_string().expect("text")).expect("JSON")
}

fn millis(status: &Value, field: &str) -> u128 {
    let time = humantime::parse_rfc3339(status[field].as_str().expect("a time")).expect("a time");
    time.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis()
}

#[test]
fn a_result_is_kept_as_long_as_its_client_says() {
    let installation = Installation::whole();
    let served = installation.serve(&["--job-retention", "20m"]);
    let bench = Bench::new();
    let input = real("gis/cities.kml");
    let submit = |more: &[&str]| {
        let input = input.to_str().expect("UTF-8");
        let mut arguments = vec!["submit", input, "--to", "geojson", "--server", &served.url, "--json"];
        arguments.extend(["-o", "out.geojson", "--keep"]);
        arguments.extend(more);
        bench.run(&arguments)
    };
    for (more, seconds) in [(&["--result-ttl", "61s"][..], 61), (&[], 20 * 60)] {
        let _ = std::fs::remove_file(bench.path("out.geojson"));
        let done = submit(more).succeeded().json();
        let status = status(&served.url, done["job_id"].as_str().expect("an id"));
        let kept = millis(&status, "result_expires_at") - millis(&status, "ended_at");
        assert_eq!(kept, seconds * 1000, "{status}");
    }
    let refused = submit(&["--result-ttl", "21m"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let message = refused.json()["error"]["message"].to_string();
    assert!(message.contains("result_ttl_seconds: must be 60 to 1200"), "{message}");
}
