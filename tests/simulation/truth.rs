//! What holds for every status that is ever written: its form, and that what it says is so.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use ses_operator::api::SesDomainStatus;
use ses_operator::api::status::{RecordPurpose, RecordStatus};
use ses_operator::dns::{RecordSet, RecordType, text};
use ses_operator::domain_name::DomainName;
use ses_operator::ses::VerificationStatus;

use crate::cloud::State;

/// Looks at a status that is about to be written over another.
pub fn must_hold(state: &mut State, before: Option<&SesDomainStatus>, status: &SesDomainStatus) {
    must_be_well_formed(status);
    // Through JSON and back takes as long as a reconcile.
    if state.statuses.is_multiple_of(16) {
        must_be_read_as_it_was_written(status);
    }
    state.statuses += 1;
    if let Some(lie) = lie(state, before, status) {
        let lie = format!("{}: {lie}", state.now());
        state.guard.harm.push(lie);
    }
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

/// What a condition says that turns True now and is not so. What turned True earlier may have ceased to be so unseen, and
/// where somebody else changes things meanwhile, or answers lag, what was seen may be over: then nothing is said here.
fn lie(state: &mut State, before: Option<&SesDomainStatus>, status: &SesDomainStatus) -> Option<String> {
    if !state.watches_words {
        return None;
    }
    let turns = |about: &str| is_true(status, about) && !before.is_some_and(|before| is_true(before, about));
    let arn = status.identity.as_ref().map(|identity| identity.arn.as_str()).unwrap_or_default();
    let domain = arn.rsplit('/').next().unwrap_or_default();
    let identity = state.identities.get(domain);
    if turns("DkimVerified") && identity.is_none_or(|found| found.dkim.status != VerificationStatus::Success) {
        return Some(format!("DkimVerified of {domain} turns True, and SES says otherwise"));
    }
    let mail_from = identity.and_then(|found| found.mail_from.as_ref());
    if turns("MailFromVerified") && mail_from.is_none_or(|found| found.status != VerificationStatus::Success) {
        return Some(format!("MailFromVerified of {domain} turns True, and SES says otherwise"));
    }
    if turns("RecordsPublished") || turns("Ready") {
        for entry in &status.records {
            let (name, record_type) = (DomainName::new(&entry.name), RecordType::parse(&entry.record_type));
            let zone = state.zones.zones.iter().find(|zone| zone.id.0 == entry.hosted_zone_id);
            let place = (name, record_type);
            // Where an answer was lost, a record that stands is believed to be served after a while, or as it was before.
            let stands = zone.and_then(|zone| zone.sets.get(&place)).filter(|_| state.faults.struck > 0);
            let served = zone.and_then(|zone| zone.served.get(&place));
            let there = [served, stands].into_iter().flatten().any(|set| holds(set, entry));
            if entry.published && !there {
                return Some(format!(
                    "{} {} is said to be published, and is not served",
                    entry.name, entry.record_type
                ));
            }
        }
    }
    None
}

/// Whether a set has a value of the entry's kind: one with the same meaning is as good.
fn holds(set: &RecordSet, entry: &RecordStatus) -> bool {
    match entry.purpose {
        RecordPurpose::Dmarc | RecordPurpose::MailFromSpf => {
            let kind = entry.value.split([';', ' ']).next().unwrap_or_default();
            set.values.iter().any(|value| text::unquote(value).starts_with(kind))
        }
        RecordPurpose::Dkim | RecordPurpose::MailFromMx => !set.values.is_empty(),
    }
}
