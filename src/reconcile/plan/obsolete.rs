//! Which records go because they are no longer wanted: of an earlier MAIL FROM label, zone or DKIM token. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::records::{Batches, Ground, zone_of};
use super::{Plan, Stay};
use crate::api::Reason;
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::cloud::ErrorKind;
use crate::dns::{RecordSet, RecordType, ZoneId};
use crate::domain_name::DomainName;
use crate::reconcile::desired::WantedRecord;
use crate::reconcile::ledger::{self, Reach, Trust};
use crate::reconcile::{claims, verdict};
use crate::ses::VerificationStatus;

/// The entries of records that are no longer wanted, and that we made, each with whether that is certain: of an earlier
/// MAIL FROM label the identity's tag knows as well.
fn left(ground: Ground<'_>, known: &[&RecordStatus], plan: &mut Plan) -> Vec<(RecordStatus, bool)> {
    let Ground { subject, observed, identity, zones, now } = ground;
    let filter = &subject.settings.filters.zones;
    let mut left = Vec::new();
    let is_kept = |entry: &RecordStatus, plan: &Plan| plan.ledger.iter().any(|kept| ledger::same_place(kept, entry));
    for entry in known.iter().copied().filter(|entry| entry.ours) {
        if is_kept(entry, plan) {
            continue;
        }
        let stands = observed
            .records
            .get(&ZoneId(entry.hosted_zone_id.clone()))
            .is_none_or(|around| around.as_ref().is_ok_and(|around| verdict::is_taken(&ledger::record(entry), around)));
        match (ledger::trust(subject, Some(identity), entry, now), ledger::reach(entry, zones, filter)) {
            (Trust::NotOurs, _) | (_, Reach::Elsewhere) => {}
            (Trust::Ours(RecordOrigin::Adopted), _) => {}
            // What may not be touched now is remembered.
            (_, Reach::Filtered) => plan.ledger.push(entry.clone()),
            (Trust::Ours(origin), reach) => {
                left.push((RecordStatus { origin, ..entry.clone() }, reach == Reach::Writable));
            }
            (Trust::Unknown, _) => {
                plan.is_unsure |= stands;
                left.push((entry.clone(), false));
            }
        }
    }
    let earlier = claims::earlier_records(&identity.tags, subject).into_iter();
    for (record, origin) in earlier.filter(|(_, origin)| *origin != RecordOrigin::Adopted) {
        let Ok(zone) = zone_of(subject, zones, &record) else { continue };
        let entry = ledger::claim(&record, &zone.id, Some(origin), &Time(now));
        if !known.iter().any(|known| ledger::is_of(known, &record)) && !is_kept(&entry, plan) {
            left.push((entry, true));
        }
    }
    let (dmarc, others) = left.into_iter().partition::<Vec<_>, _>(|(entry, _)| {
        entry.purpose == RecordPurpose::Dmarc && subject.spec.dmarc_policy.is_none()
    });
    // A policy that is taken out of the spec must not become weaker by that: its record stays and stops being ours.
    plan.released_dmarc = dmarc.into_iter().map(|(entry, _)| entry.value).next();
    others
}

/// Records of earlier MAIL FROM labels of which nobody can say in which zone they are: they can't be looked for now, and the
/// tags go on to claim them.
pub(super) fn unplaced(ground: Ground<'_>) -> Vec<RecordStatus> {
    let Ground { subject, identity, zones, now, .. } = ground;
    let nowhere = ZoneId(String::new());
    claims::earlier_records(&identity.tags, subject)
        .into_iter()
        // Those of a zone that is gone went with it.
        .filter(|(record, _)| {
            zone_of(subject, zones, record).is_err_and(|problem| problem.reason != Reason::HostedZoneNotFound)
        })
        .map(|(record, origin)| ledger::claim(&record, &nowhere, Some(origin), &Time(now)))
        .collect()
}

/// Whether what replaces a record stands and is verified, or nothing needs it any more, so that it may go. What could not
/// be read does not stand.
fn is_replaced(ground: Ground<'_>, plan: &Plan, entry: &RecordStatus) -> bool {
    let Ground { subject, identity, .. } = ground;
    let verified = |status| status == VerificationStatus::Success;
    match (entry.purpose, &identity.mail_from) {
        (RecordPurpose::Dkim, _) => plan.serves(&[RecordPurpose::Dkim]) && verified(identity.dkim.status),
        (RecordPurpose::Dmarc, _) => plan.serves(&[RecordPurpose::Dmarc]),
        (RecordPurpose::MailFromMx | RecordPurpose::MailFromSpf, used) => match subject.mail_from() {
            None => used.as_ref().is_none_or(|used| used.domain != DomainName::new(&entry.name)),
            Some(wanted) => {
                plan.serves(&[RecordPurpose::MailFromMx, RecordPurpose::MailFromSpf])
                    && used.as_ref().is_some_and(|used| used.domain == wanted && verified(used.status))
            }
        },
    }
}

/// What keeps a record in its zone that is wanted in another one by now: public DNS may still ask there.
///
/// A zone of its own for `mail.example.com` is of use only once `example.com` delegates to it: until then what stands in
/// `example.com` is what the world sees, and SES too. Of a zone that the spec has replaced the delegation may stand above
/// it, where we can't look; its name servers are remembered for two days.
fn stay(ground: Ground<'_>, wanted: &[WantedRecord], entry: &RecordStatus, ledger: &[RecordStatus]) -> Option<Stay> {
    let Ground { subject, observed, zones, now, .. } = ground;
    let (name, record_type) = ledger::place(entry);
    let wanted_elsewhere = wanted.iter().any(|record| record.name == name && record.record_type == record_type);
    let zone = zones.iter().find(|zone| zone.id.0 == entry.hosted_zone_id).filter(|_| wanted_elsewhere)?;
    let around = observed.records.get(&zone.id).and_then(|records| records.as_ref().ok());
    let delegates =
        |set: &RecordSet| set.record_type == RecordType::Ns && set.name != zone.name && name.is_within(&set.name);
    if around.into_iter().flatten().any(delegates) {
        return None;
    }
    let told_to_move = subject.spec.hosted_zone_id().is_some_and(|id| id != entry.hosted_zone_id);
    if !told_to_move {
        return Some(Stay::UntilDelegated);
    }
    ledger::leaves_at(entry, ledger).filter(|at| *at > now).map(Stay::Until)
}

/// Takes out what is no longer wanted, once what replaces it stands.
pub(super) fn retire(
    ground: Ground<'_>,
    known: &[&RecordStatus],
    wanted: &[WantedRecord],
    plan: &mut Plan,
    batches: &mut Batches,
) {
    for (entry, is_certain) in left(ground, known, plan) {
        let zone = ZoneId(entry.hosted_zone_id.clone());
        match ground.observed.records.get(&zone) {
            Some(Ok(around)) => {
                let changes = verdict::removal(&ledger::record(&entry), entry.origin, around);
                if changes.is_empty() {
                    continue;
                }
                if is_certain && is_replaced(ground, plan, &entry) {
                    match stay(ground, wanted, &entry, &plan.ledger) {
                        None => batches.add(&zone, changes),
                        Some(stay) => {
                            let known = plan.staying.entry(zone).or_insert(stay);
                            *known = stay.max(*known);
                        }
                    }
                }
                plan.ledger.push(entry);
            }
            Some(Err(error)) if error.kind == ErrorKind::NotFound => {}
            Some(Err(_)) | None => plan.ledger.push(entry),
        }
    }
}
