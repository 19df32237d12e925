//! Checks for values that are valid on their own but contradict each other.

use super::key::Id;
use super::kind::Value;
use super::problem::Problem;
use super::program::Program;
use super::settings::Settings;
use super::values::{Auth, Backend, Config, SinkKind};
use super::weak;
use cadmill_core::domain::limits::display_size;
use std::net::SocketAddr;
use std::time::Duration;

/// Returns every contradiction between keys that this program uses.
pub(super) fn contradictions(config: &Config, settings: &Settings, asks_server: bool) -> Vec<Problem> {
    let mut check = Check { settings, problems: Vec::new() };
    storage(&mut check, config, asks_server);
    auth(&mut check, config);
    rates(&mut check, config);
    times(&mut check, config);
    audit(&mut check, config);
    metrics(&mut check, config);
    let budget = config.worker.memory_bytes.unwrap_or(u64::MAX);
    check.that(budget >= config.caps.memory_bytes, &[Id::WorkerMemory, Id::LimitsMemory], || {
        format!(
            "found {}, expected at least limits.memory, which is {}",
            display_size(budget),
            display_size(config.caps.memory_bytes)
        )
    });
    check.problems
}

struct Check<'a> {
    settings: &'a Settings,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Reports a problem of the first of these keys unless `holds`. Reports nothing if this
    /// program does not use all of the keys, because it does not know the value that others have,
    /// or if one of the keys has a bad value already.
    fn that(&mut self, holds: bool, keys: &[Id], text: impl FnOnce() -> String) {
        let [first, ..] = keys else { return };
        let judged = keys.iter().all(|key| key.key().uses.contains(&self.settings.binary()))
            && !keys.iter().any(|key| self.settings.is_faulty(*key));
        if judged && !holds {
            let origin = self.settings.origin(*first).clone();
            self.problems.push(Problem { key: first.key().path.to_owned(), origin, text: text() });
        }
    }

    /// Whether the key has a value, valid or not.
    fn given(&self, id: Id) -> bool {
        self.settings.value(id).is_some() || self.settings.is_faulty(id)
    }

    fn needed(&mut self, needed: bool, id: Id, because: Id, reason: &str) {
        let given = self.given(id);
        self.that(!needed || given, &[id, because], || {
            format!("found nothing, expected a value, because {reason}")
        });
    }
}

fn storage(check: &mut Check<'_>, config: &Config, asks_server: bool) {
    let aws = config.backend == Backend::Aws;
    for id in [Id::S3Bucket, Id::DynamodbTable, Id::SqsQueueUrl] {
        check.needed(aws, id, Id::Backend, "backend is aws");
    }
    let (access, secret) = (check.given(Id::S3AccessKey), check.given(Id::S3SecretKey));
    check.needed(access, Id::S3SecretKey, Id::S3AccessKey, "s3.access_key is set");
    check.needed(secret, Id::S3AccessKey, Id::S3SecretKey, "s3.secret_key is set");
    // The embedded store runs inside `cadmill serve`; other programs need its endpoint.
    let apart = !aws && asks_server && check.settings.binary() != Program::Serve;
    let reason =
        "backend is embedded, whose store runs inside `cadmill serve`; set backend = \"aws\" otherwise";
    check.needed(apart, Id::S3Endpoint, Id::Backend, reason);
    let (queue, dead) = (&config.sqs.queue_url, &config.sqs.dead_letter_url);
    check.that(queue.is_none() || queue != dead, &[Id::SqsDeadLetterUrl, Id::SqsQueueUrl], || {
        "found the same as sqs.queue_url, expected another queue".to_owned()
    });
}

fn auth(check: &mut Check<'_>, config: &Config) {
    let listen = config.api.listen;
    let none = config.api.auth == Auth::None;
    check.that(!none || listen.ip().is_loopback(), &[Id::ApiAuth, Id::ApiListen], || {
        format!("found none, expected tokens or oidc, because api.listen is {listen}, which others can reach")
    });
    let tokens = matches!(check.settings.value(Id::ApiTokens), Some(Value::List(items)) if !items.is_empty());
    let issuer = check.given(Id::ApiOidcIssuer);
    check.that(!none || !tokens && !issuer, &[Id::ApiAuth, Id::ApiTokens, Id::ApiOidcIssuer], || {
        let set = if tokens { "api.tokens" } else { "api.oidc.issuer" };
        format!("found none, expected tokens or oidc, because {set} is set")
    });
    if let Auth::Tokens(tokens) = &config.api.auth {
        check.that(!tokens.is_empty(), &[Id::ApiTokens, Id::ApiAuth], || {
            "found no token, expected at least one, because api.auth is tokens".to_owned()
        });
        let mut digests: Vec<&String> = tokens.iter().map(|token| &token.sha256).collect();
        digests.sort();
        let owned: Vec<(&str, &str)> =
            tokens.iter().map(|token| (token.owner.as_str(), token.sha256.as_str())).collect();
        // The search takes a moment, so it runs only in programs that use the tokens.
        let judged = Id::ApiTokens.key().uses.contains(&check.settings.binary());
        let weak = judged.then(|| weak::find(&owned)).flatten();
        check.that(weak.is_none(), &[Id::ApiTokens, Id::ApiAuth], || {
            let (number, length) = weak.unwrap_or_default();
            format!(
                "found the SHA-256 of a token of {length} characters as item {}, expected a random token of at least 32",
                number + 1
            )
        });
        let twice = digests.windows(2).any(|pair| pair[0] == pair[1]);
        check.that(!twice, &[Id::ApiTokens, Id::ApiAuth], || {
            "found one SHA-256 twice, expected each once, because a token has one owner".to_owned()
        });
    }
    let oidc = matches!(config.api.auth, Auth::Oidc(_));
    for id in [Id::ApiOidcIssuer, Id::ApiOidcAudience] {
        check.needed(oidc, id, Id::ApiAuth, "api.auth is oidc");
    }
}

fn audit(check: &mut Check<'_>, config: &Config) {
    let words = match check.settings.value(Id::AuditSinks) {
        Some(Value::List(words)) => words.as_slice(),
        _ => &[],
    };
    let none = words.iter().any(|word| word == "none");
    check.that(!none || words.len() == 1, &[Id::AuditSinks], || {
        "found none with others, expected none or others".to_owned()
    });
    let works = [Program::Worker, Program::Serve].contains(&check.settings.binary());
    check.that(!none || !works, &[Id::AuditSinks], || {
        "found none, expected a sink, because a worker makes no plaintext without a ledger".to_owned()
    });
    let s3 = config.audit.sinks.contains(&SinkKind::S3);
    let bucket = config.audit.bucket.is_some();
    let reason = "audit.sinks has s3, and ledgers do not belong into the bucket of files that are deleted";
    check.needed(s3 && !bucket, Id::AuditBucket, Id::AuditSinks, reason);
    check.that(s3 || config.audit.lock.is_none(), &[Id::AuditLock, Id::AuditSinks], || {
        "found a lock, expected none, because audit.sinks has no s3".to_owned()
    });
    let signs =
        |word: &str| matches!(check.settings.value(Id::AuditSignWith), Some(Value::Text(t)) if t == word);
    let (key, kms) = (signs("key"), signs("kms"));
    let given = check.given(Id::AuditKey);
    check.needed(key && !given, Id::AuditKeyFile, Id::AuditSignWith, "audit.sign_with is key");
    check.needed(kms, Id::AuditKmsKey, Id::AuditSignWith, "audit.sign_with is kms");
    for id in [Id::AuditKeyFile, Id::AuditKey] {
        let idle = check.given(id) && !key && !kms;
        check.that(!idle, &[id, Id::AuditSignWith], || {
            "found a key, expected none, because audit.sign_with is nothing".to_owned()
        });
    }
}

fn metrics(check: &mut Check<'_>, config: &Config) {
    let listen = config.metrics.listen;
    let taken = |address: Option<SocketAddr>| {
        address.is_some_and(|address| address.port() != 0 && address.port() == config.api.listen.port())
    };
    check.that(!taken(listen), &[Id::MetricsListen, Id::ApiListen], || {
        "found the port of api.listen, expected another".to_owned()
    });
    let serves = check.settings.binary() == Program::Serve;
    let next = config.metrics.of_next();
    check.that(
        !serves || listen.is_none() || next.is_some() && !taken(next),
        &[Id::MetricsListen, Id::ApiListen],
        || {
            "found a port whose next is not free, expected two free ports: the worker takes the next"
                .to_owned()
        },
    );
}

fn rates(check: &mut Check<'_>, config: &Config) {
    let (rate, burst) = (config.api.rate_per_second, config.api.rate_burst);
    let pairs = [
        (Id::ApiConnectionsPerClient, Id::ApiConnections, "api.connections"),
        (Id::EmbeddedS3ConnectionsPerClient, Id::EmbeddedS3Connections, "embedded.s3_connections"),
    ];
    for (one, all, name) in pairs {
        let number = |id| match check.settings.value(id) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        };
        let (found, most) = (number(one), number(all));
        // A default that exceeds a small total is lowered later, so only set values are checked.
        check.that(!check.settings.is_set(one) || found <= most, &[one, all], || {
            format!("found {found}, expected at most {name}, which is {most}")
        });
    }
    check.that(burst >= rate, &[Id::ApiRateBurst, Id::ApiRatePerSecond], || {
        format!("found {burst}, expected at least api.rate_per_second, which is {rate}")
    });
}

fn times(check: &mut Check<'_>, config: &Config) {
    let policy = &config.policy;
    let [window, retention, linger, record] =
        [policy.upload_window, policy.retention, policy.linger, policy.record].map(Duration::from_millis);
    let (upload, download) = (config.api.upload_url_lifetime, config.api.download_url_lifetime);
    let mut at_least = |id: Id, found: Duration, bound: Duration, what: &str, keys: [Id; 2]| {
        check.that(found >= bound, &[id, keys[0], keys[1]], || {
            let [found, bound] = [found, bound].map(humantime::format_duration);
            format!("found {found}, expected at least {what}, which is {bound}")
        });
    };
    let (up, down) = (Id::ApiUploadUrlLifetime, Id::ApiDownloadUrlLifetime);
    at_least(Id::JobUploadWindow, window, upload, "api.upload_url_lifetime", [up, up]);
    at_least(Id::JobRetention, retention, download, "api.download_url_lifetime", [down, down]);
    // An upload URL that is still valid when a job ends can create an object once more.
    at_least(Id::JobLinger, linger, upload, "api.upload_url_lifetime", [up, up]);
    let end = retention + linger;
    at_least(
        Id::JobRecord,
        record,
        end,
        "job.retention and job.linger together",
        [Id::JobRetention, Id::JobLinger],
    );
}
