//! What was read from DNS lately, with its age, and shared by all domains: a reconcile that finds nothing to do costs no call.
//!
//! The reader says how old an answer may be; nothing is decided here but which call costs least. What we write is folded
//! in; a write whose outcome is unknown makes its zone be read anew.
//!
//! Whoever reads has others wait for the same answer, who may be more urgent: so nothing is read in a class of less urgency
//! than theirs could be.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::view::{PAGE, Part, ZoneView};
use super::writer::{Accepted, Sends, ZoneWriter};
use super::{DnsProvider, HostedZone, RecordChange, RecordSet, ZoneId};
use crate::clock::Clock;
use crate::cloud::{AsOf, CloudError, ErrorKind};
use crate::domain_name::DomainName;
use crate::quota::Caller;

/// All public hosted zones, and when they were read.
type ZoneList = (Timestamp, Arc<Vec<HostedZone>>);

/// The list of zones that was read last.
#[derive(Debug, Default)]
struct List {
    read: Option<ZoneList>,
    /// Whether it was read again because it lacked a zone.
    is_confirmed: bool,
}
/// Whether a change had arrived, and when that was asked.
type Arrival = (Timestamp, bool);

/// A DNS provider, what was read from it lately, and the writers of its zones.
#[derive(Debug)]
pub struct Dns<P> {
    provider: P,
    clock: Clock,
    list: tokio::sync::Mutex<List>,
    /// Gone through in their order, which decides who waits for whom: a simulation can be played again.
    zones: Mutex<BTreeMap<ZoneId, Arc<Zone>>>,
    arrivals: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Arrival>>>>>,
}

/// One zone. Its view is locked while it is read: a thousand domains of a zone share one listing.
#[derive(Debug, Default)]
struct Zone {
    view: tokio::sync::Mutex<ZoneView>,
    writer: ZoneWriter,
}

impl<P: DnsProvider> Dns<P> {
    /// A provider of which nothing has been read yet.
    pub fn new(provider: P, clock: Clock) -> Self {
        Self { provider, clock, list: Default::default(), zones: Mutex::default(), arrivals: Mutex::default() }
    }

    /// All public hosted zones as they were at `not_before` or later, and when they were read.
    ///
    /// # Errors
    /// When the provider's answer is one.
    pub async fn hosted_zones(&self, not_before: Timestamp) -> Result<(Arc<Vec<HostedZone>>, Timestamp), CloudError> {
        let mut known = self.list.lock().await;
        if let Some((read_at, zones)) = known.read.as_ref().filter(|(read_at, _)| *read_at >= not_before) {
            return Ok((Arc::clone(zones), *read_at));
        }
        self.read_list(&mut known).await
    }

    /// The same of a list that lacks a zone which is known to have been there: it was read twice.
    ///
    /// # Errors
    /// When the provider's answer is one.
    pub async fn confirmed_zones(&self) -> Result<(Arc<Vec<HostedZone>>, Timestamp), CloudError> {
        let mut known = self.list.lock().await;
        if let Some((read_at, zones)) = known.read.as_ref().filter(|_| known.is_confirmed) {
            return Ok((Arc::clone(zones), *read_at));
        }
        let answer = self.read_list(&mut known).await?;
        known.is_confirmed = true;
        Ok(answer)
    }

    /// The record sets at `root` and below it, as they were at `not_before` or later, and when they were read. Those of
    /// `names` are surely among them; others may be left out where the zone is large: it holds about `size` sets.
    ///
    /// # Errors
    /// When the provider's answer is one.
    pub async fn record_sets(
        &self,
        zone: &ZoneId,
        size: usize,
        root: &DomainName,
        names: &[DomainName],
        not_before: Timestamp,
    ) -> Result<(Vec<RecordSet>, Timestamp), CloudError> {
        let of = self.zone(zone);
        let mut view = of.view.lock().await;
        view.enter(root);
        if let Some(answer) = view.answer(root, names, not_before) {
            return Ok(answer);
        }
        if view.prefers_whole(size) {
            // A zone of many pages is that of many domains.
            let caller = if size > PAGE { Caller::for_all() } else { Caller::in_front() };
            caller.scope(self.read_whole(zone, &mut view)).await?;
        } else {
            Caller::in_front().scope(self.read_part(zone, root, names, not_before, &mut view)).await?;
        }
        Ok(view.answer(root, names, Timestamp::MIN).unwrap_or_default())
    }

    /// Looks once more, by their names, for records that are known to have stood and were not found. Tells whether one of
    /// them stands after all: then what was read around `root` is read anew. What was looked for already is not again,
    /// as long as what was read is used.
    ///
    /// # Errors
    /// When the provider's answer is one.
    pub async fn stands_after_all(
        &self,
        zone: &ZoneId,
        root: &DomainName,
        names: &[DomainName],
    ) -> Result<bool, CloudError> {
        let of = self.zone(zone);
        let mut view = of.view.lock().await;
        for name in view.unconfirmed(root, names) {
            if !self.provider.record_sets(zone, &name).await?.answer.is_empty() {
                view.distrust(root);
                return Ok(true);
            }
            view.confirm(root, name);
        }
        Ok(false)
    }

    /// Reads a zone of about `size` record sets now: whole, or domain by domain where that costs fewer calls. `domains` are
    /// the domains with the names that matter of each. `look` sees what was read: a zone is too large to be handed out.
    ///
    /// # Errors
    /// When the provider's answer is one.
    pub async fn reread<T>(
        &self,
        zone: &ZoneId,
        size: usize,
        domains: &[(DomainName, Vec<DomainName>)],
        look: impl FnOnce(&ZoneView) -> T,
    ) -> Result<T, CloudError> {
        let of = self.zone(zone);
        let mut view = of.view.lock().await;
        domains.iter().for_each(|(domain, _)| view.enter(domain));
        if size.div_ceil(PAGE) <= domains.len().max(1) {
            self.read_whole(zone, &mut view).await?;
        } else {
            view.clear();
            for (domain, names) in domains {
                self.read_part(zone, domain, names, Timestamp::MIN, &mut view).await?;
            }
        }
        Ok(look(&view))
    }

    /// Forgets what was read of a zone.
    pub async fn release(&self, zone: &ZoneId) {
        let known = self.zones().get(zone).cloned();
        if let Some(known) = known {
            *known.view.lock().await = ZoneView::default();
            self.drop_if_unused(zone, &known);
        }
    }

    /// Whoever reads at `root` needs it no longer: the last one of those for whom a zone was read leaves nothing behind.
    pub async fn leave(&self, zone: &ZoneId, root: &DomainName) {
        let known = self.zones().get(zone).cloned();
        if let Some(known) = known
            && known.view.lock().await.leave(root)
        {
            self.drop_if_unused(zone, &known);
        }
    }

    /// Makes all changes or none, and answers with the change's ID and time. It may wait until others of the zone have left.
    ///
    /// # Errors
    /// When the provider's answer is one; whether the changes were made is then unknown if it is `Unavailable`.
    pub async fn change(&self, zone: &ZoneId, changes: &[RecordChange]) -> Result<Accepted, CloudError> {
        self.zone(zone).writer.change(zone, changes, self).await
    }

    /// Whether a change has reached all of the provider's servers, as it was at `not_before` or later: all domains of a batch
    /// share one question.
    ///
    /// # Errors
    /// When the provider's answer is one.
    pub async fn is_in_sync(&self, zone: &ZoneId, id: &str, not_before: Timestamp) -> Result<bool, CloudError> {
        let known = Arc::clone(self.arrivals().entry(id.to_owned()).or_default());
        let mut known = known.lock().await;
        if let Some((_, arrived)) = known.filter(|(asked_at, arrived)| *arrived || *asked_at >= not_before) {
            return Ok(arrived);
        }
        let AsOf { time, answer: arrived } = Caller::in_front().scope(self.provider.is_in_sync(id)).await?;
        *known = Some((time, arrived));
        if arrived {
            self.zone(zone).writer.has_arrived(id);
        }
        Ok(arrived)
    }

    /// Reads again what is at `root` and below it.
    pub async fn forget(&self, root: &DomainName) {
        let zones: Vec<Arc<Zone>> = self.zones().values().cloned().collect();
        for zone in zones {
            zone.view.lock().await.distrust(root);
        }
    }

    /// Forgets what was read before `time`, so that domains at rest take no room.
    pub async fn prune(&self, time: Timestamp) {
        let zones: Vec<(ZoneId, Arc<Zone>)> =
            self.zones().iter().map(|(id, zone)| (id.clone(), Arc::clone(zone))).collect();
        for (id, zone) in zones {
            let is_empty = !zone.view.lock().await.prune(time);
            if is_empty {
                self.drop_if_unused(&id, &zone);
            }
        }
        let is_old = |arrival: &Arc<tokio::sync::Mutex<Option<Arrival>>>| {
            arrival.try_lock().is_ok_and(|known| known.is_none_or(|(asked_at, _)| asked_at < time))
        };
        self.arrivals().retain(|_, arrival| Arc::strong_count(arrival) > 1 || !is_old(arrival));
        self.arrivals().shrink_to_fit();
    }

    async fn read_list(&self, known: &mut List) -> Result<(Arc<Vec<HostedZone>>, Timestamp), CloudError> {
        let AsOf { time, answer } = Caller::for_all().scope(self.provider.hosted_zones()).await?;
        let zones = Arc::new(answer);
        *known = List { read: Some((time, Arc::clone(&zones))), is_confirmed: false };
        Ok((zones, time))
    }

    /// Drops a zone of which nothing is known, and into which nothing is being written.
    fn drop_if_unused(&self, id: &ZoneId, zone: &Arc<Zone>) {
        let mut zones = self.zones();
        // Two of them are held here: whoever else has one is about to use it.
        if zone.writer.is_quiet(self.clock.now()) && Arc::strong_count(zone) <= 2 {
            zones.remove(id);
        }
    }

    async fn read_whole(&self, zone: &ZoneId, view: &mut ZoneView) -> Result<(), CloudError> {
        let AsOf { time, answer } = self.provider.listing(zone).await?;
        if answer.is_empty() {
            return Err(empty(zone));
        }
        view.take_whole(answer, time);
        Ok(())
    }

    async fn read_part(
        &self,
        zone: &ZoneId,
        root: &DomainName,
        names: &[DomainName],
        not_before: Timestamp,
        view: &mut ZoneView,
    ) -> Result<(), CloudError> {
        let mut calls = 0;
        let mut part = match view.part(root, not_before) {
            Some(part) => part.clone(),
            None => {
                calls += 1;
                let AsOf { time, answer: subtree } = self.provider.subtree(zone, root).await?;
                if subtree.record_sets.is_empty() && self.is_apex(zone, root).await {
                    return Err(empty(zone));
                }
                Part { read_at: time, subtree, looked_up: BTreeMap::new() }
            }
        };
        for name in names {
            if !part.shows(root, name) {
                calls += 1;
                part.looked_up.insert(name.clone(), self.provider.record_sets(zone, name).await?.answer);
            }
        }
        view.take_part(root.clone(), part, calls);
        Ok(())
    }

    /// Whether a zone has this name, as far as is known.
    async fn is_apex(&self, zone: &ZoneId, name: &DomainName) -> bool {
        let list = self.list.lock().await;
        let listed = list.read.as_ref().and_then(|(_, zones)| zones.iter().find(|listed| listed.id == *zone));
        listed.is_some_and(|listed| listed.name == *name)
    }

    fn zone(&self, id: &ZoneId) -> Arc<Zone> {
        Arc::clone(self.zones().entry(id.clone()).or_default())
    }

    fn zones(&self) -> MutexGuard<'_, BTreeMap<ZoneId, Arc<Zone>>> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrivals(&self) -> MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<Option<Arrival>>>>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No zone is empty: its own NS and SOA sets can't be removed.
fn empty(zone: &ZoneId) -> CloudError {
    CloudError {
        kind: ErrorKind::Unavailable,
        operation: "route53:ListResourceRecordSets",
        object: zone.to_string(),
        message: "the answer is empty, and lacks even the zone's own NS and SOA sets".to_owned(),
    }
}

impl<P: DnsProvider> Sends for Dns<P> {
    type Provider = P;

    fn provider(&self) -> &P {
        &self.provider
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn made(&self, zone: &ZoneId, changes: &[RecordChange]) {
        self.zone(zone).view.lock().await.fold(changes);
    }

    async fn unsure(&self, zone: &ZoneId) {
        self.zone(zone).view.lock().await.clear();
    }
}
