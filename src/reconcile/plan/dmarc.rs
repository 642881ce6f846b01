//! Which DMARC record is wanted. Pure.

use super::records::{Ground, is_verified};
use super::{DmarcStanding, Plan, Problem};
use crate::api::Reason;
use crate::api::status::RecordPurpose;
use crate::dmarc::record::Record;
use crate::dmarc::stages::{self, Evidence};
use crate::dns::{HostedZone, RecordSet, RecordType, ZoneId, text, zones};
use crate::reconcile::desired::{WantedRecord, dmarc_name, dmarc_record};
use crate::reconcile::observe::Observed;
use crate::reconcile::subject::Subject;

/// The DMARC record of the stage that the walk has come to.
pub(super) fn wanted(ground: Ground<'_>, plan: &mut Plan) -> Option<WantedRecord> {
    let Ground { subject, observed, identity, zones, now } = ground;
    let policy = subject.spec.dmarc_policy.as_ref()?;
    let published = published_dmarc(subject, observed, zones);
    let walk = stages::walk(
        policy,
        Evidence {
            published: published.as_ref(),
            remembered: subject.status.dmarc.as_ref(),
            verified: is_verified(subject, identity),
            now,
        },
    );
    if let (None, false, Some(published)) = (walk.stage, walk.held, &published) {
        plan.problems.push(stricter_than_all(subject, published));
    }
    plan.dmarc =
        Some(DmarcStanding { stage: walk.stage.map(|stage| stage.name.clone()), until: walk.until, held: walk.held });
    walk.stage.map(|stage| dmarc_record(subject, policy, stage))
}

/// A record that is stricter than every stage is not weakened unless a person says so.
fn stricter_than_all(subject: &Subject<'_>, published: &Record) -> Problem {
    Problem {
        reason: Reason::RecordConflict,
        purpose: Some(RecordPurpose::Dmarc),
        message: format!(
            "{} TXT holds \"{published}\", which is stricter than every stage: add a stage that is as strict, or set spec.dmarcPolicy.activeStage to weaken it",
            dmarc_name(&subject.domain())
        ),
    }
}

/// The DMARC record that stands in the zone, if exactly one does.
fn published_dmarc(subject: &Subject<'_>, observed: &Observed, zones: &[HostedZone]) -> Option<Record> {
    let name = dmarc_name(&subject.domain());
    let preferred = subject.spec.hosted_zone_id().map(|id| ZoneId(id.to_owned()));
    let zone = zones::zone_for(&name, zones, preferred.as_ref(), &[]).ok()?;
    let around: &[RecordSet] = observed.records.get(&zone.id)?.as_ref().ok()?;
    let set = around.iter().find(|set| set.is_at(&name, &RecordType::Txt))?;
    let mut records = set.values.iter().filter_map(|value| Record::parse(&text::unquote(value)));
    match (records.next(), records.next()) {
        (Some(record), None) => Some(record),
        _ => None,
    }
}
