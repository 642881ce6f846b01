//! The rounds over what is at rest: a few calls see whether thousands of settled domains are as they were left.
//!
//! The list of a Region's identities shows a thousand of them in one call, and a zone's listing the records of all its
//! domains. Only what differs is reconciled, and read whole by that. A loss is seen within [`LIST_AGE`] where it is DKIM, within
//! [`due::ZONE_ROUND`] where it is a record, and within a day where it is something that neither shows.
//!
//! | module | holds |
//! |---|---|
//! | [`compare`] | what a status says against what was listed |
//! | [`due`] | when a zone is read |
//! | [`zone`] | what is seen of a zone |
//!
//! Nothing is remembered: when a zone is read follows from its ID, and from since when its records stand.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::api::SesDomain;
use crate::cloud::{CloudError, Region};
use crate::dns::{DnsProvider, ZoneId};
use crate::domain_name::DomainName;
use crate::quota::{Caller, Class};
use crate::reconcile::{Reconciler, rest};
use crate::ses::listing::{Listed, Shown};
use crate::ses::{IdentityKey, IdentityService};

pub mod compare;
mod due;
mod zone;

use zone::Looked;

/// Rounds are at least so far apart: what comes due in between is looked at together.
const TICK: SignedDuration = SignedDuration::from_secs(60);
/// The list of identities is read as often, so that with [`TICK`] a loss of DKIM is seen within 15 minutes.
const LIST_AGE: SignedDuration = SignedDuration::from_mins(14);
/// So many zones are read at once: while one answer is on its way, the next call may have its turn.
const AT_ONCE: usize = 4;
/// What was read of a zone for those who were woken for their daily look is kept for so long.
const LENT: SignedDuration = SignedDuration::from_mins(10);
/// What was read is forgotten when it is older than whatever may use it.
const MEMORY: SignedDuration = SignedDuration::from_mins(65);
/// Where a list lacks so many identities that were there, it is read again before they are looked at one by one.
const MANY: usize = 3;
/// A zone that could not be read is tried again in the next round but so many.
const MOST_TRIES: u32 = 10;

/// The SesDomains, and the way to have one of them reconciled.
pub trait Watched: Clone + Send + Sync {
    /// Shows every SesDomain.
    fn each(&self, look: &mut dyn FnMut(&SesDomain));

    /// Shows every SesDomain that has records in this zone, and maybe others.
    fn each_in_zone(&self, _zone: &ZoneId, look: &mut dyn FnMut(&SesDomain)) {
        self.each(look);
    }

    /// Has a SesDomain reconciled.
    fn wake(&self, namespace: &str, name: &str, class: Class);
}

/// The rounds.
#[derive(Debug)]
pub struct Rounds<S, D, W> {
    reconciler: Arc<Reconciler<S, D>>,
    watched: W,
    /// When the list was read that was compared last.
    compared: BTreeMap<Region, Timestamp>,
    /// Zones that could not be read, and how often.
    missed: BTreeMap<ZoneId, u32>,
    /// Zones whose domains were woken for their daily look, and when.
    lent: BTreeMap<ZoneId, Timestamp>,
}

impl<S: IdentityService, D: DnsProvider, W: Watched> Rounds<S, D, W> {
    /// Rounds that have not begun.
    pub fn new(reconciler: Arc<Reconciler<S, D>>, watched: W) -> Self {
        Self { reconciler, watched, compared: BTreeMap::new(), missed: BTreeMap::new(), lent: BTreeMap::new() }
    }

    /// Goes round until it is dropped.
    pub async fn go(mut self) {
        let mut last = self.reconciler.clock.now();
        loop {
            let now = self.reconciler.clock.now();
            let next = Caller::new(Class::Sweep, "").scope(self.round(last, now)).await;
            last = now;
            self.reconciler.clock.sleep_until(next).await;
        }
    }

    /// One round: the Regions' lists, and the zones whose time came since the last one. Gives the time of the next one.
    async fn round(&mut self, last: Timestamp, now: Timestamp) -> Timestamp {
        let (regions, zones) = self.places(now);
        for region in regions {
            self.identities(&region, now).await;
        }
        self.compared.retain(|_, at| *at + LIST_AGE + TICK * 2 > now);
        let due = zones
            .iter()
            .filter(|(zone, since)| due::next(zone, **since, last) <= now || self.missed.contains_key(*zone));
        self.read(due.map(|(zone, _)| zone.clone()).collect(), now).await;
        for zone in self.lent.extract_if(.., |_, at| *at + LENT <= now).map(|(zone, _)| zone).collect::<Vec<_>>() {
            self.reconciler.dns.release(&zone).await;
        }
        self.reconciler.identities.prune(now - MEMORY);
        self.reconciler.dns.prune(now - MEMORY).await;
        self.reconciler.public.prune(now - MEMORY);
        let next = zones.iter().map(|(zone, since)| due::next(zone, *since, now)).min().unwrap_or(Timestamp::MAX);
        let next = self.lent.values().map(|at| *at + LENT).min().map_or(next, |lent| next.min(lent));
        let next = if self.missed.is_empty() { next.min(now + LIST_AGE) } else { now };
        next.max(now + TICK)
    }

    /// The Regions and the zones of domains at rest, and since when the oldest of a zone's records stands as it does. The
    /// other domains are looked at by themselves.
    fn places(&self, now: Timestamp) -> (BTreeSet<Region>, BTreeMap<ZoneId, Timestamp>) {
        let (mut regions, mut zones) = (BTreeSet::new(), BTreeMap::<ZoneId, Timestamp>::new());
        let filter = &self.reconciler.settings.filters.zones;
        self.watched.each(&mut |domain| {
            let Some(status) = domain.status.as_ref().filter(|_| is_looked_after(domain)) else { return };
            if rest::at_rest(domain, now) {
                regions.extend(status.region.as_ref().map(Region::new));
                for entry in &status.records {
                    let zone = ZoneId(entry.hosted_zone_id.clone());
                    if !filter.is_empty() && !filter.contains(&zone) {
                        continue;
                    }
                    let oldest = zones.entry(zone).or_insert(Timestamp::MAX);
                    *oldest = entry.since.0.min(*oldest);
                }
            }
        });
        (regions, zones)
    }

    /// Compares the list of a Region with what was seen last.
    async fn identities(&mut self, region: &Region, now: Timestamp) {
        let (read_at, listed) = match self.reconciler.identities.listed(region, now - LIST_AGE + TICK).await {
            Ok(listed) => listed,
            Err(error) => return tracing::debug!(%error, "the identities of {region} could not be listed"),
        };
        if self.compared.insert(region.clone(), read_at) == Some(read_at) {
            return;
        }
        let (woken, lacking) = self.differing(region, &listed);
        if lacking < MANY {
            return self.wake(woken);
        }
        // Rather than that so many are gone at once, the list came back empty.
        match self.reconciler.identities.listed_again(region).await {
            Ok((_, listed)) => self.wake(self.differing(region, &listed).0),
            Err(error) => tracing::debug!(%error, "the identities of {region} could not be listed again"),
        }
    }

    /// Whose identity is not as a list shows it, and of how many the list shows none.
    fn differing(&self, region: &Region, listed: &Listed) -> (Vec<Woken>, usize) {
        let (mut woken, mut lacking) = (Vec::new(), 0);
        self.watched.each(&mut |domain| {
            let status = domain.status.as_ref().filter(|_| is_looked_after(domain));
            let Some(status) = status.filter(|status| status.region.as_deref() == Some(region.as_str())) else {
                return;
            };
            let shown = listed.shown(&DomainName::new(&domain.spec.domain));
            if compare::identity_differs(status, shown) {
                lacking += usize::from(shown == Shown::Absent);
                woken.push(Woken::new(domain, Class::Repair));
            }
        });
        (woken, lacking)
    }

    /// Reads zones, and wakes the domains for which something is to be done.
    async fn read(&mut self, due: Vec<ZoneId>, now: Timestamp) {
        let (reconciler, watched) = (Arc::clone(&self.reconciler), self.watched.clone());
        let looks = stream::iter(due).map(async |zone| {
            let looked = zone::look(&reconciler, &watched, &zone, now).await;
            (zone, looked)
        });
        let mut looks = pin!(looks.buffer_unordered(AT_ONCE));
        while let Some((zone, looked)) = looks.next().await {
            let Looked { woken, all_rest } = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    self.missed(&zone, &error);
                    continue;
                }
            };
            self.missed.remove(&zone);
            // Whoever is awake shares what was read; else it has served.
            if all_rest && woken.is_empty() {
                self.reconciler.dns.release(&zone).await;
            } else if all_rest && woken.iter().all(|woken| woken.class == Class::Sweep) {
                self.lent.insert(zone, now);
            }
            self.wake(woken);
        }
    }

    /// What differs is read anew.
    fn wake(&self, woken: Vec<Woken>) {
        for Woken { namespace, name, key, class } in woken {
            if let Some(key) = key.filter(|_| class == Class::Repair) {
                self.reconciler.identities.forget(&key);
            }
            self.watched.wake(&namespace, &name, class);
        }
    }

    fn missed(&mut self, zone: &ZoneId, error: &CloudError) {
        tracing::debug!(%error, "the zone {zone} could not be read");
        let tries = self.missed.entry(zone.clone()).or_default();
        *tries += 1;
        if *tries >= MOST_TRIES {
            self.missed.remove(zone);
        }
    }
}

/// A SesDomain to be reconciled.
struct Woken {
    namespace: String,
    name: String,
    key: Option<IdentityKey>,
    class: Class,
}

impl Woken {
    fn new(domain: &SesDomain, class: Class) -> Self {
        let region = domain.status.as_ref().and_then(|status| status.region.as_ref());
        Self {
            namespace: domain.metadata.namespace.clone().unwrap_or_default(),
            name: domain.metadata.name.clone().unwrap_or_default(),
            key: region.map(|region| IdentityKey {
                region: Region::new(region),
                domain: DomainName::new(&domain.spec.domain),
            }),
            class,
        }
    }
}

/// Whatever is being deleted is reconciled until it is gone.
fn is_looked_after(domain: &SesDomain) -> bool {
    domain.metadata.deletion_timestamp.is_none()
}
