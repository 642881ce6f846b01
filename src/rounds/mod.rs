//! The rounds over what is at rest: a few calls see whether thousands of settled domains are as they were left.
//!
//! The list of a Region's identities shows a thousand of them in one call, and a zone's listing the records of all its
//! domains. Only what differs is reconciled, and read whole by that. A loss is seen within [`LIST_AGE`] where it is DKIM, within
//! [`ZONE_ROUND`] where it is a record, and within a day where it is something that neither shows.
//!
//! | module | holds |
//! |---|---|
//! | [`compare`] | what a status says against what was listed |
//!
//! Nothing is remembered: the minute at which a zone is read follows from its ID.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::api::SesDomain;
use crate::cloud::{CloudError, ErrorKind, Region};
use crate::dns::view::ZoneView;
use crate::dns::zones::{self, zone_for};
use crate::dns::{DnsProvider, HostedZone, ZoneId};
use crate::domain_name::DomainName;
use crate::quota::{Caller, Class};
use crate::reconcile::{Reconciler, ledger, rest};
use crate::ses::{IdentityKey, IdentityService};

pub mod compare;

/// Rounds are at least so far apart: what comes due in between is looked at together.
const TICK: SignedDuration = SignedDuration::from_secs(60);
/// The list of identities is read as often, so that with [`TICK`] a loss of DKIM is seen within 15 minutes.
const LIST_AGE: SignedDuration = SignedDuration::from_mins(14);
/// How often each zone is read.
const ZONE_ROUND: SignedDuration = SignedDuration::from_mins(60);
/// What was read of a zone for those who were woken for their daily look is kept for so long.
const LENT: SignedDuration = SignedDuration::from_mins(10);
/// What was read is forgotten when it is older than whatever may use it.
const MEMORY: SignedDuration = SignedDuration::from_mins(65);
/// A zone that could not be read is tried again in the next round but so many.
const MOST_TRIES: u32 = 10;

/// The SesDomains, and the way to have one of them reconciled.
pub trait Watched: Send + Sync {
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
        let is_due = |zone: &&ZoneId| next_time(zone, last) <= now || self.missed.contains_key(*zone);
        let due: Vec<&ZoneId> = zones.iter().filter(is_due).collect();
        for zone in due {
            self.zone(zone, now).await;
        }
        for zone in self.lent.extract_if(.., |_, at| *at + LENT <= now).map(|(zone, _)| zone).collect::<Vec<_>>() {
            self.reconciler.dns.release(&zone).await;
        }
        self.reconciler.identities.prune(now - MEMORY);
        self.reconciler.dns.prune(now - MEMORY).await;
        let next = zones.iter().map(|zone| next_time(zone, now)).min().unwrap_or(Timestamp::MAX);
        let next = self.lent.values().map(|at| *at + LENT).min().map_or(next, |lent| next.min(lent));
        let next = if self.missed.is_empty() { next.min(now + LIST_AGE) } else { now };
        next.max(now + TICK)
    }

    /// The Regions and the zones of domains at rest: the others are looked at by themselves.
    fn places(&self, now: Timestamp) -> (BTreeSet<Region>, BTreeSet<ZoneId>) {
        let (mut regions, mut zones) = (BTreeSet::new(), BTreeSet::new());
        let filter = &self.reconciler.settings.filters.zones;
        self.watched.each(&mut |domain| {
            let Some(status) = domain.status.as_ref().filter(|_| is_looked_after(domain)) else { return };
            if rest::at_rest(domain, now) {
                regions.extend(status.region.as_ref().map(Region::new));
                let of_status = status.records.iter().map(|entry| ZoneId(entry.hosted_zone_id.clone()));
                zones.extend(of_status.filter(|zone| filter.is_empty() || filter.contains(zone)));
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
        let mut woken = Vec::new();
        self.watched.each(&mut |domain| {
            let status = domain.status.as_ref().filter(|_| is_looked_after(domain));
            let Some(status) = status.filter(|status| status.region.as_deref() == Some(region.as_str())) else {
                return;
            };
            if compare::identity_differs(status, listed.shown(&DomainName::new(&domain.spec.domain))) {
                woken.push(Woken::new(domain, Class::Repair));
            }
        });
        self.wake(woken);
    }

    /// Reads a zone, and compares the records of its domains with what was seen last. Those whose daily look comes within
    /// the hour are looked at now, since their zone was just read.
    async fn zone(&mut self, zone: &ZoneId, now: Timestamp) {
        let dns = &self.reconciler.dns;
        let zones = match dns.hosted_zones(now - ZONE_ROUND).await {
            Ok((zones, _)) => zones,
            Err(error) => return self.missed(zone, &error),
        };
        let listed = zones.iter().find(|listed| listed.id == *zone);
        let name = listed.map_or_else(|| DomainName::new(""), |listed| listed.name.clone());
        let mut asked = Vec::new();
        self.watched.each_in_zone(zone, &mut |domain| {
            let names = names_in(domain, zone);
            asked.extend(names.map(|(root, names)| (root, zones::with_those_above(names, &name))));
        });
        let look = |view: &ZoneView| {
            let (mut woken, mut all_rest) = (Vec::new(), true);
            self.watched.each_in_zone(zone, &mut |domain| {
                all_rest &= rest::at_rest(domain, now);
                woken.extend(
                    self.class_of(domain, zone, &name, &zones, view, now).map(|class| Woken::new(domain, class)),
                );
            });
            (woken, all_rest)
        };
        let looked = match dns.reread(zone, listed.map_or(0, |listed| listed.record_sets), &asked, look).await {
            // It is gone, or may not be read any more: each of its domains has to say so.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Denied) => {
                Ok(look(&ZoneView::default()))
            }
            looked => looked,
        };
        let (woken, all_rest) = match looked {
            Ok(looked) => looked,
            Err(error) => return self.missed(zone, &error),
        };
        self.missed.remove(zone);
        // Whoever is awake shares what was read; else it has served.
        if all_rest && woken.is_empty() {
            dns.release(zone).await;
        } else if all_rest && woken.iter().all(|woken| woken.class == Class::Sweep) {
            self.lent.insert(zone.clone(), now);
        }
        self.wake(woken);
    }

    /// How urgently a domain is to be reconciled for what its zone holds, if it is.
    fn class_of(
        &self,
        domain: &SesDomain,
        zone: &ZoneId,
        zone_name: &DomainName,
        zones: &[HostedZone],
        view: &ZoneView,
        now: Timestamp,
    ) -> Option<Class> {
        let (root, names) = names_in(domain, zone)?;
        let differs = view.answer(&root, &names, Timestamp::MIN).is_none_or(|(around, _)| {
            let status = domain.status.as_ref();
            status.is_some_and(|status| compare::records_differ(status, &root, zone, zone_name, &around))
        });
        if differs || self.has_moved(domain, zone, zones) {
            return Some(Class::Repair);
        }
        let uid = domain.metadata.uid.as_deref().unwrap_or_default();
        (rest::at_rest(domain, now) && rest::daily(uid, now) <= now + ZONE_ROUND).then_some(Class::Sweep)
    }

    /// Whether a record of this zone belongs into another one by now, and is not known there.
    fn has_moved(&self, domain: &SesDomain, zone: &ZoneId, zones: &[HostedZone]) -> bool {
        let preferred = domain.spec.hosted_zone_id().map(|id| ZoneId(id.to_owned()));
        let filter = &self.reconciler.settings.filters.zones;
        let records = domain.status.iter().flat_map(|status| &status.records);
        let is_known = |name: &DomainName, zone: &ZoneId| {
            records.clone().any(|entry| entry.hosted_zone_id == zone.0 && DomainName::new(&entry.name) == *name)
        };
        names_in(domain, zone).into_iter().flat_map(|(_, names)| names).any(|name| {
            zone_for(&name, zones, preferred.as_ref(), filter).map_or(true, |found| !is_known(&name, &found.id))
        })
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

/// A domain that has records in a zone, with their names.
fn names_in(domain: &SesDomain, zone: &ZoneId) -> Option<(DomainName, Vec<DomainName>)> {
    let status = domain.status.as_ref().filter(|_| is_looked_after(domain))?;
    let root = DomainName::new(&domain.spec.domain);
    let of_zone = ledger::entries(status, &root).filter(|entry| entry.hosted_zone_id == zone.0);
    let names: Vec<DomainName> = of_zone.map(|entry| DomainName::new(&entry.name)).collect();
    (!names.is_empty()).then_some((root, names))
}

/// When a zone is read the next time after `now`. It follows from the zone's ID: the zones are spread over the hour, and a
/// restart moves none.
fn next_time(zone: &ZoneId, now: Timestamp) -> Timestamp {
    let mut hasher = DefaultHasher::new();
    zone.hash(&mut hasher);
    let hour = ZONE_ROUND.as_secs();
    let place = i64::try_from(hasher.finish() % hour.unsigned_abs()).unwrap_or_default();
    let left = (place - now.as_second()).rem_euclid(hour);
    now + SignedDuration::from_secs(if left == 0 { hour } else { left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_zone_is_read_once_an_hour_and_they_are_spread_over_it() {
        let start = Timestamp::from_second(1_800_000_000).expect("a time");
        let mut in_a_minute = Vec::new();
        let mut read = BTreeMap::new();
        for minute in 0..120 {
            let (last, now) = (start + TICK * minute, start + TICK * (minute + 1));
            let due: Vec<String> = (0..600)
                .map(|number| format!("Z{number}"))
                .filter(|zone| next_time(&ZoneId(zone.clone()), last) <= now)
                .collect();
            in_a_minute.push(due.len());
            due.into_iter().for_each(|zone| *read.entry(zone).or_insert(0) += 1);
        }
        assert_eq!(read.len(), 600);
        assert!(read.values().all(|times| *times == 2), "twice in two hours");
        assert!(in_a_minute.iter().all(|zones| *zones < 30), "ten a minute on average: {in_a_minute:?}");
    }
}
