//! The tags that say whose an identity is.
//!
//! The owner is named by cluster, namespace and name, not by UID: a resource made anew from Git is the same owner.

use std::collections::BTreeMap;

/// The tag that names the cluster.
pub const CLUSTER: &str = "ses-operator.dev/cluster";
/// The tag that names the resource's namespace.
pub const NAMESPACE: &str = "ses-operator.dev/namespace";
/// The tag that names the resource.
pub const NAME: &str = "ses-operator.dev/name";
/// The tag of an identity that existed before: it outlives its resource.
pub const ADOPTED: &str = "ses-operator.dev/adopted";
/// The tag that names the records we claim, so that they are known again where the status is lost.
pub const RECORDS: &str = "ses-operator.dev/records";
/// The tag that names the settings and the user's tags that we manage, so that only these are taken back.
pub const SETTINGS: &str = "ses-operator.dev/settings";
/// The tag that holds the ID of the resource that handed the identity over, until its heir is settled.
pub const HANDED_OVER_BY: &str = "ses-operator.dev/handed-over-by";
/// The tag of an identity whose resource went and left it (`deletionPolicy: Retain`): another one may adopt it.
pub const RELEASED: &str = "ses-operator.dev/released";
/// What [`RELEASED`] holds then. Whoever adopts the identity puts another value there in the same call that puts its name
/// into the tags, so that nobody else adopts it in between.
pub const IS_RELEASED: &str = "true";
/// What it holds until it is taken off.
pub const IS_TAKEN: &str = "false";

/// Whether a key is not the user's: the operator's own, or AWS's.
pub fn is_reserved(key: &str) -> bool {
    let is_awss = key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    is_awss || key.starts_with("ses-operator.dev/")
}

/// A resource, as the tags name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster's ID.
    pub cluster: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
}

/// Whose an identity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This resource's.
    Ours {
        /// True when it existed before.
        adopted: bool,
    },
    /// Another resource's, of this cluster or another.
    Others(Owner),
    /// Nobody's any more: this resource went, and left it.
    Released(Owner),
    /// Nobody's that we know.
    Unclaimed,
}

impl Owner {
    /// The tags that name this owner.
    pub fn tags(&self) -> BTreeMap<String, String> {
        [(CLUSTER, &self.cluster), (NAMESPACE, &self.namespace), (NAME, &self.name)]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect()
    }

    /// Whose an identity with these tags is.
    pub fn judge(&self, tags: &BTreeMap<String, String>) -> Ownership {
        let (Some(cluster), Some(namespace), Some(name)) = (tags.get(CLUSTER), tags.get(NAMESPACE), tags.get(NAME))
        else {
            return Ownership::Unclaimed;
        };
        let named = Self { cluster: cluster.clone(), namespace: namespace.clone(), name: name.clone() };
        if named == *self {
            Ownership::Ours { adopted: tags.contains_key(ADOPTED) }
        } else if tags.get(RELEASED).is_some_and(|value| value == IS_RELEASED) {
            Ownership::Released(named)
        } else {
            Ownership::Others(named)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(cluster: &str, name: &str) -> Owner {
        Owner { cluster: cluster.into(), namespace: "mail".into(), name: name.into() }
    }

    #[test]
    fn an_identity_is_ours_when_all_three_tags_name_us() {
        let us = owner("c1", "example-com");
        assert_eq!(us.judge(&us.tags()), Ownership::Ours { adopted: false });
        assert_eq!(us.judge(&owner("c2", "example-com").tags()), Ownership::Others(owner("c2", "example-com")));
        assert_eq!(us.judge(&BTreeMap::new()), Ownership::Unclaimed);
        let mut partly = us.tags();
        partly.remove(NAMESPACE);
        assert_eq!(us.judge(&partly), Ownership::Unclaimed);
    }

    #[test]
    fn what_was_released_is_nobodys_but_for_whoever_released_it_and_until_somebody_takes_it() {
        let (us, them) = (owner("c1", "example-com"), owner("c2", "example-com"));
        let mut tags = them.tags();
        tags.insert(RELEASED.into(), IS_RELEASED.into());
        assert_eq!(us.judge(&tags), Ownership::Released(them.clone()));
        assert_eq!(them.judge(&tags), Ownership::Ours { adopted: false });
        tags.insert(RELEASED.into(), IS_TAKEN.into());
        assert_eq!(us.judge(&tags), Ownership::Others(them));
    }

    #[test]
    fn an_adopted_identity_says_so() {
        let us = owner("c1", "example-com");
        let mut tags = us.tags();
        tags.insert(ADOPTED.into(), "true".into());
        assert_eq!(us.judge(&tags), Ownership::Ours { adopted: true });
    }
}
