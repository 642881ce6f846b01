//! How two states of AWS differ. Pure.

use std::collections::BTreeMap;

use crate::api::spec::{KeyLength, MxFailureBehavior};
use crate::dns::{RecordSet, RecordType, ZoneId, spf};
use crate::domain_name::DomainName;
use crate::reconcile::observe::Observed;
use crate::reconcile::plan::Finding;
use crate::reconcile::verdict::Verdict;
use crate::ses::regions::SPF_INCLUDE;
use crate::ses::{Identity, MailFrom, VerificationStatus};

/// They stand for the tokens of an identity that does not exist yet.
pub(super) const FORESEEN_TOKENS: [&str; 3] = ["token-1", "token-2", "token-3"];

/// How two states of AWS differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// The identity.
    pub identity: Option<IdentityDifference>,
    /// The record sets.
    pub records: Vec<RecordDifference>,
}

impl Difference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.identity.is_none() && self.records.is_empty()
    }
}

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is created.
    Create,
    /// It is changed.
    Change,
    /// It is deleted.
    Delete,
}

/// How an identity differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityDifference {
    /// What becomes of it.
    pub act: Act,
    /// Its domain.
    pub domain: DomainName,
    /// Its settings, each in a line of its own.
    pub settings: Vec<String>,
}

/// How a record set differs.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordDifference {
    /// The set's zone.
    pub zone: ZoneId,
    /// The set as it is.
    pub before: Option<RecordSet>,
    /// The set as it will be.
    pub after: Option<RecordSet>,
    /// Why, where that is not plain to see.
    pub cause: Option<Cause>,
}

/// Why a record set is written that could have stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody else changed or removed what is ours.
    Drifted,
    /// `spec.dns.onConflict` lets somebody else's record be replaced.
    Overwritten,
    /// `spec.dns.onConflict` lets our term be put into somebody else's SPF policy.
    Merged,
}

impl RecordDifference {
    /// What becomes of the set.
    pub fn act(&self) -> Act {
        match (&self.before, &self.after) {
            (None, _) => Act::Create,
            (Some(_), Some(_)) => Act::Change,
            (Some(_), None) => Act::Delete,
        }
    }

    /// The set, as it will be where it is to stay.
    pub fn set(&self) -> Option<&RecordSet> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// Whether the name holds a token that nobody knows yet.
    pub fn is_foreseen_dkim(&self) -> bool {
        self.set().is_some_and(|set| {
            set.record_type == RecordType::Cname
                && FORESEEN_TOKENS.iter().any(|token| set.name.as_str().starts_with(&format!("{token}._domainkey.")))
        })
    }
}

/// How the second state differs from the first one.
pub(super) fn between(domain: &DomainName, before: &Observed, after: &Observed, found: &[Finding]) -> Difference {
    let known = |observed: &Observed| observed.identity.as_ref().ok().and_then(Clone::clone);
    Difference {
        identity: identity(domain, known(before).as_ref(), known(after).as_ref()),
        records: records(before, after, found),
    }
}

fn records(before: &Observed, after: &Observed, found: &[Finding]) -> Vec<RecordDifference> {
    let mut differences = Vec::new();
    for (zone, sets) in &after.records {
        let nothing = Vec::new();
        let before = before.records.get(zone).and_then(|sets| sets.as_ref().ok()).unwrap_or(&nothing);
        let Ok(after) = sets else { continue };
        let is_new = |set: &&RecordSet| !before.iter().any(|before| before.is_at(&set.name, &set.record_type));
        let counterpart = |set: &RecordSet| after.iter().find(|after| after.is_at(&set.name, &set.record_type));
        let kept = before.iter().map(|set| (Some(set), counterpart(set))).filter(|(before, after)| before != after);
        for (before, after) in kept.chain(after.iter().filter(is_new).map(|set| (None, Some(set)))) {
            differences.push(RecordDifference {
                zone: zone.clone(),
                before: before.cloned(),
                after: after.cloned(),
                cause: after.or(before).and_then(|set| cause(zone, set, found)),
            });
        }
    }
    // Those that are removed last, as in every diff; else by name.
    differences.sort_by_key(|difference| {
        let place = difference.set().map(|set| (set.name.clone(), set.record_type.clone()));
        (difference.act() == Act::Delete, !difference.is_foreseen_dkim(), place)
    });
    differences
}

fn cause(zone: &ZoneId, set: &RecordSet, found: &[Finding]) -> Option<Cause> {
    let of_set =
        |finding: &&Finding| finding.zone == *zone && set.is_at(&finding.wanted.name, &finding.wanted.record_type);
    let finding = found.iter().find(of_set)?;
    match &finding.verdict {
        Verdict::Drifted(_) => Some(Cause::Drifted),
        Verdict::Foreign(theirs) if *theirs == spf::without(&finding.wanted.value, SPF_INCLUDE) => Some(Cause::Merged),
        Verdict::Foreign(_) => Some(Cause::Overwritten),
        Verdict::Right | Verdict::Missing | Verdict::Outdated | Verdict::Unshown | Verdict::Obstructed(_) => None,
    }
}

fn identity(domain: &DomainName, before: Option<&Identity>, after: Option<&Identity>) -> Option<IdentityDifference> {
    let (act, settings) = match (before, after) {
        (None, None) => return None,
        (None, Some(after)) => (Act::Create, new_settings(after)),
        (Some(_), None) => (Act::Delete, Vec::new()),
        (Some(before), Some(after)) => (Act::Change, changed_settings(before, after)),
    };
    let nothing = act == Act::Change && settings.is_empty();
    (!nothing).then(|| IdentityDifference { act, domain: domain.clone(), settings })
}

fn new_settings(after: &Identity) -> Vec<String> {
    let mut settings = Vec::new();
    settings.extend(after.dkim.next_key_length.map(|length| format!("DKIM key: {}", bits(length))));
    settings.extend(after.configuration_set.as_ref().map(|name| format!("configuration set: {name}")));
    settings.extend((!after.feedback_forwarding).then(|| "feedback forwarding: Disabled".to_owned()));
    settings.extend(after.mail_from.as_ref().map(|found| format!("MAIL FROM domain: {}", found.domain)));
    settings.extend(tags(&BTreeMap::new(), &after.tags));
    settings
}

fn changed_settings(before: &Identity, after: &Identity) -> Vec<String> {
    let mut settings = Vec::new();
    let mut add = |name: &str, before: String, after: String| {
        if before != after {
            settings.push(format!("{name}: {before} → {after}"));
        }
    };
    let domain = |found: &Option<MailFrom>| {
        found.as_ref().map_or_else(|| "SES's own".to_owned(), |found| found.domain.to_string())
    };
    let behavior = |found: &Option<MailFrom>| {
        let behavior = found.as_ref().map_or(MxFailureBehavior::UseDefaultValue, |found| found.behavior);
        format!("{behavior:?}")
    };
    let set = |identity: &Identity| identity.configuration_set.clone().unwrap_or_else(|| "none".to_owned());
    let word = |enabled: bool| if enabled { "Enabled" } else { "Disabled" }.to_owned();
    add("MAIL FROM domain", domain(&before.mail_from), domain(&after.mail_from));
    add("mxFailureBehavior", behavior(&before.mail_from), behavior(&after.mail_from));
    add("configuration set", set(before), set(after));
    add("feedback forwarding", word(before.feedback_forwarding), word(after.feedback_forwarding));
    add("DKIM signing", word(before.dkim.signing_enabled), word(after.dkim.signing_enabled));
    let failed = |status| status == VerificationStatus::Failed;
    if failed(before.dkim.status) && !failed(after.dkim.status) {
        settings.push("DKIM verification: SES gave up, and is asked to look again".to_owned());
    }
    let restarted = |found: &Option<MailFrom>| found.as_ref().is_some_and(|found| failed(found.status));
    if restarted(&before.mail_from)
        && !restarted(&after.mail_from)
        && domain(&before.mail_from) == domain(&after.mail_from)
    {
        settings.push("MAIL FROM verification: SES gave up, and is asked to look again".to_owned());
    }
    settings.extend(tags(&before.tags, &after.tags));
    settings
}

fn bits(length: KeyLength) -> &'static str {
    match length {
        KeyLength::Rsa1024 => "RSA of 1024 bits",
        KeyLength::Rsa2048 => "RSA of 2048 bits",
    }
}

fn tags(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let set = after.iter().filter_map(|(key, value)| match before.get(key) {
        None => Some(format!("tag {key}: \"{value}\"")),
        Some(old) if old != value => Some(format!("tag {key}: \"{old}\" → \"{value}\"")),
        Some(_) => None,
    });
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| format!("tag {key}: removed"));
    set.chain(removed).collect()
}
