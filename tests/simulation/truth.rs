//! What holds for every status that is written: its form, and that what it says is so.
//!
//! What is True must be so in fact. What has ceased to be so may be said until it must have been noticed: the promises of
//! docs/operations.md, and the time in which AWS could not be asked on top. What never was so may not be said at all.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use ses_operator::api::spec::{FeedbackForwarding, SesDomainSpec};
use ses_operator::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use ses_operator::api::{SesDomain, SesDomainStatus};
use ses_operator::dmarc::record::Record;
use ses_operator::dns::{RecordSet, RecordType, text};
use ses_operator::domain_name::DomainName;
use ses_operator::ses::VerificationStatus;

use crate::cloud::State;
use crate::cloud::ses::Held;
use crate::simulation::Simulation;

/// A loss of DKIM, or of the identity, is seen within this time.
const IDENTITY: SignedDuration = SignedDuration::from_mins(15);
/// A loss of a record.
const RECORDS: SignedDuration = SignedDuration::from_mins(60);
/// A loss of a setting of the identity.
const SETTINGS: SignedDuration = SignedDuration::from_hours(24);
/// From when something is seen to when its status is written, and what comes in between.
const TELLING: SignedDuration = SignedDuration::from_mins(5);

/// Looks at a status that is about to be written over the one of `resource`.
pub fn must_hold(state: &mut State, resource: &SesDomain, status: &SesDomainStatus) {
    must_be_well_formed(status);
    // Through JSON and back takes as long as a reconcile.
    if state.statuses.is_multiple_of(16) {
        must_be_read_as_it_was_written(status);
    }
    state.statuses += 1;
    if !state.watches_words {
        return;
    }
    let now = state.now();
    let lies: Vec<String> = facts(state, resource, status)
        .into_iter()
        .filter(|fact| is_true(status, fact.about) && !fact.may_be_said(state))
        .map(|fact| format!("{now}: {} is said of {}: {}", fact.about, resource.spec.domain, fact.why))
        .collect();
    state.guard.harm.extend(lies);
}

/// Once nothing has gone wrong for long enough, all that is so must be said, and nothing else.
pub fn must_be_told(simulation: &Simulation) {
    let resources: Vec<_> = simulation.api.kept().resources().cloned().collect();
    let state = simulation.state();
    let mut untold = Vec::new();
    for resource in resources.iter().filter(|resource| resource.metadata.deletion_timestamp.is_none()) {
        let status = resource.status.clone().unwrap_or_default();
        for fact in facts(&state, resource, &status) {
            let said = is_true(&status, fact.about);
            // What else stands in the way of Ready is not looked into here, nor what a person must mend first.
            let must_be_said = condition(&status, "Stalled").is_none() && fact.about != "Ready";
            if (said && !fact.may_be_said(&state)) || (!said && fact.holds && must_be_said) {
                untold.push(format!("{} of {}, said: {said}: {}", fact.about, resource.spec.domain, fact.why));
            }
        }
    }
    drop(state);
    assert!(untold.is_empty(), "at the end a status is not true: {untold:#?}\n{}", simulation.describe());
}

fn condition<'a>(status: &'a SesDomainStatus, about: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == about)
}

fn is_true(status: &SesDomainStatus, about: &str) -> bool {
    condition(status, about).is_some_and(|condition| condition.status == "True")
}

fn must_be_well_formed(status: &SesDomainStatus) {
    let stands = |about: &str| condition(status, about).is_some();
    assert!(!(stands("Stalled") && stands("Reconciling")), "both Stalled and Reconciling: {:#?}", status.conditions);
    let ready = is_true(status, "Ready");
    assert!(!(ready && (stands("Stalled") || stands("Reconciling"))), "ready and not: {:#?}", status.conditions);
    let mut types: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), status.conditions.len(), "a condition twice");
    for condition in &status.conditions {
        assert!(!condition.reason.is_empty() && !condition.message.is_empty(), "{condition:?}");
        assert!(condition.message.len() <= 32_768, "the API server refuses so long a message");
    }
    assert!(status.records.len() <= 64 && status.pending_changes.len() <= 16 && status.hosted_zones.len() <= 16);
    let repairs = status.records.iter().map(|entry| entry.put_back.len());
    assert!(repairs.chain(status.identity.iter().map(|identity| identity.put_back.len())).all(|count| count <= 8));
}

fn must_be_read_as_it_was_written(status: &SesDomainStatus) {
    let read: SesDomainStatus =
        serde_json::from_value(serde_json::to_value(status).expect("a status is JSON")).expect("and is read again");
    assert_eq!(&read, status, "what is read is what was written");
}

/// What a condition says, in fact.
struct Fact {
    about: &'static str,
    holds: bool,
    /// Until when it held, where it does no more.
    ceased: Option<Timestamp>,
    /// When it must have been noticed that it ceased.
    promise: SignedDuration,
    /// What is so.
    why: String,
}

impl Fact {
    /// Whether it is so, or has ceased to be so lately enough.
    fn may_be_said(&self, state: &State) -> bool {
        let noticed = |at: Timestamp| at.max(state.trouble_until) + self.promise + TELLING + state.lag;
        self.holds || self.ceased.is_some_and(|at| state.now() <= noticed(at))
    }
}

/// What is so of a resource, whatever its status says; where it is of an earlier spec, what can be said without the spec.
fn facts(state: &State, resource: &SesDomain, status: &SesDomainStatus) -> Vec<Fact> {
    let spec = &resource.spec;
    let identities = &state.identities;
    let is_key = |key: &ses_operator::ses::IdentityKey| {
        key.domain.as_str() == spec.domain
            && status.region.as_deref().is_none_or(|region| key.region.as_str() == region)
    };
    let held = identities.held.iter().find(|(key, _)| is_key(key)).map(|(_, held)| held);
    let gone = identities.gone.iter().find(|(key, _)| is_key(key)).map(|(_, (at, held))| (*at, held));
    let mut facts = vec![dkim(held, gone)];
    let is_current = status.observed_generation == resource.metadata.generation;
    facts.extend((is_current && spec.mail_from_subdomain.is_some()).then(|| mail_from(spec, held, gone)));
    let mut records =
        Fact { about: "RecordsPublished", holds: true, ceased: None, promise: RECORDS, why: String::new() };
    let mut dmarc = Fact { about: "DmarcPublished", why: String::new(), ..records };
    for entry in status.records.iter().filter(|entry| entry.published) {
        let (holds, ceased) = served(state, entry);
        if holds {
            continue;
        }
        let why = format!("{} {} \"{}\" is not served. ", entry.name, entry.record_type, entry.value);
        for fact in [&mut records, &mut dmarc] {
            if fact.about == "RecordsPublished" || entry.purpose == RecordPurpose::Dmarc {
                fact.ceased = if fact.holds { ceased } else { fact.ceased.min(ceased) };
                fact.holds = false;
                fact.why += &why;
            }
        }
    }
    if is_current && let Some(held) = held {
        let missing: Vec<String> = missing(spec, status, held);
        if !missing.is_empty() {
            // Those of an identity that was deleted, and made anew, were there until then.
            let deleted = gone.map(|(at, _)| at);
            records.ceased = if records.holds { deleted } else { records.ceased.min(deleted) };
            records.holds = false;
            records.why += &missing.join(", ");
        }
        let is_stage = status.dmarc.as_ref().is_some_and(|dmarc| stage_is_published(spec, status, &dmarc.stage));
        if spec.dmarc_policy.is_some() && !is_stage {
            dmarc.holds = false;
            dmarc.why += "no record of the stage is published";
        }
    }
    facts.extend(
        [records, dmarc].into_iter().filter(|fact| fact.about == "RecordsPublished" || spec.dmarc_policy.is_some()),
    );
    let unmet = facts.iter().filter(|fact| !fact.holds);
    let ready = unmet.map(|fact| (fact.ceased, fact.promise, fact.why.clone())).chain(
        held.filter(|_| is_current)
            .and_then(|held| settings(spec, held))
            .map(|why| (held.and_then(|held| held.by_hand), SETTINGS, why)),
    );
    let ready: Vec<_> = ready.collect();
    let worst = ready.iter().min_by_key(|(ceased, promise, _)| ceased.map(|at| at + *promise));
    facts.push(Fact {
        about: "Ready",
        holds: ready.is_empty(),
        ceased: worst.and_then(|(ceased, _, _)| *ceased),
        promise: worst.map_or(RECORDS, |(_, promise, _)| *promise),
        why: ready.iter().map(|(_, _, why)| why.as_str()).collect::<Vec<_>>().join(", "),
    });
    facts
}

fn dkim(held: Option<&Held>, gone: Option<(Timestamp, &Held)>) -> Fact {
    let is_verified = |held: &Held| held.identity.dkim.status == VerificationStatus::Success;
    let holds = held.is_some_and(|held| is_verified(held) && held.identity.dkim.signing_enabled);
    let switched_off = held.filter(|held| is_verified(held)).and_then(|held| held.by_hand);
    let deleted = gone.and_then(|(at, held)| if is_verified(held) { Some(at) } else { held.dkim_until });
    let ceased = held.and_then(|held| held.dkim_until).max(switched_off).max(deleted);
    let promise = if switched_off.is_some() { SETTINGS } else { IDENTITY };
    let why =
        held.map_or_else(|| "there is no identity".to_owned(), |held| format!("DKIM is {}", held.identity.dkim.status));
    Fact { about: "DkimVerified", holds, ceased, promise, why }
}

fn mail_from(spec: &SesDomainSpec, held: Option<&Held>, gone: Option<(Timestamp, &Held)>) -> Fact {
    let wanted = spec.mail_from_subdomain.as_ref().map(|label| DomainName::new(&spec.domain).child(label));
    let is_verified = |held: &Held| {
        let found = held.identity.mail_from.as_ref();
        found.is_some_and(|found| Some(&found.domain) == wanted.as_ref() && found.status == VerificationStatus::Success)
    };
    let deleted = gone.filter(|(_, held)| is_verified(held)).map(|(at, _)| at);
    let last = held.or(gone.map(|(_, held)| held));
    let lost =
        last.and_then(|last| last.mail_from_until.as_ref()).filter(|(domain, _)| Some(domain) == wanted.as_ref());
    let found = held.and_then(|held| held.identity.mail_from.as_ref());
    Fact {
        about: "MailFromVerified",
        holds: held.is_some_and(is_verified),
        ceased: lost.map(|(_, at)| *at).max(deleted),
        promise: SETTINGS,
        why: format!(
            "MAIL FROM is {}",
            found.map(|found| format!("{} {}", found.domain, found.status)).unwrap_or_default()
        ),
    }
}

/// What of an identity is not as the spec asks.
fn settings(spec: &SesDomainSpec, held: &Held) -> Option<String> {
    let found = &held.identity;
    let forwards = spec.feedback_forwarding.map(|asked| asked == FeedbackForwarding::Enabled);
    let behavior = found.mail_from.as_ref().map(|found| found.behavior);
    let asked = spec.mail_from_subdomain.as_ref().map(|_| spec.mx_failure_behavior.unwrap_or_default());
    let is_other_set = |name: &String| found.configuration_set.as_ref() != Some(name);
    let differs = [
        ("the configuration set", spec.configuration_set_name.as_ref().is_some_and(is_other_set)),
        ("feedback forwarding", forwards.is_some_and(|forwards| forwards != found.feedback_forwarding)),
        ("a tag", spec.tags.iter().any(|(key, value)| found.tags.get(key) != Some(&value.0))),
        ("mxFailureBehavior", asked.is_some() && behavior != asked),
    ];
    differs.iter().find(|(_, differs)| *differs).map(|(what, _)| format!("{what} is not as asked for"))
}

/// Whether a record is served, or until when it was.
fn served(state: &State, entry: &RecordStatus) -> (bool, Option<Timestamp>) {
    let place = (DomainName::new(&entry.name), RecordType::parse(&entry.record_type));
    let Some(zone) = state.zones.zones.iter().find(|zone| zone.id.0 == entry.hosted_zone_id) else {
        return (false, state.zones.removed.get(&entry.hosted_zone_id).copied());
    };
    // Somebody else's record counts as soon as it stands: nobody can know when it was written.
    let theirs = zone.others.get(&place).filter(|theirs| zone.sets.get(&place) == Some(theirs));
    let theirs = theirs.filter(|_| !entry.ours || entry.origin == RecordOrigin::Adopted);
    if zone.served.get(&place).into_iter().chain(theirs).any(|set| holds(set, entry)) {
        return (true, None);
    }
    (false, zone.served_until(&place, |set| holds(set, entry)))
}

/// Whether a set holds the record of an entry: one with the same meaning is as good.
fn holds(set: &RecordSet, entry: &RecordStatus) -> bool {
    let texts = || set.values.iter().map(|value| text::unquote(value));
    let plain = |value: &str| value.trim_end_matches('.').to_ascii_lowercase();
    match entry.purpose {
        RecordPurpose::Dmarc => texts().any(|text| {
            let (found, said) = (Record::parse(&text), Record::parse(&entry.value));
            found.zip(said).is_some_and(|(found, said)| found.means_the_same_as(&said))
        }),
        RecordPurpose::MailFromSpf => {
            texts().any(|text| text.starts_with("v=spf1") && text.contains("include:amazonses.com"))
        }
        RecordPurpose::Dkim | RecordPurpose::MailFromMx => {
            set.values.len() == 1 && plain(&set.values[0]) == plain(&entry.value)
        }
    }
}

/// The wanted records that the status does not call published.
fn missing(spec: &SesDomainSpec, status: &SesDomainStatus, held: &Held) -> Vec<String> {
    let domain = DomainName::new(&spec.domain);
    let of_dkim = held.identity.dkim.tokens.iter().map(|token| domain.child("_domainkey").child(token));
    let mut wanted: Vec<(RecordPurpose, DomainName)> = of_dkim.map(|name| (RecordPurpose::Dkim, name)).collect();
    if let Some(label) = &spec.mail_from_subdomain {
        wanted.push((RecordPurpose::MailFromMx, domain.child(label)));
        wanted.push((RecordPurpose::MailFromSpf, domain.child(label)));
    }
    let is_published = |(purpose, name): &(RecordPurpose, DomainName)| {
        let is_it = |entry: &&RecordStatus| entry.purpose == *purpose && DomainName::new(&entry.name) == *name;
        status.records.iter().filter(is_it).any(|entry| entry.published)
    };
    let missing = wanted.iter().filter(|wanted| !is_published(wanted));
    missing.map(|(purpose, name)| format!("{purpose:?} {name} is not said to be published")).collect()
}

/// Whether the status says that the record of a stage is published.
fn stage_is_published(spec: &SesDomainSpec, status: &SesDomainStatus, stage: &str) -> bool {
    let Some(policy) = &spec.dmarc_policy else { return false };
    let Some(stage) = policy.stages.iter().find(|other| other.name == stage) else { return false };
    let wanted = Record::parse(&ses_operator::dmarc::record::render(policy, stage));
    status.records.iter().any(|entry| {
        let said = Record::parse(&entry.value).zip(wanted.as_ref());
        entry.published
            && entry.purpose == RecordPurpose::Dmarc
            && said.is_some_and(|(said, wanted)| said.means_the_same_as(wanted))
    })
}
