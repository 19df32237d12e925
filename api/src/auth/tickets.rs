//! Tickets: what a client may have that must not have the owner's token, e.g. a page of the operator's own web
//! server. A ticket is for one job and a time, and is made for a request that has the token.
//!
//! It is a message authentication code of what it is for. The job itself is not in it: it is the one of the
//! request's path, so that a ticket for one job is nothing at another. Its time of creation is, because a client
//! may use an id again after the record has ended.

use crate::extract::no_such_job;
use crate::problem::Problem;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use aws_lc_rs::rand::SystemRandom;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{Job, Millis};

/// What every ticket begins with. No token of an identity provider does: those are base64url of `{"`.
const PREFIX: &str = "ct1.";

/// Shortest key, in characters.
pub const MIN_KEY_LENGTH: usize = 32;

/// What a ticket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To open the event stream of the job.
    Events,
    /// The upload, status, events, result and end of the job.
    Job,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Events => "e",
            Self::Job => "j",
        }
    }

    /// Whether such a ticket is for this route, by its template.
    pub fn allows(self, method: &str, route: &str) -> bool {
        let Some(rest) = route.strip_prefix("/api/jobs/{job_id}") else { return false };
        match self {
            Self::Events => (method, rest) == ("GET", "/events"),
            Self::Job => OF_A_JOB.contains(&(method, rest)),
        }
    }
}

/// What a ticket for a job is for. The audit is not among it, nor are other tickets for the job.
const OF_A_JOB: &[(&str, &str)] = &[
    ("DELETE", ""),
    ("POST", "/downloaded"),
    ("GET", "/events"),
    ("POST", "/events/ticket"),
    ("GET", "/status"),
    ("GET", "/uploads"),
    ("GET", "/uploads/parts"),
    ("POST", "/uploads/complete"),
    ("POST", "/uploads/abort"),
];

/// The key that tickets are made with.
pub struct Tickets(Key);

/// A ticket as it was sent, which may be anyone's invention.
pub struct Presented<'a> {
    scope: Scope,
    created: Millis,
    expires: Millis,
    code: &'a str,
}

impl<'a> Presented<'a> {
    /// `None` if the text has not the form of a ticket.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.split('.');
        let scope = match parts.next()? {
            "e" => Scope::Events,
            "j" => Scope::Job,
            _ => return None,
        };
        let mut number = || parts.next()?.parse().ok();
        let (created, expires) = (number()?, number()?);
        let code = parts.next()?;
        parts.next().is_none().then_some(Self { scope, created, expires, code })
    }

    /// What it says that it is for.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether it is for this job and not for an earlier one with its id.
    pub fn is_of(&self, job: &Job) -> bool {
        self.created == job.times.created
    }
}

impl Tickets {
    /// With this key, or with a random one: then only this process accepts them.
    ///
    /// # Errors
    /// A message, if the key is too short or there is no randomness.
    pub fn new(key: Option<&str>) -> Result<Self, String> {
        let key = match key {
            Some(text) if text.len() < MIN_KEY_LENGTH => {
                return Err(format!(
                    "api.ticket_key has {} characters, expected at least {MIN_KEY_LENGTH}",
                    text.len()
                ));
            }
            Some(text) => Key::new(HMAC_SHA256, text.as_bytes()),
            None => Key::generate(HMAC_SHA256, &SystemRandom::new())
                .map_err(|_| "the system gives no random numbers".to_owned())?,
        };
        Ok(Self(key))
    }

    /// A ticket for this job until a time.
    pub fn ticket(&self, scope: Scope, job: &Job, expires: Millis) -> String {
        let created = job.times.created;
        let code = sign(&self.0, message(scope, job.id, created, expires).as_bytes());
        format!("{PREFIX}{}.{created}.{expires}.{}", scope.as_str(), hex::encode(code))
    }

    /// Checks a ticket at a job, before the job is read.
    ///
    /// # Errors
    /// `job.not_found` for one that is not for this job, and `auth.expired`.
    pub fn check(&self, ticket: &Presented<'_>, id: JobId, now: Millis) -> Result<(), Problem> {
        let message = message(ticket.scope, id, ticket.created, ticket.expires);
        let code = hex::decode(ticket.code).unwrap_or_default();
        // In constant time.
        if verify(&self.0, message.as_bytes(), &code).is_err() {
            return Err(no_such_job());
        }
        match now < ticket.expires {
            true => Ok(()),
            false => Err(Problem::new(FailureCode::AuthExpired, "the ticket has expired")),
        }
    }
}

fn message(scope: Scope, id: JobId, created: Millis, expires: Millis) -> String {
    format!("cadmill ticket\n{}\n{id}\n{created}\n{expires}", scope.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_stores::conformance::job_store::new_job;

    const KEY: &str = "a-key-of-more-than-thirty-two-characters";

    #[test]
    fn a_ticket_is_for_one_job_and_a_time() {
        let tickets = Tickets::new(Some(KEY)).unwrap();
        let job = new_job(&"ann".parse().unwrap(), 1_000);
        let text = tickets.ticket(Scope::Job, &job, 9_000);
        assert!(!text.contains("ann") && !text.contains(&job.id.to_string()), "{text}");
        let code = |tickets: &Tickets, text: &str, id, now| {
            let ticket = Presented::parse(text).expect("a ticket");
            tickets.check(&ticket, id, now).err().map(|problem| problem.code())
        };
        assert_eq!(code(&tickets, &text, job.id, 8_999), None);
        assert_eq!(code(&tickets, &text, job.id, 9_000), Some("auth.expired"));
        assert_eq!(code(&tickets, &text, JobId::random(), 2), Some("job.not_found"));
        let other = Tickets::new(None).unwrap();
        assert_eq!(code(&other, &text, job.id, 2), Some("job.not_found"));
        for (from, to) in [(".j.", ".e."), (".1000.", ".1001."), (".9000.", ".9999."), ("ct1.j", "ct1.e")] {
            assert_eq!(code(&tickets, &text.replace(from, to), job.id, 2), Some("job.not_found"), "{to}");
        }
        assert_eq!(code(&tickets, &text[..text.len() - 2], job.id, 2), Some("job.not_found"));
        assert!(Presented::parse(&text).unwrap().is_of(&job));
        assert!(!Presented::parse(&text).unwrap().is_of(&new_job(&"ann".parse().unwrap(), 2_000)));
        assert!(Tickets::new(Some(&KEY[..31])).is_err());
    }

    #[test]
    fn what_is_no_ticket_is_not_taken_for_one() {
        for text in [
            "",
            "ct1.",
            "ct1.j",
            "ct1.j.1.2",
            "ct1.x.1.2.ab",
            "ct1.j.-1.2.ab",
            "ct1.j.1.2.ab.c",
            "eyJhbGci.a.b",
        ] {
            assert!(Presented::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn tickets_are_for_a_closed_list_of_routes() {
        let job = |method, rest: &str| Scope::Job.allows(method, &format!("/api/jobs/{{job_id}}{rest}"));
        assert!(job("GET", "/status") && job("DELETE", "") && job("POST", "/uploads/complete"));
        assert!(
            !job("GET", "/audit") && !job("POST", "/ticket") && !job("GET", "") && !job("POST", "/status")
        );
        for (method, route) in [("GET", "/api/jobs"), ("POST", "/api/jobs"), ("GET", "/api/events")] {
            assert!(!Scope::Job.allows(method, route) && !Scope::Events.allows(method, route));
        }
        assert!(Scope::Events.allows("GET", "/api/jobs/{job_id}/events"));
        assert!(!Scope::Events.allows("GET", "/api/jobs/{job_id}/status"));
    }
}
