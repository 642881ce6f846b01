//! How the records must change. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::merge::{self, Merging};
use super::{Change, Finding, Plan, Problem, dmarc, mail_from};
use crate::api::Reason;
use crate::api::spec::{AdoptionPolicy, OnConflict};
use crate::api::status::{PendingChange, RecordOrigin, RecordPurpose, RecordStatus};
use crate::dmarc::record::Record;
use crate::dns::zones::{self, ZoneError};
use crate::dns::{HostedZone, RecordChange, RecordSet, RecordType, ZoneId};
use crate::domain_name::DomainName;
use crate::reconcile::desired::{WantedRecord, dkim_records, mail_from_records};
use crate::reconcile::observe::Observed;
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict::{self, Verdict};
use crate::reconcile::{claims, ledger, schedule};
use crate::ses::regions::SPF_INCLUDE;
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
    let Ground { subject, observed, identity, .. } = ground;
    let mut batches = Batches::default();
    let dmarc = dmarc::wanted(ground, plan);
    let mut wanted = dkim_records(subject, &identity.dkim);
    wanted.extend(mail_from_records(subject).into_iter().chain(dmarc));
    for record in &wanted {
        keep_one(ground, record, plan, &mut batches);
    }
    mail_from::look(ground, plan);
    for entry in obsolete(ground, plan) {
        let replaced = is_replaced(subject, identity, plan, &entry) && !may_still_be_asked(ground, &wanted, &entry);
        retire(observed, entry, replaced, plan, &mut batches);
    }
    let not_ours = plan.findings.iter().filter(|finding| {
        let claimed =
            plan.ledger.iter().any(|entry| entry.ours && ledger::is_for(entry, &finding.wanted, &finding.zone));
        matches!(finding.verdict, Verdict::Foreign(_)) && !claimed
    });
    let not_ours: Vec<RecordPurpose> = not_ours.map(|finding| finding.wanted.purpose).collect();
    claims::tag(subject, identity, &plan.ledger, &not_ours)
        .into_iter()
        .for_each(|change| plan.changes.push(Change::ChangeIdentity { change, puts_back: false }));
    plan.changes.extend(batches.into_changes());
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

fn keep_one(ground: Ground<'_>, wanted: &WantedRecord, plan: &mut Plan, batches: &mut Batches) {
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
    let domain = subject.domain();
    let known = ledger::entry_of(subject.status, &domain, wanted, &zone.id);
    if let Some(problem) = mail_from::taken(subject, wanted).filter(|_| known.is_none()) {
        return add_once(&mut plan.problems, problem);
    }
    let Some(Ok(around)) = observed.records.get(&zone.id) else {
        plan.ledger.extend(known.cloned());
        return;
    };
    let time = Time(now);
    let lost = known.is_none().then(|| claims::origin(&identity.tags, wanted.purpose, subject)).flatten();
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
    if recovered.is_some() && verdict != Verdict::Right {
        verdict = Verdict::Outdated;
    }
    if let (Merging::Refused(_), Verdict::Drifted(Some(found))) = (&merging, &verdict) {
        verdict = Verdict::Foreign(found.clone());
    }
    let used = known.is_some_and(|entry| is_as_it_was_used(wanted, entry, &verdict));
    let adopts = subject.spec.adoption_policy == AdoptionPolicy::Adopt;
    let adoptable = verdict == Verdict::Right || used || lacks_only_reports(wanted, &verdict);
    let mut claimed = known.cloned().or(recovered).unwrap_or_else(|| ledger::claim(wanted, &zone.id, None, &time));
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
    let is_known = claimed.ours || used;
    if is_known || !matches!(verdict, Verdict::Foreign(_) | Verdict::Obstructed(_)) {
        plan.ledger.push(claimed);
    }
    plan.findings.push(Finding { wanted: wanted.clone(), zone: zone.id.clone(), verdict, in_sync });
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

/// Whether the change that an entry's record came with was on its way by the status, where none of the zone is any more.
fn has_arrived(subject: &Subject<'_>, entry: &RecordStatus) -> bool {
    subject.status.pending_changes.iter().any(|change| may_hold(change, entry))
}

/// Whether the change that an entry's record came with is on its way still, and what was read is older: reads may lag.
fn is_unshown(observed: &Observed, entry: &RecordStatus, verdict: &Verdict) -> bool {
    let shows_other = matches!(verdict, Verdict::Missing | Verdict::Drifted(_) | Verdict::Foreign(_));
    entry.ours && entry.published && shows_other && observed.pending.iter().any(|change| may_hold(change, entry))
}

/// What a person can do about a conflict.
#[derive(Clone, Copy)]
enum Remedy {
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

fn remedy(wanted: &WantedRecord, used: bool) -> Remedy {
    match wanted.purpose {
        _ if used => Remedy::Adopt,
        RecordPurpose::MailFromSpf => Remedy::Spf,
        RecordPurpose::Dkim | RecordPurpose::MailFromMx | RecordPurpose::Dmarc => Remedy::Replace,
    }
}

fn conflict(wanted: &WantedRecord, what: &str, remedy: Remedy) -> Problem {
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

/// The entries of records that are no longer wanted, and that we made: of an earlier MAIL FROM label the identity's tag
/// knows as well.
fn obsolete(ground: Ground<'_>, plan: &mut Plan) -> Vec<RecordStatus> {
    let Ground { subject, identity, zones, now, .. } = ground;
    let domain = subject.domain();
    let kept = |entry: &RecordStatus| plan.ledger.iter().any(|kept| ledger::same_place(kept, entry));
    let known: Vec<RecordStatus> = ledger::entries(subject.status, &domain).cloned().collect();
    let earlier = claims::earlier_records(&identity.tags, subject).into_iter().filter_map(|(record, origin)| {
        let zone = zone_of(subject, zones, &record).ok()?;
        let entry = ledger::claim(&record, &zone.id, Some(origin), &Time(now));
        (!known.iter().any(|known| ledger::same_place(known, &entry))).then_some(entry)
    });
    let earlier: Vec<RecordStatus> = earlier.collect();
    let left: Vec<RecordStatus> = known
        .into_iter()
        .chain(earlier)
        .filter(|entry| entry.ours && entry.origin != RecordOrigin::Adopted && !kept(entry))
        .collect();
    let (dmarc, others) = left
        .into_iter()
        .partition::<Vec<_>, _>(|entry| entry.purpose == RecordPurpose::Dmarc && subject.spec.dmarc_policy.is_none());
    // A policy that is taken out of the spec must not become weaker by that: its record stays and stops being ours.
    plan.released_dmarc = dmarc.into_iter().map(|entry| entry.value).next();
    others
}

/// Whether what replaces a record stands and is verified, or nothing needs it any more, so that it may go. What could not
/// be read does not stand.
fn is_replaced(subject: &Subject<'_>, identity: &Identity, plan: &Plan, entry: &RecordStatus) -> bool {
    let verified = |status| status == VerificationStatus::Success;
    match (entry.purpose, &identity.mail_from) {
        (RecordPurpose::Dkim, _) => plan.serves(&[RecordPurpose::Dkim]) && verified(identity.dkim.status),
        (RecordPurpose::Dmarc, _) => plan.serves(&[RecordPurpose::Dmarc]),
        (RecordPurpose::MailFromMx | RecordPurpose::MailFromSpf, used) => match subject.mail_from() {
            None => used.as_ref().is_none_or(|used| used.domain != DomainName::new(&entry.name)),
            Some(wanted) => {
                plan.serves(&[RecordPurpose::MailFromMx, RecordPurpose::MailFromSpf])
                    && used.as_ref().is_some_and(|used| used.domain == wanted && verified(used.status))
            }
        },
    }
}

/// Whether public DNS may still ask the entry's zone for a record that is wanted in another zone by now.
///
/// A zone of its own for `mail.example.com` is of use only once `example.com` delegates to it. Until then what stands in
/// `example.com` is what the world sees, and SES too.
fn may_still_be_asked(ground: Ground<'_>, wanted: &[WantedRecord], entry: &RecordStatus) -> bool {
    let Ground { subject, observed, zones, .. } = ground;
    let (name, record_type) = ledger::place(entry);
    let wanted_elsewhere = wanted.iter().any(|record| record.name == name && record.record_type == record_type);
    let told_to_move = subject.spec.hosted_zone_id().is_some_and(|id| id != entry.hosted_zone_id);
    let delegated = zones.iter().find(|zone| zone.id.0 == entry.hosted_zone_id).is_none_or(|zone| {
        let around = observed.records.get(&zone.id).and_then(|records| records.as_ref().ok());
        let delegates =
            |set: &RecordSet| set.record_type == RecordType::Ns && set.name != zone.name && name.is_within(&set.name);
        around.into_iter().flatten().any(delegates)
    });
    wanted_elsewhere && !told_to_move && !delegated
}

/// Takes out a record that is no longer wanted, once what replaces it stands.
fn retire(observed: &Observed, entry: RecordStatus, replaced: bool, plan: &mut Plan, batches: &mut Batches) {
    let zone = ZoneId(entry.hosted_zone_id.clone());
    match observed.records.get(&zone) {
        Some(Ok(around)) => {
            let changes = verdict::removal(&ledger::record(&entry), entry.origin, around);
            if changes.is_empty() {
                return;
            }
            if replaced {
                batches.add(&zone, changes);
            }
            plan.ledger.push(entry);
        }
        Some(Err(error)) if error.kind == crate::cloud::ErrorKind::NotFound => {}
        Some(Err(_)) | None => plan.ledger.push(entry),
    }
}
