//! What was read from DNS lately, with its age, so that a reconcile that finds nothing to do costs no call.
//!
//! The reader says how old an answer may be; nothing is decided here. What we write is folded in; a write that fails
//! makes its zone be read anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{DnsProvider, HostedZone, RecordChange, RecordSet, Subtree, ZoneId};
use crate::clock::Clock;
use crate::cloud::CloudError;
use crate::domain_name::DomainName;

/// A DNS provider and what was read from it lately.
#[derive(Debug)]
pub struct Dns<P> {
    provider: P,
    clock: Clock,
    zones: Mutex<Option<(Timestamp, Arc<Vec<HostedZone>>)>>,
    views: std::sync::Mutex<HashMap<(ZoneId, DomainName), View>>,
}

#[derive(Clone, Debug)]
struct View {
    read_at: Timestamp,
    subtree: Subtree,
    looked_up: BTreeMap<DomainName, Vec<RecordSet>>,
}

impl View {
    fn shows(&self, name: &DomainName) -> bool {
        self.subtree.complete
            || self.looked_up.contains_key(name)
            || self.subtree.record_sets.iter().any(|set| &set.name == name)
    }

    fn record_sets(&self) -> Vec<RecordSet> {
        let listed = self.subtree.record_sets.iter().filter(|set| !self.looked_up.contains_key(&set.name));
        listed.chain(self.looked_up.values().flatten()).cloned().collect()
    }

    fn fold(&mut self, change: &RecordChange) {
        let (RecordChange::Create(set) | RecordChange::Delete(set)) = change;
        let sets = self.looked_up.get_mut(&set.name).unwrap_or(&mut self.subtree.record_sets);
        sets.retain(|other| !other.is_at(&set.name, &set.record_type));
        if matches!(change, RecordChange::Create(_)) {
            sets.push(set.clone());
        }
    }
}

impl<P: DnsProvider> Dns<P> {
    /// A provider of which nothing has been read yet.
    pub fn new(provider: P, clock: Clock) -> Self {
        Self { provider, clock, zones: Mutex::new(None), views: std::sync::Mutex::new(HashMap::new()) }
    }

    /// All public hosted zones as they were at `not_before` or later, and when they were read.
    ///
    /// # Errors
    /// When the provider's answer is one.
    pub async fn hosted_zones(&self, not_before: Timestamp) -> Result<(Arc<Vec<HostedZone>>, Timestamp), CloudError> {
        // The lock is held while reading: a thousand domains that start together share one listing.
        let mut known = self.zones.lock().await;
        if let Some((read_at, zones)) = known.as_ref()
            && *read_at >= not_before
        {
            return Ok((Arc::clone(zones), *read_at));
        }
        let read_at = self.clock.now();
        let zones = Arc::new(self.provider.hosted_zones().await?);
        *known = Some((read_at, Arc::clone(&zones)));
        Ok((zones, read_at))
    }

    /// The record sets at `root` and below it, as they were at `not_before` or later, and when they were read. Those of
    /// `names` are surely among them; others may be left out where the zone is large.
    ///
    /// # Errors
    /// When the provider's answer is one.
    pub async fn record_sets(
        &self,
        zone: &ZoneId,
        root: &DomainName,
        names: &[DomainName],
        not_before: Timestamp,
    ) -> Result<(Vec<RecordSet>, Timestamp), CloudError> {
        let key = (zone.clone(), root.clone());
        let known = self.views().get(&key).filter(|view| view.read_at >= not_before).cloned();
        let mut view = match known {
            Some(view) => view,
            None => {
                let read_at = self.clock.now();
                let subtree = self.provider.subtree(zone, root).await?;
                View { read_at, subtree, looked_up: BTreeMap::new() }
            }
        };
        for name in names {
            if !view.shows(name) {
                view.looked_up.insert(name.clone(), self.provider.record_sets(zone, name).await?);
            }
        }
        let answer = (view.record_sets(), view.read_at);
        self.views().insert(key, view);
        Ok(answer)
    }

    /// Makes all changes or none, and answers with the change's ID.
    ///
    /// # Errors
    /// When the provider's answer is one; whether the changes were made is then unknown if it is `Unavailable`.
    pub async fn change(&self, zone: &ZoneId, changes: &[RecordChange]) -> Result<String, CloudError> {
        let answer = self.provider.change(zone, changes).await;
        let mut views = self.views();
        match &answer {
            Ok(_) => {
                for ((of_zone, root), view) in views.iter_mut() {
                    for change in changes {
                        let (RecordChange::Create(set) | RecordChange::Delete(set)) = change;
                        if of_zone == zone && set.name.is_within(root) {
                            view.fold(change);
                        }
                    }
                }
            }
            Err(_) => views.retain(|(of_zone, _), _| of_zone != zone),
        }
        answer
    }

    /// Whether a change has reached all of the provider's servers.
    ///
    /// # Errors
    /// When the provider's answer is one.
    pub async fn is_in_sync(&self, change_id: &str) -> Result<bool, CloudError> {
        self.provider.is_in_sync(change_id).await
    }

    /// Forgets what was read at `root` and below it.
    pub fn forget(&self, root: &DomainName) {
        self.views().retain(|(_, of_root), _| !of_root.is_within(root));
    }

    fn views(&self) -> std::sync::MutexGuard<'_, HashMap<(ZoneId, DomainName), View>> {
        self.views.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
