//! How the SES identity must change. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::records::{MOST_REPAIRS, add_once, recent, zone_of};
use super::{Change, Plan, Problem};
use crate::api::spec::{FeedbackForwarding, MxFailureBehavior};
use crate::api::status::{IdentityStatus, RecordOrigin, RecordPurpose};
use crate::api::{ConditionType, Reason};
use crate::dmarc::stages::{self, Evidence};
use crate::dns::HostedZone;
use crate::domain_name::DomainName;
use crate::reconcile::desired::{WantedRecord, dmarc_name, mail_from_records};
use crate::reconcile::observe::Observed;
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict::{self, Verdict};
use crate::reconcile::{claims, ledger, schedule};
use crate::ses::ownership::{HANDED_OVER_BY, RECORDS, RELEASED};
use crate::ses::{Identity, IdentityChange, NewIdentity, VerificationStatus};

/// A verification that failed again sooner than this after its restart was never restarted: SES gives up after 72 hours.
const FAILS_AGAIN: SignedDuration = SignedDuration::from_hours(71);
/// How long a restart is given before another way is tried.
const RESTART_SHOWS: SignedDuration = SignedDuration::from_mins(1);

/// Plans a new identity, unless its records would have nowhere to go.
pub(super) fn create(
    subject: &Subject<'_>,
    observed: &Observed,
    zones: &[HostedZone],
    now: Timestamp,
    plan: &mut Plan,
) {
    let ttl = subject.spec.ttl();
    let record_type = crate::dns::RecordType::Txt;
    let dmarc = WantedRecord {
        purpose: RecordPurpose::Dmarc,
        name: dmarc_name(&subject.domain()),
        record_type,
        value: String::new(),
        ttl,
    };
    let dkim =
        WantedRecord { purpose: RecordPurpose::Dkim, name: subject.domain().child("_domainkey"), ..dmarc.clone() };
    if let Err(problem) = zone_of(subject, zones, &dkim) {
        return plan.problems.push(Problem { purpose: None, ..problem });
    }
    // What stands already at our names is somebody else's: the tag claims only what will be written now.
    let dmarc = Some(dmarc).filter(|_| begins_at_once(subject, now));
    let claimed = mail_from_records(subject).into_iter().chain(dmarc).filter(|wanted| {
        zone_of(subject, zones, wanted).is_ok_and(|zone| {
            let around = observed.records.get(&zone.id).and_then(|records| records.as_ref().ok());
            around.is_some_and(|around| verdict::judge(wanted, around, &zone.name, None) == Verdict::Missing)
        })
    });
    let purposes: Vec<RecordPurpose> =
        std::iter::once(RecordPurpose::Dkim).chain(claimed.map(|wanted| wanted.purpose)).collect();
    let mut tags = subject.owner.tags();
    tags.insert(RECORDS.to_owned(), claims::for_new_records(&purposes, subject.spec.mail_from_subdomain.as_deref()));
    tags.extend(spec_tags(subject));
    plan.changes.push(Change::CreateIdentity(NewIdentity {
        key_length: subject.spec.dkim.as_ref().and_then(|dkim| dkim.signing_key_length),
        configuration_set: subject.spec.configuration_set_name.clone(),
        tags,
    }));
}

/// Whether the first DMARC stage is published before verification.
fn begins_at_once(subject: &Subject<'_>, now: Timestamp) -> bool {
    let evidence = Evidence { published: None, remembered: None, verified: false, now };
    subject.spec.dmarc_policy.as_ref().is_some_and(|policy| stages::walk(policy, evidence).stage.is_some())
}

/// Plans the attributes of an identity that is ours.
pub(super) fn keep(subject: &Subject<'_>, identity: &Identity, now: Timestamp, plan: &mut Plan) {
    let nothing = IdentityStatus::default();
    let managed = subject.status.identity.as_ref().unwrap_or(&nothing);
    let mut wanted = Vec::new();
    wanted.extend(dkim_restart(subject, identity, now, plan).map(ours));
    let repairs = recent(&managed.put_back, now).len();
    let had_been_set = repairs > 0 || had_been_set(subject);
    let unsigned = !identity.dkim.signing_enabled;
    wanted.extend(unsigned.then_some((IdentityChange::Signing(true), had_been_set)));
    wanted.extend(configuration_set(subject, identity, managed).map(|change| (change, had_been_set)));
    wanted.extend(feedback(subject, identity, managed).map(|change| (change, had_been_set)));
    // Room first: an identity holds 50 tags at the most.
    wanted.extend(obsolete_tags(subject, identity, managed).map(ours));
    wanted.extend(handed_over(subject, identity).map(ours));
    let was_released = identity.tags.contains_key(RELEASED);
    wanted.extend(was_released.then(|| ours(IdentityChange::Untag(vec![RELEASED.to_owned()]))));
    wanted.extend(missing_tags(subject, identity).map(|change| (change, had_been_set)));
    // Last, since SES may refuse it before the domain is verified, and a failure ends the pass.
    wanted.extend(mail_from(subject, identity, now, plan));
    for (change, puts_back) in wanted {
        if puts_back && repairs >= MOST_REPAIRS {
            let message = format!(
                "attributes of the SES identity {} were changed behind our back and put back {MOST_REPAIRS} times within an hour; they are left alone for an hour: find out who else writes them",
                subject.domain()
            );
            add_once(&mut plan.problems, Problem::whole(Reason::Contended, message));
        } else {
            plan.changes.push(Change::ChangeIdentity { change, puts_back });
        }
    }
}

/// Whether this spec was in force before, so that what differs now was changed by somebody else.
fn had_been_set(subject: &Subject<'_>) -> bool {
    let ready = ConditionType::Ready.to_string();
    let contended = Reason::Contended.to_string();
    !subject.is_new_generation()
        && subject
            .status
            .conditions
            .iter()
            .any(|condition| condition.type_ == ready && (condition.status == "True" || condition.reason == contended))
}

/// A change, and whether it puts back what somebody else had changed.
type Wanted = (IdentityChange, bool);

fn ours(change: IdentityChange) -> Wanted {
    (change, false)
}

/// MAIL FROM follows its records: SES's first look shall find them. RejectMessage follows the verification, so that no
/// mail is refused by a set-up under way.
fn mail_from(subject: &Subject<'_>, identity: &Identity, now: Timestamp, plan: &Plan) -> Option<Wanted> {
    let known = subject.status.mail_from.as_ref();
    let current = identity.mail_from.as_ref();
    let Some(domain) = subject.mail_from() else {
        let was_ours = current.is_some_and(|current| {
            known.is_some_and(|known| DomainName::new(&known.domain) == current.domain)
                || ledger::has_mail_from(subject.status, &subject.domain(), &current.domain)
                || claims::earlier_records(&identity.tags, subject).iter().any(|(record, origin)| {
                    *origin == RecordOrigin::Created
                        && record.purpose == RecordPurpose::MailFromMx
                        && record.name == current.domain
                })
        });
        return was_ours.then(|| ours(IdentityChange::MailFrom(None)));
    };
    let asked = subject.spec.mx_failure_behavior.unwrap_or_default();
    let put = |behavior| IdentityChange::MailFrom(Some((domain.clone(), behavior)));
    let careful = put(MxFailureBehavior::UseDefaultValue);
    if !plan.serves(&[RecordPurpose::MailFromMx, RecordPurpose::MailFromSpf]) {
        // Mail may be refused just now: to stop that nothing is waited for.
        let refuses = current.is_some_and(|current| {
            let too_early = matches!(current.status, VerificationStatus::Pending | VerificationStatus::NotStarted);
            current.domain == domain
                && current.behavior == MxFailureBehavior::RejectMessage
                && (asked == MxFailureBehavior::UseDefaultValue || too_early)
        });
        return refuses.then(|| ours(careful));
    }
    let Some(current) = current.filter(|current| current.domain == domain) else {
        let was_put =
            known.is_some_and(|known| DomainName::new(&known.domain) == domain && known.restarted_at.is_none());
        return Some((careful, was_put));
    };
    match current.status {
        VerificationStatus::Success => {
            let in_force = known.map(|known| known.mx_failure_behavior);
            (current.behavior != asked).then(|| (put(asked), in_force == Some(asked)))
        }
        VerificationStatus::Failed => mail_from_restart(subject, now)
            .map(|clear| ours(if clear { IdentityChange::MailFrom(None) } else { careful })),
        VerificationStatus::Pending | VerificationStatus::NotStarted => {
            (current.behavior != MxFailureBehavior::UseDefaultValue).then(|| ours(careful))
        }
        VerificationStatus::TemporaryFailure => {
            let stricter_than_asked = current.behavior != asked && asked == MxFailureBehavior::UseDefaultValue;
            stricter_than_asked.then(|| ours(careful))
        }
    }
}

/// How a failed MAIL FROM domain is restarted: `false` puts it again, `true` clears it first, which follows when putting
/// it again did nothing. AWS documents neither; both lead there.
fn mail_from_restart(subject: &Subject<'_>, now: Timestamp) -> Option<bool> {
    let restarted = subject.status.mail_from.as_ref().and_then(|known| known.restarted_at.as_ref()).map(|at| at.0);
    match restarted {
        None => Some(false),
        Some(at) if now >= schedule::after(at, FAILS_AGAIN) => Some(false),
        Some(at) if now >= schedule::after(at, RESTART_SHOWS) => Some(true),
        Some(_) => None,
    }
}

/// Restarts a failed DKIM verification, once the records are right: SES makes new tokens or keeps the old ones.
fn dkim_restart(subject: &Subject<'_>, identity: &Identity, now: Timestamp, plan: &Plan) -> Option<IdentityChange> {
    if identity.dkim.status != VerificationStatus::Failed || !plan.serves(&[RecordPurpose::Dkim]) {
        return None;
    }
    let restarted = subject.status.dkim.as_ref().and_then(|known| known.restarted_at.as_ref()).map(|at| at.0);
    let due = restarted.is_none_or(|at| now >= schedule::after(at, FAILS_AGAIN));
    due.then(|| IdentityChange::DkimKey(subject.spec.dkim.as_ref().and_then(|dkim| dkim.signing_key_length)))
}

fn configuration_set(subject: &Subject<'_>, identity: &Identity, managed: &IdentityStatus) -> Option<IdentityChange> {
    let asked = &subject.spec.configuration_set_name;
    let current = &identity.configuration_set;
    // One that is no longer asked for is taken out, unless somebody else has set another meanwhile.
    let differs = asked != current && (asked.is_some() || managed.configuration_set_name == *current);
    differs.then(|| IdentityChange::ConfigurationSet(asked.clone()))
}

fn feedback(subject: &Subject<'_>, identity: &Identity, managed: &IdentityStatus) -> Option<IdentityChange> {
    let asked = match subject.spec.feedback_forwarding {
        Some(asked) => asked == FeedbackForwarding::Enabled,
        // SES's default.
        None if managed.manages_feedback_forwarding => true,
        None => return None,
    };
    (identity.feedback_forwarding != asked).then_some(IdentityChange::FeedbackForwarding(asked))
}

fn spec_tags(subject: &Subject<'_>) -> BTreeMap<String, String> {
    subject.spec.tags.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn missing_tags(subject: &Subject<'_>, identity: &Identity) -> Option<IdentityChange> {
    let missing: BTreeMap<String, String> =
        spec_tags(subject).into_iter().filter(|(key, value)| identity.tags.get(key) != Some(value)).collect();
    (!missing.is_empty()).then_some(IdentityChange::Tag(missing))
}

/// The mark of a hand-over, once whoever handed the identity over is gone.
fn handed_over(subject: &Subject<'_>, identity: &Identity) -> Option<IdentityChange> {
    let by = identity.tags.get(HANDED_OVER_BY)?;
    let is_over = !subject.neighbors.rivals.iter().any(|rival| rival.uid == *by);
    is_over.then(|| IdentityChange::Untag(vec![HANDED_OVER_BY.to_owned()]))
}

/// The tags that we set for an earlier spec.
fn obsolete_tags(subject: &Subject<'_>, identity: &Identity, managed: &IdentityStatus) -> Option<IdentityChange> {
    let is_obsolete = |key: &&String| !subject.spec.tags.contains_key(*key) && identity.tags.contains_key(*key);
    let obsolete: Vec<String> = managed.tags.iter().filter(is_obsolete).cloned().collect();
    (!obsolete.is_empty()).then_some(IdentityChange::Untag(obsolete))
}
