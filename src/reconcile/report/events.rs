//! What happened, for `kubectl describe`. Pure.

use crate::api::status::{RecordOrigin, RecordPurpose};
use crate::api::{ConditionType, SesDomainStatus};
use crate::dns::RecordChange;
use crate::reconcile::apply::Applied;
use crate::reconcile::ledger;
use crate::reconcile::observe::Observed;
use crate::reconcile::plan::{Change, Finding, Plan};
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict::Verdict;
use crate::ses::IdentityChange;
use crate::ses::ownership::{ADOPTED, IS_RELEASED, RELEASED};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// True for what a person should look at.
    pub warning: bool,
    /// What happened, in one word.
    pub reason: String,
    /// What was done about it, in one word.
    pub action: &'static str,
    /// What happened, in a sentence.
    pub note: String,
}

impl Event {
    fn normal(reason: impl Into<String>, action: &'static str, note: impl Into<String>) -> Self {
        Self { warning: false, reason: reason.into(), action, note: note.into() }
    }

    fn warning(reason: impl Into<String>, action: &'static str, note: impl Into<String>) -> Self {
        Self { warning: true, ..Self::normal(reason, action, note) }
    }
}

/// The events of a pass: what it did, and which conditions turned.
pub(super) fn events(
    subject: &Subject<'_>,
    observed: &Observed,
    plan: &Plan,
    applied: &Applied,
    after: &SesDomainStatus,
) -> Vec<Event> {
    let mut events: Vec<Event> = applied.made.iter().flat_map(|change| done(subject, plan, change)).collect();
    events.extend(taken_over(subject, observed, plan));
    events.extend(plan.left_behind.iter().map(|why| Event::warning("LeftBehind", "Release", why.clone())));
    if let Some(record) = &plan.released_dmarc {
        let name = crate::reconcile::desired::dmarc_name(&subject.domain());
        events.push(Event::warning(
            "DmarcReleased",
            "Release",
            format!("spec.dmarcPolicy was removed: {name} \"{record}\" stays as it is, and is no longer managed"),
        ));
    }
    events.extend(warnings(subject, plan, after));
    events.extend(restart(subject, after));
    events.extend(stage(subject, after));
    events.extend(turns(subject, after));
    events
}

fn done(subject: &Subject<'_>, plan: &Plan, change: &Change) -> Vec<Event> {
    let domain = subject.domain();
    match change {
        // SES has told us of it before.
        Change::CreateIdentity(_) if subject.status.dkim.is_some() => {
            let note = format!("the SES identity {domain} was deleted behind our back and is created anew");
            vec![Event::warning("IdentityPutBack", "Repair", note)]
        }
        Change::CreateIdentity(_) => {
            vec![Event::normal(
                "IdentityCreated",
                "Create",
                format!("created the SES identity {domain} in {}", subject.region()),
            )]
        }
        Change::DeleteIdentity => {
            vec![Event::normal("IdentityDeleted", "Delete", format!("deleted the SES identity {domain}"))]
        }
        Change::ChangeIdentity { .. } if plan.heir.is_some() => {
            let heir = plan.heir.as_deref().unwrap_or_default();
            let note = format!("handed the SES identity {domain} and its records over to the SesDomain {heir}");
            vec![Event::normal("HandedOver", "Release", note)]
        }
        Change::ChangeIdentity { change, puts_back } => {
            identity(&domain.to_string(), change, *puts_back).into_iter().collect()
        }
        Change::ChangeRecords { zone, changes } => {
            let is_written = |finding: &&Finding| {
                let wanted = &finding.wanted;
                &finding.zone == zone
                    && changes.iter().any(|change| matches!(change, RecordChange::Create(set) if set.is_at(&wanted.name, &wanted.record_type)))
            };
            let written = plan.findings.iter().filter(is_written);
            let mut events: Vec<Event> = written.filter_map(|finding| replaced(plan, finding)).collect();
            let created = changes.iter().filter(|change| matches!(change, RecordChange::Create(_))).count();
            let note = if subject.deleting {
                format!(
                    "removed {} of our records from the hosted zone {zone}: {}",
                    changes.len() - created,
                    names(changes)
                )
            } else {
                format!("wrote records to the hosted zone {zone}: {}", names(changes))
            };
            if events.is_empty() {
                events.push(Event::normal(
                    if subject.deleting { "RecordsRemoved" } else { "RecordsWritten" },
                    "ChangeRecords",
                    note,
                ));
            }
            events
        }
    }
}

fn names(changes: &[RecordChange]) -> String {
    let mut names: Vec<String> = changes
        .iter()
        .map(|change| {
            let (RecordChange::Create(set) | RecordChange::Delete(set)) = change;
            format!("{} {}", set.name, set.record_type)
        })
        .collect();
    names.dedup();
    names.join(", ")
}

fn replaced(plan: &Plan, finding: &Finding) -> Option<Event> {
    let record = format!("{} {}", finding.wanted.name, finding.wanted.record_type);
    match &finding.verdict {
        Verdict::Drifted(None) => Some(Event::warning(
            "RecordPutBack",
            "Repair",
            format!("{record} was removed behind our back and is put back"),
        )),
        Verdict::Drifted(Some(found)) => Some(Event::warning(
            "RecordPutBack",
            "Repair",
            format!(
                "{record} was changed behind our back to \"{found}\", and \"{}\" is put back",
                finding.wanted.value
            ),
        )),
        Verdict::Foreign(found) if is_merged(plan, finding) => Some(Event::normal(
            "RecordMerged",
            "Merge",
            format!(
                "{record} held \"{found}\", and holds \"{}\" now, as spec.dns.onConflict asks",
                finding.wanted.value
            ),
        )),
        Verdict::Foreign(found) => Some(Event::warning(
            "RecordOverwritten",
            "Overwrite",
            format!("{record} held \"{found}\", and was replaced as spec.dns.onConflict asks"),
        )),
        Verdict::Right | Verdict::Missing | Verdict::Outdated | Verdict::Unshown | Verdict::Obstructed(_) => None,
    }
}

/// What a person should know: told when a condition's message begins to say it.
fn warnings(subject: &Subject<'_>, plan: &Plan, after: &SesDomainStatus) -> Vec<Event> {
    let said = |status: &SesDomainStatus, warning: &str| {
        status.conditions.iter().any(|condition| condition.message.contains(warning))
    };
    let new = plan.warnings.iter().filter(|warning| said(after, warning) && !said(subject.status, warning));
    new.map(|warning| Event::warning("MailFromShared", "Warn", warning.clone())).collect()
}

fn is_merged(plan: &Plan, finding: &Finding) -> bool {
    let mut entries = plan.ledger.iter().filter(|entry| ledger::is_for(entry, &finding.wanted, &finding.zone));
    entries.any(|entry| entry.origin == RecordOrigin::Merged)
}

fn identity(domain: &str, change: &IdentityChange, puts_back: bool) -> Option<Event> {
    if puts_back {
        let what = match change {
            IdentityChange::MailFrom(_) => "the MAIL FROM settings",
            IdentityChange::FeedbackForwarding(_) => "feedback forwarding",
            IdentityChange::ConfigurationSet(_) => "the configuration set",
            IdentityChange::DkimKey(_) | IdentityChange::Signing(_) => "DKIM signing",
            IdentityChange::Tag(_) | IdentityChange::Untag(_) => "tags",
        };
        return Some(Event::warning(
            "IdentityPutBack",
            "Repair",
            format!("{what} of the SES identity {domain} had been changed behind our back and were put back"),
        ));
    }
    match change {
        IdentityChange::Signing(_) => {
            Some(Event::normal("SigningEnabled", "Enable", format!("switched DKIM signing of {domain} on")))
        }
        IdentityChange::DkimKey(_) => Some(Event::normal(
            "VerificationRestarted",
            "Restart",
            format!("SES gave up looking for the DKIM records of {domain} and was asked to look again"),
        )),
        IdentityChange::Tag(tags) if tags.get(RELEASED).is_some_and(|value| value == IS_RELEASED) => {
            Some(Event::normal(
                "IdentityReleased",
                "Release",
                format!(
                    "left the SES identity {domain} and its records as they are: a SesDomain with adoptionPolicy Adopt may have them"
                ),
            ))
        }
        IdentityChange::Tag(tags) if tags.contains_key(ADOPTED) => Some(Event::normal(
            "IdentityAdopted",
            "Adopt",
            format!("adopted the SES identity {domain}: it stays when this resource is deleted"),
        )),
        IdentityChange::MailFrom(_)
        | IdentityChange::FeedbackForwarding(_)
        | IdentityChange::ConfigurationSet(_)
        | IdentityChange::Tag(_)
        | IdentityChange::Untag(_) => None,
    }
}

/// What was taken over from a SesDomain that goes.
fn taken_over(subject: &Subject<'_>, observed: &Observed, plan: &Plan) -> Option<Event> {
    let identity = observed.identity.as_ref().ok()?.as_ref().filter(|_| plan.inherits)?;
    let predecessor = subject.predecessor(&identity.tags)?;
    let ours = predecessor.status.records.iter().filter(|entry| entry.ours).count();
    let domain = subject.domain();
    let note = format!("took over the SES identity {domain} and {ours} records from the SesDomain {predecessor}");
    Some(Event::normal("TookOver", "Adopt", note))
}

/// A MAIL FROM domain that SES was asked to look for again. Clearing it first is a part of that.
fn restart(subject: &Subject<'_>, after: &SesDomainStatus) -> Option<Event> {
    let now = after.mail_from.as_ref()?;
    let before = subject.status.mail_from.as_ref().and_then(|before| before.restarted_at.as_ref());
    (now.restarted_at.is_some() && now.restarted_at.as_ref() != before).then(|| {
        let note = format!("SES gave up looking for the MX record of {} and was asked to look again", now.domain);
        Event::normal("VerificationRestarted", "Restart", note)
    })
}

/// A stage that follows another. The first one is part of becoming Ready.
fn stage(subject: &Subject<'_>, after: &SesDomainStatus) -> Option<Event> {
    let dmarc = after.dmarc.as_ref()?;
    let known = subject.status.dmarc.as_ref().filter(|before| before.stage == dmarc.stage);
    let begins = dmarc.since.is_some() && known.is_none_or(|before| before.since.is_none());
    let is_first = subject.spec.dmarc_policy.as_ref()?.stages.first().is_some_and(|first| first.name == dmarc.stage);
    (begins && !is_first).then(|| {
        let record = after.records.iter().find(|entry| entry.purpose == RecordPurpose::Dmarc);
        let record = record.map(|entry| format!(": \"{}\" is served", entry.value)).unwrap_or_default();
        Event::normal("DmarcStage", "Advance", format!("the DMARC stage {} begins{record}", dmarc.stage))
    })
}

/// The conditions that turned since the last status.
fn turns(subject: &Subject<'_>, after: &SesDomainStatus) -> Vec<Event> {
    let told =
        [ConditionType::Ready, ConditionType::DkimVerified, ConditionType::MailFromVerified, ConditionType::Stalled];
    let mut events = Vec::new();
    for about in told {
        let name = about.to_string();
        let before = subject.status.conditions.iter().find(|condition| condition.type_ == name);
        let Some(now) = after.conditions.iter().find(|condition| condition.type_ == name) else { continue };
        let was_true = before.is_some_and(|before| before.status == "True");
        let is_true = now.status == "True";
        if about == ConditionType::Stalled {
            if before.is_none_or(|before| before.reason != now.reason) {
                events.push(Event::warning(now.reason.clone(), "Stall", now.message.clone()));
            }
        } else if is_true && !was_true {
            events.push(Event::normal(name, "Verify", now.message.clone()));
        } else if was_true && now.status == "False" && about != ConditionType::Ready && !subject.deleting {
            // What goes because it was asked to go is told as such.
            events.push(Event::warning(now.reason.clone(), "Verify", now.message.clone()));
        }
    }
    events
}
