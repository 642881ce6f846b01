//! The identity's tag that names the records we claim, so that a lost status can be made again. Pure.
//!
//! Its value is made of words: `dkim mx spf dmarc @mail`, the last being the MAIL FROM label. No second record is put into
//! the user's zone for it.

use std::collections::BTreeMap;

use super::subject::Subject;
use crate::api::status::{RecordPurpose, RecordStatus};
use crate::domain_name::DomainName;
use crate::ses::ownership::RECORDS;
use crate::ses::{Identity, IdentityChange};

const ALL: [RecordPurpose; 4] =
    [RecordPurpose::Dkim, RecordPurpose::MailFromMx, RecordPurpose::MailFromSpf, RecordPurpose::Dmarc];

fn word(purpose: RecordPurpose) -> &'static str {
    match purpose {
        RecordPurpose::Dkim => "dkim",
        RecordPurpose::MailFromMx => "mx",
        RecordPurpose::MailFromSpf => "spf",
        RecordPurpose::Dmarc => "dmarc",
    }
}

fn is_mail_from(purpose: RecordPurpose) -> bool {
    matches!(purpose, RecordPurpose::MailFromMx | RecordPurpose::MailFromSpf)
}

/// The tag's value for these claims.
pub fn value(purposes: &[RecordPurpose], mail_from_label: Option<&str>) -> String {
    let mut purposes = purposes.to_vec();
    purposes.sort();
    purposes.dedup();
    let label = mail_from_label.filter(|_| purposes.iter().copied().any(is_mail_from)).map(|label| format!("@{label}"));
    purposes.into_iter().map(|purpose| word(purpose).to_owned()).chain(label).collect::<Vec<_>>().join(" ")
}

/// Whether the tags name a record of this purpose as ours.
pub fn names(tags: &BTreeMap<String, String>, purpose: RecordPurpose, subject: &Subject<'_>) -> bool {
    let Some(value) = tags.get(RECORDS) else { return false };
    let label = value.split(' ').find_map(|word| word.strip_prefix('@'));
    value.split(' ').any(|claimed| claimed == word(purpose))
        && (!is_mail_from(purpose) || label == subject.spec.mail_from_subdomain.as_deref())
}

/// The change of the tag that must precede the records, if the ledger claims more than it names.
///
/// What it names already stays, since a zone that can't be read now must cost no claim; but not a DMARC record that was let
/// go, nor a record that turned out to be somebody else's.
pub fn tag(subject: &Subject<'_>, identity: &Identity, ledger: &[RecordStatus]) -> Option<IdentityChange> {
    let before = identity.tags.get(RECORDS).map(String::as_str).unwrap_or_default();
    let named = |purpose: &RecordPurpose| before.split(' ').any(|claimed| claimed == word(*purpose));
    let label = before.split(' ').find_map(|word| word.strip_prefix('@'));
    let asked = subject.spec.mail_from_subdomain.as_deref();
    let moved = asked.is_some() && asked != label;
    let kept = ALL.into_iter().filter(named).filter(|purpose| !(moved && is_mail_from(*purpose)));
    // The records of an earlier MAIL FROM domain are no claim on those of today's: these may be somebody else's.
    let mail_from = subject.mail_from();
    let of_today = |entry: &&RecordStatus| {
        !is_mail_from(entry.purpose)
            || mail_from.as_ref().is_none_or(|mail_from| *mail_from == DomainName::new(&entry.name))
    };
    let (ours, others): (Vec<&RecordStatus>, Vec<_>) = ledger.iter().filter(of_today).partition(|entry| entry.ours);
    let are = |entries: &[&RecordStatus], purpose| entries.iter().any(|entry| entry.purpose == purpose);
    let mut claimed: Vec<RecordPurpose> = kept.filter(|purpose| !are(&others, *purpose)).collect();
    claimed.extend(ours.iter().map(|entry| entry.purpose));
    claimed.retain(|purpose| *purpose != RecordPurpose::Dmarc || subject.spec.dmarc_policy.is_some());
    let value = value(&claimed, asked.or(label));
    (value != before).then(|| IdentityChange::Tag(BTreeMap::from([(RECORDS.to_owned(), value)])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_made_of_words_that_a_tag_may_hold() {
        use RecordPurpose::{Dkim, Dmarc, MailFromMx, MailFromSpf};
        assert_eq!(value(&[Dmarc, Dkim, Dkim, MailFromMx, MailFromSpf], Some("mail")), "dkim mx spf dmarc @mail");
        assert_eq!(value(&[Dkim], Some("mail")), "dkim");
        let longest = value(&[Dkim, MailFromMx, MailFromSpf, Dmarc], Some(&"x".repeat(200)));
        assert!(longest.len() <= 256, "a tag's value has at most 256 characters, this one {}", longest.len());
    }
}
