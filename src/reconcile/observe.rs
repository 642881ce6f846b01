//! Step one: read what is there. The only step besides `apply` that does I/O, and it decides nothing.
//!
//! An answer may come back empty. So what is known to have been there and is not found is looked for once more, by its
//! name, before anything rests on its absence: nothing is deleted, given up or made anew because one read was empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::desired::{dkim_records, dmarc_name};
use super::ledger::Reach;
use super::plan::merge;
use super::schedule::{self, Freshness};
use super::subject::Subject;
use super::{claims, known, ledger};
use crate::api::status::{PendingChange, RecordStatus};
use crate::cloud::{CloudError, ErrorKind, Region};
use crate::dns::public::snapshot::PublicNames;
use crate::dns::snapshot::Dns;
use crate::dns::spf::look_ups::PermError;
use crate::dns::{DnsProvider, HostedZone, RecordSet, ZoneId, zones};
use crate::domain_name::DomainName;
use crate::ses::ownership::Ownership;
use crate::ses::snapshot::Identities;
use crate::ses::{Identity, IdentityKey, IdentityService};

/// What was found. Each part may have failed without the others.
#[derive(Clone, Debug)]
pub struct Observed {
    /// False where nothing was looked at: then the rest says nothing.
    pub looked: bool,
    /// The identity, if there is one.
    pub identity: Result<Option<Identity>, CloudError>,
    /// All public hosted zones.
    pub zones: Result<Arc<Vec<HostedZone>>, CloudError>,
    /// The record sets of each zone that matters, around our names.
    pub records: BTreeMap<ZoneId, Result<Vec<RecordSet>, CloudError>>,
    /// The changes that are still on their way.
    pub pending: Vec<PendingChange>,
    /// Why it is not known how far a change has come.
    pub pending_failure: Option<CloudError>,
    /// The Region of that identity, where it is not the one that the status says.
    pub elsewhere: Option<Region>,
    /// The SPF policy that our term would be put into, if there is one.
    pub merge: Option<Merge>,
    /// When the identity was read.
    pub identity_read_at: Timestamp,
    /// When the list of zones was read.
    pub zones_read_at: Timestamp,
    /// When the oldest of the record sets was read.
    pub records_read_at: Timestamp,
    /// When the youngest of them was, or the pass began.
    pub records_seen_at: Timestamp,
    /// When the oldest of the answers of public DNS was given.
    pub public_read_at: Timestamp,
}

/// What somebody else's SPF policy would cost its receivers with our term in it.
#[derive(Clone, Debug)]
pub struct Merge {
    /// The policy with our term.
    pub policy: String,
    /// How many look-ups it would need, or why it could not be evaluated; by what public DNS answers.
    pub look_ups: Result<Result<usize, PermError>, CloudError>,
}

impl Observed {
    /// Nothing was looked at.
    pub fn nothing(now: Timestamp) -> Self {
        Self {
            looked: false,
            identity: Ok(None),
            zones: Ok(Arc::default()),
            records: BTreeMap::new(),
            pending: Vec::new(),
            pending_failure: None,
            elsewhere: None,
            merge: None,
            identity_read_at: now,
            zones_read_at: now,
            records_read_at: now,
            records_seen_at: now,
            public_read_at: now,
        }
    }

    /// The first failure, if any part failed. A zone that is gone is no failure.
    pub fn failure(&self) -> Option<&CloudError> {
        let records = self.records.values().filter_map(|records| records.as_ref().err());
        self.identity
            .as_ref()
            .err()
            .into_iter()
            .chain(self.zones.as_ref().err())
            .chain(records.filter(|error| error.kind != ErrorKind::NotFound))
            .chain(&self.pending_failure)
            .chain(self.merge.as_ref().and_then(|merge| merge.look_ups.as_ref().err()))
            .next()
    }
}

/// Reads the identity, the zones, the records around our names, and how far our changes have come; and, where our term
/// would be put into an SPF policy, what public DNS says of all that it includes. `is_new`: the identity was made a moment ago,
/// and what its tags claim has yet to be.
pub async fn observe<S: IdentityService, D: DnsProvider>(
    subject: &Subject<'_>,
    is_new: bool,
    identities: &Identities<S>,
    dns: &Dns<D>,
    public: &PublicNames,
    freshness: Freshness,
    now: Timestamp,
) -> Observed {
    let key = subject.key();
    let mut found = if subject.deleting || !subject.has_made_nothing() {
        identities.get(&key, freshness.identity, freshness.poll).await
    } else {
        identities.find(&key, freshness.identity, freshness.listed).await
    };
    if matches!(found, Ok((None, _))) && known::has_identity(subject) {
        found = identities.confirmed(&key).await;
    }
    let (mut identity, mut identity_read_at) = match found {
        Ok((identity, read_at)) => (Ok(identity), read_at),
        Err(error) => (Err(error), now),
    };
    // A status may be forged: where it names a Region in which nothing is ours, the identity may be where the spec says.
    let mut elsewhere = None;
    let is_ours = |found: &Identity| matches!(subject.owner.judge(&found.tags), Ownership::Ours { .. });
    if let (Some(home), Ok(found)) = (subject.home(), &identity)
        && !found.as_ref().is_some_and(is_ours)
    {
        let key = IdentityKey { region: home, ..key };
        match identities.get(&key, freshness.identity, freshness.poll).await {
            Ok((Some(found), read_at)) if is_ours(&found) => {
                (identity, identity_read_at) = (Ok(Some(found)), read_at);
                elsewhere = Some(key.region);
            }
            Ok(_) => {}
            Err(error) => identity = Err(error),
        }
    }
    let identity_found = identity.as_ref().ok().and_then(Option::as_ref);
    let mut read = read_zones(subject, identity_found, is_new, dns, freshness, now).await;
    if read.lacks_a_listed_zone() {
        // The list is older than the zone's end: what has taken its place is not in it.
        let freshness = Freshness { zones: now, ..freshness };
        read = read_zones(subject, identity_found, is_new, dns, freshness, now).await;
        read.doubt_listed_zones();
    }
    let ReadZones { zones, zones_read_at, records, records_read_at, records_seen_at } = read;
    let (mut pending, mut pending_failure) = (Vec::new(), None);
    for change in &subject.status.pending_changes {
        if change.is_unanswered() {
            pending.extend((!schedule::is_believed_to_be_served(change.since.0, now)).then(|| change.clone()));
            continue;
        }
        let due = if subject.is_requested() { Some(now) } else { schedule::change_is_due(change.since.0, now) };
        let arrived = match due {
            None => false,
            Some(not_before) => {
                match dns.is_in_sync(&ZoneId(change.hosted_zone_id.clone()), &change.id, not_before).await {
                    Ok(in_sync) => in_sync,
                    // A change that is unknown is an old one.
                    Err(error) if error.kind == ErrorKind::NotFound => true,
                    Err(error) => {
                        pending_failure = Some(error);
                        false
                    }
                }
            }
        };
        if !arrived {
            pending.push(change.clone());
        }
    }
    let mut observed = Observed {
        looked: true,
        identity,
        zones,
        records,
        pending,
        pending_failure,
        elsewhere,
        merge: None,
        identity_read_at,
        zones_read_at,
        records_read_at,
        records_seen_at,
        public_read_at: now,
    };
    if let Some((name, policy)) = merge::considered(subject, &observed, now) {
        let counted = public.count(&name, &policy, freshness.public).await;
        let look_ups = counted.map(|(look_ups, at)| {
            observed.public_read_at = at;
            look_ups
        });
        let look_ups = look_ups.map_err(|error| {
            let message =
                format!("{}; nothing is put into the SPF policy of {name} before that is known", error.message);
            CloudError { message, ..error }
        });
        observed.merge = Some(Merge { policy, look_ups });
    }
    observed
}

/// What was read of the zones, and of the records in them.
struct ReadZones {
    zones: Result<Arc<Vec<HostedZone>>, CloudError>,
    zones_read_at: Timestamp,
    records: BTreeMap<ZoneId, Result<Vec<RecordSet>, CloudError>>,
    records_read_at: Timestamp,
    records_seen_at: Timestamp,
}

impl ReadZones {
    /// The zones that are in the list, and are not found where they are read.
    fn not_found(&mut self) -> impl Iterator<Item = &mut CloudError> {
        let zones = self.zones.as_ref().ok().cloned().unwrap_or_default();
        self.records.iter_mut().filter_map(move |(id, records)| {
            let is_listed = zones.iter().any(|zone| zone.id == *id);
            records.as_mut().err().filter(|error| is_listed && error.kind == ErrorKind::NotFound)
        })
    }

    fn lacks_a_listed_zone(&mut self) -> bool {
        self.not_found().next().is_some()
    }

    /// What is in a list that was read just now will be found yet, or will be out of the list: that is waited for.
    fn doubt_listed_zones(&mut self) {
        self.not_found().for_each(|error| error.kind = ErrorKind::Unavailable);
    }
}

async fn read_zones<D: DnsProvider>(
    subject: &Subject<'_>,
    identity: Option<&Identity>,
    is_new: bool,
    dns: &Dns<D>,
    freshness: Freshness,
    now: Timestamp,
) -> ReadZones {
    let mut found = dns.hosted_zones(freshness.zones).await;
    if found.as_ref().is_ok_and(|(zones, _)| known::lacks_a_zone(subject, identity, zones)) {
        found = dns.confirmed_zones().await;
    }
    let (zones, zones_read_at) = match found {
        Ok((zones, read_at)) => (Ok(zones), read_at),
        Err(error) => (Err(error), now),
    };
    let (mut records_read_at, mut records_seen_at) = (now, now);
    let mut records = BTreeMap::new();
    if let Ok(zones) = &zones {
        for (zone, names) in names_by_zone(subject, identity, zones) {
            let size = zones.iter().find(|listed| listed.id == zone).map_or(0, |listed| listed.record_sets);
            let root = subject.domain();
            let mut found = dns.record_sets(&zone, size, &root, &names, freshness.records).await;
            if let Ok((sets, _)) = &found {
                let missing = known::missing(subject, identity.filter(|_| !is_new), &zone, zones, sets);
                match dns.stands_after_all(&zone, &root, &missing).await {
                    Ok(false) => {}
                    Ok(true) => found = dns.record_sets(&zone, size, &root, &names, freshness.records).await,
                    Err(error) => found = Err(error),
                }
            }
            let found = found.map(|(sets, at)| {
                records_read_at = records_read_at.min(at);
                records_seen_at = records_seen_at.max(at);
                sets
            });
            records.insert(zone, found);
        }
    }
    ReadZones { zones, zones_read_at, records, records_read_at, records_seen_at }
}

/// The names that matter, by the zone that holds them: those of the spec, and those that we wrote before.
fn names_by_zone(
    subject: &Subject<'_>,
    identity: Option<&Identity>,
    zones: &[HostedZone],
) -> BTreeMap<ZoneId, Vec<DomainName>> {
    let domain = subject.domain();
    let preferred = subject.spec.hosted_zone_id().map(|id| ZoneId(id.to_owned()));
    let dkim = identity.map(|identity| dkim_records(subject, &identity.dkim)).unwrap_or_default();
    let earlier = identity.map(|identity| claims::earlier_records(&identity.tags, subject)).unwrap_or_default();
    let wanted = dkim.into_iter().map(|record| record.name).chain(subject.mail_from()).chain([dmarc_name(&domain)]);
    let wanted = wanted.chain(earlier.into_iter().map(|(record, _)| record.name));
    let mut names: BTreeMap<ZoneId, Vec<DomainName>> = BTreeMap::new();
    for name in wanted {
        if let Ok(zone) = zones::zone_for(&name, zones, preferred.as_ref(), &subject.settings.filters.zones) {
            names.entry(zone.id.clone()).or_default().push(name);
        }
    }
    // Of a zone that is not listed the answer tells whether it is gone.
    let filter = &subject.settings.filters.zones;
    let is_read = |entry: &&RecordStatus| {
        entry.ours && matches!(ledger::reach(entry, zones, filter), Reach::Writable | Reach::Unlisted)
    };
    for entry in ledger::entries(subject.status, &domain).filter(is_read) {
        names.entry(ZoneId(entry.hosted_zone_id.clone())).or_default().push(DomainName::new(&entry.name));
    }
    for (id, names) in &mut names {
        if let Some(zone) = zones.iter().find(|zone| zone.id == *id) {
            *names = zones::with_those_above(std::mem::take(names), &zone.name);
        }
    }
    names
}
