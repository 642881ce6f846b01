//! Which records are ours: the entries of `status.records`, believed only as far as they could be true.
//!
//! Somebody may be allowed to write a status and nothing else: a forged entry must not make us touch a record that is not
//! ours. Three things are asked of an entry.
//!
//! 1. It has exactly the form of what we write for this domain ([`entries`]).
//! 2. Its zone holds the name, is among the account's public ones, and allowed by the operator's filter ([`reach`]).
//! 3. The identity's tag claims such a record ([`trust`]), as it does before a record is made. The tag may be read as it
//!    was a while ago: of a young claim that it does not name, nothing is known yet.
//!
//! Where the identity is gone there is no tag to ask, and the first two must do: they leave a forger nothing but records
//! that this domain could have from us.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::desired::{self, WantedRecord};
use super::subject::Subject;
use super::{claims, schedule};
use crate::api::SesDomainStatus;
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::dmarc::record;
use crate::dns::{HostedZone, RecordType, ZoneId, spf};
use crate::domain_name::DomainName;
use crate::ses::Identity;
use crate::ses::regions::SPF_INCLUDE;

/// What was written so long ago is read by now: AWS does not promise that a read shows the last write.
const WRITES_ARE_SEEN: SignedDuration = SignedDuration::from_mins(10);

/// Resolvers keep a delegation for so long: the time to live of name servers is two days in Route 53's zones and in most
/// registries'.
const NAME_SERVERS_ARE_REMEMBERED: SignedDuration = SignedDuration::from_hours(48);

/// The entries that this domain could have from us, by their form.
pub fn entries<'a>(status: &'a SesDomainStatus, domain: &'a DomainName) -> impl Iterator<Item = &'a RecordStatus> {
    status.records.iter().filter(|entry| could_be_ours(entry, domain, status.region.as_deref()))
}

fn could_be_ours(entry: &RecordStatus, domain: &DomainName, region: Option<&str>) -> bool {
    let (name, value) = (DomainName::new(&entry.name), entry.value.as_str());
    let Some(labels) = name.below(domain) else { return false };
    let is_below = !labels.is_empty();
    match (entry.purpose, entry.record_type.as_str()) {
        // TOKEN._domainkey.DOMAIN to TOKEN.<a zone of SES's>.
        (RecordPurpose::Dkim, "CNAME") => labels.split_once('.').is_some_and(|(token, below)| {
            let signed_by = value.strip_prefix(token).and_then(|rest| rest.strip_prefix('.'));
            below == "_domainkey" && signed_by.is_some_and(|zone| zone.ends_with(".amazonses.com"))
        }),
        (RecordPurpose::MailFromMx, "MX") => {
            let host = value.strip_prefix("10 feedback-smtp.").and_then(|rest| rest.strip_suffix(".amazonses.com"));
            is_below && host.is_some_and(|of| !of.contains('.') && region.is_none_or(|region| of == region))
        }
        (RecordPurpose::MailFromSpf, "TXT") => {
            // One that is not of our making may say more.
            let is_exact = value == desired::spf_policy() || entry.origin != RecordOrigin::Created;
            is_below && is_exact && spf::includes(value, SPF_INCLUDE)
        }
        (RecordPurpose::Dmarc, "TXT") => labels == "_dmarc" && record::is_rendered(value),
        (RecordPurpose::Dkim | RecordPurpose::MailFromMx | RecordPurpose::MailFromSpf | RecordPurpose::Dmarc, _) => {
            false
        }
    }
}

/// Whether an entry's zone may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It may.
    Writable,
    /// The operator's filter leaves it out.
    Filtered,
    /// It is not among the account's public zones: it is gone, or a private one, or the list was cut.
    Unlisted,
    /// It can't hold the name, so we never wrote there.
    Elsewhere,
}

/// Where an entry's record stands.
pub fn reach(entry: &RecordStatus, zones: &[HostedZone], filter: &[ZoneId]) -> Reach {
    match zones.iter().find(|zone| zone.id.0 == entry.hosted_zone_id) {
        Some(zone) if !DomainName::new(&entry.name).is_within(&zone.name) => Reach::Elsewhere,
        Some(zone) if !filter.is_empty() && !filter.contains(&zone.id) => Reach::Filtered,
        Some(_) => Reach::Writable,
        None => Reach::Unlisted,
    }
}

/// What an entry that calls a record ours is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The record came to be ours like this.
    Ours(RecordOrigin),
    /// The entry is younger than what is known of the tags.
    Unknown,
    /// The tags claim no such record.
    NotOurs,
}

/// Whether an entry was made or its record written so lately that reads may not show it yet.
pub fn is_young(entry: &RecordStatus, now: Timestamp) -> bool {
    // A time to come is nobody's claim.
    entry.since.0 <= now && schedule::after(entry.since.0, WRITES_ARE_SEEN) > now
}

/// What an entry that calls a record ours is worth, by the tags of the identity, where there is one.
pub fn trust(subject: &Subject<'_>, identity: Option<&Identity>, entry: &RecordStatus, now: Timestamp) -> Trust {
    use RecordOrigin::{Adopted, Created};
    let Some(identity) = identity else { return Trust::Ours(entry.origin) };
    match claims::origin_of(&identity.tags, entry, subject) {
        Some(claimed) if claimed == entry.origin => Trust::Ours(claimed),
        // The entry lets us do less than the tag.
        Some(_) if entry.origin == Adopted => Trust::Ours(Adopted),
        Some(Created) => Trust::Ours(entry.origin),
        Some(_) | None if is_young(entry, now) => Trust::Unknown,
        Some(claimed) => Trust::Ours(claimed),
        None => Trust::NotOurs,
    }
}

/// The entry of a wanted record.
pub fn entry_of<'a>(
    status: &'a SesDomainStatus,
    domain: &DomainName,
    wanted: &WantedRecord,
    zone: &ZoneId,
) -> Option<&'a RecordStatus> {
    let region = status.region.as_deref();
    status.records.iter().find(|entry| is_for(entry, wanted, zone) && could_be_ours(entry, domain, region))
}

/// Whether an entry speaks of this wanted record in this zone.
pub fn is_for(entry: &RecordStatus, wanted: &WantedRecord, zone: &ZoneId) -> bool {
    entry.purpose == wanted.purpose
        && entry.hosted_zone_id == zone.0
        && entry.record_type == wanted.record_type.as_str()
        && wanted.name.is(&entry.name)
}

/// Whether an entry calls this wanted record ours, in whatever zone.
pub fn is_of(entry: &RecordStatus, wanted: &WantedRecord) -> bool {
    entry.ours && entry.purpose == wanted.purpose && wanted.name.is(&entry.name)
}

/// Whether both speak of the same record.
pub fn same_place(one: &RecordStatus, other: &RecordStatus) -> bool {
    (one.purpose, &one.name, &one.record_type, &one.hosted_zone_id)
        == (other.purpose, &other.name, &other.record_type, &other.hosted_zone_id)
}

/// When the record of an entry may go that has moved to another zone: two days after it was last written there. `None` where
/// no other entry speaks of it.
pub fn leaves_at(entry: &RecordStatus, entries: &[RecordStatus]) -> Option<Timestamp> {
    let is_elsewhere = |other: &&RecordStatus| {
        (other.purpose, &other.name) == (entry.purpose, &entry.name) && other.hosted_zone_id != entry.hosted_zone_id
    };
    let moved = entries.iter().filter(is_elsewhere).map(|other| other.since.0).max()?;
    Some(schedule::after(moved, NAME_SERVERS_ARE_REMEMBERED + schedule::GUESSED))
}

/// A new entry: how the record came to be ours, or that it is not.
pub fn claim(wanted: &WantedRecord, zone: &ZoneId, ours: Option<RecordOrigin>, now: &Time) -> RecordStatus {
    RecordStatus {
        purpose: wanted.purpose,
        name: wanted.name.to_string(),
        record_type: wanted.record_type.to_string(),
        value: wanted.value.clone(),
        ttl: wanted.ttl,
        hosted_zone_id: zone.to_string(),
        ours: ours.is_some(),
        origin: ours.unwrap_or_default(),
        published: false,
        since: now.clone(),
        put_back: Vec::new(),
    }
}

/// The name and type that an entry speaks of.
pub fn place(entry: &RecordStatus) -> (DomainName, RecordType) {
    (DomainName::new(&entry.name), RecordType::parse(&entry.record_type))
}

/// The record that an entry speaks of, as it was wanted last.
pub fn record(entry: &RecordStatus) -> WantedRecord {
    let (name, record_type) = place(entry);
    WantedRecord { purpose: entry.purpose, name, record_type, value: entry.value.clone(), ttl: entry.ttl }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(purpose: RecordPurpose, name: &str, record_type: &str, value: &str) -> RecordStatus {
        RecordStatus {
            purpose,
            name: name.into(),
            record_type: record_type.into(),
            value: value.into(),
            ttl: 300,
            hosted_zone_id: "Z1".into(),
            ours: true,
            origin: RecordOrigin::Created,
            published: true,
            since: Time(Timestamp::UNIX_EPOCH),
            put_back: vec![],
        }
    }

    #[test]
    fn an_entry_is_believed_only_in_exactly_the_form_that_we_write() {
        use RecordPurpose::{Dkim, Dmarc, MailFromMx, MailFromSpf};
        let spf = "v=spf1 include:amazonses.com ~all";
        let mx = "10 feedback-smtp.eu-west-1.amazonses.com";
        for (purpose, name, record_type, value, believed) in [
            (Dkim, "t._domainkey.example.com", "CNAME", "t.dkim.amazonses.com", true),
            (Dkim, "t._domainkey.example.com", "CNAME", "t.dkim.eu-south-1.amazonses.com", true),
            (Dkim, "t._domainkey.example.com", "CNAME", "other.dkim.amazonses.com", false),
            (Dkim, "t._domainkey.example.com", "CNAME", "t.dkim.vendor.example", false),
            (Dkim, "t.u._domainkey.example.com", "CNAME", "t.dkim.amazonses.com", false),
            (Dkim, "t._domainkey.sub.example.com", "CNAME", "t.dkim.amazonses.com", false),
            (Dkim, "www.example.com", "CNAME", "t.dkim.amazonses.com", false),
            (Dkim, "t._domainkey.example.com", "TXT", "t.dkim.amazonses.com", false),
            (MailFromMx, "mail.example.com", "MX", mx, true),
            (MailFromMx, "mail.example.com", "MX", "10 feedback-smtp.us-east-1.amazonses.com", false),
            (MailFromMx, "mail.example.com", "MX", "10 feedback-smtp.x.y.amazonses.com", false),
            (MailFromMx, "example.com", "MX", mx, false),
            (MailFromMx, "mail.example.org", "MX", mx, false),
            (MailFromMx, "mail.example.com", "MX", "10 mx.example.com", false),
            (MailFromSpf, "mail.example.com", "TXT", spf, true),
            (MailFromSpf, "mail.example.com", "TXT", "v=spf1 mx include:amazonses.com ~all", false),
            (MailFromSpf, "example.com", "TXT", spf, false),
            (MailFromSpf, "mail.example.com", "TXT", "site-verification=1", false),
            (Dmarc, "_dmarc.example.com", "TXT", "v=DMARC1; p=none", true),
            (Dmarc, "_dmarc.example.com", "TXT", "v=DMARC1;p=none;", false),
            (Dmarc, "_dmarc.sub.example.com", "TXT", "v=DMARC1; p=none", false),
        ] {
            let domain = DomainName::new("example.com");
            let found = could_be_ours(&entry(purpose, name, record_type, value), &domain, Some("eu-west-1"));
            assert_eq!(found, believed, "{name} {value}");
        }
    }

    #[test]
    fn what_is_merged_or_adopted_may_say_more() {
        let policy =
            entry(RecordPurpose::MailFromSpf, "mail.example.com", "TXT", "v=spf1 mx include:amazonses.com ~all");
        for (origin, believed) in
            [(RecordOrigin::Created, false), (RecordOrigin::Merged, true), (RecordOrigin::Adopted, true)]
        {
            let entry = RecordStatus { origin, ..policy.clone() };
            assert_eq!(could_be_ours(&entry, &DomainName::new("example.com"), None), believed, "{origin:?}");
        }
    }

    #[test]
    fn a_record_is_reached_in_public_zones_that_hold_its_name_and_are_allowed() {
        let zone =
            |id: &str, name: &str| HostedZone { id: ZoneId(id.into()), name: DomainName::new(name), record_sets: 2 };
        let policy = entry(RecordPurpose::Dmarc, "_dmarc.example.com", "TXT", "v=DMARC1; p=none");
        let filter = [ZoneId("Z7".into())];
        for (zones, filter, expected) in [
            (vec![zone("Z1", "example.com")], &[][..], Reach::Writable),
            (vec![zone("Z1", "com")], &[], Reach::Writable),
            (vec![zone("Z1", "example.com")], &filter, Reach::Filtered),
            (vec![zone("Z1", "example.org")], &[], Reach::Elsewhere),
            (vec![zone("Z2", "example.com")], &[], Reach::Unlisted),
        ] {
            assert_eq!(reach(&policy, &zones, filter), expected, "{zones:?} {filter:?}");
        }
    }
}
