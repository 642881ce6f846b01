//! The end of a run, to be compared with another's: zones, identities, finalizers, and all that the statuses say. What a
//! run is free to choose is taken out: times, DKIM tokens, and how often something was put back.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use serde_json::Value;

use crate::api_server::key_of;
use crate::simulation::Simulation;

/// What there is at the end, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End(BTreeMap<String, String>);

impl End {
    pub fn of(simulation: &Simulation) -> Self {
        let mut lines = BTreeMap::new();
        let state = simulation.state();
        let tokens: Tokens =
            state.identities.held.values().flat_map(|held| held.identity.dkim.tokens.iter().cloned()).collect();
        let mut add = |about: String, what: String| lines.insert(plain(&about, &tokens), plain(&what, &tokens));
        for zone in &state.zones.zones {
            for set in zone.sets.values() {
                let mut values = set.values.clone();
                values.sort();
                add(format!("{} {} {}", zone.id, set.name, set.record_type), format!("{values:?} {:?}", set.ttl));
            }
        }
        for (key, held) in &state.identities.held {
            let identity = &held.identity;
            let about = |what: &str| format!("identity {} {} {what}", key.region, key.domain);
            let dkim = format!("{} signs={}", identity.dkim.status, identity.dkim.signing_enabled);
            let mail_from = identity.mail_from.as_ref();
            let mail_from = mail_from.map(|found| format!("{} {} {:?}", found.domain, found.status, found.behavior));
            add(about("DKIM"), dkim);
            add(about("MAIL FROM"), mail_from.unwrap_or_default());
            add(about("feedback"), identity.feedback_forwarding.to_string());
            add(about("configuration set"), format!("{:?}", identity.configuration_set));
            add(about("tags"), format!("{:?}", identity.tags));
        }
        for resource in simulation.api.kept().resources() {
            let key = key_of(resource);
            let status = resource.status.clone().unwrap_or_default();
            add(format!("{key} finalizers"), format!("{:?}", resource.finalizers()));
            let is_told = status.observed_generation == resource.metadata.generation;
            add(format!("{key} status is of this generation"), is_told.to_string());
            let mut status = serde_json::to_value(status).expect("a status is JSON");
            status.as_object_mut().expect("an object").remove("observedGeneration");
            flatten(&key, &status, &mut add);
        }
        Self(lines)
    }

    /// The lines that differ, with what each end has of it.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let about: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let differs = |about: &&&String| self.0.get(**about) != other.0.get(**about);
        let shown = |end: &Self, about: &str| end.0.get(about).cloned().unwrap_or_else(|| "nothing".to_owned());
        let told = |about: &String| format!("{about}: {} | {}", shown(self, about), shown(other, about));
        about.iter().filter(differs).map(|about| told(about)).collect()
    }
}

type Tokens = BTreeSet<String>;

/// A status, a line for each of its values. What stands in a list is named by what it is about.
fn flatten(about: &str, value: &Value, add: &mut impl FnMut(String, String) -> Option<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter().filter(|(name, _)| *name != "putBack" && *name != "observedGeneration") {
                flatten(&format!("{about} {name}"), field, add);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let text = |field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default();
                let names = [text("type"), text("name"), text("hostedZoneId")].join(" ");
                let name = if names.trim().is_empty() { place.to_string() } else { names };
                flatten(&format!("{about} {name}"), item, add);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if add(about.to_owned(), text).is_some() {
                add(format!("{about} (again)"), String::new());
            }
        }
    }
}

/// A text without times, and with a DKIM token as what it is: one of the identity's three, or a former one.
fn plain(text: &str, tokens: &Tokens) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | ':');
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        let (word, others) = rest.split_at(length);
        plain.push_str(&match kind(word) {
            Word::Time => "<time>".to_owned(),
            Word::Token(number) if tokens.contains(word) => format!("dkim{number}"),
            Word::Token(number) => format!("former-dkim{number}"),
            Word::Any => word.to_owned(),
        });
        let gap = others.find(is_part).unwrap_or(others.len());
        plain.push_str(&others[..gap]);
        rest = &others[gap..];
    }
    plain
}

enum Word<'a> {
    /// A time, as `2027-01-15T08:00:00Z`.
    Time,
    /// One of the tokens of the simulated SES, `k7n2`, by its number.
    Token(&'a str),
    Any,
}

fn kind(word: &str) -> Word<'_> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if word.len() == 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T' && digits(&word[..4]) {
        return Word::Time;
    }
    match word.strip_prefix('k').and_then(|word| word.split_once('n')) {
        Some((made, number)) if digits(made) && digits(number) => Word::Token(number),
        Some(_) | None => Word::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_tokens_are_taken_out_of_a_text_and_nothing_else() {
        let tokens = ["k12n1".to_owned()].into();
        for (text, expected) in [
            ("since 2027-01-15T08:00:00Z, and", "since <time>, and"),
            ("k12n1._domainkey.example.com.", "dkim1._domainkey.example.com."),
            ("wrote k3n2._domainkey", "wrote former-dkim2._domainkey"),
            ("kn1 k1 k1nx mail.example.com \"v=spf1 ~all\"", "kn1 k1 k1nx mail.example.com \"v=spf1 ~all\""),
        ] {
            assert_eq!(plain(text, &tokens), expected);
        }
    }
}
