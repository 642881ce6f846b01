//! Our term in somebody else's SPF policy. Pure.

use jiff::Timestamp;

use super::claim::{self, Claim};
use super::records::zone_of;
use crate::api::spec::OnConflict;
use crate::api::status::{RecordOrigin, RecordPurpose, RecordStatus};
use crate::dns::{RecordSet, spf};
use crate::domain_name::DomainName;
use crate::reconcile::desired::{WantedRecord, mail_from_records};
use crate::reconcile::ledger::{self, Trust};
use crate::reconcile::observe::Observed;
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
    /// Our term is asked for, and it is not known what the policy would cost its receivers then: it stays as it is.
    Unknown,
}

/// Judges the one SPF policy at a wanted record's name. `entry` is what we know of it; one of an SPF policy that was
/// there before, or that our term was put into, is mended by its terms and never replaced.
pub(super) fn judge(
    subject: &Subject<'_>,
    observed: &Observed,
    wanted: &WantedRecord,
    around: &[RecordSet],
    entry: Option<&RecordStatus>,
) -> Merging {
    if wanted.purpose != RecordPurpose::MailFromSpf {
        return Merging::Nothing;
    }
    let Some((set, found)) = verdict::only_rival(wanted, around) else { return Merging::Nothing };
    let value = match merged(subject, &found, entry) {
        None if is_merged(entry) && spf::includes(&found, SPF_INCLUDE) => return Merging::Ends,
        None => return Merging::Nothing,
        Some(Err(error)) => return Merging::Refused(error),
        Some(Ok(value)) => value,
    };
    // What we put in is not counted again while it stands: what others include changes every day.
    if value != found {
        match observed.merge.as_ref().filter(|merge| merge.policy == value).map(|merge| &merge.look_ups) {
            Some(Ok(Ok(_))) => {}
            Some(Ok(Err(error))) => return Merging::Refused(error.clone().into()),
            Some(Err(_)) | None => return Merging::Unknown,
        }
    }
    Merging::Into(WantedRecord { value, ttl: set.ttl.unwrap_or(wanted.ttl), ..wanted.clone() })
}

/// The name of the SPF policy that our term would be put into, and the policy as it would stand then; `None` where nothing
/// is to be put in.
pub(in crate::reconcile) fn considered(
    subject: &Subject<'_>,
    observed: &Observed,
    now: Timestamp,
) -> Option<(DomainName, String)> {
    let (Ok(identity), Ok(zones)) = (&observed.identity, &observed.zones) else { return None };
    let may_write = match identity {
        None => claim::holder_of_none(subject).is_none(),
        Some(identity) => !matches!(claim::claim(subject, identity), Claim::Refused(_)),
    };
    if subject.deleting || !may_write {
        return None;
    }
    let wanted = mail_from_records(subject).into_iter().find(|wanted| wanted.purpose == RecordPurpose::MailFromSpf)?;
    let zone = zone_of(subject, zones, &wanted).ok()?;
    let around = observed.records.get(&zone.id)?.as_ref().ok()?;
    let (_, found) = verdict::only_rival(&wanted, around)?;
    // As far as it is believed.
    let entry = ledger::entry_of(subject.status, &subject.domain(), &wanted, &zone.id);
    let entry = entry.and_then(|entry| match ledger::trust(subject, identity.as_ref(), entry, now) {
        Trust::Ours(origin) => Some(RecordStatus { origin, ..entry.clone() }),
        Trust::Unknown => Some(entry.clone()),
        Trust::NotOurs => None,
    });
    let policy = merged(subject, &found, entry.as_ref())?.ok()?;
    (policy != found).then_some((wanted.name, policy))
}

/// A policy with our term, where that belongs into it.
fn merged(subject: &Subject<'_>, found: &str, entry: Option<&RecordStatus>) -> Option<Result<String, spf::MergeError>> {
    let (asked, includes) = (subject.spec.on_conflict(), spf::includes(found, SPF_INCLUDE));
    let belongs_in = match entry.filter(|entry| entry.ours).map(|entry| entry.origin) {
        Some(RecordOrigin::Created) => false,
        Some(RecordOrigin::Adopted) => !includes,
        Some(RecordOrigin::Merged) => asked != OnConflict::Fail,
        None => asked == OnConflict::Merge && !includes,
    };
    belongs_in.then(|| spf::merge(found, SPF_INCLUDE))
}

fn is_merged(entry: Option<&RecordStatus>) -> bool {
    entry.is_some_and(|entry| entry.ours && entry.origin == RecordOrigin::Merged)
}
