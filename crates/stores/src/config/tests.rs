//! The configuration as a whole.

use super::key::{Id, KEYS, KeyDefault};
use super::kind::Kind;
use super::*;
use crate::connections::Networks;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::domain::state::Policy;
use std::time::Duration;

/// Loads a configuration from the text of a file, variables and flags.
fn load_with(
    binary: Program,
    text: &str,
    variables: &[(&str, &str)],
    flags: &[&str],
) -> Result<(Config, Settings), Problems> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    std::fs::write(&path, text).unwrap();
    let command = augment(clap::Command::new("x"), binary);
    let file = ["x", "--config", path.to_str().unwrap()];
    let matches = command.try_get_matches_from(file.iter().chain(flags)).unwrap();
    let variables: Vec<(OsString, OsString)> =
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    load_from(&matches, variables.into_iter(), binary)
}

fn serve(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> (Config, Settings) {
    load_with(Program::Serve, text, variables, flags).unwrap()
}

/// The problems, without the path of the file.
fn problems(binary: Program, text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Vec<String> {
    let problems = load_with(binary, text, variables, flags).unwrap_err().0;
    let cut = |mut problem: Problem| {
        if let Origin::File { path, .. } = &mut problem.origin {
            *path = path.file_name().unwrap().into();
        }
        problem.to_string()
    };
    problems.into_iter().map(cut).collect()
}

const PEM: &str = "-----BEGIN PRIVATE KEY-----\n";
/// SHA-256 of the token `abc`.
const SHORT: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const DIGEST: &str = "eba91913073d8dcb902eb61fbc41c3d9aa40d976cd9861864b5a5f5f45afe16f";

#[test]
fn defaults_are_those_of_the_domain() {
    let (config, _) = serve("", &[], &[]);
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.caps, Caps::default());
    assert_eq!(config.archive, ArchiveLimits::default());
    let expected = Api {
        listen: "127.0.0.1:8080".parse().unwrap(),
        auth: Auth::None,
        cors_origins: vec![],
        formats: vec![],
        trusted_proxies: Networks::default(),
        connections: 4096,
        connections_per_client: 256,
        header_time: Duration::from_secs(10),
        idle_time: Duration::from_secs(15),
        proxy_idle_time: Duration::from_secs(75),
        rate_per_second: 50,
        rate_burst: 200,
        streams: 2048,
        streams_per_owner: 20,
        ticket_key: None,
        ticket_lifetime: Duration::from_secs(24 * 3600),
        upload_url_lifetime: Duration::from_secs(900),
        upload_min_rate: 256 << 10,
        download_url_lifetime: Duration::from_secs(300),
        multipart_threshold_bytes: 64 << 20,
        part_size_bytes: 16 << 20,
        quota: cadmill_core::domain::quota::Quota { jobs: 1000, bytes: 1 << 40 },
        max_upload_bytes: 8 << 30,
        page: true,
        require_cleanup: true,
    };
    assert_eq!(config.api, expected);
    let worker = &config.worker;
    assert!(worker.concurrency >= 1 && worker.name.len() > 8, "{worker:?}");
    assert_eq!((worker.memory_bytes, worker.nice, worker.allow_disk), (None, 10, false));
    assert_eq!((worker.stop_within, &worker.workspace), (Duration::from_secs(25), &"/dev/shm".into()));
    assert_eq!((config.backend, config.data_dir), (Backend::Embedded, "cadmill-data".into()));
    assert_eq!(config.log, Log { json: false, level: "info".into() });
    assert_eq!(config.metrics, Metrics { listen: None, emf: false });
    assert_eq!(config.embedded_s3_listen, "127.0.0.1:0".parse().unwrap());
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let text = "job.lease = '10s'\njob.max_attempts = 5\njob.linger = '1h'\n";
    let environment = [("CADMILL_JOB_LEASE", "20s"), ("CADMILL_JOB_MAX_ATTEMPTS", "6")];
    let (config, settings) = serve(text, &environment, &["--job-lease", "40s"]);
    let policy = config.policy;
    assert_eq!((policy.lease, policy.max_attempts, policy.linger), (40_000, 6, 3_600_000));
    assert_eq!(*settings.origin(Id::JobLease), Origin::Flag("--job-lease".into()));
    assert_eq!(*settings.origin(Id::JobMaxAttempts), Origin::Environment("CADMILL_JOB_MAX_ATTEMPTS".into()));
    assert!(matches!(settings.origin(Id::JobLinger), Origin::File { line: 3, .. }));
    assert_eq!(*settings.origin(Id::JobRecord), Origin::Default);
}

#[test]
fn metrics_are_on_loopback_if_only_a_port_is_given() {
    for (text, expected) in [
        ("9464", "127.0.0.1:9464"),
        ("0.0.0.0:9464", "0.0.0.0:9464"),
        ("[::1]:0", "[::1]:0"),
        ("0", "127.0.0.1:0"),
    ] {
        let (config, _) = serve(&format!("metrics.listen = '{text}'"), &[], &[]);
        assert_eq!(config.metrics.listen, Some(expected.parse().unwrap()), "{text}");
    }
    for bad in ["", ":9464", "localhost:9464", "65536", "-1"] {
        let text = format!("metrics.listen = '{bad}'");
        assert_eq!(problems(Program::Serve, &text, &[], &[]).len(), 1, "{bad}");
    }
    // The worker of `cadmill serve` takes the next port.
    let (config, _) = serve("metrics.listen = '9464'", &[], &[]);
    assert_eq!(config.metrics.of_next(), Some("127.0.0.1:9465".parse().unwrap()));
    let (config, _) = serve("metrics.listen = '0'", &[], &[]);
    assert_eq!(config.metrics.of_next(), config.metrics.listen);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = "backend = 'aws'\ns3.bucket = 'b'\njob.leese = '3s'\nworker.nice = 40\napi.part_size = '1M'\n";
    let environment = [("CADMILL_API_LISTEN", "0.0.0.0:80"), ("CADMILL_WORKER_MEMRY", "1G")];
    let found = problems(Program::Serve, text, &environment, &["--job-retention", "1m"]);
    assert_eq!(
        found,
        [
            "api.part_size (c.toml:5): found \"1M\", expected a size such as 512M, from 5.00 MiB to 5.00 GiB",
            "job.leese (c.toml:3): no such key; did you mean job.lease?",
            "worker.nice (c.toml:4): found 40, expected a whole number from 0 to 19",
            "CADMILL_WORKER_MEMRY (env CADMILL_WORKER_MEMRY): no such key; did you mean CADMILL_WORKER_MEMORY?",
            "dynamodb.table (default): found nothing, expected a value, because backend is aws",
            "sqs.queue_url (default): found nothing, expected a value, because backend is aws",
            "api.auth (default): found none, expected tokens or oidc, because api.listen is 0.0.0.0:80, which others can reach",
            "job.retention (flag --job-retention): found 1m, expected at least api.download_url_lifetime, which is 5m",
        ]
    );
}

#[test]
fn contradictions_are_told_by_key() {
    for (text, key) in [
        ("s3.access_key = 'a'", "s3.secret_key"),
        ("s3.secret_key = 'a'", "s3.access_key"),
        ("api.auth = 'tokens'", "api.tokens"),
        (&format!("api.tokens = ['me:{DIGEST}']"), "api.auth"),
        (&format!("api.auth = 'tokens'\napi.tokens = ['me:{DIGEST}', 'you:{DIGEST}']"), "api.tokens"),
        (&format!("api.auth = 'tokens'\napi.tokens = ['me:{DIGEST}', 'you:{SHORT}']"), "api.tokens"),
        ("api.auth = 'oidc'\napi.oidc.issuer = 'https://a'", "api.oidc.audience"),
        ("api.rate_burst = 1", "api.rate_burst"),
        ("metrics.listen = 8080", "metrics.listen"),
        ("metrics.listen = '127.0.0.1:8080'", "metrics.listen"),
        ("metrics.listen = '8079'", "metrics.listen"),
        ("metrics.listen = '65535'", "metrics.listen"),
        ("api.connections_per_client = 5000", "api.connections_per_client"),
        ("embedded.s3_connections_per_client = 2000", "embedded.s3_connections_per_client"),
        ("api.trusted_proxies = ['0.0.0.0/0']", "api.trusted_proxies"),
        ("api.trusted_proxies = ['10.0.0.0/8', '10.0.0.1/8']", "api.trusted_proxies"),
        ("job.upload_window = '1m'", "job.upload_window"),
        ("job.linger = '1m'", "job.linger"),
        ("job.record = '40m'", "job.record"),
        ("worker.memory = '1G'", "worker.memory"),
        ("audit.sinks = ['file', 's3']", "audit.bucket"),
        ("s3.bucket = 'files'\naudit.sinks = ['s3']", "audit.bucket"),
        ("audit.lock = 'compliance'", "audit.lock"),
        ("audit.sign_with = 'key'", "audit.key_file"),
        ("audit.sign_with = 'kms'", "audit.kms_key"),
        ("audit.key_file = '/k'", "audit.key_file"),
        (&format!("audit.key = '''{PEM}'''"), "audit.key"),
        ("audit.sinks = []", "audit.sinks"),
        ("audit.sinks = ['file', 'file']", "audit.sinks"),
        ("audit.sinks = ['floppy']", "audit.sinks"),
        ("sqs.queue_url = 'http://q'\nsqs.dead_letter_url = 'http://q'", "sqs.dead_letter_url"),
    ] {
        let found = problems(Program::Serve, text, &[], &[]);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{key} (")), "{text}: {found:?}");
    }
    // If the bound itself is invalid, the values that it bounds are not checked.
    let found = problems(Program::Serve, "api.auth = 'nobody'\napi.listen = '0.0.0.0:1'", &[], &[]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_program_is_judged_by_what_it_uses() {
    let text = "s3.endpoint = 'http://s'\napi.listen = '0.0.0.0:80'";
    assert!(load_with(Program::Worker, text, &[], &[]).is_ok());
    assert_eq!(problems(Program::Api, text, &[], &[]).len(), 1);
    // Who writes no plaintext may keep no ledgers.
    let none = "s3.endpoint = 'http://s'\naudit.sinks = ['none']";
    for program in [Program::Api, Program::Cleanup] {
        assert_eq!(load_with(program, none, &[], &[]).unwrap().0.audit.sinks, []);
    }
    for (program, text) in [
        (Program::Worker, none),
        (Program::Serve, none),
        (Program::Api, "s3.endpoint = 'http://s'\naudit.sinks = ['none', 'file']"),
    ] {
        let found = problems(program, text, &[], &[]);
        assert!(found.len() == 1 && found[0].starts_with("audit.sinks ("), "{program:?}: {found:?}");
    }
    let found = problems(Program::Worker, "", &[], &[]);
    assert!(found.len() == 1 && found[0].starts_with("s3.endpoint (default)"), "{found:?}");
}

#[test]
fn endpoints_stand_in_for_one_another() {
    let (config, _) = serve("aws.endpoint = 'http://e'", &[], &[]);
    assert_eq!(config.s3.public_endpoint.as_deref(), Some("http://e"));
    let (config, _) = serve("aws.endpoint = 'http://e'\ns3.endpoint = 'http://s'", &[], &[]);
    assert_eq!(config.s3.endpoint.as_deref(), Some("http://s"));
    assert_eq!(config.s3.public_endpoint.as_deref(), Some("http://s"));
}

/// A value for each key, other than its default.
fn other_values() -> Vec<(&'static str, String)> {
    let other = |path: &str| {
        Some(match path {
            "backend" => "aws".to_owned(),
            "log.format" => "json".to_owned(),
            "log.level" => "debug".to_owned(),
            "api.listen" | "embedded.s3_listen" => "[::1]:81".to_owned(),
            "api.auth" => "tokens".to_owned(),
            "api.tokens" => format!("a:b:{DIGEST},c:{}:auditor", DIGEST.replace('b', "c")),
            "api.formats" => "vnd,Vendor-2".to_owned(),
            "api.cors_origins" => "https://a.example,http://b.example:81".to_owned(),
            "worker.allow_disk" => super::key::DISK_WORDS.to_owned(),
            "worker.min_posture" => "isolated".to_owned(),
            "worker.private_workspace" => "required".to_owned(),
            "worker.concurrency" | "worker.nice" => "7".to_owned(),
            "worker.memory" | "limits.memory" => "5G".to_owned(),
            "audit.sinks" => "stdout,s3".to_owned(),
            "audit.lock" => "compliance".to_owned(),
            "audit.lock_for" => "9d".to_owned(),
            "audit.sign_with" => "key".to_owned(),
            "audit.key" => format!("{PEM}abc\n"),
            "s3.path_style" | "metrics.emf" => "true".to_owned(),
            "metrics.listen" => "[::1]:90".to_owned(),
            "job.require_cleanup" | "api.page" => "false".to_owned(),
            "job.record" => "8d".to_owned(),
            "job.lease" => "1500ms".to_owned(),
            "job.max_attempts" | "limits.max_entries" | "limits.max_ratio" => "77".to_owned(),
            "api.trusted_proxies" => "10.0.0.0/8,2001:db8::/32".to_owned(),
            "api.connections" | "embedded.s3_connections" => "900".to_owned(),
            "api.connections_per_client" | "embedded.s3_connections_per_client" => "90".to_owned(),
            "api.rate_per_second" => "76".to_owned(),
            "api.rate_burst" | "api.owner_jobs" | "api.streams" | "api.streams_per_owner" => "78".to_owned(),
            "data_dir" | "worker.workspace" => "/tmp/\"quoted\\ \u{fc}\"".to_owned(),
            _ => return None,
        })
    };
    KEYS.iter()
        .map(|key| {
            let by_kind = match word(key.kind).as_str() {
                "size" => "100M".to_owned(),
                "duration" => "59m 59s".to_owned(),
                "URL" => format!("http://{}/x", key.path),
                _ => format!("{} #=\"' x", key.path),
            };
            (key.path, other(key.path).unwrap_or(by_kind))
        })
        .collect()
}

#[test]
fn what_is_printed_reads_back_to_the_same_values() {
    let variables: Vec<(&str, String)> =
        KEYS.iter().zip(other_values()).map(|(key, (_, value))| (key.variable(), value)).collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let (config, settings) = serve("", &variables, &[]);
    for key in KEYS {
        let default = match key.default {
            KeyDefault::Value(text) => key.kind.parse(text),
            _ => None,
        };
        assert!(settings.value(key.id) != default.as_ref(), "{} has its default", key.path);
    }
    let printed = settings.to_toml();
    assert!(printed.contains("job.lease = \"1s 500ms\"  # env CADMILL_JOB_LEASE\n"), "{printed}");
    // Only the secrets are not printed, so they must be given again.
    let secrets = [
        ("CADMILL_S3_SECRET_KEY", config.s3.keys.as_ref().unwrap().1.expose()),
        ("CADMILL_API_TICKET_KEY", config.api.ticket_key.as_ref().unwrap().expose()),
    ];
    let (again, from_file) = serve(&printed, &secrets, &[]);
    assert_eq!(again, config);
    assert!(matches!(from_file.origin(Id::JobLease), Origin::File { .. }));
    assert_eq!(
        parse(&settings.to_toml(), Program::Serve).unwrap_err().0.len(),
        1,
        "the secret key is missed"
    );
    // The defaults can be read back too, except those that differ from one start to the next.
    let (config, settings) = serve("", &[], &[]);
    assert_eq!(serve(&settings.to_toml(), &[], &[]).0, config);
}

#[test]
fn a_child_gets_the_same_values_by_its_environment() {
    let text = format!(
        "backend = 'aws'\ns3.bucket = 'b'\ndynamodb.table = 't'\nsqs.queue_url = 'http://q'\napi.auth = 'tokens'\n\
         api.tokens = ['me:{DIGEST}']\ns3.access_key = 'a'\ns3.secret_key = 'hunter2'\nworker.name = 'w'\nlimits.memory = '100M'"
    );
    let (config, settings) = serve(&text, &[], &["--job-lease", "9s"]);
    let environment = settings.to_environment(Program::Worker);
    assert!(!environment.iter().any(|(name, _)| *name == "CADMILL_API_TOKENS"), "{environment:?}");
    let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let (child, _) = load_with(Program::Worker, "", &environment, &[]).unwrap();
    assert_eq!((child.worker, child.s3, child.policy), (config.worker, config.s3, config.policy));
    assert_eq!((child.caps, child.backend), (config.caps, config.backend));
}

/// The worker does not know the lifetimes of URLs, so it does not judge by their defaults.
#[test]
fn a_child_accepts_what_its_parent_accepts() {
    let lifetimes = ["--api-download-url-lifetime", "10s", "--api-upload-url-lifetime", "20s"];
    let times = ["--job-retention", "45s", "--job-linger", "30s", "--job-upload-window", "1m"];
    let (config, settings) = serve("", &[], &[&lifetimes[..], &times].concat());
    let mut environment = settings.to_environment(Program::Worker);
    environment.push(("CADMILL_S3_ENDPOINT", "http://127.0.0.1:9".to_owned()));
    let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let (child, _) = load_with(Program::Worker, "", &environment, &[]).unwrap();
    assert_eq!(child.policy, config.policy);
}

#[test]
fn secrets_are_never_shown() {
    let text = "s3.access_key = 'a'\ns3.secret_key = 'hunter2'\n";
    let (config, settings) = serve(text, &[], &[]);
    assert_eq!(config.s3.keys.as_ref().unwrap().1.expose(), "hunter2");
    let printed = settings.to_toml();
    assert!(printed.contains("# s3.secret_key = \"(set)\"  # "), "{printed}");
    let text = format!("audit.sign_with = 'key'\naudit.key = '''{PEM}hunter2'''");
    let (with_key, key_settings) = serve(&text, &[], &[]);
    let SignWith::Pem(pem) = &with_key.audit.sign_with else { panic!("{:?}", with_key.audit) };
    assert!(pem.expose().ends_with("hunter2"));
    let printed = printed + &key_settings.to_toml() + &format!("{with_key:?}{key_settings:?}");
    let wrong = problems(
        Program::Serve,
        "s3.secret_key = ['hunter2']\n[s3.secret_kee]\nhunter = 'hunter2'",
        &[
            ("CADMILL_S3_SECRET_KEY", "hunter2\n"),
            ("CADMILL_SECRET", "hunter2"),
            ("CADMILL_AUDIT_KEY", "hunter2"),
            ("CADMILL_API_TOKENS", "me:hunter2"),
        ],
        &[],
    );
    assert!(wrong.len() >= 4, "{wrong:?}");
    for shown in [printed, format!("{config:?}{settings:?}"), wrong.join("\n")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_beside_the_rest() {
    let command = augment(clap::Command::new("x"), Program::Serve);
    let matches =
        command.try_get_matches_from(["x", "--config", "/nonexistent", "--job-lease", "soon"]).unwrap();
    let error = load_from(&matches, std::iter::empty(), Program::Serve).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error.contains("/nonexistent") && error.contains("\"soon\""), "{error}");
}

const TABLE_HEAD: &str =
    "| key | environment | type | default | used by | meaning |\n|---|---|---|---|---|---|\n";

/// The documented table equals the table in the code. With `UPDATE_DOCS=1` in the environment the
/// test writes the document instead.
#[test]
fn documented_table_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CONFIGURATION.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (head, _) = document.split_once(TABLE_HEAD).expect("docs/CONFIGURATION.md has the table's head");
    let rows: String = KEYS.iter().map(row).collect();
    let expected = format!("{head}{TABLE_HEAD}{rows}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == expected,
        "docs/CONFIGURATION.md is out of date: UPDATE_DOCS=1 cargo test -p cadmill-stores"
    );
}

fn row(key: &super::key::Key) -> String {
    let default = match key.default {
        KeyDefault::Value("") => "empty".to_owned(),
        KeyDefault::Value(text) => format!("`{text}`"),
        KeyDefault::Unset(meaning) | KeyDefault::Machine(meaning, _) => meaning.to_owned(),
    };
    let uses = match key.uses {
        [Program::Serve] => "serve",
        [Program::Api, Program::Serve] => "API",
        [Program::Worker, Program::Serve] => "worker",
        [Program::Api, Program::Cleanup, Program::Serve] => "API, cleanup",
        [Program::Cleanup, Program::Serve] => "cleanup",
        _ => "all",
    };
    let (path, variable, kind) = (key.path, key.variable(), word(key.kind));
    format!("| `{path}` | `{variable}` | {kind} | {default} | {uses} | {}. |\n", key.help)
}

/// The description of a kind in the documented table.
fn word(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Secret => "secret".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Flag => "true or false".to_owned(),
        Kind::Count { min, max } => format!("{min} to {max}"),
        Kind::Size { .. } => "size".to_owned(),
        Kind::SizeOrAuto { .. } => "size or `auto`".to_owned(),
        Kind::Duration { .. } => "duration".to_owned(),
        Kind::Address => "address".to_owned(),
        Kind::AddressOrPort => "address or port".to_owned(),
        Kind::Url => "URL".to_owned(),
        Kind::Origins => "list of origins".to_owned(),
        Kind::Formats => "list of formats".to_owned(),
        Kind::Networks => "list of networks".to_owned(),
        Kind::Tokens => "list of OWNER:SHA256 or OWNER:SHA256:auditor".to_owned(),
        Kind::Words(words) => {
            format!("list of {}", words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "))
        }
        Kind::Pem => "PEM, secret".to_owned(),
    }
}
