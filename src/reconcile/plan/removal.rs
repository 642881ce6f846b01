//! What goes when the resource is deleted. Pure.
//!
//! Records first, then the identity: its tags are the claim on the records. Only what we made goes, and only where it
//! still holds what we wrote. What is gone already is no obstacle.

use super::records::Batches;
use super::{Change, Plan, Problem, claim};
use crate::api::Reason;
use crate::api::spec::DeletionPolicy;
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::cloud::ErrorKind;
use crate::dns::{HostedZone, ZoneId};
use crate::reconcile::desired::{WantedRecord, dkim_records, dmarc_record, mail_from_records};
use crate::reconcile::observe::Observed;
use crate::reconcile::subject::Subject;
use crate::reconcile::{claims, ledger, verdict};
use crate::ses::ownership::{
    ADOPTED, CLUSTER, HANDED_OVER_BY, IS_RELEASED, NAME, NAMESPACE, Ownership, RECORDS, RELEASED,
};
use crate::ses::{Identity, IdentityChange};

/// Plans the removal.
pub(super) fn plan(subject: &Subject<'_>, observed: &Observed) -> Plan {
    let kept = Plan { ledger: subject.status.records.clone(), ..Plan::default() };
    let retains = subject.spec.deletion_policy == DeletionPolicy::Retain;
    if retains && subject.spec.suspend {
        return Plan { gone: true, ..kept };
    }
    if subject.spec.suspend {
        let message = "the resource is being deleted and spec.suspend forbids every change in AWS: set suspend to false to remove its records and identity, or deletionPolicy to Retain to leave them";
        return Plan { problems: vec![Problem::whole(Reason::Suspended, message)], ..kept };
    }
    let handed_over = observed.identity.as_ref().ok().and_then(Option::as_ref);
    if let Some(plan) = handed_over.and_then(|identity| claim::hand_over(subject, identity)) {
        return plan;
    }
    if retains {
        return leave(subject, observed, kept);
    }
    let (Ok(identity), Ok(zones)) = (&observed.identity, &observed.zones) else { return kept };
    let ownership = identity.as_ref().map(|identity| subject.owner.judge(&identity.tags));
    let ours = matches!(ownership, Some(Ownership::Ours { .. }));
    if identity.is_some() && !ours {
        // The tags are the claim on the records as well: whoever has the identity now needs them.
        let claimed = ledger::entries(subject.status, &subject.domain()).any(|entry| entry.ours);
        let left_behind = claimed.then(|| {
            format!(
                "the tags of the SES identity {} do not name this resource any more: the identity and its records are left as they are",
                subject.domain()
            )
        });
        return Plan { gone: true, left_behind, ..kept };
    }
    let mut batches = Batches::default();
    let mut left = Vec::new();
    let mut unread = false;
    for (zone, record, origin) in candidates(subject, identity.as_ref().filter(|_| ours), zones) {
        match observed.records.get(&zone) {
            Some(Ok(around)) => {
                let changes = verdict::removal(&record, origin, around);
                // Several candidates may stand for one set: it can be changed only once in a batch.
                if !changes.is_empty() && !left.contains(&(record.name.clone(), record.record_type.clone())) {
                    left.push((record.name, record.record_type));
                    batches.add(&zone, changes);
                }
            }
            Some(Err(error)) if error.kind == ErrorKind::NotFound => {}
            Some(Err(_)) => unread = true,
            // Only zones of entries and of wanted names are candidates, and those were read.
            None => {}
        }
    }
    let adopted = identity.as_ref().filter(|_| ownership == Some(Ownership::Ours { adopted: true }));
    let mut changes: Vec<Change> =
        adopted.and_then(|identity| mail_from(subject, identity)).into_iter().chain(batches.into_changes()).collect();
    if unread {
        return Plan { changes, ..kept };
    }
    if ownership == Some(Ownership::Ours { adopted: false }) {
        changes.push(Change::DeleteIdentity);
    }
    changes.extend(adopted.map(release));
    let gone = changes.is_empty();
    Plan { changes, gone, ..kept }
}

/// Leaves everything, and says so in the identity's tags, so that another resource may adopt it.
fn leave(subject: &Subject<'_>, observed: &Observed, kept: Plan) -> Plan {
    let Ok(identity) = &observed.identity else { return kept };
    let ours = |identity: &&Identity| matches!(subject.owner.judge(&identity.tags), Ownership::Ours { .. });
    let told = |identity: &&Identity| identity.tags.get(RELEASED).is_some_and(|value| value == IS_RELEASED);
    match identity.as_ref().filter(ours) {
        Some(identity) if !told(&identity) => {
            let tags = [(RELEASED.to_owned(), IS_RELEASED.to_owned())];
            let change = IdentityChange::Tag(tags.into_iter().collect());
            Plan { changes: vec![Change::ChangeIdentity { change, puts_back: false }], ..kept }
        }
        Some(_) | None => Plan { gone: true, ..kept },
    }
}

/// An identity that stays must not go on to use a MAIL FROM domain whose MX record is about to go.
fn mail_from(subject: &Subject<'_>, identity: &Identity) -> Option<Change> {
    let domain = &identity.mail_from.as_ref()?.domain;
    let in_tag = claims::origin(&identity.tags, RecordPurpose::MailFromMx, subject) == Some(RecordOrigin::Created);
    let is_ours = ledger::has_mail_from(subject.status, &subject.domain(), domain)
        || (in_tag && subject.status.records.is_empty() && subject.mail_from().as_ref() == Some(domain));
    is_ours.then_some(Change::ChangeIdentity { change: IdentityChange::MailFrom(None), puts_back: false })
}

/// An identity that stays is nobody's again: the tags that name its owner go last, since they are the claim on the rest.
fn release(identity: &Identity) -> Change {
    let ours = [ADOPTED, CLUSTER, HANDED_OVER_BY, NAME, NAMESPACE, RECORDS, RELEASED].map(str::to_owned);
    let keys = ours.into_iter().filter(|key| identity.tags.contains_key(key)).collect();
    Change::ChangeIdentity { change: IdentityChange::Untag(keys), puts_back: false }
}

/// The records that may be ours: those of the ledger, and those that the identity's tag claims, with every value that we
/// may have written last.
fn candidates(
    subject: &Subject<'_>,
    identity: Option<&Identity>,
    zones: &[HostedZone],
) -> Vec<(ZoneId, WantedRecord, RecordOrigin)> {
    let domain = subject.domain();
    let entries: Vec<&RecordStatus> = ledger::entries(subject.status, &domain).filter(|entry| entry.ours).collect();
    let of_ledger =
        entries.iter().map(|entry| (ZoneId(entry.hosted_zone_id.clone()), ledger::record(entry), entry.origin));
    let dmarc = subject
        .spec
        .dmarc_policy
        .iter()
        .flat_map(|policy| policy.stages.iter().map(|stage| dmarc_record(subject, policy, stage)));
    let of_spec = identity.into_iter().flat_map(|identity| dkim_records(subject, &identity.dkim));
    let of_spec = of_spec.chain(mail_from_records(subject)).chain(dmarc).filter_map(|record| {
        let zone = super::records::zone_of(subject, zones, &record).ok()?;
        let in_ledger = entries.iter().find(|entry| ledger::is_for(entry, &record, &zone.id));
        let in_tag = || identity.and_then(|identity| claims::origin(&identity.tags, record.purpose, subject));
        let origin = in_ledger.map(|entry| entry.origin).or_else(in_tag)?;
        Some((zone.id.clone(), record, origin))
    });
    let earlier = identity.map(|identity| claims::earlier_records(&identity.tags, subject)).unwrap_or_default();
    let earlier = earlier.into_iter().filter_map(|(record, origin)| {
        let zone = super::records::zone_of(subject, zones, &record).ok()?;
        Some((zone.id.clone(), record, origin))
    });
    of_ledger.chain(of_spec).chain(earlier).collect()
}
