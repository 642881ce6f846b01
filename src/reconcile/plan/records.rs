//! How the records must change. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Change, Finding, Plan, Problem, dmarc};
use crate::api::Reason;
use crate::api::spec::OnConflict;
use crate::api::status::{RecordPurpose, RecordStatus};
use crate::dmarc::record::Record;
use crate::dns::zones::{self, ZoneError};
use crate::dns::{HostedZone, RecordChange, RecordSet, RecordType, ZoneId};
use crate::domain_name::DomainName;
use crate::reconcile::desired::{WantedRecord, dkim_records, mail_from_records};
use crate::reconcile::observe::Observed;
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict::{self, Verdict};
use crate::reconcile::{claims, ledger, schedule};
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
    for entry in obsolete(subject, plan) {
        let replaced = is_replaced(subject, identity, plan, &entry) && !may_still_be_asked(ground, &wanted, &entry);
        retire(observed, entry, replaced, plan, &mut batches);
    }
    // A record that turned out to be somebody else's is claimed no more.
    let is_ours = |finding: &Finding| {
        plan.ledger.iter().any(|entry| entry.ours && ledger::is_for(entry, &finding.wanted, &finding.zone))
    };
    let strangers =
        plan.findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Foreign(_)) && !is_ours(finding));
    let strangers = strangers.map(|finding| ledger::claim(&finding.wanted, &finding.zone, false, &Time(ground.now)));
    let claimed: Vec<RecordStatus> = plan.ledger.iter().cloned().chain(strangers).collect();
    claims::tag(subject, identity, &claimed)
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
        Err(problem) => return add_once(&mut plan.problems, problem),
    };
    let domain = subject.domain();
    let entry = ledger::entry_of(subject.status, &domain, wanted, &zone.id);
    let Some(Ok(around)) = observed.records.get(&zone.id) else {
        plan.ledger.extend(entry.cloned());
        return;
    };
    let mut verdict = verdict::judge(wanted, around, &zone.name, entry);
    let time = Time(now);
    let recovered = entry.is_none() && is_recovered(subject, identity, wanted, &verdict);
    if recovered && verdict != Verdict::Right {
        verdict = Verdict::Outdated;
    }
    let mut claimed = entry.cloned().unwrap_or_else(|| ledger::claim(wanted, &zone.id, recovered, &time));
    let repairs = recent(&claimed.put_back, now);
    match &verdict {
        Verdict::Right => {}
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
        }
        Verdict::Drifted(_) => {
            batches.add(&zone.id, verdict::changes(wanted, around));
            claimed.put_back = repairs.into_iter().chain([time]).collect();
        }
        Verdict::Foreign(_) if subject.spec.on_conflict() == OnConflict::Overwrite => {
            batches.add(&zone.id, verdict::changes(wanted, around));
            claimed.ours = true;
        }
        Verdict::Foreign(found) => {
            claimed.ours = false;
            plan.problems.push(conflict(wanted, &format!("holds \"{found}\", which is not this resource's"), true));
        }
        Verdict::Obstructed(what) => plan.problems.push(conflict(wanted, &format!("can't be written: {what}"), false)),
    }
    let on_its_way = observed.pending.iter().any(|change| change.hosted_zone_id == zone.id.0);
    let served = claimed.published
        || !claimed.ours
        || schedule::after(claimed.since.0, schedule::GUESSED) <= now
        || was_pending(subject, &zone.id);
    let in_sync = verdict == Verdict::Right && !on_its_way && served;
    let kept = matches!(verdict, Verdict::Foreign(_) | Verdict::Obstructed(_)) && !claimed.ours;
    if !kept {
        plan.ledger.push(claimed);
    }
    plan.findings.push(Finding { wanted: wanted.clone(), zone: zone.id.clone(), verdict, in_sync });
}

/// The repairs that still count: those within an hour of the last one, until that is an hour ago.
pub(in crate::reconcile) fn recent(put_back: &[Time], now: Timestamp) -> Vec<Time> {
    let last = put_back.iter().map(|at| at.0).max().filter(|last| schedule::after(*last, CONTENTION) > now);
    let counts = |at: &&Time| last.is_some_and(|last| schedule::after(at.0, CONTENTION) > last);
    put_back.iter().filter(counts).cloned().collect()
}

/// Whether a record that no entry speaks of is ours by the identity's tag: the status was lost. Of a DMARC record the
/// text may have been changed in Git meanwhile; a stricter one is not taken for ours, lest it be weakened.
fn is_recovered(subject: &Subject<'_>, identity: &Identity, wanted: &WantedRecord, verdict: &Verdict) -> bool {
    let claimed = claims::names(&identity.tags, wanted.purpose, subject);
    match verdict {
        Verdict::Right => claimed,
        Verdict::Foreign(found) if wanted.purpose == RecordPurpose::Dmarc && subject.status.records.is_empty() => {
            let strength = |text: &str| Record::parse(text).map(|record| record.strength());
            claimed && strength(found) <= strength(&wanted.value)
        }
        Verdict::Foreign(_) | Verdict::Missing | Verdict::Outdated | Verdict::Drifted(_) | Verdict::Obstructed(_) => {
            false
        }
    }
}

/// Whether a change of the zone was on its way by the status: then its arrival is known, not guessed.
fn was_pending(subject: &Subject<'_>, zone: &ZoneId) -> bool {
    subject.status.pending_changes.iter().any(|change| change.hosted_zone_id == zone.0)
}

fn conflict(wanted: &WantedRecord, what: &str, replaceable: bool) -> Problem {
    let remedy = if replaceable {
        "remove that record, or set spec.dns.onConflict to Overwrite"
    } else {
        "remove what stands there"
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

/// The entries of records that are no longer wanted.
fn obsolete(subject: &Subject<'_>, plan: &mut Plan) -> Vec<RecordStatus> {
    let domain = subject.domain();
    let kept = |entry: &RecordStatus| plan.ledger.iter().any(|kept| ledger::same_place(kept, entry));
    let left: Vec<RecordStatus> =
        ledger::entries(subject.status, &domain).filter(|entry| entry.ours && !kept(entry)).cloned().collect();
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
    let (name, record_type) = ledger::place(&entry);
    match observed.records.get(&zone) {
        Some(Ok(around)) => {
            let changes = verdict::removal(&name, &record_type, &entry.value, around);
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
