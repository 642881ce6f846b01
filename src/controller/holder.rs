//! Which of several SesDomains has a domain. Pure.

use kube::ResourceExt;

use crate::api::SesDomain;
use crate::domain_name::DomainName;

/// Another SesDomain that has the domain of this one, as `namespace/name`: the one with an identity, else the older, else
/// the first by namespace and name.
pub fn holder<'a>(resource: &SesDomain, all: impl Iterator<Item = &'a SesDomain>) -> Option<String> {
    let domain = DomainName::new(&resource.spec.domain);
    let first = all
        .filter(|other| DomainName::new(&other.spec.domain) == domain && other.metadata.uid != resource.metadata.uid)
        .min_by_key(|other| precedence(other))?;
    (precedence(first) < precedence(resource))
        .then(|| format!("{}/{}", first.namespace().unwrap_or_default(), first.name_any()))
}

fn precedence(domain: &SesDomain) -> (bool, Option<jiff::Timestamp>, Option<String>, String) {
    let has_identity = domain.status.as_ref().is_some_and(|status| status.identity.is_some());
    let created = domain.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (!has_identity, created, domain.namespace(), domain.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str, created: i64, arn: Option<&str>) -> SesDomain {
        let created = jiff::Timestamp::from_second(created).expect("a time").to_string();
        let status = arn.map(|arn| serde_json::json!({"identity": {"arn": arn}}));
        serde_json::from_value(serde_json::json!({
            "apiVersion": "ses-operator.dev/v1alpha1",
            "kind": "SesDomain",
            "metadata": {"name": name, "namespace": "mail", "uid": name, "creationTimestamp": created},
            "spec": {"domain": "example.com"},
            "status": status,
        }))
        .expect("a SesDomain")
    }

    #[test]
    fn the_older_has_it_and_the_younger_is_told() {
        let (old, young) = (domain("z-old", 1, None), domain("a-young", 2, None));
        assert_eq!(holder(&young, [&old, &young].into_iter()), Some("mail/z-old".into()));
        assert_eq!(holder(&old, [&old, &young].into_iter()), None);
    }

    #[test]
    fn who_has_the_identity_keeps_it_whatever_the_age() {
        let (old, young) = (domain("old", 1, None), domain("young", 2, Some("arn")));
        assert_eq!(holder(&old, [&old, &young].into_iter()), Some("mail/young".into()));
        assert_eq!(holder(&young, [&old, &young].into_iter()), None);
    }

    #[test]
    fn of_twins_the_first_by_name_has_it() {
        let (one, two) = (domain("a", 1, None), domain("b", 1, None));
        assert_eq!(holder(&two, [&one, &two].into_iter()), Some("mail/a".into()));
        assert_eq!(holder(&one, [&one, &two].into_iter()), None);
    }
}
