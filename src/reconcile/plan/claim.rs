//! Whose the identity is, and who of several SesDomains has the domain. Pure.
//!
//! The identity's tags decide; where there is no identity, the older SesDomain has the domain, then the first by name. A
//! SesDomain that goes while another one waits hands the domain over: it puts the heir's name into the tags, and stays
//! until the heir's status says that it has read them, and holds what this one knew. So at each moment one of the two
//! has the whole ledger, and a crash between two calls loses nothing.

use std::collections::BTreeMap;

use super::{Change, Plan, Problem};
use crate::api::Reason;
use crate::api::spec::AdoptionPolicy;
use crate::reconcile::managed::Managed;
use crate::reconcile::subject::{Rival, Subject};
use crate::reconcile::{claims, ledger};
use crate::ses::ownership::{
    ADOPTED, CLUSTER, HANDED_OVER_BY, IS_TAKEN, NAME, NAMESPACE, Owner, Ownership, RECORDS, RELEASED, SETTINGS,
};
use crate::ses::{Identity, IdentityChange, SigningOrigin};

/// Whose the identity is.
pub(super) enum Claim {
    /// Ours.
    Held,
    /// Ours, and what our predecessor knew of it is taken over first.
    Inherited,
    /// Nobody's: this makes it ours.
    Open(IdentityChange),
    /// Somebody else's.
    Refused(Problem),
}

/// The SesDomain that has the domain by its status, where ours says nothing: then nothing needs to be read. One that is
/// being deleted removes what was made, so that another one that is deleted as well has nothing to do.
pub(super) fn holder_by_status<'a>(subject: &'a Subject<'_>) -> Option<&'a Rival> {
    let has_it = |rival: &&Rival| rival.has_identity() && (!rival.deleting || subject.deleting);
    subject.neighbors.rivals.iter().find(has_it).filter(|_| subject.status.identity.is_none())
}

/// Who has the domain while there is no identity.
pub(super) fn holder_of_none<'a>(subject: &'a Subject<'_>) -> Option<&'a Rival> {
    let rivals = || subject.neighbors.rivals.iter();
    // What is being deleted may still have records to remove.
    rivals().find(|rival| rival.deleting).or_else(|| rivals().find(|rival| rival.goes_first))
}

/// That another SesDomain has the domain.
pub(super) fn taken(subject: &Subject<'_>, holder: &Rival) -> Problem {
    let domain = subject.domain();
    let message = if holder.deleting {
        format!("the SesDomain {holder} has the domain {domain} and is being deleted: this one follows it")
    } else {
        format!("the SesDomain {holder} has the domain {domain} already: delete one of the two")
    };
    Problem::whole(Reason::DomainTaken, message)
}

/// Whether the identity is ours, may become ours, or is left alone.
pub(super) fn claim(subject: &Subject<'_>, identity: &Identity) -> Claim {
    let domain = subject.domain();
    let ownership = subject.owner.judge(&identity.tags);
    if matches!(ownership, Ownership::Ours { .. }) && subject.predecessor(&identity.tags).is_some() {
        return Claim::Inherited;
    }
    if let Ownership::Others(owner) = &ownership
        && let Some(rival) = subject.rival(owner)
    {
        return Claim::Refused(taken(subject, rival));
    }
    if let SigningOrigin::Other(origin) = &identity.dkim.origin {
        return Claim::Refused(Problem::whole(
            Reason::IdentityNotOurs,
            format!(
                "the SES identity {domain} signs with a key of origin {origin}, which this operator does not manage: delete the SesDomain, or switch the identity to Easy DKIM"
            ),
        ));
    }
    match ownership {
        Ownership::Ours { .. } => Claim::Held,
        Ownership::Unclaimed | Ownership::Released(_) => match holder_of_none(subject) {
            Some(rival) => Claim::Refused(taken(subject, rival)),
            None if subject.spec.adoption_policy == AdoptionPolicy::Adopt => Claim::Open(adopt(subject, identity)),
            None => Claim::Refused(not_adopted(subject, &ownership, &identity.tags)),
        },
        Ownership::Others(holder) => Claim::Refused(of_others(subject, &holder)),
    }
}

/// Makes an identity ours that is nobody's. What its last owner made stays, as the identity itself does.
fn adopt(subject: &Subject<'_>, identity: &Identity) -> IdentityChange {
    let mut tags = subject.owner.tags();
    tags.insert(ADOPTED.to_owned(), "true".to_owned());
    // What its last owner set stays as well.
    let settings = Managed::asked(subject).text();
    if !settings.is_empty() || identity.tags.contains_key(SETTINGS) {
        tags.insert(SETTINGS.to_owned(), settings);
    }
    if identity.tags.contains_key(RELEASED) {
        tags.insert(RELEASED.to_owned(), IS_TAKEN.to_owned());
    }
    // Whether its last owner left it, or a person took the owner's name off: these records are not of our making.
    tags.extend(identity.tags.get(RECORDS).map(|value| (RECORDS.to_owned(), claims::adopted(value))));
    IdentityChange::Tag(tags)
}

/// That an identity is nobody's, and adoption is not asked for.
fn not_adopted(subject: &Subject<'_>, ownership: &Ownership, tags: &BTreeMap<String, String>) -> Problem {
    let domain = subject.domain();
    let was_ours = ledger::entries(subject.status, &domain).any(|entry| entry.ours);
    let why = match ownership {
        Ownership::Released(Owner { cluster, namespace, name }) => {
            format!(
                "was left behind by the SesDomain {namespace}/{name} of the cluster {cluster} (deletionPolicy Retain):"
            )
        }
        Ownership::Unclaimed | Ownership::Ours { .. } | Ownership::Others(_) if was_ours => {
            let Owner { cluster, namespace, name } = &subject.owner;
            format!(
                "was this resource's, and its tags do not say so any more ({}): put back {CLUSTER}={cluster}, {NAMESPACE}={namespace} and {NAME}={name}, or",
                listed(tags)
            )
        }
        Ownership::Unclaimed | Ownership::Ours { .. } | Ownership::Others(_) => {
            format!("exists already and was not created by this resource ({}):", listed(tags))
        }
    };
    let message = format!(
        "the SES identity {domain} {why} set spec.adoptionPolicy to Adopt to manage it, or delete the identity"
    );
    Problem::whole(Reason::IdentityNotOurs, message)
}

/// The keys of the tags that were found.
fn listed(tags: &BTreeMap<String, String>) -> String {
    const MOST: usize = 10;
    let keys: Vec<&str> = tags.keys().take(MOST).map(String::as_str).collect();
    match tags.len() {
        0 => "it has no tags".to_owned(),
        all if all > MOST => format!("its tags: {} and {} more", keys.join(", "), all - MOST),
        _ => format!("its tags: {}", keys.join(", ")),
    }
}

/// That the identity belongs to a SesDomain that this operator does not see.
fn of_others(subject: &Subject<'_>, holder: &Owner) -> Problem {
    let us = &subject.owner;
    let remedy = if holder.cluster == us.cluster {
        "delete one of the two; where that one is gone for good, take the tags ses-operator.dev/cluster, /namespace and /name off the identity, and set spec.adoptionPolicy to Adopt".to_owned()
    } else {
        format!(
            "if this cluster is that one, restored or made anew, start the operator with --cluster-id={}; else delete one of the two",
            holder.cluster
        )
    };
    Problem::whole(
        Reason::IdentityNotOurs,
        format!(
            "the SES identity {} belongs to the SesDomain {}/{} of the cluster {} (this is {}/{} of the cluster {}): {remedy}",
            subject.domain(),
            holder.namespace,
            holder.name,
            holder.cluster,
            us.namespace,
            us.name,
            us.cluster
        ),
    )
}

/// The deletion while another SesDomain waits for the domain, or has been given it: nothing is removed. `None` where
/// nobody does.
pub(super) fn hand_over(subject: &Subject<'_>, identity: &Identity) -> Option<Plan> {
    let kept = Plan { ledger: subject.status.records.clone(), ..Plan::default() };
    let tag = |tags| vec![Change::ChangeIdentity { change: IdentityChange::Tag(tags), puts_back: false }];
    match subject.owner.judge(&identity.tags) {
        Ownership::Ours { .. } => {
            let heir = subject.heir()?;
            let us = &subject.owner;
            let named = Owner { namespace: heir.namespace.clone(), name: heir.name.clone(), ..us.clone() };
            let mut tags = named.tags();
            tags.insert(HANDED_OVER_BY.to_owned(), subject.uid.to_owned());
            Some(Plan { changes: tag(tags), heir: Some(heir.to_string()), ..kept })
        }
        Ownership::Others(named) => {
            if identity.tags.get(HANDED_OVER_BY).map(String::as_str) != Some(subject.uid) {
                return None;
            }
            let heir = subject.rival(&named);
            match heir {
                Some(heir) if heir.has_identity() => Some(Plan { gone: true, heir: Some(heir.to_string()), ..kept }),
                Some(heir) if !heir.deleting => Some(Plan { heir: Some(heir.to_string()), ..kept }),
                // It was deleted before it took over: what was handed over is ours again.
                Some(_) | None => Some(Plan { changes: tag(subject.owner.tags()), ..kept }),
            }
        }
        Ownership::Unclaimed | Ownership::Released(_) => None,
    }
}
