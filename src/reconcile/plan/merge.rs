//! Our term in somebody else's SPF policy. Pure.

use crate::api::spec::OnConflict;
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::dns::{RecordSet, spf};
use crate::reconcile::desired::WantedRecord;
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict;
use crate::ses::regions::SPF_INCLUDE;

/// What is to be done with the SPF policy that stands at a wanted record's name.
pub(super) enum Merging {
    /// Nothing that concerns its terms.
    Nothing,
    /// Our term belongs into it: the whole policy as it shall stand.
    Into(WantedRecord),
    /// Our term was put into it, and is not asked for any more.
    Ends,
    /// Our term is asked for, and can't be put into it: why.
    Refused(spf::MergeError),
}

/// Judges the one SPF policy at a wanted record's name. `entry` is what we know of it; one of an SPF policy that was
/// there before, or that our term was put into, is mended by its terms and never replaced.
pub(super) fn judge(
    subject: &Subject<'_>,
    wanted: &WantedRecord,
    around: &[RecordSet],
    entry: Option<&RecordStatus>,
) -> Merging {
    if wanted.purpose != RecordPurpose::MailFromSpf {
        return Merging::Nothing;
    }
    let Some((set, found)) = verdict::only_rival(wanted, around) else { return Merging::Nothing };
    let origin = entry.filter(|entry| entry.ours).map(|entry| entry.origin);
    let asked = subject.spec.on_conflict();
    let includes = spf::includes(&found, SPF_INCLUDE);
    let belongs_in = match origin {
        Some(RecordOrigin::Created) => false,
        Some(RecordOrigin::Adopted) => !includes,
        Some(RecordOrigin::Merged) if asked == OnConflict::Fail => {
            return if includes { Merging::Ends } else { Merging::Nothing };
        }
        Some(RecordOrigin::Merged) => true,
        None => asked == OnConflict::Merge && !includes,
    };
    if !belongs_in {
        return Merging::Nothing;
    }
    match spf::merge(&found, SPF_INCLUDE) {
        Ok(value) => Merging::Into(WantedRecord { value, ttl: set.ttl.unwrap_or(wanted.ttl), ..wanted.clone() }),
        Err(error) => Merging::Refused(error),
    }
}
