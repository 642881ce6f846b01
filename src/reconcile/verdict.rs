//! A wanted record against what stands in the zone. Pure.
//!
//! Equal means equal in meaning: names without case or trailing dot, DMARC by its tags, SPF by what it lets pass.

use super::desired::WantedRecord;
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::dmarc::record::{Record, is_dmarc};
use crate::dns::{RecordChange, RecordSet, RecordType, spf, text};
use crate::domain_name::DomainName;
use crate::ses::regions::SPF_INCLUDE;

/// What was found where a wanted record must stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stands as it should.
    Right,
    /// Nothing stands there, and nothing of ours was seen there before.
    Missing,
    /// What we wrote stands there, and something else is wanted by now.
    Outdated,
    /// What we wrote a moment ago is on its way still, and the read shows what stood there before.
    Unshown,
    /// What we wrote was changed to this value, or removed, by somebody else.
    Drifted(Option<String>),
    /// Somebody else's record stands there and can be replaced, if the user wants that: its value.
    Foreign(String),
    /// Something stands there that we can't replace: what it is.
    Obstructed(String),
}

/// Judges a wanted record by the record sets around it, and by our ledger's entry for it.
pub fn judge(wanted: &WantedRecord, around: &[RecordSet], zone: &DomainName, entry: Option<&RecordStatus>) -> Verdict {
    if let Some(obstacle) = obstacle(wanted, around, zone) {
        return Verdict::Obstructed(obstacle);
    }
    let set = set_of(wanted, around);
    let rivals: Vec<String> = set.map(|set| values_of_kind(wanted, set)).unwrap_or_default();
    let ours = entry.is_some_and(|entry| entry.ours);
    match (&rivals[..], set) {
        ([], _) if ours && entry.is_some_and(|entry| entry.published) => Verdict::Drifted(None),
        ([], _) => Verdict::Missing,
        ([value], Some(set)) if means(wanted, value) => {
            let made = entry.is_some_and(|entry| {
                let seen = entry.published || same_value(&wanted.record_type, value, &entry.value);
                entry.origin == RecordOrigin::Created && seen
            });
            let ttl_is_ours = ours && made && set.values.len() == 1;
            if ttl_is_ours && set.ttl != Some(wanted.ttl) {
                let written = entry.is_some_and(|entry| set.ttl == Some(entry.ttl));
                return if written {
                    Verdict::Outdated
                } else {
                    Verdict::Drifted(Some(format!("{value} (TTL {})", set.ttl.unwrap_or(0))))
                };
            }
            Verdict::Right
        }
        ([value], _) if ours => {
            let written = entry.is_some_and(|entry| {
                let before = WantedRecord { value: entry.value.clone(), ..wanted.clone() };
                same_value(&wanted.record_type, value, &entry.value) || means(&before, value)
            });
            // A claim that was never seen to be carried out covers what it was going to write, and nothing else: somebody
            // may have been faster.
            let seen = entry.is_some_and(|entry| entry.published);
            match (written, seen) {
                (true, _) => Verdict::Outdated,
                (false, true) => Verdict::Drifted(Some(value.clone())),
                (false, false) => Verdict::Foreign(value.clone()),
            }
        }
        ([value], _) => Verdict::Foreign(value.clone()),
        (several, _) if wanted.record_type == RecordType::Mx && ours && entry.is_some_and(|entry| entry.published) => {
            Verdict::Drifted(Some(several.join(", ")))
        }
        // Who may replace one value may replace them all: nothing else shares the set.
        (several, _) if wanted.record_type == RecordType::Mx => Verdict::Foreign(several.join(", ")),
        (several, _) => Verdict::Obstructed(format!(
            "{} values stand at {} {}, where there may be one: {}",
            several.len(),
            wanted.name,
            wanted.record_type,
            several.join(" | ")
        )),
    }
}

/// What stands in the way, whatever its value.
fn obstacle(wanted: &WantedRecord, around: &[RecordSet], zone: &DomainName) -> Option<String> {
    let name = &wanted.name;
    around.iter().find_map(|set| {
        let at_name = &set.name == name;
        let delegates = set.record_type == RecordType::Ns && &set.name != zone && name.is_within(&set.name);
        let same_type = set.record_type == wanted.record_type;
        if delegates {
            Some(format!("{} is delegated elsewhere by an NS set ({})", set.name, set.values.join(", ")))
        } else if set.record_type == RecordType::Cname && !at_name && &set.name != zone && name.is_within(&set.name) {
            Some(format!("{} is an alias (CNAME {}), so nothing below it is found", set.name, set.values.join(", ")))
        } else if at_name && set.routed && same_type {
            Some(format!("{name} {} is an alias or weighted set ({})", set.record_type, set.values.join(", ")))
        } else if at_name
            && !same_type
            && (set.record_type == RecordType::Cname || wanted.record_type == RecordType::Cname)
        {
            Some(format!(
                "{name} holds {} {}, and a CNAME can't stand beside another type",
                set.record_type,
                set.values.join(", ")
            ))
        } else {
            None
        }
    })
}

fn set_of<'a>(wanted: &WantedRecord, around: &'a [RecordSet]) -> Option<&'a RecordSet> {
    around.iter().find(|set| set.is_at(&wanted.name, &wanted.record_type))
}

/// Whether anything stands in the place of the wanted record, right or not.
pub fn is_taken(wanted: &WantedRecord, around: &[RecordSet]) -> bool {
    set_of(wanted, around).is_some_and(|set| !values_of_kind(wanted, set).is_empty())
}

/// The one value that competes with the wanted one, in text form, and its set; `None` where there is none, or several.
pub fn only_rival<'a>(wanted: &WantedRecord, around: &'a [RecordSet]) -> Option<(&'a RecordSet, String)> {
    let set = set_of(wanted, around).filter(|set| !set.routed)?;
    match &values_of_kind(wanted, set)[..] {
        [value] => Some((set, value.clone())),
        _ => None,
    }
}

/// The values of a set that compete with the wanted one, in text form: all of a CNAME or MX set, the SPF or DMARC ones of
/// a TXT set.
fn values_of_kind(wanted: &WantedRecord, set: &RecordSet) -> Vec<String> {
    set.values
        .iter()
        .filter(|value| is_of_kind(wanted.purpose, value))
        .map(|value| plain(&wanted.record_type, value))
        .collect()
}

fn is_of_kind(purpose: RecordPurpose, value: &str) -> bool {
    match purpose {
        RecordPurpose::Dkim | RecordPurpose::MailFromMx => true,
        RecordPurpose::MailFromSpf => spf::is_spf(&text::unquote(value)),
        RecordPurpose::Dmarc => is_dmarc(&text::unquote(value)),
    }
}

/// A value in text form.
fn plain(record_type: &RecordType, value: &str) -> String {
    match record_type {
        RecordType::Txt => text::unquote(value),
        RecordType::Cname | RecordType::Mx | RecordType::Ns | RecordType::Other(_) => value.to_owned(),
    }
}

/// Whether a value does what the wanted one does.
pub fn means(wanted: &WantedRecord, value: &str) -> bool {
    match wanted.purpose {
        RecordPurpose::Dkim | RecordPurpose::MailFromMx => same_value(&wanted.record_type, value, &wanted.value),
        RecordPurpose::MailFromSpf => spf::includes(value, SPF_INCLUDE),
        RecordPurpose::Dmarc => match (Record::parse(value), Record::parse(&wanted.value)) {
            (Some(found), Some(wanted)) => found.means_the_same_as(&wanted),
            _ => false,
        },
    }
}

/// Whether two values in text form are the same, letter case of names and trailing dots apart.
pub fn same_value(record_type: &RecordType, one: &str, other: &str) -> bool {
    let normal = |value: &str| match record_type {
        RecordType::Mx => {
            let (priority, host) = value.trim().split_once(char::is_whitespace).unwrap_or(("", value));
            format!("{priority} {}", DomainName::new(host.trim()))
        }
        RecordType::Cname | RecordType::Ns => DomainName::new(value.trim()).to_string(),
        RecordType::Txt | RecordType::Other(_) => value.to_owned(),
    };
    one == other || normal(one) == normal(other)
}

/// The changes that make a wanted record stand, given what was found: a compare-and-swap that keeps every foreign value
/// of a shared TXT set, and its TTL.
pub fn changes(wanted: &WantedRecord, around: &[RecordSet]) -> Vec<RecordChange> {
    let value = written(wanted);
    let Some(set) = set_of(wanted, around) else {
        let set = RecordSet::new(wanted.name.clone(), wanted.record_type.clone(), wanted.ttl, vec![value]);
        return vec![RecordChange::Create(set)];
    };
    let mut kept: Vec<String> = set.values.iter().filter(|value| !is_of_kind(wanted.purpose, value)).cloned().collect();
    let ttl = if kept.is_empty() { wanted.ttl } else { set.ttl.unwrap_or(wanted.ttl) };
    kept.push(value);
    let new = RecordSet::new(wanted.name.clone(), wanted.record_type.clone(), ttl, kept);
    vec![RecordChange::Delete(set.clone()), RecordChange::Create(new)]
}

/// A wanted value as DNS writes it.
fn written(wanted: &WantedRecord) -> String {
    match wanted.record_type {
        RecordType::Txt => text::quote(&wanted.value),
        RecordType::Cname | RecordType::Mx | RecordType::Ns | RecordType::Other(_) => wanted.value.clone(),
    }
}

/// The changes that take what is ours out of what was found: none where it no longer stands.
pub fn removal(record: &WantedRecord, origin: RecordOrigin, around: &[RecordSet]) -> Vec<RecordChange> {
    let WantedRecord { name, record_type, .. } = record;
    let Some(set) = around.iter().find(|set| set.is_at(name, record_type) && !set.routed) else { return Vec::new() };
    match origin {
        RecordOrigin::Created => value_removed(set, record),
        RecordOrigin::Merged => term_removed(set),
        RecordOrigin::Adopted => Vec::new(),
    }
}

/// Our term is taken out of somebody else's SPF policy. Of several, which no receiver heeds, nobody knows which one it was
/// put into.
fn term_removed(set: &RecordSet) -> Vec<RecordChange> {
    if set.values.iter().filter(|value| spf::is_spf(&text::unquote(value))).count() > 1 {
        return Vec::new();
    }
    let without = |value: &String| {
        let policy = text::unquote(value);
        if spf::includes(&policy, SPF_INCLUDE) {
            text::quote(&spf::without(&policy, SPF_INCLUDE))
        } else {
            value.clone()
        }
    };
    let values: Vec<String> = set.values.iter().map(without).collect();
    if values == set.values {
        return Vec::new();
    }
    vec![RecordChange::Delete(set.clone()), RecordChange::Create(RecordSet { values, ..set.clone() })]
}

fn value_removed(set: &RecordSet, record: &WantedRecord) -> Vec<RecordChange> {
    let record_type = &set.record_type;
    // A DMARC record that means what is wanted is not written anew for its text.
    let means_it = |found: &str| record.purpose == RecordPurpose::Dmarc && means(record, found);
    let is_ours = |found: &String| {
        let found = plain(record_type, found);
        same_value(record_type, &found, &record.value) || means_it(&found)
    };
    let kept: Vec<String> = set.values.iter().filter(|found| !is_ours(found)).cloned().collect();
    if kept.len() == set.values.len() {
        return Vec::new();
    }
    let mut changes = vec![RecordChange::Delete(set.clone())];
    if !kept.is_empty() {
        changes.push(RecordChange::Create(RecordSet { values: kept, ..set.clone() }));
    }
    changes
}

#[cfg(test)]
mod tests;
