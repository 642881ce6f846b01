//! The identity's tag that names the settings we manage, so that what the spec no longer asks for is taken back, and
//! nothing else is, whatever the status says or has lost. Pure.
//!
//! Its value is made of words: `fwd` for feedback forwarding, `mx` for what happens while the MX record is missing,
//! `set:…` for the configuration set, `mf:…` for the MAIL FROM domain, `tags:…` for the user's tags. Names may be many and
//! long, and a tag has 256 characters; so they are told by five characters each. The tag precedes the settings.

use std::collections::{BTreeMap, BTreeSet};

use super::subject::Subject;
use crate::domain_name::DomainName;
use crate::ses::Identity;
use crate::ses::ownership::{SETTINGS, is_reserved};

/// A name, told by few characters.
type Short = String;

/// How many characters tell a name: two names of an identity's fifty tags look alike once in a million identities.
const LENGTH: usize = 5;
/// The characters of a tag's value that need no thought.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What of an identity is ours to take back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    forwarding: bool,
    mx_failure: bool,
    configuration_sets: BTreeSet<Short>,
    mail_from: BTreeSet<Short>,
    tags: BTreeSet<Short>,
}

/// The same for each version of this program: FNV-1a, of which 30 bits are kept.
fn short(name: &str) -> Short {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let bits = hash ^ (hash >> 32);
    (0..LENGTH).map(|place| char::from(ALPHABET[(bits >> (6 * place)) as usize % ALPHABET.len()])).collect()
}

impl Managed {
    /// What the tags of an identity say.
    pub fn of(tags: &BTreeMap<String, String>) -> Self {
        let mut managed = Self::default();
        for word in tags.get(SETTINGS).map(String::as_str).unwrap_or_default().split(' ') {
            let (kind, names) = word.split_once(':').unwrap_or((word, ""));
            let names = names.as_bytes().chunks_exact(LENGTH).map(|name| String::from_utf8_lossy(name).into_owned());
            match kind {
                "fwd" => managed.forwarding = true,
                "mx" => managed.mx_failure = true,
                "set" => managed.configuration_sets.extend(names),
                "mf" => managed.mail_from.extend(names),
                "tags" => managed.tags.extend(names),
                // A later version's.
                _ => {}
            }
        }
        managed
    }

    /// What the spec asks for.
    pub fn asked(subject: &Subject<'_>) -> Self {
        let spec = subject.spec;
        Self {
            forwarding: spec.feedback_forwarding.is_some(),
            mx_failure: spec.mx_failure_behavior.is_some(),
            configuration_sets: spec.configuration_set_name.iter().map(|name| short(name)).collect(),
            mail_from: subject.mail_from().iter().map(|domain| short(domain.as_str())).collect(),
            tags: spec.tags.keys().map(|key| short(key)).collect(),
        }
    }

    /// What the tag must say now: what the spec asks for, and what is still to be taken back. Obsolete tags are taken off
    /// before.
    pub fn wanted(subject: &Subject<'_>, identity: &Identity) -> Self {
        let (known, mut wanted) = (Self::of(&identity.tags), Self::asked(subject));
        wanted.forwarding |= known.forwarding && !identity.feedback_forwarding;
        if let Some(set) = identity.configuration_set.as_ref().filter(|set| known.has_configuration_set(set)) {
            wanted.configuration_sets.insert(short(set));
        }
        if let Some(found) = identity.mail_from.as_ref().filter(|found| known.has_mail_from(&found.domain)) {
            wanted.mail_from.insert(short(found.domain.as_str()));
            wanted.mx_failure |= known.mx_failure && found.behavior != Default::default();
        }
        wanted
    }

    /// The tag's value; empty where nothing is managed.
    pub fn text(&self) -> String {
        let flag = |is_set: bool, word: &str| is_set.then(|| word.to_owned());
        let names = |word: &str, names: &BTreeSet<Short>| {
            (!names.is_empty()).then(|| format!("{word}:{}", names.iter().map(String::as_str).collect::<String>()))
        };
        let words = [
            flag(self.forwarding, "fwd"),
            flag(self.mx_failure, "mx"),
            names("set", &self.configuration_sets),
            names("mf", &self.mail_from),
            names("tags", &self.tags),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Whether feedback forwarding is ours.
    pub fn has_forwarding(&self) -> bool {
        self.forwarding
    }

    /// Whether what happens while the MX record is missing is ours.
    pub fn has_mx_failure(&self) -> bool {
        self.mx_failure
    }

    /// Whether we set this configuration set.
    pub fn has_configuration_set(&self, name: &str) -> bool {
        self.configuration_sets.contains(&short(name))
    }

    /// Whether we set this MAIL FROM domain.
    pub fn has_mail_from(&self, domain: &DomainName) -> bool {
        self.mail_from.contains(&short(domain.as_str()))
    }

    /// Whether we set a tag of this key. Those of the operator itself and of AWS are never meant.
    pub fn has_tag(&self, key: &str) -> bool {
        self.tags.contains(&short(key)) && !is_reserved(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::spec::MOST_TAGS;

    fn of(value: &str) -> Managed {
        Managed::of(&BTreeMap::from([(SETTINGS.to_owned(), value.to_owned())]))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let names = |names: &[&str]| names.iter().map(|name| short(name)).collect();
        let all = Managed {
            forwarding: true,
            mx_failure: true,
            configuration_sets: names(&["one"]),
            mail_from: names(&["mail.example.com", "bounce.example.com"]),
            tags: names(&["team", "cost"]),
        };
        assert_eq!(of(&all.text()), all);
        assert!(all.has_configuration_set("one") && !all.has_configuration_set("two"));
        assert!(all.has_mail_from(&DomainName::new("bounce.example.com")));
        assert!(all.has_tag("team") && all.has_tag("cost") && !all.has_tag("Team"));
        assert_eq!(Managed::default().text(), "");
        assert_eq!(of(""), Managed::default());
        assert_eq!(of("later fwd other:abcde set:abc"), Managed { forwarding: true, ..Managed::default() });
    }

    #[test]
    fn names_are_told_as_in_every_version() {
        assert_eq!(["", "team", "mail.example.com"].map(short), ["B_L0P", "DrBjj", "9plf8"]);
    }

    #[test]
    fn tags_that_are_the_operators_or_awss_are_never_ours_to_take_off() {
        for key in ["ses-operator.dev/name", "aws:cloudformation:stack-id"] {
            assert!(!Managed { tags: [short(key)].into(), ..Managed::default() }.has_tag(key), "{key}");
        }
    }

    #[test]
    fn the_most_that_a_spec_can_ask_for_fits_into_a_tag() {
        let two: BTreeSet<Short> = ["one", "two"].map(short).into();
        let tags: BTreeSet<Short> = (0..MOST_TAGS).map(|number| short(&format!("key-{number}"))).collect();
        assert_eq!(tags.len(), MOST_TAGS);
        let most =
            Managed { forwarding: true, mx_failure: true, configuration_sets: two.clone(), mail_from: two, tags };
        assert_eq!(most.text().len(), 256);
    }
}
