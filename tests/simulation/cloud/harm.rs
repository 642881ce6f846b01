//! What must never happen, written down when the operator does it.

use std::collections::BTreeSet;

use ses_operator::api::spec::MxFailureBehavior;
use ses_operator::dns::{RecordChange, RecordSet, RecordType, ZoneId, spf, text};
use ses_operator::domain_name::DomainName;
use ses_operator::ses::ownership::RECORDS;
use ses_operator::ses::{IdentityChange, IdentityKey, VerificationStatus};

use super::policy::{self, Floors};
use super::route53::{Zone, Zones};
use super::ses::{Held, Identities};

/// A value that somebody else put into a zone.
type Foreign = (ZoneId, DomainName, RecordType, String);

/// Watches what the operator does.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// What was done that must not be.
    pub harm: Vec<String>,
    /// Values that must survive everything.
    pub protected: BTreeSet<Foreign>,
    /// The `_dmarc` names whose record a person took out of the spec: it stays, and is nobody's.
    pub left: BTreeSet<DomainName>,
    /// How strict the DMARC policies must be at least.
    pub policies: Floors,
    /// Whether an identity of others must be left as it is.
    pub leaves_foreign_identities: bool,
}

/// Whether a set is what stays of one that our value, or our term, is taken out of.
fn only_takes_out(changes: &[RecordChange], new: &RecordSet) -> bool {
    let stays = |value: &String, old: &String| {
        value == old || text::unquote(value) == spf::without(&text::unquote(old), "amazonses.com")
    };
    changes.iter().any(|change| {
        matches!(change, RecordChange::Delete(old) if old.is_at(&new.name, &new.record_type)
            && new.values.iter().all(|value| old.values.iter().any(|old| stays(value, old))))
    })
}

/// Whether an identity's tag claims a record, as it does before the record is made.
pub fn claims(domain: &DomainName, held: &Held, new: &RecordSet) -> bool {
    let is_at = |label: &str| new.name == domain.child(label);
    let kind = match &new.record_type {
        RecordType::Cname => "dkim",
        RecordType::Mx => "mx",
        _ if is_at("_dmarc") => "dmarc",
        RecordType::Txt | RecordType::Ns | RecordType::Other(_) => "spf",
    };
    let tag = held.identity.tags.get(RECORDS).map(String::as_str).unwrap_or_default();
    let today = tag.split(' ').find_map(|word| word.strip_prefix('@'));
    tag.split(' ').any(|word| {
        let (word, label) = word.split_once('@').map_or((word, today), |(word, label)| (word, Some(label)));
        let is_named = matches!(kind, "dkim" | "dmarc") || label.is_some_and(is_at);
        is_named && word.split(':').next() == Some(kind)
    })
}

/// Whether mail is signed or sent with a record.
fn is_used(domain: &DomainName, held: &Held, set: &RecordSet) -> bool {
    let identity = &held.identity;
    let mail_from = identity.mail_from.as_ref().filter(|found| found.status == VerificationStatus::Success);
    match &set.record_type {
        RecordType::Mx => mail_from.is_some_and(|found| found.domain == set.name),
        RecordType::Cname => {
            identity.dkim.tokens.iter().any(|token| set.name == domain.child("_domainkey").child(token))
        }
        RecordType::Txt | RecordType::Ns | RecordType::Other(_) => false,
    }
}

impl Guard {
    fn tell(&mut self, what: String) {
        self.harm.push(what);
    }

    /// `claimed`: whether a status calls the record ours that a set holds.
    pub(super) fn records(&mut self, zone: &Zone, changes: &[RecordChange], claimed: impl Fn(&RecordSet) -> bool) {
        let id = &zone.id;
        let lost: Vec<Foreign> = self
            .protected
            .iter()
            .filter(|(of, name, record_type, value)| {
                of == id
                    && !zone
                        .sets
                        .get(&(name.clone(), record_type.clone()))
                        .is_some_and(|set| set.values.contains(value))
            })
            .cloned()
            .collect();
        for (_, name, record_type, value) in lost {
            self.tell(format!("the foreign value {value} of {name} {record_type} was taken away"));
        }
        for change in changes {
            let RecordChange::Create(new) = change else { continue };
            if !claimed(new) && !only_takes_out(changes, new) {
                self.tell(format!("{} {} was created and no status claims it", new.name, new.record_type));
            }
        }
    }

    /// The tags claim what is made before it is, and what mail is sent with is not taken away. `goes`: whether a SesDomain
    /// of the domain is being deleted.
    pub(super) fn uses(
        &mut self,
        id: &ZoneId,
        zones: &Zones,
        identities: &Identities,
        changes: &[RecordChange],
        goes: impl Fn(&DomainName) -> bool,
    ) {
        for change in changes {
            let (RecordChange::Create(set) | RecordChange::Delete(set)) = change;
            let holds = |(key, _): &(&IdentityKey, &Held)| set.name.is_within(&key.domain);
            let around: Vec<_> = identities.held.iter().filter(holds).collect();
            if matches!(change, RecordChange::Create(_)) {
                let is_claimed = around.iter().any(|(key, held)| claims(&key.domain, held, set));
                if !around.is_empty() && !is_claimed && !only_takes_out(changes, set) {
                    self.tell(format!("{} {} was created and no tag claims it", set.name, set.record_type));
                }
                continue;
            }
            let asked = zones.asked_for(&set.name).filter(|zone| zone.id == *id);
            let is_left = |zone: &Zone| zone.sets.contains_key(&(set.name.clone(), set.record_type.clone()));
            let is_in_use = |(key, held): (&IdentityKey, &Held)| !goes(&key.domain) && is_used(&key.domain, held, set);
            if asked.is_some_and(|zone| !is_left(zone)) && around.into_iter().any(is_in_use) {
                self.tell(format!("{} {} was taken away while it is in use", set.name, set.record_type));
            }
        }
    }

    /// The operator has written to a `_dmarc` name: `goes` says whether a SesDomain of the domain is being deleted.
    pub(super) fn policy(&mut self, name: &DomainName, before: &[String], after: &[String], goes: bool) {
        let (was, is) = (policy::strictness(before), policy::strictness(after));
        if goes && is == policy::NOTHING {
            return self.policies.forget(name);
        }
        if let Err(floor) = self.policies.written(name, was, is) {
            self.tell(format!("DMARC was weakened at {name}: {before:?} became {after:?}, and {floor:?} was promised"));
        }
    }

    pub(super) fn identity(&mut self, held: &Held, change: &IdentityChange) {
        if held.foreign && self.leaves_foreign_identities {
            self.tell(format!("an identity of others was changed: {change:?}"));
        }
        match change {
            IdentityChange::MailFrom(Some((domain, MxFailureBehavior::RejectMessage))) => {
                let verified =
                    held.identity.mail_from.as_ref().is_some_and(|current| {
                        &current.domain == domain && current.status == VerificationStatus::Success
                    });
                if !verified {
                    self.tell(format!("RejectMessage was put for {domain} before SES had verified it"));
                }
            }
            IdentityChange::DkimKey(_) => {
                if held.identity.dkim.status != VerificationStatus::Failed {
                    self.tell(format!("a DKIM verification was restarted that was {}", held.identity.dkim.status));
                }
            }
            IdentityChange::Untag(keys) => {
                for key in keys.iter().filter(|key| held.foreign_tags.contains(*key)) {
                    self.tell(format!("the foreign tag {key} was removed"));
                }
            }
            IdentityChange::MailFrom(_)
            | IdentityChange::FeedbackForwarding(_)
            | IdentityChange::ConfigurationSet(_)
                if held.foreign_settings =>
            {
                self.tell(format!("settings of others were changed: {change:?}"));
            }
            IdentityChange::Tag(_)
            | IdentityChange::MailFrom(_)
            | IdentityChange::FeedbackForwarding(_)
            | IdentityChange::ConfigurationSet(_)
            | IdentityChange::Signing(_) => {}
        }
    }

    pub(super) fn identity_deleted(&mut self, domain: &DomainName, held: &Held) {
        if held.foreign {
            self.tell(format!("the identity {domain} was deleted, which somebody else had made"));
        }
    }
}
