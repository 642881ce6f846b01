//! The condition types and their reasons.

use std::fmt;

/// The conditions of a `SesDomain`. `Reconciling` and `Stalled` are kstatus's: they stand only while they are true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Everything the spec asks for is verified and published.
    Ready,
    /// SES verified the DKIM tokens.
    DkimVerified,
    /// SES verified the MAIL FROM domain; absent when the spec asks for none.
    MailFromVerified,
    /// The DMARC record of the current stage is what the zone serves; absent when the spec has no dmarcPolicy.
    DmarcPublished,
    /// Every record that the spec leads to is in its zone, and Route 53 serves it.
    RecordsPublished,
    /// The operator is at work or waits for AWS.
    Reconciling,
    /// A person must act.
    Stalled,
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a condition has its status: part of the API, so none is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// All is as the spec asks.
    Ready,
    /// Verified by SES.
    Verified,
    /// In the zone and served.
    Published,
    /// The resource has just been seen.
    Progressing,
    /// The SES identity does not exist yet.
    IdentityMissing,
    /// SES has not verified it yet.
    VerificationPending,
    /// SES verified it once and no longer finds its records.
    VerificationLost,
    /// SES gave up after 72 hours.
    VerificationFailed,
    /// SES verified the DKIM records, and signing was switched off.
    SigningDisabled,
    /// Records are written; Route 53 has not yet brought them to all its servers.
    ChangePending,
    /// Records are missing or differ.
    RecordsMissing,
    /// A stage waits for verification before it enforces.
    StageWaiting,
    /// No hosted zone for a name.
    HostedZoneNotFound,
    /// Several public hosted zones of one name.
    HostedZoneAmbiguous,
    /// Somebody else's record stands where ours must.
    RecordConflict,
    /// Somebody else changes our record again and again.
    Contended,
    /// The identity exists and is not this resource's.
    IdentityNotOurs,
    /// Another SesDomain has this domain.
    DomainTaken,
    /// The operator's filters exclude the domain or the zone.
    Filtered,
    /// SES is not offered in the Region.
    RegionUnsupported,
    /// AWS denies an operation.
    AccessDenied,
    /// AWS refuses a request for what it asks.
    Rejected,
    /// The account's quota of identities is used up.
    QuotaExceeded,
    /// AWS throttles.
    Throttled,
    /// AWS does not answer or answers with an error of its own.
    AwsUnavailable,
    /// A name that an SPF policy rests on can't be looked up in public DNS.
    DnsUnavailable,
    /// `spec.suspend` is true.
    Suspended,
    /// The resource is being deleted.
    Deleting,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
