//! How the SES identity must change. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::records::{MOST_REPAIRS, add_once, recent, zone_of};
use super::{Change, Plan, Problem};
use crate::api::spec::{FeedbackForwarding, MxFailureBehavior};
use crate::api::status::{RecordPurpose, RecordStatus};
use crate::api::{ConditionType, Reason};
use crate::dmarc::stages::{self, Evidence};
use crate::dns::{HostedZone, RecordType};
use crate::domain_name::DomainName;
use crate::reconcile::desired::{WantedRecord, dmarc_name, mail_from_records};
use crate::reconcile::ledger::{self, Reach};
use crate::reconcile::managed::Managed;
use crate::reconcile::observe::Observed;
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict::{self, Verdict};
use crate::reconcile::{claims, schedule};
use crate::ses::ownership::{HANDED_OVER_BY, RECORDS, RELEASED, SETTINGS};
use crate::ses::regions::SPF_INCLUDE;
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
    let record_type = RecordType::Txt;
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
    // SES may give an identity that is made anew its old tokens, and their records may be somebody's.
    let dkim = (!dkim_stands(subject, observed)).then_some(RecordPurpose::Dkim);
    let purposes: Vec<RecordPurpose> = dkim.into_iter().chain(claimed.map(|wanted| wanted.purpose)).collect();
    // What was ours when the identity was deleted behind our back still is.
    let domain = subject.domain();
    let filter = &subject.settings.filters.zones;
    let is_ours = |entry: &&RecordStatus| entry.ours && ledger::reach(entry, zones, filter) == Reach::Writable;
    let known: Vec<&RecordStatus> = ledger::entries(subject.status, &domain).filter(is_ours).collect();
    let mut tags = subject.owner.tags();
    tags.insert(RECORDS.to_owned(), claims::for_new_identity(subject, &purposes, &known));
    let settings = Some(Managed::asked(subject).text()).filter(|settings| !settings.is_empty());
    tags.extend(settings.map(|settings| (SETTINGS.to_owned(), settings)));
    tags.extend(spec_tags(subject));
    plan.changes.push(Change::CreateIdentity(NewIdentity {
        key_length: subject.spec.dkim.as_ref().and_then(|dkim| dkim.signing_key_length),
        configuration_set: subject.spec.configuration_set_name.clone(),
        tags,
    }));
}

/// Whether a DKIM record that points to SES stands already.
fn dkim_stands(subject: &Subject<'_>, observed: &Observed) -> bool {
    let (below, ses) = (subject.domain().child("_domainkey"), DomainName::new(SPF_INCLUDE));
    let sets = observed.records.values().filter_map(|records| records.as_ref().ok()).flatten();
    let mut aliases = sets.filter(|set| set.record_type == RecordType::Cname && set.name.is_within(&below));
    aliases.any(|set| set.values.iter().any(|value| DomainName::new(value).is_within(&ses)))
}

/// Whether the first DMARC stage is published before verification.
fn begins_at_once(subject: &Subject<'_>, now: Timestamp) -> bool {
    let evidence = Evidence { published: None, remembered: None, verified: false, now };
    subject.spec.dmarc_policy.as_ref().is_some_and(|policy| stages::walk(policy, evidence).stage.is_some())
}

/// Plans the attributes of an identity that is ours.
pub(super) fn keep(subject: &Subject<'_>, identity: &Identity, now: Timestamp, plan: &mut Plan) {
    let managed = Managed::of(&identity.tags);
    let mut wanted = Vec::new();
    wanted.extend(dkim_restart(subject, identity, now, plan).map(ours));
    let repairs = subject.status.identity.as_ref().map_or(0, |known| recent(&known.put_back, now).len());
    let had_been_set = repairs > 0 || had_been_set(subject);
    let unsigned = !identity.dkim.signing_enabled;
    wanted.extend(unsigned.then_some((IdentityChange::Signing(true), had_been_set)));
    // Room first: an identity holds 50 tags at the most. And the tags precede the settings, which one of them names.
    let unwanted = unwanted_tags(subject, identity, &managed);
    let missing = missing_tags(subject, identity, unwanted.is_empty(), plan);
    wanted.extend((!unwanted.is_empty()).then(|| ours(IdentityChange::Untag(unwanted))));
    wanted.extend(missing.map(|(tags, of_spec)| (IdentityChange::Tag(tags), had_been_set && of_spec)));
    wanted.extend(configuration_set(subject, identity, &managed).map(|change| (change, had_been_set)));
    wanted.extend(feedback(subject, identity, &managed).map(|change| (change, had_been_set)));
    // Last, since SES may refuse it before the domain is verified, and a failure ends the pass.
    wanted.extend(mail_from(subject, identity, &managed, now, plan));
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
fn mail_from(
    subject: &Subject<'_>,
    identity: &Identity,
    managed: &Managed,
    now: Timestamp,
    plan: &Plan,
) -> Option<Wanted> {
    let known = subject.status.mail_from.as_ref();
    let current = identity.mail_from.as_ref();
    let Some(domain) = subject.mail_from() else {
        let was_ours = current.is_some_and(|current| managed.has_mail_from(&current.domain));
        return was_ours.then(|| ours(IdentityChange::MailFrom(None)));
    };
    // What nobody asked for stays as it was found.
    let by_default = managed.has_mx_failure().then(MxFailureBehavior::default);
    let asked = subject.spec.mx_failure_behavior.or(by_default);
    let put = |behavior| IdentityChange::MailFrom(Some((domain.clone(), behavior)));
    let careful = put(MxFailureBehavior::UseDefaultValue);
    if !plan.serves(&[RecordPurpose::MailFromMx, RecordPurpose::MailFromSpf]) {
        // Mail may be refused just now: to stop that nothing is waited for.
        let refuses = current.is_some_and(|current| {
            let too_early = matches!(current.status, VerificationStatus::Pending | VerificationStatus::NotStarted);
            current.domain == domain
                && current.behavior == MxFailureBehavior::RejectMessage
                && (asked == Some(MxFailureBehavior::UseDefaultValue) || too_early)
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
            asked.filter(|asked| current.behavior != *asked).map(|asked| (put(asked), in_force == Some(asked)))
        }
        VerificationStatus::Failed => mail_from_restart(subject, now)
            .map(|clear| ours(if clear { IdentityChange::MailFrom(None) } else { careful })),
        VerificationStatus::Pending | VerificationStatus::NotStarted => {
            (current.behavior != MxFailureBehavior::UseDefaultValue).then(|| ours(careful))
        }
        VerificationStatus::TemporaryFailure => {
            let careless = asked == Some(MxFailureBehavior::UseDefaultValue) && asked != Some(current.behavior);
            careless.then(|| ours(careful))
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

fn configuration_set(subject: &Subject<'_>, identity: &Identity, managed: &Managed) -> Option<IdentityChange> {
    let asked = &subject.spec.configuration_set_name;
    let current = &identity.configuration_set;
    // One that is no longer asked for is taken out, unless somebody else has set another meanwhile.
    let was_set = || current.as_ref().is_some_and(|current| managed.has_configuration_set(current));
    let differs = asked != current && (asked.is_some() || was_set());
    differs.then(|| IdentityChange::ConfigurationSet(asked.clone()))
}

fn feedback(subject: &Subject<'_>, identity: &Identity, managed: &Managed) -> Option<IdentityChange> {
    let asked = match subject.spec.feedback_forwarding {
        Some(asked) => asked == FeedbackForwarding::Enabled,
        // SES's default.
        None if managed.has_forwarding() => true,
        None => return None,
    };
    (identity.feedback_forwarding != asked).then_some(IdentityChange::FeedbackForwarding(asked))
}

fn spec_tags(subject: &Subject<'_>) -> impl Iterator<Item = (String, String)> {
    subject.spec.tags.iter().map(|(key, value)| (key.clone(), value.0.clone()))
}

/// The tags that are missing or differ, and whether the spec asks for them: not for the one that names what we manage, which
/// goes along with another tag that is written anyway.
fn missing_tags(
    subject: &Subject<'_>,
    identity: &Identity,
    has_room: bool,
    plan: &mut Plan,
) -> Option<(BTreeMap<String, String>, bool)> {
    let differs = |(key, value): &(String, String)| identity.tags.get(key) != Some(value);
    let mut missing: BTreeMap<String, String> = spec_tags(subject).filter(differs).collect();
    let of_spec = !missing.is_empty();
    let settings = (SETTINGS.to_owned(), Managed::wanted(subject, identity).text());
    if !settings.1.is_empty() && differs(&settings) {
        let of_records = plan.changes.iter_mut().find_map(|change| match change {
            Change::ChangeIdentity { change: IdentityChange::Tag(tags), .. } if !of_spec && has_room => Some(tags),
            Change::ChangeIdentity { .. }
            | Change::CreateIdentity(_)
            | Change::ChangeRecords { .. }
            | Change::DeleteIdentity => None,
        });
        of_records.unwrap_or(&mut missing).extend([settings]);
    }
    (!missing.is_empty()).then_some((missing, of_spec))
}

/// The tags that go: those that we set for an earlier spec, the mark of a hand-over, once whoever handed the identity over
/// is gone, and of a release, once it was taken.
fn unwanted_tags(subject: &Subject<'_>, identity: &Identity, managed: &Managed) -> Vec<String> {
    let is_settled = |by: &String| !subject.neighbors.rivals.iter().any(|rival| rival.uid == *by);
    let is_unwanted = |(key, value): &(&String, &String)| match key.as_str() {
        HANDED_OVER_BY => is_settled(value),
        RELEASED => true,
        SETTINGS => Managed::wanted(subject, identity).text().is_empty(),
        _ => managed.has_tag(key) && !subject.spec.tags.contains_key(*key),
    };
    identity.tags.iter().filter(is_unwanted).map(|(key, _)| key.clone()).collect()
}
