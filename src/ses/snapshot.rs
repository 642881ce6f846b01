//! What was read of identities lately, with its age, so that a reconcile that finds nothing to do costs no call.
//!
//! The reader says how old an answer may be; nothing is decided here. What we write is folded in; a write that fails
//! makes its identity be read anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::ownership::CLUSTER;
use super::{Identity, IdentityChange, IdentityKey, IdentityService, MailFrom, NewIdentity, VerificationStatus};
use crate::clock::Clock;
use crate::cloud::CloudError;

/// An identity service and what was read from it lately.
#[derive(Debug)]
pub struct Identities<S> {
    service: S,
    clock: Clock,
    known: Mutex<HashMap<IdentityKey, (Timestamp, Option<Identity>)>>,
}

impl<S: IdentityService> Identities<S> {
    /// A service of which nothing has been read yet.
    pub fn new(service: S, clock: Clock) -> Self {
        Self { service, clock, known: Mutex::new(HashMap::new()) }
    }

    /// The identity as it was at `not_before` or later, and when it was read.
    ///
    /// # Errors
    /// When the service's answer is one.
    pub async fn get(
        &self,
        key: &IdentityKey,
        not_before: Timestamp,
    ) -> Result<(Option<Identity>, Timestamp), CloudError> {
        if let Some((read_at, identity)) = self.known().get(key).filter(|(read_at, _)| *read_at >= not_before) {
            return Ok((identity.clone(), *read_at));
        }
        let read_at = self.clock.now();
        let identity = self.service.get(key).await?;
        self.known().insert(key.clone(), (read_at, identity.clone()));
        Ok((identity, read_at))
    }

    /// Creates the identity.
    ///
    /// # Errors
    /// When the service's answer is one; whether it was created is then unknown if it is `Unavailable`.
    pub async fn create(&self, key: &IdentityKey, new: &NewIdentity) -> Result<(), CloudError> {
        self.forget(key);
        let read_at = self.clock.now();
        let identity = self.service.create(key, new).await?;
        self.known().insert(key.clone(), (read_at, Some(identity)));
        Ok(())
    }

    /// Changes the identity.
    ///
    /// # Errors
    /// When the service's answer is one; whether it was changed is then unknown if it is `Unavailable`.
    pub async fn change(&self, key: &IdentityKey, change: &IdentityChange) -> Result<(), CloudError> {
        let answer = self.service.change(key, change).await;
        let folds = match (&answer, self.known().get_mut(key)) {
            (Ok(()), Some((_, Some(identity)))) => fold(identity, change),
            (Ok(()) | Err(_), _) => false,
        };
        if !folds {
            self.forget(key);
        }
        answer
    }

    /// Deletes the identity; one that is gone already is no error.
    ///
    /// # Errors
    /// When the service's answer is one.
    pub async fn delete(&self, key: &IdentityKey) -> Result<(), CloudError> {
        self.forget(key);
        self.service.delete(key).await
    }

    /// Forgets what was read of the identity.
    pub fn forget(&self, key: &IdentityKey) {
        self.known().remove(key);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<IdentityKey, (Timestamp, Option<Identity>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Folds a change into what is known; false where its outcome can't be known without reading.
fn fold(identity: &mut Identity, change: &IdentityChange) -> bool {
    match change {
        IdentityChange::MailFrom(None) => identity.mail_from = None,
        IdentityChange::MailFrom(Some((domain, behavior))) => {
            let before = identity.mail_from.take().filter(|before| &before.domain == domain);
            let status = before
                .map(|before| before.status)
                .filter(|status| *status != VerificationStatus::Failed)
                .unwrap_or(VerificationStatus::Pending);
            identity.mail_from = Some(MailFrom { domain: domain.clone(), status, behavior: *behavior });
        }
        IdentityChange::DkimKey(_) => return false,
        IdentityChange::Signing(enabled) => identity.dkim.signing_enabled = *enabled,
        IdentityChange::FeedbackForwarding(enabled) => identity.feedback_forwarding = *enabled,
        IdentityChange::ConfigurationSet(name) => identity.configuration_set.clone_from(name),
        // A claim is read back: somebody else may have made one at the same time, and the last one counts.
        IdentityChange::Tag(tags) if tags.contains_key(CLUSTER) => return false,
        IdentityChange::Tag(tags) => identity.tags.extend(tags.clone()),
        IdentityChange::Untag(keys) => identity.tags.retain(|key, _| !keys.contains(key)),
    }
    true
}
