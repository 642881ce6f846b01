//! What there is, for the status: derived anew each time, but for what no reading of AWS can tell. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::SesDomainStatus;
use crate::api::spec::{Advancement, MxFailureBehavior};
use crate::api::status::{
    DkimState, DmarcState, HostedZoneStatus, IdentityStatus, MailFromState, PendingChange, RecordOrigin, RecordPurpose,
    RecordStatus,
};
use crate::cloud::ErrorKind;
use crate::dmarc::stages;
use crate::dns::RecordChange;
use crate::dns::writer::Accepted;
use crate::domain_name::DomainName;
use crate::reconcile::apply::Applied;
use crate::reconcile::ledger;
use crate::reconcile::managed::Managed;
use crate::reconcile::observe::Observed;
use crate::reconcile::plan::records::recent;
use crate::reconcile::plan::{Change, Plan};
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict::Verdict;
use crate::ses::ownership::Ownership;
use crate::ses::{Identity, IdentityChange, VerificationStatus};

/// Everything of the status but the conditions.
pub(super) fn facts(
    subject: &Subject<'_>,
    observed: &Observed,
    plan: &Plan,
    applied: &Applied,
    now: Timestamp,
) -> SesDomainStatus {
    let before = subject.status;
    let found = observed.identity.as_ref().ok().and_then(Option::as_ref);
    if let Some(region) = &plan.region {
        return SesDomainStatus { region: Some(region.as_str().to_owned()), ..before.clone() };
    }
    if let Some(status) = found.filter(|_| plan.inherits).and_then(|found| inherited(subject, found)) {
        return status;
    }
    let known = observed.looked && observed.identity.is_ok();
    let time = Time(now);
    let pending = if observed.looked { pending(observed, plan, applied) } else { before.pending_changes.clone() };
    let records = records(subject, plan, applied, &pending, &time);
    let mut zones: Vec<HostedZoneStatus> = observed.zones.as_ref().ok().filter(|_| observed.looked).map_or_else(
        || before.hosted_zones.clone(),
        |zones| {
            let used = zones.iter().filter(|zone| {
                // What could not be read is where it was.
                let unread = !known || observed.records.get(&zone.id).is_some_and(Result::is_err);
                plan.findings.iter().any(|finding| finding.zone == zone.id)
                    || (unread && before.hosted_zones.iter().any(|before| before.id == zone.id.0))
            });
            used.map(|zone| HostedZoneStatus { name: zone.name.to_string(), id: zone.id.to_string() }).collect()
        },
    );
    // The domain's own zone first: the printer column shows it.
    zones.sort_by_key(|zone| (zone.name.len(), zone.clone()));
    SesDomainStatus {
        observed_generation: Some(subject.generation),
        conditions: Vec::new(),
        account: Some(subject.settings.account.clone()),
        region: Some(subject.region().as_str().to_owned()),
        identity: if known { identity(subject, found, plan, applied, &time) } else { before.identity.clone() },
        hosted_zones: zones,
        dkim: if known { found.map(|found| dkim(subject, found, plan, applied, &time)) } else { before.dkim.clone() },
        mail_from: if known { mail_from(subject, found, plan, applied, &time) } else { before.mail_from.clone() },
        dmarc: dmarc(subject, plan, &pending, &time),
        records,
        pending_changes: pending,
        plan: Vec::new(),
        last_handled_reconcile_at: subject.reconcile_requested.map(str::to_owned),
    }
}

/// All that our predecessor knew: which records are ours, since when a stage or a wait lasts, what was set for the spec.
fn inherited(subject: &Subject<'_>, found: &Identity) -> Option<SesDomainStatus> {
    let predecessor = subject.predecessor(&found.tags)?;
    Some(SesDomainStatus {
        observed_generation: subject.status.observed_generation,
        conditions: Vec::new(),
        last_handled_reconcile_at: subject.status.last_handled_reconcile_at.clone(),
        ..predecessor.status.clone()
    })
}

fn pending(observed: &Observed, plan: &Plan, applied: &Applied) -> Vec<PendingChange> {
    // To the second, as the status holds times.
    let since = |accepted: &Accepted| Timestamp::from_second(accepted.at.as_second()).unwrap_or(accepted.at);
    let accepted = applied.accepted.iter().map(|(zone, accepted)| PendingChange {
        id: accepted.id.clone(),
        hosted_zone_id: zone.to_string(),
        since: Time(since(accepted)),
    });
    let mut pending: Vec<PendingChange> = observed.pending.iter().cloned().chain(accepted).collect();
    // What stands and was never seen to arrive came with a change that nobody has answered.
    let seen = observed.records_seen_at.as_second() + i64::from(observed.records_seen_at.subsec_nanosecond() > 0);
    let seen = Timestamp::from_second(seen).unwrap_or(observed.records_seen_at);
    for finding in plan.findings.iter().filter(|finding| finding.verdict == Verdict::Right && !finding.in_sync) {
        if !pending.iter().any(|change| change.hosted_zone_id == finding.zone.0) {
            pending.push(PendingChange {
                id: String::new(),
                hosted_zone_id: finding.zone.to_string(),
                since: Time(seen),
            });
        }
    }
    pending
}

/// The ledger after the changes: a value is written down as ours only once it was accepted.
fn records(
    subject: &Subject<'_>,
    plan: &Plan,
    applied: &Applied,
    pending: &[PendingChange],
    now: &Time,
) -> Vec<RecordStatus> {
    let written = |entry: &RecordStatus| applied.made.iter().any(|change| writes(change, entry));
    // Somebody else was faster: what was claimed for this write alone is not ours after all.
    let overtaken = applied.failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::Conflict);
    let refused = plan.changes.get(applied.made.len()).filter(|_| overtaken);
    let was_ours = |entry: &RecordStatus| {
        subject.status.records.iter().any(|before| before.ours && ledger::same_place(before, entry))
    };
    // It may have been made all the same: then it came with this change, and with none that is on its way already.
    let on_its_way = |entry: &RecordStatus| pending.iter().any(|change| change.hosted_zone_id == entry.hosted_zone_id);
    let unanswered = applied.failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::Unavailable);
    let in_doubt = plan.changes.get(applied.made.len()).filter(|_| unanswered);
    let withdrawn = |entry: &RecordStatus| refused.is_some_and(|change| writes(change, entry)) && !was_ours(entry);
    let is_wanted = |entry: &RecordStatus| {
        plan.findings.iter().any(|finding| ledger::is_for(entry, &finding.wanted, &finding.zone))
    };
    let removed = |entry: &RecordStatus| applied.made.iter().any(|change| removes(change, entry));
    let mut records: Vec<RecordStatus> = plan
        .ledger
        .iter()
        .filter(|entry| is_wanted(entry) || !removed(entry))
        .map(|entry| {
            let finding = plan.findings.iter().find(|finding| ledger::is_for(entry, &finding.wanted, &finding.zone));
            let mut entry = RecordStatus { ours: entry.ours && !withdrawn(entry), ..entry.clone() };
            match finding {
                Some(finding) if written(&entry) => {
                    entry.value.clone_from(&finding.wanted.value);
                    entry.ttl = finding.wanted.ttl;
                    entry.published = true;
                    entry.since = now.clone();
                }
                Some(finding) if finding.verdict == Verdict::Right => {
                    entry.published |= finding.in_sync;
                    entry.value.clone_from(&finding.wanted.value);
                    // The answer to the write may have been lost. Of what was there before the TTL was never ours.
                    if entry.ours && entry.origin != RecordOrigin::Adopted {
                        entry.ttl = finding.wanted.ttl;
                    }
                }
                Some(_)
                    if !entry.published
                        && on_its_way(&entry)
                        && in_doubt.is_some_and(|change| writes(change, &entry)) =>
                {
                    entry.since = now.clone();
                }
                Some(_) | None => {}
            }
            if !entry.ours {
                entry.origin = RecordOrigin::Created;
            }
            // A repair counts once it was made.
            if let Some(before) = subject.status.records.iter().find(|before| ledger::same_place(before, &entry))
                && !written(&entry)
            {
                entry.put_back.clone_from(&before.put_back);
            }
            entry
        })
        .collect();
    records.sort_by(|one, other| {
        (one.purpose, &one.name, &one.record_type).cmp(&(other.purpose, &other.name, &other.record_type))
    });
    records
}

/// Whether a change writes the record of an entry.
fn writes(change: &Change, entry: &RecordStatus) -> bool {
    let Change::ChangeRecords { zone, changes } = change else { return false };
    let (name, record_type) = ledger::place(entry);
    zone.0 == entry.hosted_zone_id
        && changes.iter().any(|change| matches!(change, RecordChange::Create(set) if set.is_at(&name, &record_type)))
}

/// Whether a change takes the record of an entry out of its set.
fn removes(change: &Change, entry: &RecordStatus) -> bool {
    let Change::ChangeRecords { zone, changes } = change else { return false };
    let (name, record_type) = ledger::place(entry);
    zone.0 == entry.hosted_zone_id
        && changes.iter().any(|change| matches!(change, RecordChange::Delete(set) if set.is_at(&name, &record_type)))
}

/// The identity, and what of it we claim: more, before it is set, and less only once it was taken back.
fn identity(
    subject: &Subject<'_>,
    found: Option<&Identity>,
    plan: &Plan,
    applied: &Applied,
    now: &Time,
) -> Option<IdentityStatus> {
    if applied.made.contains(&Change::DeleteIdentity) {
        return None;
    }
    let before = subject.status.identity.clone();
    let created = plan.changes.iter().any(|change| matches!(change, Change::CreateIdentity(_)));
    let ownership = found.map(|found| subject.owner.judge(&found.tags));
    let adopted = match ownership {
        Some(Ownership::Ours { adopted }) => adopted || before.as_ref().is_some_and(|before| before.adopted),
        // What was handed over is known until its heir knows it.
        Some(Ownership::Unclaimed | Ownership::Released(_) | Ownership::Others(_)) => {
            return before.filter(|_| subject.deleting);
        }
        None if created => false,
        // It is gone: whether it was ours decides whether it is made again.
        None => return before.filter(|_| !subject.deleting),
    };
    let before = before.unwrap_or_default();
    let mut put_back = before.put_back.clone();
    if applied.made.iter().any(|change| matches!(change, Change::ChangeIdentity { puts_back: true, .. })) {
        put_back = recent(&put_back, now.0);
        put_back.push(now.clone());
    }
    let arn = subject.key().arn(&subject.settings.account);
    Some(managed(subject, found, applied, IdentityStatus { arn, adopted, put_back, ..IdentityStatus::default() }))
}

/// What of the identity is managed: what the spec asks for, and what the tags say that it asked for, until that was taken
/// back.
fn managed(
    subject: &Subject<'_>,
    found: Option<&Identity>,
    applied: &Applied,
    status: IdentityStatus,
) -> IdentityStatus {
    let made = |wanted: &dyn Fn(&IdentityChange) -> bool| {
        applied.made.iter().any(|change| matches!(change, Change::ChangeIdentity { change, .. } if wanted(change)))
    };
    let known = found.map(|found| Managed::of(&found.tags)).unwrap_or_default();
    let untagged = |key: &String| made(&|change| matches!(change, IdentityChange::Untag(keys) if keys.contains(key)));
    let left = found.into_iter().flat_map(|found| found.tags.keys());
    let left = left.filter(|key| known.has_tag(key) && !untagged(key));
    let set = found.and_then(|found| found.configuration_set.clone());
    let set = set.filter(|set| {
        known.has_configuration_set(set) && !made(&|change| *change == IdentityChange::ConfigurationSet(None))
    });
    let forwards = known.has_forwarding()
        && found.is_some_and(|found| !found.feedback_forwarding)
        && !made(&|change| *change == IdentityChange::FeedbackForwarding(true));
    // A suspended resource manages what it did before.
    let spec = Some(subject.spec).filter(|spec| !spec.suspend);
    let tags: BTreeSet<String> = left.chain(spec.iter().flat_map(|spec| spec.tags.keys())).cloned().collect();
    IdentityStatus {
        tags: tags.into_iter().collect(),
        configuration_set_name: spec.and_then(|spec| spec.configuration_set_name.clone()).or(set),
        manages_feedback_forwarding: forwards || spec.is_some_and(|spec| spec.feedback_forwarding.is_some()),
        ..status
    }
}

/// DKIM as it was seen when the plan was made, or as it is after a restart of its verification.
fn dkim(subject: &Subject<'_>, found: &Identity, plan: &Plan, applied: &Applied, now: &Time) -> DkimState {
    let before = subject.status.dkim.as_ref();
    let word = found.dkim.status.to_string();
    // NotStarted turns into Pending by itself: it is one wait.
    let begun = |before: &&DkimState| before.status == "NotStarted" && word == "Pending";
    let same = before.filter(|before| before.status == word || begun(before));
    let restarted = applied
        .made
        .iter()
        .any(|change| matches!(change, Change::ChangeIdentity { change: IdentityChange::DkimKey(_), .. }));
    let succeeded = found.dkim.status == VerificationStatus::Success;
    let turned = if restarted { now.clone() } else { Time(plan.at) };
    DkimState {
        since: same.map_or(turned, |before| before.since.clone()),
        restarted_at: restarted
            .then(|| now.clone())
            .or_else(|| before.and_then(|before| before.restarted_at.clone()).filter(|_| !succeeded)),
        tokens: found.dkim.tokens.clone(),
        status: word,
    }
}

/// What is said of a MAIL FROM domain that was set and is not any more.
const NOT_SET: &str = "NotStarted";

/// MAIL FROM as it will be seen next: a put that was just made begins to wait now.
fn mail_from(
    subject: &Subject<'_>,
    found: Option<&Identity>,
    plan: &Plan,
    applied: &Applied,
    now: &Time,
) -> Option<MailFromState> {
    let before = subject.status.mail_from.as_ref();
    let found = found?;
    // A MAIL FROM domain that was never asked for is not ours to speak of, nor to take out.
    let managed = Managed::of(&found.tags);
    let asked = |domain: &DomainName| subject.mail_from().as_ref() == Some(domain) || managed.has_mail_from(domain);
    let current = found.mail_from.as_ref().filter(|current| asked(&current.domain));
    let put = applied.made.iter().rev().find_map(|change| match change {
        Change::ChangeIdentity { change: IdentityChange::MailFrom(put), .. } => Some(put),
        Change::ChangeIdentity { .. }
        | Change::CreateIdentity(_)
        | Change::ChangeRecords { .. }
        | Change::DeleteIdentity => None,
    });
    let was_failed = current.is_some_and(|current| current.status == VerificationStatus::Failed);
    let (domain, status, behavior) = match (put, current) {
        // Cleared for a restart: remembered, so that the next put is known for what it is.
        (Some(None), _) if was_failed => {
            return before.map(|before| MailFromState { restarted_at: Some(now.clone()), ..before.clone() });
        }
        (Some(None), _) => return None,
        (Some(Some((domain, behavior))), current) => {
            let goes_on = current.filter(|current| &current.domain == domain && !was_failed);
            (domain.clone(), goes_on.map_or(VerificationStatus::Pending, |current| current.status), *behavior)
        }
        (None, Some(current)) => (current.domain.clone(), current.status, current.behavior),
        // Cleared by somebody else, or by us and not put yet.
        (None, None) => {
            let before =
                before.filter(|before| subject.mail_from().is_some_and(|wanted| before.domain == wanted.as_str()))?;
            if before.restarted_at.is_some() || before.status == NOT_SET {
                return Some(before.clone());
            }
            return Some(MailFromState {
                status: NOT_SET.to_owned(),
                since: now.clone(),
                mx_failure_behavior: MxFailureBehavior::UseDefaultValue,
                ..before.clone()
            });
        }
    };
    let before = before.filter(|before| before.domain == domain.as_str());
    let restarted = put.is_some() && was_failed;
    let same = before.filter(|before| before.status == status.to_string() && !restarted);
    let succeeded = status == VerificationStatus::Success;
    let turned = if put.is_some() { now.clone() } else { Time(plan.at) };
    Some(MailFromState {
        since: same.map_or(turned, |before| before.since.clone()),
        restarted_at: restarted
            .then(|| now.clone())
            .or_else(|| before.and_then(|before| before.restarted_at.clone()).filter(|_| !succeeded)),
        domain: domain.to_string(),
        status: status.to_string(),
        mx_failure_behavior: behavior,
    })
}

/// The stage as it stands after this pass: it begins when its record is served.
fn dmarc(subject: &Subject<'_>, plan: &Plan, pending: &[PendingChange], now: &Time) -> Option<DmarcState> {
    let before = subject.status.dmarc.as_ref();
    subject.spec.dmarc_policy.as_ref()?;
    let Some(standing) = &plan.dmarc else { return before.cloned() };
    let stage = standing.stage.clone()?;
    let finding = plan.findings.iter().find(|finding| finding.wanted.purpose == RecordPurpose::Dmarc);
    if finding.is_none() {
        // Its zone was not read.
        return before.cloned();
    }
    let served = finding.is_some_and(|finding| {
        finding.in_sync && !pending.iter().any(|change| change.hosted_zone_id == finding.zone.0)
    });
    // A stage whose record can't be written, or may not be, is not entered.
    let contended = plan.problems.iter().any(|problem| problem.purpose == Some(RecordPurpose::Dmarc));
    let entered =
        finding.is_some_and(|finding| finding.verdict == Verdict::Right || !(contended || subject.spec.suspend));
    if !entered {
        // One that was never served was not entered either: somebody was faster.
        return before.filter(|before| before.since.is_some()).cloned();
    }
    let same = before.filter(|before| before.stage == stage);
    let since = same.and_then(|before| before.since.clone()).or_else(|| served.then(|| now.clone()));
    let until = end(subject, &stage, since.as_ref());
    Some(DmarcState { stage, since, until })
}

/// The earliest end of a stage that began at `since`, where another one follows by itself.
fn end(subject: &Subject<'_>, stage: &str, since: Option<&Time>) -> Option<Time> {
    let policy = subject.spec.dmarc_policy.as_ref()?;
    if policy.active_stage.is_some() || policy.advancement == Advancement::Manual {
        return None;
    }
    let (last, others) = policy.stages.split_last()?;
    let stage = others.iter().find(|other| other.name == stage && other.name != last.name)?;
    let duration = stages::parse_duration(stage.min_duration.as_deref()?)?;
    since?.0.checked_add(duration).ok().map(Time)
}
