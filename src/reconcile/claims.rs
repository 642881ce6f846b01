//! The identity's tag that names the records we claim, so that a lost status can be made again. Pure.
//!
//! Its value is made of words: `dkim mx spf dmarc @mail`, the last being the MAIL FROM label. A record that was there
//! before has `:adopted` after its word, an SPF policy that our term was put into `:merged`, and what an earlier MAIL FROM
//! label left names that label: `mx@bounce`. No second record is put into the user's zone for it.

use std::collections::BTreeMap;

use super::desired::{WantedRecord, mail_from_records_at};
use super::subject::Subject;
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::domain_name::DomainName;
use crate::ses::ownership::RECORDS;
use crate::ses::{Identity, IdentityChange};

/// The longest value of a tag.
const TAG_LIMIT: usize = 256;

/// One claim of the tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// The MAIL FROM label that it belongs to, where it is not today's.
    earlier: Option<String>,
    purpose: RecordPurpose,
    origin: RecordOrigin,
}

impl Claim {
    fn parse(word: &str) -> Option<Self> {
        let (word, label) = word.split_once('@').map_or((word, None), |(word, label)| (word, Some(label.to_owned())));
        let (purpose, origin) = word.split_once(':').unwrap_or((word, ""));
        let purpose = match purpose {
            "dkim" => RecordPurpose::Dkim,
            "mx" => RecordPurpose::MailFromMx,
            "spf" => RecordPurpose::MailFromSpf,
            "dmarc" => RecordPurpose::Dmarc,
            _ => return None,
        };
        let origin = match origin {
            "" => RecordOrigin::Created,
            "merged" => RecordOrigin::Merged,
            // A word of a later version: what is not understood is not removed.
            _ => RecordOrigin::Adopted,
        };
        Some(Self { earlier: label, purpose, origin })
    }

    fn word(&self) -> String {
        let purpose = match self.purpose {
            RecordPurpose::Dkim => "dkim",
            RecordPurpose::MailFromMx => "mx",
            RecordPurpose::MailFromSpf => "spf",
            RecordPurpose::Dmarc => "dmarc",
        };
        let origin = match self.origin {
            RecordOrigin::Created => "",
            RecordOrigin::Adopted => ":adopted",
            RecordOrigin::Merged => ":merged",
        };
        let label = self.earlier.as_ref().map(|label| format!("@{label}")).unwrap_or_default();
        format!("{purpose}{origin}{label}")
    }
}

fn is_mail_from(purpose: RecordPurpose) -> bool {
    matches!(purpose, RecordPurpose::MailFromMx | RecordPurpose::MailFromSpf)
}

/// The tag's claims, for this spec: those of a MAIL FROM label that the spec does not name are an earlier one's.
fn parse(tags: &BTreeMap<String, String>, subject: &Subject<'_>) -> Vec<Claim> {
    let value = tags.get(RECORDS).map(String::as_str).unwrap_or_default();
    let label = value.split(' ').find_map(|word| word.strip_prefix('@'));
    let asked = subject.spec.mail_from_subdomain.as_deref();
    let resolved = |claim: Claim| {
        let of = claim.earlier.as_deref().or(label).filter(|_| is_mail_from(claim.purpose));
        Claim { earlier: of.filter(|of| Some(*of) != asked).map(str::to_owned), ..claim }
    };
    value.split(' ').filter_map(Claim::parse).map(resolved).collect()
}

fn value(mut claims: Vec<Claim>, label: Option<&str>) -> String {
    // Of several DKIM records some may have been there before: while that is so, all of them stay.
    claims.sort_by_key(|claim| (claim.earlier.clone(), claim.purpose, std::cmp::Reverse(claim.origin)));
    claims.dedup_by(|one, other| (&one.earlier, one.purpose) == (&other.earlier, other.purpose));
    let (today, earlier): (Vec<Claim>, Vec<Claim>) = claims.into_iter().partition(|claim| claim.earlier.is_none());
    let names_label = today.iter().any(|claim| is_mail_from(claim.purpose));
    let label = label.filter(|_| names_label).map(|label| format!("@{label}"));
    let mut value = today.iter().map(Claim::word).chain(label).collect::<Vec<_>>().join(" ");
    // Where there is no room, the status alone knows of what an earlier label left.
    for word in earlier.iter().map(Claim::word) {
        if value.len() + 1 + word.len() <= TAG_LIMIT {
            value = format!("{value} {word}");
        }
    }
    value.trim_start().to_owned()
}

/// The tag's value for a new identity: records of these purposes are made next, and those of the entries are ours.
pub fn for_new_identity(subject: &Subject<'_>, purposes: &[RecordPurpose], entries: &[&RecordStatus]) -> String {
    let new = |purpose: &RecordPurpose| Claim { earlier: None, purpose: *purpose, origin: RecordOrigin::Created };
    let known = entries.iter().map(|entry| claim_of(entry, subject));
    value(purposes.iter().map(new).chain(known).collect(), subject.spec.mail_from_subdomain.as_deref())
}

/// How a record of this purpose came to be ours, if the tags name one.
pub fn origin(tags: &BTreeMap<String, String>, purpose: RecordPurpose, subject: &Subject<'_>) -> Option<RecordOrigin> {
    let of_today = |claim: &Claim| claim.earlier.is_none() && claim.purpose == purpose;
    parse(tags, subject).into_iter().find(of_today).map(|claim| claim.origin)
}

/// The claim that an entry stands for.
fn claim_of(entry: &RecordStatus, subject: &Subject<'_>) -> Claim {
    let (name, domain) = (DomainName::new(&entry.name), subject.domain());
    let label = name.below(&domain).filter(|_| is_mail_from(entry.purpose));
    let earlier = label.filter(|label| Some(*label) != subject.spec.mail_from_subdomain.as_deref());
    Claim { earlier: earlier.map(str::to_owned), purpose: entry.purpose, origin: entry.origin }
}

/// How the record of an entry came to be ours, by the tags. Of a record that an earlier label left, and that the tag had no
/// room for, the entry alone tells.
pub fn origin_of(tags: &BTreeMap<String, String>, entry: &RecordStatus, subject: &Subject<'_>) -> Option<RecordOrigin> {
    let claim = claim_of(entry, subject);
    let is_it = |named: &Claim| (&named.earlier, named.purpose) == (&claim.earlier, claim.purpose);
    let room = TAG_LIMIT - tags.get(RECORDS).map_or(0, String::len).min(TAG_LIMIT);
    let was_left_out = claim.earlier.is_some() && room < 1 + claim.word().len();
    let named = parse(tags, subject).into_iter().find(is_it).map(|named| named.origin);
    named.or_else(|| was_left_out.then_some(entry.origin))
}

/// The records of earlier MAIL FROM labels that the tags name.
pub fn earlier_records(tags: &BTreeMap<String, String>, subject: &Subject<'_>) -> Vec<(WantedRecord, RecordOrigin)> {
    let record = |claim: Claim| {
        let name = subject.domain().child(claim.earlier.as_deref()?);
        let mut records = mail_from_records_at(subject, &name).into_iter();
        records.find(|record| record.purpose == claim.purpose).map(|record| (record, claim.origin))
    };
    parse(tags, subject).into_iter().filter_map(record).collect()
}

/// The tag's value once its records were left behind by their resource and adopted by another one: they stay.
pub fn adopted(value: &str) -> String {
    let adopted = |word: &str| {
        let claim = Claim::parse(word).map(|claim| Claim { origin: RecordOrigin::Adopted, ..claim });
        claim.map_or_else(|| word.to_owned(), |claim| claim.word())
    };
    value.split(' ').map(adopted).collect::<Vec<_>>().join(" ")
}

/// The change of the tag that must precede the records, if the ledger claims other ones than it names.
///
/// What it names already stays, since a zone that can't be read now must cost no claim; but not a DMARC record that was
/// let go, nor a record that turned out to be somebody else's. Those of earlier labels stay while the ledger has them.
pub fn tag(
    subject: &Subject<'_>,
    identity: &Identity,
    ledger: &[RecordStatus],
    not_ours: &[RecordPurpose],
) -> Option<IdentityChange> {
    let before = identity.tags.get(RECORDS).map(String::as_str).unwrap_or_default();
    let asked = subject.spec.mail_from_subdomain.as_deref();
    let of_entry = |entry: &RecordStatus| claim_of(entry, subject);
    let (ours, others): (Vec<&RecordStatus>, Vec<_>) = ledger.iter().partition(|entry| entry.ours);
    let ours: Vec<Claim> = ours.into_iter().map(of_entry).collect();
    let others: Vec<Claim> = others.into_iter().map(of_entry).collect();
    let among = |claims: &[Claim], claim: &Claim| {
        claims.iter().any(|known| (&known.earlier, known.purpose) == (&claim.earlier, claim.purpose))
    };
    let kept = parse(&identity.tags, subject)
        .into_iter()
        .filter(|claim| claim.earlier.is_none() && !not_ours.contains(&claim.purpose))
        .filter(|claim| !among(&others, claim) && !among(&ours, claim));
    let mut claimed: Vec<Claim> = kept.chain(ours.iter().cloned()).collect();
    claimed.retain(|claim| claim.purpose != RecordPurpose::Dmarc || subject.spec.dmarc_policy.is_some());
    let value = value(claimed, asked);
    (value != before).then(|| IdentityChange::Tag(BTreeMap::from([(RECORDS.to_owned(), value)])))
}

#[cfg(test)]
mod tests {
    use RecordOrigin::{Adopted, Created, Merged};
    use RecordPurpose::{Dkim, Dmarc, MailFromMx, MailFromSpf};

    use super::*;
    use crate::api::SesDomainStatus;
    use crate::cloud::Region;
    use crate::reconcile::subject::{Filters, Names, Neighbors, Settings};
    use crate::ses::ownership::Owner;

    fn claim(purpose: RecordPurpose, origin: RecordOrigin, earlier: Option<&str>) -> Claim {
        Claim { earlier: earlier.map(str::to_owned), purpose, origin }
    }

    #[test]
    fn the_value_is_made_of_words_that_a_tag_may_hold() {
        let new = |purposes: &[RecordPurpose]| {
            value(purposes.iter().map(|purpose| claim(*purpose, Created, None)).collect(), Some("mail"))
        };
        assert_eq!(new(&[Dmarc, Dkim, Dkim, MailFromMx, MailFromSpf]), "dkim mx spf dmarc @mail");
        assert_eq!(new(&[Dkim]), "dkim");
        let claims = vec![
            claim(MailFromMx, Created, Some("bounce")),
            claim(Dkim, Created, None),
            claim(Dkim, Adopted, None),
            claim(MailFromSpf, Merged, None),
            claim(Dmarc, Adopted, None),
        ];
        assert_eq!(value(claims, Some("mail")), "dkim:adopted spf:merged dmarc:adopted @mail mx@bounce");
    }

    #[test]
    fn each_word_is_read_as_it_was_written() {
        for word in ["dkim", "mx:adopted", "spf:merged", "dmarc:adopted", "mx@bounce", "spf:merged@bounce.eu"] {
            assert_eq!(Claim::parse(word).map(|claim| claim.word()).as_deref(), Some(word));
        }
        for other in ["", "@mail", "bimi", "bimi:adopted"] {
            assert_eq!(Claim::parse(other), None, "{other}");
        }
        assert_eq!(Claim::parse("mx:later"), Some(claim(MailFromMx, Adopted, None)), "what is not understood stays");
    }

    /// How the record of an entry came to be ours, by a tag of this value, while the spec has this MAIL FROM label.
    fn told(
        value: &str,
        label: Option<&str>,
        purpose: RecordPurpose,
        name: &str,
        origin: RecordOrigin,
    ) -> Option<RecordOrigin> {
        let spec = serde_json::json!({"domain": "example.com", "mailFromSubdomain": label});
        let spec = serde_json::from_value(spec).expect("a spec");
        let settings = Settings {
            account: "1".into(),
            default_region: Region::new("eu-west-1"),
            cluster_id: "c".into(),
            filters: Filters::default(),
        };
        let owner = Owner { cluster: "c".into(), namespace: "n".into(), name: "n".into() };
        let subject = Subject {
            spec: &spec,
            status: &SesDomainStatus::default(),
            generation: 1,
            deleting: false,
            reconcile_requested: None,
            owner,
            uid: "1",
            names: Names::of(&spec),
            neighbors: &Neighbors::default(),
            settings: &settings,
        };
        let entry = serde_json::json!({
            "purpose": purpose, "name": name, "type": "", "value": "", "ttl": 300, "hostedZoneId": "Z1", "ours": true,
            "origin": origin, "since": "2027-01-01T00:00:00Z",
        });
        let entry = serde_json::from_value(entry).expect("an entry");
        origin_of(&BTreeMap::from([(RECORDS.to_owned(), value.to_owned())]), &entry, &subject)
    }

    #[test]
    fn the_tag_bears_out_records_of_their_kind_and_of_their_label() {
        let (mail, bounce) = ("mail.example.com", "bounce.example.com");
        for (value, label, purpose, name, expected) in [
            ("dkim mx spf @mail", Some("mail"), MailFromMx, mail, Some(Created)),
            ("dkim mx spf @mail", Some("bounce"), MailFromMx, mail, Some(Created)),
            ("dkim mx spf @mail", None, MailFromMx, mail, Some(Created)),
            ("dkim mx spf @mail", Some("mail"), MailFromMx, bounce, None),
            ("dkim mx @mail spf:merged@bounce", Some("mail"), MailFromSpf, bounce, Some(Merged)),
            ("dkim mx @mail spf:merged@bounce", Some("mail"), MailFromSpf, mail, None),
            ("dkim", None, Dkim, "t._domainkey.example.com", Some(Created)),
            ("dkim", None, Dmarc, "_dmarc.example.com", None),
            ("dmarc:adopted", None, Dmarc, "_dmarc.example.com", Some(Adopted)),
        ] {
            assert_eq!(told(value, label, purpose, name, Created), expected, "{value} {label:?} {name}");
        }
    }

    #[test]
    fn what_the_tag_had_no_room_for_is_told_by_the_entry() {
        let long = format!("dkim mx spf dmarc @{}", "x".repeat(230));
        assert_eq!(told(&long, None, MailFromMx, "bounce.example.com", Created), Some(Created));
        assert_eq!(told(&long, None, MailFromMx, "b.example.com", Adopted), Some(Adopted));
        assert_eq!(told(&long[..200], None, MailFromMx, "bounce.example.com", Created), None, "there was room");
        let today = told(&long, Some("bounce"), MailFromMx, "bounce.example.com", Created);
        assert_eq!(today, None, "today's goes first");
    }

    #[test]
    fn what_another_resource_left_is_adopted() {
        assert_eq!(
            adopted("dkim mx spf:merged @mail mx@bounce"),
            "dkim:adopted mx:adopted spf:adopted @mail mx:adopted@bounce"
        );
    }

    #[test]
    fn what_has_no_room_is_left_out_and_the_rest_stays() {
        let long = "x".repeat(200);
        let today = [Dkim, MailFromMx, MailFromSpf, Dmarc].map(|purpose| claim(purpose, Adopted, None));
        let earlier = claim(MailFromMx, Created, Some("bounce"));
        let longest = value(today.iter().cloned().chain([earlier]).collect(), Some(&long));
        assert!(longest.len() <= TAG_LIMIT && longest.ends_with(&long), "{} characters: {longest}", longest.len());
    }
}
