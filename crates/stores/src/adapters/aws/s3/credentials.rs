//! The credentials that sign presigned requests.
//!
//! A presigned URL ends when the credentials that signed it do, whatever its own lifetime says
//! (Amazon S3 User Guide, "Download and upload objects with presigned URLs: expiration time"). The
//! credentials of an ECS task last for hours, and the SDK replaces them only seconds before their
//! end. Here they are replaced as early as one URL lives; where the provider has no later ones yet,
//! the URL gets the lifetime that is left.

use super::super::error::lost;
use crate::adapters::aws::error::Effect;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::PortResult;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Default of [`SigningCredentials::with_url_lifetime`]: that of `api.upload_url_lifetime`.
const URL_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// How much longer than one URL the credentials should last.
const MARGIN: Duration = Duration::from_secs(60);

/// Minimum pause between two requests to the provider, which may have no later credentials yet.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a provider is asked for others when the current ones are about to end.
const TRIES: u32 = 5;

/// Minimum lifetime of a URL that is worth signing, in milliseconds.
const LEAST: Millis = 2000;

/// Signs with credentials that are replaced early. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct SigningCredentials {
    provider: Option<SharedCredentialsProvider>,
    current: Arc<RwLock<Option<Credentials>>>,
    /// When the provider was last asked; held while it is asked.
    asked: Arc<tokio::sync::Mutex<Option<Instant>>>,
    ahead: Duration,
}

impl SigningCredentials {
    pub(super) fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self { provider, current: Arc::default(), asked: Arc::default(), ahead: URL_LIFETIME + MARGIN }
    }

    /// Sets the longest lifetime of the URLs to be signed.
    pub(super) fn with_url_lifetime(self, lifetime: Duration) -> Self {
        Self { ahead: lifetime + MARGIN, ..self }
    }

    /// Obtains credentials that last for one URL from `now` on, if the provider has them. Returns
    /// when the current ones expire, `None` if they do not.
    ///
    /// # Errors
    /// [`cadmill_core::ports::PortError::Unavailable`] if there are none, or if they are about to
    /// expire.
    pub(super) async fn ready(&self, operation: &'static str, now: Millis) -> PortResult<Option<Millis>> {
        let lasts = |expiry: Option<Option<Millis>>, until: Millis| match expiry {
            Some(Some(expiry)) => expiry >= until,
            Some(None) => true,
            None => false,
        };
        let ahead = u64::try_from(self.ahead.as_millis()).unwrap_or(u64::MAX);
        if !lasts(self.expiry(), now.saturating_add(ahead)) {
            self.replace(now.saturating_add(ahead)).await;
        }
        // A provider that gives the next credentials only when these end is asked until it does.
        for _ in 0..TRIES {
            if self.expiry().is_none() || lasts(self.expiry(), now + LEAST) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            self.replace(now.saturating_add(ahead)).await;
        }
        match self.expiry() {
            expiry if lasts(expiry, now + LEAST) => Ok(expiry.flatten()),
            Some(_) => Err(lost(operation, Effect::Read, "the credentials are about to expire")),
            None => Err(lost(operation, Effect::Read, "no credentials")),
        }
    }

    /// Asks the provider, unless another call has just done it.
    async fn replace(&self, until: Millis) {
        let Some(provider) = &self.provider else { return };
        let mut asked = self.asked.lock().await;
        let is_recent = asked.is_some_and(|asked| asked.elapsed() < PAUSE);
        if is_recent && self.current().is_some() || self.expiry().flatten().is_some_and(|at| at >= until) {
            return;
        }
        *asked = Some(Instant::now());
        match provider.provide_credentials().await {
            Ok(credentials) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(credentials);
            }
            // The current credentials are used until their end. The error may name an endpoint.
            Err(_) => tracing::warn!("the credentials that sign URLs could not be renewed"),
        }
    }

    fn current(&self) -> Option<Credentials> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn expiry(&self) -> Option<Option<Millis>> {
        let expiry = |time: std::time::SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
        };
        self.current().map(|credentials| credentials.expiry().map(expiry))
    }
}

impl ProvideCredentials for SigningCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let none = || CredentialsError::not_loaded("no credentials have been obtained");
        future::ProvideCredentials::ready(self.current().ok_or_else(none))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_core::ports::PortError;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    const MINUTE: Millis = 60_000;
    const NOW: Millis = 1_800_000_000_000;

    /// Gives the listed credentials, by key and expiry, and then none.
    #[derive(Debug)]
    struct Listed(Mutex<Vec<(&'static str, Option<Millis>)>>, AtomicU32);

    impl Listed {
        fn of(list: &[(&'static str, Option<Millis>)]) -> Arc<Self> {
            let list = list.iter().rev().copied().collect();
            Arc::new(Self(Mutex::new(list), AtomicU32::new(0)))
        }
    }

    #[derive(Debug)]
    struct Shared(Arc<Listed>);

    impl ProvideCredentials for Shared {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.0.1.fetch_add(1, Ordering::Relaxed);
            let next = self.0.0.lock().unwrap().pop();
            let made = next.map(|(key, expiry)| {
                let expiry = expiry.map(|at| UNIX_EPOCH + Duration::from_millis(at));
                Credentials::new(key, "secret", Some("token".to_owned()), expiry, "test")
            });
            future::ProvideCredentials::ready(made.ok_or_else(|| CredentialsError::not_loaded("none")))
        }
    }

    fn signing(listed: &Arc<Listed>) -> SigningCredentials {
        SigningCredentials::new(Some(SharedCredentialsProvider::new(Shared(Arc::clone(listed)))))
    }

    async fn key(signing: &SigningCredentials) -> String {
        signing.provide_credentials().await.unwrap().access_key_id().to_owned()
    }

    #[tokio::test]
    async fn credentials_are_replaced_as_early_as_a_url_lives() {
        let listed = Listed::of(&[("first", Some(NOW + 60 * MINUTE)), ("second", Some(NOW + 400 * MINUTE))]);
        let signing = signing(&listed).with_url_lifetime(Duration::from_secs(15 * 60));
        for (now, expiry, known) in [
            (NOW, 60, "first"),
            (NOW + 44 * MINUTE, 60, "first"),
            // The SDK would keep the first ones until their last seconds.
            (NOW + 45 * MINUTE, 400, "second"),
        ] {
            *signing.asked.lock().await = None;
            assert_eq!(signing.ready("x", now).await, Ok(Some(NOW + expiry * MINUTE)));
            assert_eq!(key(&signing).await, known);
        }
        assert_eq!(listed.1.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn credentials_that_end_early_are_told_and_not_asked_for_all_the_time() {
        let listed = Listed::of(&[("first", Some(NOW + 5 * MINUTE))]);
        let signing = signing(&listed);
        for _ in 0..50 {
            assert_eq!(signing.ready("x", NOW).await, Ok(Some(NOW + 5 * MINUTE)));
        }
        assert_eq!(listed.1.load(Ordering::Relaxed), 1);
        // The provider fails: the current ones are used until they are useless.
        *signing.asked.lock().await = None;
        assert_eq!(signing.ready("x", NOW + 4 * MINUTE).await, Ok(Some(NOW + 5 * MINUTE)));
        let late = signing.ready("x", NOW + 5 * MINUTE - 1000).await;
        assert!(
            matches!(&late, Err(PortError::Unavailable { reason, .. }) if reason.contains("expire")),
            "{late:?}"
        );
    }

    #[tokio::test]
    async fn in_the_last_second_of_the_credentials_the_next_ones_are_waited_for() {
        let first = ("first", Some(NOW + 5 * MINUTE));
        let listed = Listed::of(&[first, first, first, ("second", Some(NOW + 60 * MINUTE))]);
        let signing = signing(&listed);
        assert_eq!(signing.ready("x", NOW).await, Ok(first.1));
        let late = signing.ready("x", NOW + 5 * MINUTE - 1000).await;
        assert_eq!((late, key(&signing).await.as_str()), (Ok(Some(NOW + 60 * MINUTE)), "second"));
    }

    #[tokio::test]
    async fn keys_without_an_end_are_asked_for_once() {
        let listed = Listed::of(&[("fixed", None)]);
        let signing = signing(&listed);
        for now in [NOW, NOW * 2] {
            assert_eq!(signing.ready("x", now).await, Ok(None));
        }
        assert_eq!(listed.1.load(Ordering::Relaxed), 1);
        let none = SigningCredentials::new(None).ready("x", NOW).await;
        assert!(matches!(none, Err(PortError::Unavailable { .. })), "{none:?}");
    }
}
