//! What must never happen, written down when the operator does it.

use std::collections::{BTreeMap, BTreeSet};

use ses_operator::api::spec::MxFailureBehavior;
use ses_operator::dmarc::record::Record;
use ses_operator::dns::{RecordChange, RecordType, ZoneId, spf, text};
use ses_operator::domain_name::DomainName;
use ses_operator::ses::{IdentityChange, VerificationStatus};

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
    /// Whether a person asked for a weaker DMARC policy.
    pub may_weaken_dmarc: bool,
    /// Whether an identity of others must be left as it is.
    pub leaves_foreign_identities: bool,
    /// The claims that the API server holds: zone, name and type of each record that a status calls ours.
    pub claims: BTreeMap<String, BTreeSet<(String, String, String)>>,
}

impl Guard {
    fn tell(&mut self, what: String) {
        self.harm.push(what);
    }

    pub(super) fn records(&mut self, zone: &Zone, changes: &[RecordChange]) {
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
        let policy = |set: &ses_operator::dns::RecordSet| {
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
                // What stays of a set that our value, or our term, is taken out of.
                let stays = |value: &String, old: &String| {
                    value == old || text::unquote(value) == spf::without(&text::unquote(old), "amazonses.com")
                };
                let kept_foreign = changes.iter().any(|change| matches!(change, RecordChange::Delete(old) if old.is_at(&new.name, &new.record_type) && new.values.iter().all(|value| old.values.iter().any(|old| stays(value, old)))));
                if !kept_foreign {
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
