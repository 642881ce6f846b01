//! How the records must change. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conflict::{Remedy, conflict, remedy};
use super::merge::{self, Merging};
use super::{Change, Finding, Plan, Problem, dmarc, mail_from, obsolete};
use crate::api::Reason;
use crate::api::spec::{AdoptionPolicy, OnConflict};
use crate::api::status::{PendingChange, RecordOrigin, RecordPurpose, RecordStatus};
use crate::dmarc::record::Record;
use crate::dns::zones::{self, ZoneError};
use crate::dns::{HostedZone, RecordChange, RecordSet, ZoneId};
use crate::reconcile::desired::{WantedRecord, dkim_records, mail_from_records};
use crate::reconcile::ledger::{self, Trust};
use crate::reconcile::observe::Observed;
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict::{self, Verdict};
use crate::reconcile::{claims, schedule};
use crate::ses::{Identity, VerificationStatus};

/// After so many repairs within [`CONTENTION`] a record is left alone.
pub(super) const MOST_REPAIRS: usize = 3;
/// How long a repair counts, and how long a contended record is left alone.
pub(in crate::reconcile) const CONTENTION: SignedDuration = SignedDuration::from_hours(1);

/// What is known when the records of an identity that is ours are planned.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) observed: &'a Observed,
    pub(super) identity: &'a Identity,
    pub(super) zones: &'a [HostedZone],
    pub(super) now: Timestamp,
}

/// Plans the records of an identity that is ours.
pub(super) fn keep(ground: Ground<'_>, plan: &mut Plan) {
    let Ground { subject, identity, .. } = ground;
    let domain = subject.domain();
    let known: Vec<&RecordStatus> = ledger::entries(subject.status, &domain).collect();
    let mut batches = Batches::default();
    let dmarc = dmarc::wanted(ground, plan);
    let mut wanted = dkim_records(subject, &identity.dkim);
    wanted.extend(mail_from_records(subject).into_iter().chain(dmarc));
    for record in &wanted {
        keep_one(ground, &known, record, plan, &mut batches);
    }
    share_adoption(&mut plan.ledger);
    mail_from::look(ground, plan);
    obsolete::retire(ground, &known, &wanted, plan, &mut batches);
    if plan.is_unsure {
        return;
    }
    let mut claimed = plan.ledger.clone();
    claimed.extend(obsolete::unplaced(ground));
    claims::tag(subject, identity, &claimed, &not_ours(ground, plan))
        .into_iter()
        .for_each(|change| plan.changes.push(Change::ChangeIdentity { change, puts_back: false }));
    plan.changes.extend(batches.into_changes());
}

/// The kinds of records of which none is ours, whatever the tag says: somebody else's stands in their place, or nothing
/// stands there and nothing can.
fn not_ours(ground: Ground<'_>, plan: &Plan) -> Vec<RecordPurpose> {
    let is_ours = |finding: &Finding| match finding.verdict {
        Verdict::Foreign(_) => {
            plan.ledger.iter().any(|entry| entry.ours && ledger::is_for(entry, &finding.wanted, &finding.zone))
        }
        Verdict::Obstructed(_) => {
            let around = ground.observed.records.get(&finding.zone).and_then(|records| records.as_ref().ok());
            around.is_none_or(|around| verdict::is_taken(&finding.wanted, around))
        }
        Verdict::Missing | Verdict::Right | Verdict::Outdated | Verdict::Unshown | Verdict::Drifted(_) => true,
    };
    let (may_be, are_not): (Vec<&Finding>, Vec<&Finding>) = plan.findings.iter().partition(|finding| is_ours(finding));
    let is_none = |purpose: &RecordPurpose| !may_be.iter().any(|finding| finding.wanted.purpose == *purpose);
    are_not.into_iter().map(|finding| finding.wanted.purpose).filter(is_none).collect()
}

/// The changes of each zone: one batch a zone.
#[derive(Default)]
pub(super) struct Batches(BTreeMap<ZoneId, Vec<RecordChange>>);

impl Batches {
    pub(super) fn add(&mut self, zone: &ZoneId, changes: Vec<RecordChange>) {
        if !changes.is_empty() {
            self.0.entry(zone.clone()).or_default().extend(changes);
        }
    }

    pub(super) fn into_changes(self) -> impl Iterator<Item = Change> {
        self.0.into_iter().map(|(zone, changes)| Change::ChangeRecords { zone, changes })
    }
}

/// The zone of a name, with what was found there.
pub(super) fn zone_of<'a>(
    subject: &Subject<'_>,
    zones: &'a [HostedZone],
    wanted: &WantedRecord,
) -> Result<&'a HostedZone, Problem> {
    let preferred = subject.spec.hosted_zone_id().map(|id| ZoneId(id.to_owned()));
    zones::zone_for(&wanted.name, zones, preferred.as_ref(), &subject.settings.filters.zones).map_err(|error| {
        let reason = match error {
            ZoneError::NotFound { .. } | ZoneError::Unknown { .. } | ZoneError::Elsewhere { .. } => {
                Reason::HostedZoneNotFound
            }
            ZoneError::Ambiguous { .. } => Reason::HostedZoneAmbiguous,
            ZoneError::Filtered { .. } => Reason::Filtered,
        };
        Problem { reason, purpose: Some(wanted.purpose), message: error.to_string() }
    })
}

fn keep_one(
    ground: Ground<'_>,
    known: &[&RecordStatus],
    wanted: &WantedRecord,
    plan: &mut Plan,
    batches: &mut Batches,
) {
    let Ground { subject, observed, identity, zones, now } = ground;
    let zone = match zone_of(subject, zones, wanted) {
        Ok(zone) => zone,
        Err(problem) => {
            // What we made is kept where it stands; of what others made we go on to know.
            let is_it = |entry: &&RecordStatus| {
                (entry.purpose, ledger::place(entry).0) == (wanted.purpose, wanted.name.clone())
            };
            let of_others = |entry: &&RecordStatus| !entry.ours || entry.origin == RecordOrigin::Adopted;
            plan.ledger.extend(subject.status.records.iter().filter(is_it).filter(of_others).cloned());
            return add_once(&mut plan.problems, problem);
        }
    };
    let entry = known.iter().copied().find(|entry| ledger::is_for(entry, wanted, &zone.id));
    if let Some(problem) = mail_from::taken(subject, wanted).filter(|_| entry.is_none()) {
        return add_once(&mut plan.problems, problem);
    }
    let Some(Ok(around)) = observed.records.get(&zone.id) else {
        plan.ledger.extend(entry.cloned());
        return;
    };
    let time = Time(now);
    // Where the ledger has it in another zone, nothing was lost: what stands here is somebody else's.
    let is_lost = entry.is_none() && !known.iter().any(|entry| ledger::is_of(entry, wanted));
    let lost = is_lost.then(|| claims::origin(&identity.tags, wanted.purpose, subject)).flatten();
    let known = entry.and_then(|entry| believed(ground, wanted, around, entry, plan));
    let known = known.as_ref();
    let recovered = lost
        .filter(|_| is_recovered(subject, wanted, &verdict::judge(wanted, around, &zone.name, None)))
        .map(|origin| RecordStatus {
            ttl: found_ttl(wanted, around).filter(|_| origin != RecordOrigin::Created).unwrap_or(wanted.ttl),
            ..ledger::claim(wanted, &zone.id, Some(origin), &time)
        });
    let merging = merge::judge(subject, observed, wanted, around, known.or(recovered.as_ref()));
    if matches!(merging, Merging::Unknown) {
        // It is missing, and the failure of the look-up says why nothing is done about it.
        let verdict = verdict::judge(wanted, around, &zone.name, known);
        plan.ledger.extend(known.cloned());
        plan.findings.push(Finding { wanted: wanted.clone(), zone: zone.id.clone(), verdict, in_sync: false });
        return;
    }
    if matches!(merging, Merging::Ends) {
        let taken_out = verdict::removal(wanted, RecordOrigin::Merged, around);
        batches.add(&zone.id, taken_out);
        let problem = conflict(
            wanted,
            "is not this resource's, and spec.dns.onConflict is Fail: our term is taken out of it",
            Remedy::Spf,
        );
        plan.problems.push(problem);
        plan.ledger.extend(known.cloned().or(recovered));
        return;
    }
    let merged = if let Merging::Into(merged) = &merging { Some(merged) } else { None };
    let wanted = merged.unwrap_or(wanted);
    // Merging has ended, and our term is out.
    let is_let_go = |entry: &&RecordStatus| {
        entry.origin == RecordOrigin::Merged && merged.is_none() && verdict::only_rival(wanted, around).is_some()
    };
    let known = known.filter(|entry| !is_let_go(entry));
    let mut verdict = verdict::judge(wanted, around, &zone.name, known);
    if known.is_some_and(|entry| is_unshown(observed, entry, &verdict)) {
        verdict = Verdict::Unshown;
    }
    if let Verdict::Drifted(Some(found)) = &verdict
        && known.is_some_and(|entry| was_never_seen(wanted, entry, found))
    {
        // It was claimed, and whether it was made is open: what stands there may have been there before.
        verdict = Verdict::Foreign(found.clone());
    }
    if recovered.is_some() && verdict != Verdict::Right {
        verdict = Verdict::Outdated;
    }
    if let (Merging::Refused(_), Verdict::Drifted(Some(found))) = (&merging, &verdict) {
        verdict = Verdict::Foreign(found.clone());
    }
    let was_just_written = known.is_some_and(|entry| entry.ours && !entry.published && ledger::is_young(entry, now));
    if was_just_written && matches!(verdict, Verdict::Foreign(_)) {
        // It may be what stood there before.
        plan.is_unsure = true;
        verdict = Verdict::Outdated;
    }
    let used = known.is_some_and(|entry| is_as_it_was_used(wanted, entry, &verdict));
    let adopts = subject.spec.adoption_policy == AdoptionPolicy::Adopt;
    let adoptable = verdict == Verdict::Right || used || lacks_only_reports(wanted, &verdict);
    // An entry that is not believed makes way for one of its age: a younger one would be waited for, again and again.
    let since = entry.map_or(&time, |entry| &entry.since);
    let mut claimed = known.cloned().or(recovered).unwrap_or_else(|| ledger::claim(wanted, &zone.id, None, since));
    if adopts && !claimed.ours && adoptable {
        claimed.ours = true;
        claimed.origin = RecordOrigin::Adopted;
        claimed.ttl = found_ttl(wanted, around).unwrap_or(claimed.ttl);
        claimed.published = true;
        if let Verdict::Foreign(found) = verdict {
            // What stands there, not what is going to: whether that is served is seen by its change.
            claimed.value = found;
            verdict = Verdict::Outdated;
        }
    }
    let repairs = recent(&claimed.put_back, now);
    match &verdict {
        Verdict::Right | Verdict::Unshown => {}
        Verdict::Drifted(found) if repairs.len() >= MOST_REPAIRS => {
            let found = found.as_deref().unwrap_or("nothing");
            plan.problems.push(Problem {
                reason: Reason::Contended,
                purpose: Some(wanted.purpose),
                message: format!(
                    "{} {} was changed behind our back and put back {MOST_REPAIRS} times within an hour; it now holds {found}, and is left alone for an hour: find out who else writes it",
                    wanted.name, wanted.record_type
                ),
            });
        }
        Verdict::Missing | Verdict::Outdated => {
            batches.add(&zone.id, verdict::changes(wanted, around));
            claimed.ours = true;
            if verdict == Verdict::Missing {
                claimed.origin = RecordOrigin::Created;
            }
        }
        Verdict::Drifted(found) => {
            batches.add(&zone.id, verdict::changes(wanted, around));
            if found.is_none() && claimed.origin == RecordOrigin::Merged {
                // The policy that our term was in is gone: this one is all ours.
                claimed.origin = RecordOrigin::Created;
            }
            claimed.put_back = repairs.into_iter().chain([time]).collect();
        }
        Verdict::Foreign(_) if merged.is_some() => {
            batches.add(&zone.id, verdict::changes(wanted, around));
            claimed.ours = true;
            claimed.origin = RecordOrigin::Merged;
        }
        Verdict::Foreign(_) if subject.spec.on_conflict() == OnConflict::Overwrite => {
            batches.add(&zone.id, verdict::changes(wanted, around));
            claimed.ours = true;
        }
        Verdict::Foreign(found) => {
            claimed.ours = false;
            let what = format!("holds \"{found}\", which is not this resource's");
            plan.problems.push(match &merging {
                Merging::Refused(error) => {
                    conflict(wanted, &format!("{what} and can't be merged with: {error}"), Remedy::Mend)
                }
                Merging::Nothing | Merging::Into(_) | Merging::Ends | Merging::Unknown => {
                    conflict(wanted, &what, remedy(wanted, used))
                }
            });
        }
        Verdict::Obstructed(what) => {
            plan.problems.push(conflict(wanted, &format!("can't be written: {what}"), Remedy::ByHand))
        }
    }
    if verdict == Verdict::Right && claimed.ours && claimed.published && !is_as_it_was_seen(wanted, &claimed, around) {
        // The answer to the write was lost.
        claimed.published = false;
        claimed.since = Time(now);
    }
    if verdict == Verdict::Right && claimed.ours && claimed.origin == RecordOrigin::Adopted {
        // Of what was there before the TTL is nobody's wish: it is what stands.
        claimed.ttl = found_ttl(wanted, around).unwrap_or(claimed.ttl);
    }
    let on_its_way = observed.pending.iter().any(|change| change.hosted_zone_id == zone.id.0);
    let served = claimed.published || !claimed.ours || has_arrived(subject, &claimed);
    let in_sync = verdict == Verdict::Right && !on_its_way && served;
    let stands = around.iter().any(|set| set.is_at(&wanted.name, &wanted.record_type));
    if matches!(verdict, Verdict::Obstructed(_)) && !claimed.published && !stands {
        // It was claimed, and never made.
        claimed.ours = false;
    }
    // As long as the tags claim what is not ours, or may, the status says so: else it would seem to be lost.
    let is_claimed = claims::origin(&identity.tags, wanted.purpose, subject).is_some()
        || known.is_some_and(|entry| ledger::is_young(entry, now));
    let is_known = claimed.ours || used || is_claimed;
    if is_known || !matches!(verdict, Verdict::Foreign(_) | Verdict::Obstructed(_)) {
        plan.ledger.push(claimed);
    }
    plan.findings.push(Finding { wanted: wanted.clone(), zone: zone.id.clone(), verdict, in_sync });
}

/// An entry as far as it is believed. One that the identity's tags do not bear out makes a record that is missing, which
/// harms nobody, and nothing else.
fn believed(
    ground: Ground<'_>,
    wanted: &WantedRecord,
    around: &[RecordSet],
    entry: &RecordStatus,
    plan: &mut Plan,
) -> Option<RecordStatus> {
    let trust = if entry.ours {
        ledger::trust(ground.subject, Some(ground.identity), entry, ground.now)
    } else {
        Trust::Ours(entry.origin)
    };
    match trust {
        Trust::Ours(origin) => Some(RecordStatus { origin, ..entry.clone() }),
        Trust::Unknown | Trust::NotOurs if !verdict::is_taken(wanted, around) => Some(entry.clone()),
        Trust::Unknown => {
            plan.is_unsure = true;
            Some(entry.clone())
        }
        Trust::NotOurs => None,
    }
}

/// The identity's tag has one word for all DKIM records: where some were there before, none of them goes.
fn share_adoption(ledger: &mut [RecordStatus]) {
    let is_dkim = |entry: &RecordStatus| entry.ours && entry.purpose == RecordPurpose::Dkim;
    if ledger.iter().any(|entry| is_dkim(entry) && entry.origin == RecordOrigin::Adopted) {
        ledger.iter_mut().filter(|entry| is_dkim(entry)).for_each(|entry| entry.origin = RecordOrigin::Adopted);
    }
}

fn found_ttl(wanted: &WantedRecord, around: &[RecordSet]) -> Option<u32> {
    around.iter().find(|set| set.is_at(&wanted.name, &wanted.record_type)).and_then(|set| set.ttl)
}

/// The repairs that still count: those within an hour of the last one, until that is an hour ago.
pub(in crate::reconcile) fn recent(put_back: &[Time], now: Timestamp) -> Vec<Time> {
    let last = put_back.iter().map(|at| at.0).max().filter(|last| schedule::after(*last, CONTENTION) > now);
    let counts = |at: &&Time| last.is_some_and(|last| schedule::after(at.0, CONTENTION) > last);
    put_back.iter().filter(counts).cloned().collect()
}

/// Whether a record that no entry speaks of is ours, since the identity's tag names it: the status was lost. Of a DMARC
/// record the text may have been changed in Git meanwhile; a stricter one is not taken for ours, lest it be weakened.
fn is_recovered(subject: &Subject<'_>, wanted: &WantedRecord, verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Right => true,
        Verdict::Foreign(found) if wanted.purpose == RecordPurpose::Dmarc && subject.status.records.is_empty() => {
            let strength = |text: &str| Record::parse(text).map(|record| record.strength());
            strength(found) <= strength(&wanted.value)
        }
        Verdict::Foreign(_)
        | Verdict::Missing
        | Verdict::Outdated
        | Verdict::Unshown
        | Verdict::Drifted(_)
        | Verdict::Obstructed(_) => false,
    }
}

/// Whether a record that we claimed was never seen, and something else stands in its place.
fn was_never_seen(wanted: &WantedRecord, entry: &RecordStatus, found: &str) -> bool {
    let claimed = WantedRecord { value: entry.value.clone(), ..wanted.clone() };
    entry.origin == RecordOrigin::Created && !entry.published && !verdict::means(&claimed, found)
}

/// Whether somebody else's record still says what we wanted and used until now, and another one is wanted.
fn is_as_it_was_used(wanted: &WantedRecord, entry: &RecordStatus, verdict: &Verdict) -> bool {
    let before = WantedRecord { value: entry.value.clone(), ..wanted.clone() };
    matches!(verdict, Verdict::Foreign(found) if !entry.ours && verdict::means(&before, found))
}

/// Whether somebody else's DMARC record is the wanted one but for reports, which it does not ask for: consoles and most
/// people's code publish it so.
fn lacks_only_reports(wanted: &WantedRecord, verdict: &Verdict) -> bool {
    let Verdict::Foreign(found) = verdict else { return false };
    wanted.purpose == RecordPurpose::Dmarc
        && Record::parse(found)
            .zip(Record::parse(&wanted.value))
            .is_some_and(|(found, wanted)| found.lacks_only_reports_of(&wanted))
}

/// Whether the value that stands is the one that the entry speaks of.
fn is_as_it_was_seen(wanted: &WantedRecord, entry: &RecordStatus, around: &[RecordSet]) -> bool {
    let seen = WantedRecord { value: entry.value.clone(), ..wanted.clone() };
    verdict::only_rival(wanted, around).is_some_and(|(_, found)| verdict::means(&seen, &found))
}

/// Whether an entry's record may have come with a change.
fn may_hold(change: &PendingChange, entry: &RecordStatus) -> bool {
    change.hosted_zone_id == entry.hosted_zone_id && change.since.0 >= entry.since.0
}

/// Whether the change that an entry's record came with was on its way by the status, where none of the zone is any more. Of a
/// change that was answered the status says at once that its records are published: where it does not, they came with another.
fn has_arrived(subject: &Subject<'_>, entry: &RecordStatus) -> bool {
    subject.status.pending_changes.iter().any(|change| change.is_unanswered() && may_hold(change, entry))
}

/// Whether the change that an entry's record came with is on its way still, and what was read is older: reads may lag.
fn is_unshown(observed: &Observed, entry: &RecordStatus, verdict: &Verdict) -> bool {
    let shows_other = matches!(verdict, Verdict::Missing | Verdict::Drifted(_) | Verdict::Foreign(_));
    entry.ours && entry.published && shows_other && observed.pending.iter().any(|change| may_hold(change, entry))
}

pub(super) fn add_once(problems: &mut Vec<Problem>, problem: Problem) {
    if !problems.iter().any(|known| known.message == problem.message) {
        problems.push(problem);
    }
}

/// Whether SES has verified DKIM, and the MAIL FROM domain where one is asked for.
pub(crate) fn is_verified(subject: &Subject<'_>, identity: &Identity) -> bool {
    let mail_from = subject.mail_from().is_none_or(|wanted| {
        identity
            .mail_from
            .as_ref()
            .is_some_and(|found| found.domain == wanted && found.status == VerificationStatus::Success)
    });
    identity.dkim.status == VerificationStatus::Success && identity.dkim.signing_enabled && mail_from
}
