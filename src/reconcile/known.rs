//! What is known to be there, before it is read: what the status says, and, where that was lost, what the identity's tags
//! say. Pure.

use super::desired::{dkim_records, dmarc_name, mail_from_records};
use super::subject::Subject;
use super::{claims, ledger};
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::dns::zones::{ZoneError, zone_for};
use crate::dns::{HostedZone, RecordSet, ZoneId};
use crate::domain_name::DomainName;
use crate::ses::Identity;
use crate::ses::ownership::Ownership;

/// Whether there should be an identity. Before a resource goes it is better to look twice.
pub(super) fn has_identity(subject: &Subject<'_>) -> bool {
    subject.status.identity.is_some() || subject.deleting
}

/// The identity that is ours by its tags: what they claim, and the status does not speak of, was lost with a status.
fn ours<'a>(subject: &Subject<'_>, identity: Option<&'a Identity>) -> Option<&'a Identity> {
    identity.filter(|identity| matches!(subject.owner.judge(&identity.tags), Ownership::Ours { .. }))
}

/// Whether a list lacks a zone that holds records of ours, or must hold them.
pub(super) fn lacks_a_zone(subject: &Subject<'_>, identity: Option<&Identity>, zones: &[HostedZone]) -> bool {
    let is_listed = |id: &String| zones.iter().any(|zone| zone.id.0 == *id);
    let of_records = subject.status.records.iter().filter(|entry| entry.ours).map(|entry| &entry.hosted_zone_id);
    let lacks = |name: &DomainName| matches!(zone_for(name, zones, None, &[]), Err(ZoneError::NotFound { .. }));
    !of_records.chain(subject.status.hosted_zones.iter().map(|zone| &zone.id)).all(is_listed)
        || (ours(subject, identity).is_some() && lacks(&subject.domain()))
}

/// The names in a zone at which records of ours, or of use to us, should stand, and nothing does.
pub(super) fn missing(
    subject: &Subject<'_>,
    identity: Option<&Identity>,
    zone: &ZoneId,
    zones: &[HostedZone],
    around: &[RecordSet],
) -> Vec<DomainName> {
    let domain = subject.domain();
    // What was there before us stood when it was claimed, and others' when it was found to be of use.
    let stood = |entry: &RecordStatus| entry.published || (entry.ours && entry.origin != RecordOrigin::Created);
    let is_known = |entry: &&RecordStatus| stood(entry) && entry.hosted_zone_id == zone.0;
    let of_ledger = ledger::entries(subject.status, &domain).filter(is_known).map(|entry| DomainName::new(&entry.name));
    let of_tag = ours(subject, identity).into_iter().flat_map(|identity| {
        let dkim = dkim_records(subject, &identity.dkim).into_iter().chain(mail_from_records(subject));
        let names =
            dkim.map(|record| (record.purpose, record.name)).chain([(RecordPurpose::Dmarc, dmarc_name(&domain))]);
        let is_told = |(purpose, name): &(RecordPurpose, DomainName)| {
            let entries = &subject.status.records;
            entries.iter().any(|entry| entry.purpose == *purpose && name.is(&entry.name))
        };
        let is_claimed = |purpose| claims::origin(&identity.tags, purpose, subject).is_some();
        let claimed = names.filter(|known| !is_told(known) && is_claimed(known.0));
        let preferred = subject.spec.hosted_zone_id().map(|id| ZoneId(id.to_owned()));
        let here =
            |name: &DomainName| zone_for(name, zones, preferred.as_ref(), &[]).is_ok_and(|found| found.id == *zone);
        claimed.map(|(_, name)| name).filter(here).collect::<Vec<_>>()
    });
    let mut names: Vec<DomainName> =
        of_ledger.chain(of_tag).filter(|name| !around.iter().any(|set| set.name == *name)).collect();
    names.sort();
    names.dedup();
    names
}
