//! What was read of identities lately, with its age, so that a reconcile that finds nothing to do costs no call.
//!
//! The reader says how old an answer may be; nothing is decided here but which call costs least. What we write is folded
//! in; a write that fails makes its identity be read anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::listing::{Listed, Listing};
use super::ownership;
use super::{Identity, IdentityChange, IdentityKey, IdentityService, MailFrom, NewIdentity, VerificationStatus};
use crate::clock::Clock;
use crate::cloud::{AsOf, CloudError, Region};
use crate::quota::Caller;

/// What was read of an identity, and when.
#[derive(Clone, Debug)]
struct Known {
    read_at: Timestamp,
    identity: Option<Identity>,
    /// Whether that there is none was read twice, or is our doing.
    is_confirmed: bool,
}

impl Known {
    fn new(read_at: Timestamp, identity: Option<Identity>) -> Self {
        Self { read_at, identity, is_confirmed: false }
    }
}

/// An identity service and what was read from it lately.
#[derive(Debug)]
pub struct Identities<S> {
    service: S,
    clock: Clock,
    known: Mutex<HashMap<IdentityKey, Known>>,
    listings: Mutex<HashMap<Region, Arc<tokio::sync::Mutex<Listing>>>>,
}

impl<S: IdentityService> Identities<S> {
    /// A service of which nothing has been read yet.
    pub fn new(service: S, clock: Clock) -> Self {
        Self { service, clock, known: Mutex::default(), listings: Mutex::default() }
    }

    /// The identity as it was at `not_before` or later, and when it was read.
    ///
    /// It is looked at again where that was before `poll`. While a crowd of identities is being verified, the list of the last
    /// minute tells of those that are not yet, and then the answer may be older than the poll, but never than `not_before`.
    ///
    /// # Errors
    /// When the service's answer is one.
    pub async fn get(
        &self,
        key: &IdentityKey,
        not_before: Timestamp,
        poll: Timestamp,
    ) -> Result<(Option<Identity>, Timestamp), CloudError> {
        let known = self.known().get(key).filter(|known| known.read_at >= not_before).cloned();
        match known {
            Some(Known { read_at, identity, .. }) if read_at >= poll => return Ok((identity, read_at)),
            Some(Known { read_at, identity: Some(identity), .. }) if self.is_pending_still(key, &identity).await => {
                return Ok((Some(identity), read_at));
            }
            Some(_) | None => {}
        }
        self.read(key).await
    }

    /// The same for an identity that was never seen. That there is none may be known from a list that was read at
    /// `listed_not_before` or later: creating it is refused if it exists after all.
    ///
    /// # Errors
    /// When the service's answer is one.
    pub async fn find(
        &self,
        key: &IdentityKey,
        not_before: Timestamp,
        listed_not_before: Timestamp,
    ) -> Result<(Option<Identity>, Timestamp), CloudError> {
        let known = self.known().get(key).filter(|known| known.read_at >= not_before).cloned();
        if let Some(Known { read_at, identity, .. }) = known {
            return Ok((identity, read_at));
        }
        let listing = self.listing(&key.region);
        let mut listing = listing.lock().await;
        if listing.since(listed_not_before).is_none() {
            // Who may not list may get.
            if self.refresh(&key.region, &mut listing).await.is_err() {
                drop(listing);
                return self.read(key).await;
            }
        }
        match listing.shows_absent(&key.domain, listed_not_before) {
            Some(read_at) => Ok((None, read_at)),
            None => {
                drop(listing);
                self.read(key).await
            }
        }
    }

    /// The identity where there was one, and a read has just shown none: it is read once more, unless it was already, or
    /// we deleted it.
    ///
    /// # Errors
    /// When the service's answer is one.
    pub async fn confirmed(&self, key: &IdentityKey) -> Result<(Option<Identity>, Timestamp), CloudError> {
        let known = self.known().get(key).cloned();
        if let Some(Known { read_at, identity: None, is_confirmed: true }) = known {
            return Ok((None, read_at));
        }
        let (identity, read_at) = self.read(key).await?;
        let is_confirmed = identity.is_none();
        self.known().insert(key.clone(), Known { read_at, identity: identity.clone(), is_confirmed });
        Ok((identity, read_at))
    }

    /// The list of a Region, read now: one that was read a moment ago lacks many that were there.
    ///
    /// # Errors
    /// When the service's answer is one.
    pub async fn listed_again(&self, region: &Region) -> Result<(Timestamp, Arc<Listed>), CloudError> {
        let listing = self.listing(region);
        let mut listing = listing.lock().await;
        self.refresh(region, &mut listing).await?;
        Ok(listing.since(Timestamp::MIN).unwrap_or_default())
    }

    /// The list of a Region as it was at `not_before` or later, and when it was read.
    ///
    /// # Errors
    /// When the service's answer is one.
    pub async fn listed(&self, region: &Region, not_before: Timestamp) -> Result<(Timestamp, Arc<Listed>), CloudError> {
        let listing = self.listing(region);
        let mut listing = listing.lock().await;
        if let Some(listed) = listing.since(not_before) {
            return Ok(listed);
        }
        self.refresh(region, &mut listing).await?;
        Ok(listing.since(Timestamp::MIN).unwrap_or_default())
    }

    /// Creates the identity.
    ///
    /// # Errors
    /// When the service's answer is one; whether it was created is then unknown if it is `Unavailable`.
    pub async fn create(&self, key: &IdentityKey, new: &NewIdentity) -> Result<(), CloudError> {
        self.forget(key);
        let created = self.service.create(key, new).await;
        // Whatever came of it, the list says nothing of it any more.
        self.listing(&key.region).lock().await.distrust(&key.domain);
        let AsOf { time, answer } = created?;
        self.known().insert(key.clone(), Known::new(time, Some(answer)));
        Ok(())
    }

    /// Changes the identity.
    ///
    /// # Errors
    /// When the service's answer is one; whether it was changed is then unknown if it is `Unavailable`.
    pub async fn change(&self, key: &IdentityKey, change: &IdentityChange) -> Result<(), CloudError> {
        let answer = self.service.change(key, change).await;
        let folds = match (&answer, self.known().get_mut(key)) {
            (Ok(()), Some(Known { identity: Some(identity), .. })) => fold(identity, change),
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
        self.service.delete(key).await?;
        let gone = Known { read_at: self.clock.now(), identity: None, is_confirmed: true };
        self.known().insert(key.clone(), gone);
        Ok(())
    }

    /// Forgets what was read of the identity.
    pub fn forget(&self, key: &IdentityKey) {
        self.known().remove(key);
    }

    /// Forgets what was read before `time`, so that domains at rest take no room.
    pub fn prune(&self, time: Timestamp) {
        let mut known = self.known();
        known.retain(|_, known| known.read_at >= time);
        known.shrink_to_fit();
    }

    async fn read(&self, key: &IdentityKey) -> Result<(Option<Identity>, Timestamp), CloudError> {
        let AsOf { time, answer: identity } = self.service.get(key).await?;
        self.known().insert(key.clone(), Known::new(time, identity.clone()));
        Ok((identity, time))
    }

    /// Whether a list shows that SES still looks for the DKIM records. The list is read when it is cheaper than the
    /// identities that were asked for within a minute.
    async fn is_pending_still(&self, key: &IdentityKey, identity: &Identity) -> bool {
        if !identity.dkim.status.is_waiting() {
            return false;
        }
        let listing = self.listing(&key.region);
        let mut listing = listing.lock().await;
        let now = self.clock.now();
        if listing.shows(&key.domain, identity.dkim.status, now) {
            return true;
        }
        listing.is_worth_its_calls(now)
            && self.refresh(&key.region, &mut listing).await.is_ok()
            && listing.shows(&key.domain, identity.dkim.status, self.clock.now())
    }

    async fn refresh(&self, region: &Region, listing: &mut Listing) -> Result<(), CloudError> {
        // All domains of the Region wait for it, whoever asked first.
        let AsOf { time, answer } = Caller::for_all().scope(self.service.list(region)).await?;
        listing.take(answer, time);
        Ok(())
    }

    fn listing(&self, region: &Region) -> Arc<tokio::sync::Mutex<Listing>> {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(listings.entry(region.clone()).or_default())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<IdentityKey, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Folds a change into what is known; false where its outcome can't be known without reading.
pub(crate) fn fold(identity: &mut Identity, change: &IdentityChange) -> bool {
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
        // Somebody else may claim it at the same time: whoever reads another's name there yields.
        IdentityChange::Tag(tags) if tags.contains_key(ownership::CLUSTER) => return false,
        IdentityChange::Tag(tags) => identity.tags.extend(tags.clone()),
        IdentityChange::Untag(keys) => identity.tags.retain(|key, _| !keys.contains(key)),
    }
    true
}
