//! The records that the spec leads to. Pure.

use super::subject::Subject;
use crate::api::spec::{DmarcPolicy, DmarcStage};
use crate::api::status::RecordPurpose;
use crate::dmarc::record;
use crate::dns::RecordType;
use crate::domain_name::DomainName;
use crate::ses::{Dkim, regions};

/// A record that must stand in its zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRecord {
    /// What it is for.
    pub purpose: RecordPurpose,
    /// Its absolute name.
    pub name: DomainName,
    /// Its type.
    pub record_type: RecordType,
    /// Its value in text form, without quotes.
    pub value: String,
    /// Its time to live, in seconds.
    pub ttl: u32,
}

/// The three DKIM CNAMEs.
pub fn dkim_records(subject: &Subject<'_>, dkim: &Dkim) -> Vec<WantedRecord> {
    let zone = dkim.signing_hosted_zone.clone();
    let zone = zone.unwrap_or_else(|| regions::default_signing_hosted_zone(&subject.region()));
    let below = subject.domain().child("_domainkey");
    let record = |token: &String| WantedRecord {
        purpose: RecordPurpose::Dkim,
        name: below.child(token),
        record_type: RecordType::Cname,
        value: zone.child(token).to_string(),
        ttl: subject.spec.ttl(),
    };
    dkim.tokens.iter().map(record).collect()
}

/// The MX and the SPF policy of the MAIL FROM domain, if one is asked for.
pub fn mail_from_records(subject: &Subject<'_>) -> Vec<WantedRecord> {
    subject.mail_from().map(|name| mail_from_records_at(subject, &name)).unwrap_or_default()
}

/// The MX and the SPF policy of a MAIL FROM domain, today's or an earlier one.
pub fn mail_from_records_at(subject: &Subject<'_>, name: &DomainName) -> Vec<WantedRecord> {
    let ttl = subject.spec.ttl();
    vec![
        WantedRecord {
            purpose: RecordPurpose::MailFromMx,
            name: name.clone(),
            record_type: RecordType::Mx,
            value: format!("10 {}", regions::feedback_host(&subject.region())),
            ttl,
        },
        WantedRecord {
            purpose: RecordPurpose::MailFromSpf,
            name: name.clone(),
            record_type: RecordType::Txt,
            value: spf_policy(),
            ttl,
        },
    ]
}

/// The SPF policy of a MAIL FROM domain: with ~all, as AWS prescribes, since -all can make a receiver refuse before it looks
/// at DMARC.
pub fn spf_policy() -> String {
    format!("v=spf1 include:{} ~all", regions::SPF_INCLUDE)
}

/// The DMARC record of a stage.
pub fn dmarc_record(subject: &Subject<'_>, policy: &DmarcPolicy, stage: &DmarcStage) -> WantedRecord {
    WantedRecord {
        purpose: RecordPurpose::Dmarc,
        name: dmarc_name(&subject.domain()),
        record_type: RecordType::Txt,
        value: record::render(policy, stage),
        ttl: subject.spec.ttl(),
    }
}

/// Where a domain's DMARC record stands.
pub fn dmarc_name(domain: &DomainName) -> DomainName {
    domain.child("_dmarc")
}
