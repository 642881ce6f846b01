//! What must never happen, written down when the operator does it.

use std::collections::BTreeSet;

use ses_operator::api::spec::MxFailureBehavior;
use ses_operator::dns::{RecordChange, RecordSet, RecordType, ZoneId, spf, text};
use ses_operator::domain_name::DomainName;
use ses_operator::ses::{IdentityChange, VerificationStatus};

use super::policy::{self, Floors};
use super::route53::Zone;
use super::ses::Held;

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
    /// A term of an SPF policy that leaves no look-up for ours beside it.
    pub spends_all_look_ups: Option<&'static str>,
    /// How strict the DMARC policies must be at least.
    pub policies: Floors,
    /// Whether an identity of others must be left as it is.
    pub leaves_foreign_identities: bool,
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
            let term = self.spends_all_look_ups.unwrap_or("nothing");
            if new.values.iter().any(|value| value.contains(term) && value.contains("include:amazonses.com")) {
                self.tell(format!(
                    "our term was put beside {term}: the SPF policy of {} has too many look-ups",
                    new.name
                ));
            }
            if !claimed(new) {
                // What stays of a set that our value, or our term, is taken out of.
                let stays = |value: &String, old: &String| {
                    value == old || text::unquote(value) == spf::without(&text::unquote(old), "amazonses.com")
                };
                let kept_foreign = changes.iter().any(|change| matches!(change, RecordChange::Delete(old) if old.is_at(&new.name, &new.record_type) && new.values.iter().all(|value| old.values.iter().any(|old| stays(value, old)))));
                if !kept_foreign {
                    self.tell(format!("{} {} was created and no status claims it", new.name, new.record_type));
                }
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
