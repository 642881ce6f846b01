//! What is seen of a zone: its records, against what the statuses of its domains say.

use jiff::Timestamp;

use super::due::ZONE_ROUND;
use super::{Watched, Woken, compare, is_looked_after};
use crate::api::SesDomain;
use crate::api::status::RecordStatus;
use crate::cloud::{CloudError, ErrorKind};
use crate::dns::view::ZoneView;
use crate::dns::zones::{self, zone_for};
use crate::dns::{DnsProvider, HostedZone, ZoneId};
use crate::domain_name::DomainName;
use crate::quota::{Caller, Class};
use crate::reconcile::{Reconciler, ledger, rest};
use crate::ses::IdentityService;

/// What was seen.
pub(super) struct Looked {
    /// The domains for which something is to be done.
    pub woken: Vec<Woken>,
    /// Whether all of the zone's domains are at rest.
    pub all_rest: bool,
}

/// Reads a zone, and compares the records of its domains with what was seen last. Those whose daily look comes within the
/// hour are looked at now, since their zone was just read.
pub(super) async fn look<S: IdentityService, D: DnsProvider>(
    reconciler: &Reconciler<S, D>,
    watched: &impl Watched,
    zone: &ZoneId,
    now: Timestamp,
) -> Result<Looked, CloudError> {
    let (mut asked, mut awaited) = (Vec::new(), false);
    watched.each_in_zone(zone, &mut |domain| {
        let names = names_in(domain, zone);
        awaited |= names.is_some() && !rest::at_rest(domain, now);
        asked.extend(names);
    });
    let (zones, _) = reconciler.dns.hosted_zones(now - ZONE_ROUND).await?;
    let listed = zones.iter().find(|listed| listed.id == *zone);
    let name = listed.map_or_else(|| DomainName::new(""), |listed| listed.name.clone());
    let asked: Vec<(DomainName, Vec<DomainName>)> =
        asked.into_iter().map(|(root, names)| (root, zones::with_those_above(names, &name))).collect();
    let filter = &reconciler.settings.filters.zones;
    let look = |view: &ZoneView| {
        let mut looked = Looked { woken: Vec::new(), all_rest: true };
        watched.each_in_zone(zone, &mut |domain| {
            looked.all_rest &= rest::at_rest(domain, now);
            let Some((root, names)) = names_in(domain, zone) else { return };
            let class = if differs(domain, zone, &name, &root, &names, view)
                || has_moved(domain, zone, &names, &zones, filter)
            {
                Class::Repair
            } else if is_looked_at_soon(domain, now) {
                Class::Sweep
            } else {
                return;
            };
            looked.woken.push(Woken::new(domain, class));
        });
        looked
    };
    let read = reconciler.dns.reread(zone, listed.map_or(0, |listed| listed.record_sets), &asked, look);
    // A domain that is awake may wait for what is read here.
    let caller = if awaited { Caller::for_all() } else { Caller::current() };
    match caller.scope(read).await {
        // It is gone, or may not be read any more: each of its domains has to say so.
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Unauthenticated) => {
            Ok(look(&ZoneView::default()))
        }
        looked => looked,
    }
}

/// A domain that has records in a zone, with their names.
fn names_in(domain: &SesDomain, zone: &ZoneId) -> Option<(DomainName, Vec<DomainName>)> {
    let is_here = |entry: &RecordStatus| entry.hosted_zone_id == zone.0;
    let status = domain.status.as_ref().filter(|_| is_looked_after(domain))?;
    if !status.records.iter().any(is_here) {
        return None;
    }
    let root = DomainName::new(&domain.spec.domain);
    let of_zone = ledger::entries(status, &root).filter(|entry| is_here(entry));
    let names: Vec<DomainName> = of_zone.map(|entry| DomainName::new(&entry.name)).collect();
    (!names.is_empty()).then_some((root, names))
}

/// Whether a domain's records are not what its status says.
fn differs(
    domain: &SesDomain,
    zone: &ZoneId,
    zone_name: &DomainName,
    root: &DomainName,
    names: &[DomainName],
    view: &ZoneView,
) -> bool {
    view.answer(root, names, Timestamp::MIN).is_none_or(|(around, _)| {
        let status = domain.status.as_ref();
        status.is_some_and(|status| compare::records_differ(status, root, zone, zone_name, &around))
    })
}

/// Whether a record of this zone belongs into another one by now, and is not known there.
fn has_moved(domain: &SesDomain, zone: &ZoneId, names: &[DomainName], zones: &[HostedZone], filter: &[ZoneId]) -> bool {
    let preferred = domain.spec.hosted_zone_id().map(|id| ZoneId(id.to_owned()));
    let records = domain.status.iter().flat_map(|status| &status.records);
    let is_in =
        |name: &DomainName, zone: &ZoneId| records.clone().any(|it| it.hosted_zone_id == zone.0 && name.is(&it.name));
    let belongs = |name| {
        let found = zone_for(name, zones, preferred.as_ref(), filter);
        found.is_ok_and(|found| found.id == *zone || is_in(name, &found.id))
    };
    !names.iter().all(belongs)
}

/// Whether a domain at rest has its daily look within the hour.
fn is_looked_at_soon(domain: &SesDomain, now: Timestamp) -> bool {
    let uid = domain.metadata.uid.as_deref().unwrap_or_default();
    rest::at_rest(domain, now) && rest::daily(uid, now) <= now + ZONE_ROUND
}
