//! What a reconcile must know of the other SesDomains. Pure.

use std::sync::Arc;

use kube::ResourceExt;

use super::key::Key;
use super::store::{Form, Store};
use crate::api::SesDomain;
use crate::domain_name::DomainName;
use crate::reconcile::subject::{MailFromUse, Neighbors, Rival};

/// The domains whose SesDomains may be neighbors: its own, and those that its MAIL FROM name may belong to.
pub fn domains(resource: &SesDomain) -> Vec<DomainName> {
    let domain = DomainName::new(&resource.spec.domain);
    let mail_from = mail_from_of(resource);
    let above = mail_from.iter().flat_map(DomainName::self_and_ancestors).filter(|name| *name != domain);
    std::iter::once(domain.clone()).chain(above).collect()
}

/// The other SesDomains that stand in the way of this one, or wait for it.
pub fn of<'a>(resource: &SesDomain, all: impl Iterator<Item = &'a SesDomain>) -> Neighbors {
    let domain = DomainName::new(&resource.spec.domain);
    let mail_from = mail_from_of(resource);
    let is_other = |other: &&SesDomain| other.metadata.uid != resource.metadata.uid;
    let mut rivals = Vec::new();
    let mut uses = Vec::new();
    for other in all.filter(is_other) {
        let of_other = DomainName::new(&other.spec.domain);
        if of_other == domain {
            rivals.push(other);
        } else if let Some(name) = &mail_from
            && (*name == of_other || mail_from_of(other).as_ref() == Some(name))
        {
            uses.push(MailFromUse {
                by: format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()),
                is_domain: *name == of_other,
                goes_first: precedence(other) < precedence(resource),
            });
        }
    }
    uses.sort_by(|one, other| one.by.cmp(&other.by));
    rivals.sort_by_key(|rival| precedence(rival));
    let rivals = rivals.into_iter().map(|rival| Rival {
        namespace: rival.namespace().unwrap_or_default(),
        name: rival.name_any(),
        uid: rival.metadata.uid.clone().unwrap_or_default(),
        deleting: rival.metadata.deletion_timestamp.is_some(),
        goes_first: precedence(rival) < precedence(resource),
        region: rival.spec.region.clone(),
        status: rival.status.clone().unwrap_or_default(),
    });
    Neighbors { rivals: rivals.collect(), mail_from: uses }
}

/// The same, of those that the store has.
pub fn in_store<F: Form>(store: &Store<F>, resource: &SesDomain) -> Neighbors {
    let near = domains(resource).into_iter().flat_map(|domain| store.of_domain(&domain));
    let others = near.filter(|key| *key != Key::of(resource));
    let others: Vec<Arc<SesDomain>> = others.filter_map(|key| store.get(&key)).collect();
    of(resource, others.iter().map(AsRef::as_ref))
}

fn mail_from_of(domain: &SesDomain) -> Option<DomainName> {
    let labels = domain.spec.mail_from_subdomain.as_ref()?;
    Some(DomainName::new(&domain.spec.domain).child(labels))
}

/// The older goes first, then the first by namespace and name.
fn precedence(domain: &SesDomain) -> (Option<jiff::Timestamp>, Option<String>, String) {
    let created = domain.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created, domain.namespace(), domain.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str, created: i64) -> SesDomain {
        let created = jiff::Timestamp::from_second(created).expect("a time").to_string();
        serde_json::from_value(serde_json::json!({
            "apiVersion": "ses-operator.dev/v1alpha1",
            "kind": "SesDomain",
            "metadata": {"name": name, "namespace": "mail", "uid": name, "creationTimestamp": created},
            "spec": {"domain": "example.com"},
        }))
        .expect("a SesDomain")
    }

    /// The rivals of a resource, each with whether it goes first.
    fn rivals(resource: &SesDomain, all: &[&SesDomain]) -> Vec<(String, bool)> {
        let neighbors = of(resource, all.iter().copied());
        neighbors.rivals.into_iter().map(|rival| (rival.name, rival.goes_first)).collect()
    }

    #[test]
    fn the_older_goes_first() {
        let (old, young) = (domain("z-old", 1), domain("a-young", 2));
        assert_eq!(rivals(&young, &[&young, &old]), [("z-old".into(), true)]);
        assert_eq!(rivals(&old, &[&young, &old]), [("a-young".into(), false)]);
    }

    #[test]
    fn of_twins_the_first_by_name_goes_first() {
        let (one, two, three) = (domain("a", 1), domain("b", 1), domain("c", 1));
        assert_eq!(rivals(&two, &[&three, &two, &one]), [("a".into(), true), ("c".into(), false)]);
    }

    #[test]
    fn a_resource_of_another_domain_is_no_rival() {
        let mut other = domain("other", 1);
        other.spec.domain = "mail.example.com".into();
        assert_eq!(rivals(&domain("one", 2), &[&other]), []);
    }

    #[test]
    fn whoever_uses_the_mail_from_name_as_well_is_named() {
        let with = |name: &str, created, of: &str, label: Option<&str>| {
            let mut found = domain(name, created);
            found.spec.domain = of.into();
            found.spec.mail_from_subdomain = label.map(str::to_owned);
            found
        };
        let resource = with("one", 2, "example.com", Some("a.mail"));
        let all = [
            with("its-domain", 1, "a.mail.example.com", None),
            with("its-mail-from", 3, "mail.example.com", Some("a")),
            with("neither", 1, "mail.example.com", Some("b")),
        ];
        let uses: Vec<(String, bool)> =
            of(&resource, all.iter()).mail_from.iter().map(|it| (it.to_string(), it.goes_first)).collect();
        let expected = [
            ("the domain of the SesDomain mail/its-domain", true),
            ("the MAIL FROM domain of the SesDomain mail/its-mail-from", false),
        ];
        assert_eq!(uses, expected.map(|(text, first)| (text.to_owned(), first)));
        assert_eq!(of(&all[2], [&resource].into_iter()).mail_from, []);
    }
}
