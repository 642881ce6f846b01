//! The words for what stands in the way of a record, and what a person can do about it.

use super::Problem;
use crate::api::Reason;
use crate::api::status::RecordPurpose;
use crate::reconcile::desired::WantedRecord;
use crate::ses::regions::SPF_INCLUDE;

/// What a person can do about a conflict.
#[derive(Clone, Copy)]
pub(super) enum Remedy {
    /// Nothing but to remove what stands there.
    ByHand,
    /// To have it replaced.
    Replace,
    /// To have our term put into it, or to have it replaced.
    Spf,
    /// To make room in it for our term, or to give way to it.
    Mend,
    /// To adopt it, or to have it replaced.
    Adopt,
}

/// What can be done about what stands where a record is wanted. `used`: it said what was wanted until now.
pub(super) fn remedy(wanted: &WantedRecord, used: bool) -> Remedy {
    match wanted.purpose {
        _ if used => Remedy::Adopt,
        RecordPurpose::MailFromSpf => Remedy::Spf,
        RecordPurpose::Dkim | RecordPurpose::MailFromMx | RecordPurpose::Dmarc => Remedy::Replace,
    }
}

/// The problem that something stands where a record is wanted.
pub(super) fn conflict(wanted: &WantedRecord, what: &str, remedy: Remedy) -> Problem {
    let remedy = match remedy {
        Remedy::ByHand => "remove what stands there".to_owned(),
        Remedy::Replace => "remove that record, or set spec.dns.onConflict to Overwrite".to_owned(),
        Remedy::Spf => format!(
            "remove that record, or set spec.dns.onConflict to Merge, which puts include:{SPF_INCLUDE} into it, or to Overwrite"
        ),
        Remedy::Mend => {
            "take out of that policy what it can do without, name another spec.mailFromSubdomain, or set spec.dns.onConflict to Overwrite".to_owned()
        }
        Remedy::Adopt => {
            "set spec.adoptionPolicy to Adopt to have it changed, remove that record, or set spec.dns.onConflict to Overwrite".to_owned()
        }
    };
    Problem {
        reason: Reason::RecordConflict,
        purpose: Some(wanted.purpose),
        message: format!("{} {} {what}; wanted there: \"{}\"; {remedy}", wanted.name, wanted.record_type, wanted.value),
    }
}
