//! What goes when the resource is deleted. Pure.
//!
//! Records first, then the identity: its tags are the claim on the records. Only what we made goes, and only where it
//! still holds what we wrote. What is gone already is no obstacle.

use jiff::Timestamp;

use super::records::{Batches, add_once, zone_of};
use super::{Change, Plan, Problem, claim};
use crate::api::Reason;
use crate::api::spec::DeletionPolicy;
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::cloud::ErrorKind;
use crate::dns::{HostedZone, ZoneId};
use crate::reconcile::desired::{WantedRecord, dkim_records, dmarc_record, mail_from_records};
use crate::reconcile::ledger::{self, Reach, Trust};
use crate::reconcile::observe::Observed;
use crate::reconcile::subject::Subject;
use crate::reconcile::{claims, verdict};
use crate::ses::ownership::{
    ADOPTED, CLUSTER, HANDED_OVER_BY, IS_RELEASED, NAME, NAMESPACE, Ownership, RECORDS, RELEASED, SETTINGS,
};
use crate::ses::{Identity, IdentityChange};

/// Plans the removal.
pub(super) fn plan(subject: &Subject<'_>, observed: &Observed, now: Timestamp) -> Plan {
    if !subject.spec.suspend {
        return remove(subject, observed, now);
    }
    let kept = Plan { ledger: subject.status.records.clone(), ..Plan::default() };
    if subject.spec.deletion_policy == DeletionPolicy::Retain {
        return Plan { gone: true, ..kept };
    }
    // Where nothing is to be changed, nothing is held up.
    let asked = remove(subject, observed, now);
    if asked.gone {
        return asked;
    }
    let message = "the resource is being deleted and spec.suspend forbids every change in AWS: set suspend to false to remove its records and identity, or deletionPolicy to Retain to leave them";
    Plan { problems: vec![Problem::whole(Reason::Suspended, message)], ..kept }
}

fn remove(subject: &Subject<'_>, observed: &Observed, now: Timestamp) -> Plan {
    let kept = Plan { ledger: subject.status.records.clone(), ..Plan::default() };
    let handed_over = observed.identity.as_ref().ok().and_then(Option::as_ref);
    if let Some(plan) = handed_over.and_then(|identity| claim::hand_over(subject, identity)) {
        return plan;
    }
    if subject.spec.deletion_policy == DeletionPolicy::Retain {
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
    // What the tags don't bear out is let go while they are there: once the identity is deleted the ledger alone tells.
    let borne_out = |entry: RecordStatus| match ledger::trust(subject, identity.as_ref(), &entry, now) {
        Trust::Ours(origin) if entry.ours => Some(RecordStatus { origin, ..entry }),
        Trust::NotOurs if entry.ours => None,
        Trust::Ours(_) | Trust::Unknown | Trust::NotOurs => Some(entry),
    };
    let mut plan = Plan { ledger: kept.ledger.into_iter().filter_map(borne_out).collect(), ..Plan::default() };
    let candidates = candidates(subject, identity.as_ref(), zones, now, &mut plan);
    let mut batches = Batches::default();
    let mut left = Vec::new();
    let mut unread = false;
    for Candidate { zone, record, origin, bar } in &candidates {
        match observed.records.get(zone) {
            Some(Ok(around)) => {
                let changes = verdict::removal(record, *origin, around);
                if changes.is_empty() {
                    continue;
                }
                match bar {
                    // Several candidates may stand for one set: it can be changed only once in a batch.
                    None if left.contains(&(&record.name, &record.record_type)) => {}
                    None => {
                        left.push((&record.name, &record.record_type));
                        batches.add(zone, changes);
                    }
                    Some(Bar::Unknown) => plan.is_unsure = true,
                    Some(Bar::Unlisted) => add_once(&mut plan.problems, unlisted(zone, record)),
                }
            }
            Some(Err(error)) if error.kind == ErrorKind::NotFound => {}
            Some(Err(_)) => unread = true,
            // Only zones of entries and of wanted names are candidates, and those were read.
            None => {}
        }
    }
    // Of an adopted identity the status knows as well: a tag is soon taken off.
    let was_adopted = subject.status.identity.as_ref().is_some_and(|known| known.adopted);
    let adopted = identity.as_ref().filter(|_| was_adopted || ownership == Some(Ownership::Ours { adopted: true }));
    plan.changes.extend(adopted.and_then(|identity| mail_from(identity, &candidates)));
    plan.changes.extend(batches.into_changes());
    if unread || plan.is_unsure || !plan.problems.is_empty() {
        return plan;
    }
    match (identity, adopted) {
        (Some(_), None) => plan.changes.push(Change::DeleteIdentity),
        (Some(_), Some(identity)) => plan.changes.push(release(identity)),
        (None, _) => {}
    }
    plan.gone = plan.changes.is_empty();
    plan
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
fn mail_from(identity: &Identity, candidates: &[Candidate]) -> Option<Change> {
    let used = &identity.mail_from.as_ref()?.domain;
    let goes = candidates.iter().any(|candidate| {
        let is_mx = candidate.record.purpose == RecordPurpose::MailFromMx && candidate.record.name == *used;
        is_mx && candidate.origin == RecordOrigin::Created
    });
    goes.then_some(Change::ChangeIdentity { change: IdentityChange::MailFrom(None), puts_back: false })
}

/// An identity that stays is nobody's again: the tags that name its owner go last, since they are the claim on the rest.
fn release(identity: &Identity) -> Change {
    let ours = [ADOPTED, CLUSTER, HANDED_OVER_BY, NAME, NAMESPACE, RECORDS, RELEASED, SETTINGS].map(str::to_owned);
    let keys = ours.into_iter().filter(|key| identity.tags.contains_key(key)).collect();
    Change::ChangeIdentity { change: IdentityChange::Untag(keys), puts_back: false }
}

/// A record that may have to go.
struct Candidate {
    zone: ZoneId,
    record: WantedRecord,
    origin: RecordOrigin,
    /// What keeps it from going.
    bar: Option<Bar>,
}

/// What keeps a record from going.
#[derive(Clone, Copy)]
enum Bar {
    /// It is not known yet whether it is ours.
    Unknown,
    /// Its zone is not among the account's public ones.
    Unlisted,
}

/// The records that may be ours: those of the ledger, and those that the identity's tag claims and the ledger has lost,
/// with every value that we may have written last. What can't be found is a problem: else it would stay in silence.
fn candidates(
    subject: &Subject<'_>,
    identity: Option<&Identity>,
    zones: &[HostedZone],
    now: Timestamp,
    plan: &mut Plan,
) -> Vec<Candidate> {
    let domain = subject.domain();
    let filter = &subject.settings.filters.zones;
    let entries: Vec<&RecordStatus> = ledger::entries(subject.status, &domain).filter(|entry| entry.ours).collect();
    let mut candidates = Vec::new();
    for entry in &entries {
        let (origin, bar) = match (ledger::trust(subject, identity, entry, now), ledger::reach(entry, zones, filter)) {
            (Trust::NotOurs | Trust::Ours(RecordOrigin::Adopted), _) | (_, Reach::Elsewhere) => continue,
            (_, Reach::Filtered) => {
                add_once(&mut plan.problems, filtered(entry));
                continue;
            }
            (Trust::Unknown, _) => (entry.origin, Some(Bar::Unknown)),
            (Trust::Ours(origin), Reach::Unlisted) => (origin, Some(Bar::Unlisted)),
            (Trust::Ours(origin), Reach::Writable) => (origin, None),
        };
        let zone = ZoneId(entry.hosted_zone_id.clone());
        candidates.push(Candidate { zone, record: ledger::record(entry), origin, bar });
    }
    let dmarc = subject
        .spec
        .dmarc_policy
        .iter()
        .flat_map(|policy| policy.stages.iter().map(|stage| dmarc_record(subject, policy, stage)));
    let of_spec = identity.into_iter().flat_map(|identity| dkim_records(subject, &identity.dkim));
    let of_ledger = candidates.len();
    for record in of_spec.chain(mail_from_records(subject)).chain(dmarc) {
        if !entries.iter().any(|entry| ledger::is_of(entry, &record)) {
            let in_tag = identity.and_then(|identity| claims::origin(&identity.tags, record.purpose, subject));
            candidates.extend(in_tag.and_then(|origin| claimed(subject, zones, record, origin, plan)));
            continue;
        }
        // What was written last may not have been written down.
        let is_it = |known: &&Candidate| (known.record.purpose, &known.record.name) == (record.purpose, &record.name);
        let known = candidates[..of_ledger].iter().filter(|known| known.bar.is_none()).filter(is_it);
        let written = known.map(|known| Candidate { zone: known.zone.clone(), record: record.clone(), ..*known });
        let written: Vec<Candidate> = written.collect();
        candidates.extend(written);
    }
    let earlier = identity.map(|identity| claims::earlier_records(&identity.tags, subject)).unwrap_or_default();
    for (record, origin) in earlier {
        if !entries.iter().any(|entry| ledger::is_of(entry, &record)) {
            candidates.extend(claimed(subject, zones, record, origin, plan));
        }
    }
    candidates
}

/// A record that only the tag knows: it stands where the spec would have it.
fn claimed(
    subject: &Subject<'_>,
    zones: &[HostedZone],
    record: WantedRecord,
    origin: RecordOrigin,
    plan: &mut Plan,
) -> Option<Candidate> {
    if origin == RecordOrigin::Adopted {
        return None;
    }
    match zone_of(subject, zones, &record) {
        Ok(zone) => Some(Candidate { zone: zone.id.clone(), record, origin, bar: None }),
        // It went with its zone.
        Err(Problem { reason: Reason::HostedZoneNotFound, .. }) => None,
        Err(problem) => {
            let message = format!(
                "the tags of the SES identity {} name records of this resource that must be removed, and {}; or set spec.deletionPolicy to Retain to leave them",
                subject.domain(),
                problem.message
            );
            add_once(&mut plan.problems, Problem { purpose: None, message, ..problem });
            None
        }
    }
}

fn filtered(entry: &RecordStatus) -> Problem {
    let message = format!(
        "records of this resource stand in the hosted zone {}, which is outside of the operator's --zone-filter: ask the operator's administrator to add it until they are removed, or set spec.deletionPolicy to Retain to leave them",
        entry.hosted_zone_id
    );
    Problem::whole(Reason::Filtered, message)
}

fn unlisted(zone: &ZoneId, record: &WantedRecord) -> Problem {
    let message = format!(
        "{} {} of this resource stands in the hosted zone {zone}, which is not among the public ones of the account: remove it by hand, or set spec.deletionPolicy to Retain to leave it",
        record.name, record.record_type
    );
    Problem::whole(Reason::HostedZoneNotFound, message)
}
