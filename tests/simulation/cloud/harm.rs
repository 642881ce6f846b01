//! What must never happen, written down when the operator does it.

use std::collections::{BTreeMap, BTreeSet};

use ses_operator::api::spec::MxFailureBehavior;
use ses_operator::dmarc::record::Record;
use ses_operator::dns::{RecordChange, RecordSet, RecordType, ZoneId, spf, text};
use ses_operator::domain_name::DomainName;
use ses_operator::ses::ownership::RECORDS;
use ses_operator::ses::{IdentityChange, IdentityKey, VerificationStatus};

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
    /// Whether a person asked for a weaker DMARC policy.
    pub may_weaken_dmarc: bool,
    /// Whether an identity of others must be left as it is.
    pub leaves_foreign_identities: bool,
    /// Domains of which a resource is being deleted.
    pub going: BTreeSet<DomainName>,
    /// The claims that the API server holds: zone, name and type of each record that a status calls ours.
    pub claims: BTreeMap<String, BTreeSet<(String, String, String)>>,
}

fn set_of(change: &RecordChange) -> &RecordSet {
    let (RecordChange::Create(set) | RecordChange::Delete(set)) = change;
    set
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
fn claims(domain: &DomainName, held: &Held, new: &RecordSet) -> bool {
    let is_at = |label: &str| new.name == domain.child(label);
    let kind = match &new.record_type {
        RecordType::Cname => "dkim",
        RecordType::Mx => "mx",
        _ if is_at("_dmarc") => "dmarc",
        _ => "spf",
    };
    let tag = held.identity.tags.get(RECORDS).map(String::as_str).unwrap_or_default();
    let today = tag.split(' ').find_map(|word| word.strip_prefix('@'));
    tag.split(' ').any(|word| {
        let (word, label) = word.split_once('@').map_or((word, today), |(word, label)| (word, Some(label)));
        let is_named = matches!(kind, "dkim" | "dmarc") || label.is_some_and(is_at);
        is_named && word.split(':').next() == Some(kind)
    })
}

impl Guard {
    fn tell(&mut self, what: String) {
        self.harm.push(what);
    }

    pub(super) fn records(&mut self, id: &ZoneId, zones: &Zones, identities: &Identities, changes: &[RecordChange]) {
        let Some(zone) = zones.zones.iter().find(|zone| zone.id == *id) else { return };
        for change in changes {
            let holds = |(key, _): &(&IdentityKey, &Held)| set_of(change).name.is_within(&key.domain);
            let around: Vec<_> = identities.held.iter().filter(holds).collect();
            let RecordChange::Create(new) = change else {
                around.iter().for_each(|(key, held)| self.bared(&key.domain, held, zones, zone, change));
                continue;
            };
            let is_claimed = around.iter().any(|(key, held)| claims(&key.domain, held, new));
            if !around.is_empty() && !is_claimed && !only_takes_out(changes, new) {
                self.tell(format!("{} {} was created and no tag claims it", new.name, new.record_type));
            }
        }
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
        let policy = |set: &RecordSet| {
            set.values
                .iter()
                .filter_map(|value| Record::parse(&text::unquote(value)))
                .map(|record| record.strength())
                .max()
        };
        for change in changes {
            let RecordChange::Create(new) = change else { continue };
            let place = (id.to_string(), new.name.to_string(), new.record_type.to_string());
            if !self.claims.values().any(|claims| claims.contains(&place)) {
                if !only_takes_out(changes, new) {
                    self.tell(format!("{} {} was created and no status claims it", new.name, new.record_type));
                }
            }
            let old = changes.iter().find_map(|change| match change {
                RecordChange::Delete(old) if old.is_at(&new.name, &new.record_type) => Some(old),
                RecordChange::Delete(_) | RecordChange::Create(_) => None,
            });
            if let Some(old) = old.filter(|_| !self.may_weaken_dmarc)
                && let (Some(before), Some(after)) = (policy(old), policy(new))
                && after < before
            {
                self.tell(format!("DMARC was weakened: {:?} became {:?}", old.values, new.values));
            }
        }
    }

    /// What the world asks for now must not be taken away while mail is sent with it.
    fn bared(&mut self, domain: &DomainName, held: &Held, zones: &Zones, zone: &Zone, change: &RecordChange) {
        let RecordChange::Delete(old) = change else { return };
        let is_asked = zones.asked_for(&old.name).is_some_and(|asked| asked.id == zone.id);
        if !is_asked || self.going.contains(domain) {
            return;
        }
        let left = zone.sets.get(&(old.name.clone(), old.record_type.clone()));
        let has_policy =
            |set: &RecordSet| set.values.iter().any(|value| Record::parse(&text::unquote(value)).is_some());
        let identity = &held.identity;
        let mail_from = identity.mail_from.as_ref().filter(|found| found.status == VerificationStatus::Success);
        let is_key = || identity.dkim.tokens.iter().any(|token| old.name == domain.child("_domainkey").child(token));
        let bared = match &old.record_type {
            RecordType::Mx => left.is_none() && mail_from.is_some_and(|found| found.domain == old.name),
            RecordType::Cname => left.is_none() && is_key(),
            _ if old.name == domain.child("_dmarc") => has_policy(old) && !left.is_some_and(has_policy),
            _ => false,
        };
        if bared {
            self.tell(format!("{} {} was taken away while it is in use", old.name, old.record_type));
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
