//! Which records are ours: the entries of `status.records`, believed only as far as they could be true.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::desired::WantedRecord;
use crate::api::SesDomainStatus;
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::dns::{RecordType, ZoneId};
use crate::domain_name::DomainName;

/// The entries that this domain could have from us.
///
/// Somebody may be allowed to write a status and nothing else: a forged entry must not make us touch a record that we
/// would never have written for this domain.
pub fn entries<'a>(status: &'a SesDomainStatus, domain: &'a DomainName) -> impl Iterator<Item = &'a RecordStatus> {
    status.records.iter().filter(|entry| could_be_ours(entry, domain))
}

fn could_be_ours(entry: &RecordStatus, domain: &DomainName) -> bool {
    let name = DomainName::new(&entry.name);
    let Some(labels) = name.below(domain) else { return false };
    let value = entry.value.to_ascii_lowercase();
    match entry.purpose {
        RecordPurpose::Dkim => {
            entry.record_type == "CNAME" && labels.ends_with("._domainkey") && value.ends_with(".amazonses.com")
        }
        RecordPurpose::MailFromMx => {
            entry.record_type == "MX"
                && !labels.is_empty()
                && value.starts_with("10 feedback-smtp.")
                && value.ends_with(".amazonses.com")
        }
        RecordPurpose::MailFromSpf => {
            entry.record_type == "TXT"
                && !labels.is_empty()
                && crate::dns::spf::includes(&value, crate::ses::regions::SPF_INCLUDE)
        }
        RecordPurpose::Dmarc => entry.record_type == "TXT" && labels == "_dmarc" && value.starts_with("v=dmarc1"),
    }
}

/// The entry of a wanted record.
pub fn entry_of<'a>(
    status: &'a SesDomainStatus,
    domain: &'a DomainName,
    wanted: &WantedRecord,
    zone: &ZoneId,
) -> Option<&'a RecordStatus> {
    status.records.iter().find(|entry| is_for(entry, wanted, zone) && could_be_ours(entry, domain))
}

/// Whether an entry speaks of this wanted record in this zone.
pub fn is_for(entry: &RecordStatus, wanted: &WantedRecord, zone: &ZoneId) -> bool {
    entry.purpose == wanted.purpose
        && entry.hosted_zone_id == zone.0
        && entry.record_type == wanted.record_type.as_str()
        && wanted.name.is(&entry.name)
}

/// Whether both speak of the same record.
pub fn same_place(one: &RecordStatus, other: &RecordStatus) -> bool {
    (one.purpose, &one.name, &one.record_type, &one.hosted_zone_id)
        == (other.purpose, &other.name, &other.record_type, &other.hosted_zone_id)
}

/// Whether we made the MX record of this MAIL FROM domain: then so is the setting that rests on it.
pub fn has_mail_from(status: &SesDomainStatus, domain: &DomainName, mail_from: &DomainName) -> bool {
    entries(status, domain).any(|entry| {
        let is_made = entry.ours && entry.origin == RecordOrigin::Created;
        is_made && entry.purpose == RecordPurpose::MailFromMx && mail_from.is(&entry.name)
    })
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
            since: Time(jiff::Timestamp::UNIX_EPOCH),
            put_back: vec![],
        }
    }

    #[test]
    fn a_forged_entry_reaches_nothing_that_we_would_not_have_written() {
        use RecordPurpose::{Dkim, Dmarc, MailFromMx, MailFromSpf};
        let spf = "v=spf1 include:amazonses.com ~all";
        let mx = "10 feedback-smtp.eu-west-1.amazonses.com";
        for (purpose, name, record_type, value, believed) in [
            (Dkim, "t._domainkey.example.com", "CNAME", "t.dkim.amazonses.com", true),
            (Dkim, "t._domainkey.example.com", "CNAME", "t.dkim.vendor.example", false),
            (Dkim, "www.example.com", "CNAME", "t.dkim.amazonses.com", false),
            (Dkim, "t._domainkey.example.com", "TXT", "t.dkim.amazonses.com", false),
            (MailFromMx, "mail.example.com", "MX", mx, true),
            (MailFromMx, "example.com", "MX", mx, false),
            (MailFromMx, "mail.example.org", "MX", mx, false),
            (MailFromMx, "mail.example.com", "MX", "10 mx.example.com", false),
            (MailFromSpf, "mail.example.com", "TXT", spf, true),
            (MailFromSpf, "example.com", "TXT", spf, false),
            (MailFromSpf, "mail.example.com", "TXT", "site-verification=1", false),
            (Dmarc, "_dmarc.example.com", "TXT", "v=DMARC1; p=none", true),
            (Dmarc, "_dmarc.sub.example.com", "TXT", "v=DMARC1; p=none", false),
        ] {
            let domain = DomainName::new("example.com");
            assert_eq!(could_be_ours(&entry(purpose, name, record_type, value), &domain), believed, "{name} {value}");
        }
    }
}
