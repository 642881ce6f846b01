//! The reconcile, played forward in an AWS that does as it is asked.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::difference::{self, FORESEEN_TOKENS};
use super::{Await, Step};
use crate::api::SesDomainStatus;
use crate::api::status::{PendingChange, RecordPurpose};
use crate::dns::writer::Accepted;
use crate::dns::{HostedZone, RecordChange, RecordSet};
use crate::reconcile::apply::Applied;
use crate::reconcile::observe::Observed;
use crate::reconcile::plan::records::is_verified;
use crate::reconcile::plan::{self, Change, Finding, Plan};
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict::Verdict;
use crate::reconcile::{desired, report, schedule};
use crate::ses::snapshot::fold;
use crate::ses::{Dkim, Identity, IdentityChange, NewIdentity, SigningOrigin, VerificationStatus};

/// A step that has not come to rest within so many passes is told as far as it goes.
const MOST_PASSES: usize = 8;
/// No spec leads to more steps: eight DMARC stages, and the few waits before them.
const MOST_STEPS: usize = 16;
/// The ID of a change that nobody has sent.
const FORESEEN: &str = "foreseen";

/// What would be done at once, and what would follow.
pub(super) fn play(subject: &Subject<'_>, observed: &Observed, now: Timestamp) -> (Step, Vec<Step>) {
    let mut play = Play { subject, observed: observed.clone(), status: subject.status.clone(), now };
    let (first, mut plan) = play.until_rest(None);
    let mut later = Vec::new();
    let mut problems = first.problems.clone();
    for _ in 0..MOST_STEPS {
        let is_known = !play.observed.pending.is_empty();
        let Some(awaits) = play.wait(&plan) else { break };
        let (mut step, at_rest) = play.until_rest(Some(awaits));
        // Each conflict is told where it begins.
        step.problems.retain(|problem| !problems.contains(problem));
        problems.extend(step.problems.clone());
        // That Route 53 takes its minute once more, or may still take one, is not worth a line.
        let told = step.awaits != Some(Await::Served) || !step.is_empty() || (is_known && later.is_empty());
        later.extend(told.then_some(step));
        plan = at_rest;
    }
    (first, later)
}

struct Play<'a> {
    subject: &'a Subject<'a>,
    observed: Observed,
    status: SesDomainStatus,
    now: Timestamp,
}

impl Play<'_> {
    /// Passes until nothing more is to be done without a wait; gives the last plan too.
    fn until_rest(&mut self, awaits: Option<Await>) -> (Step, Plan) {
        let before = self.observed.clone();
        let mut step = Step { awaits, ..Step::default() };
        let mut found: Vec<Finding> = Vec::new();
        let mut last = Plan::default();
        for _ in 0..MOST_PASSES {
            last = self.pass();
            found.extend(last.findings.iter().filter(|finding| finding.verdict != Verdict::Right).cloned());
            for problem in &last.problems {
                if !step.problems.contains(problem) {
                    step.problems.push(problem.clone());
                }
            }
            step.notes.extend(self.notes(&last).filter(|note| !step.notes.contains(note)).collect::<Vec<_>>());
            if (last.changes.is_empty() && !last.corrects_status()) || last.gone {
                break;
            }
        }
        step.difference = difference::between(&self.subject.domain(), &before, &self.observed, &found);
        (step, last)
    }

    /// One reconcile whose every change is made.
    fn pass(&mut self) -> Plan {
        let subject = Subject { status: &self.status, ..self.subject.clone() };
        let plan = plan::plan(&subject, &self.observed, self.now);
        let accepted = plan.changes.iter().filter_map(|change| match change {
            Change::ChangeRecords { zone, .. } => {
                Some((zone.clone(), Accepted { id: FORESEEN.to_owned(), at: self.now }))
            }
            Change::CreateIdentity(_) | Change::ChangeIdentity { .. } | Change::DeleteIdentity => None,
        });
        let applied = Applied { accepted: accepted.collect(), made: plan.changes.clone(), failure: None };
        self.status = report::report(&subject, &self.observed, &plan, &applied, self.now).status;
        for change in &plan.changes {
            self.carry_out(change);
        }
        plan
    }

    fn carry_out(&mut self, change: &Change) {
        match change {
            Change::CreateIdentity(new) => {
                self.observed.identity = Ok(Some(created(new)));
                // Nobody looked for tokens that don't exist yet.
                let domain = self.subject.domain();
                let near = |zone: &&HostedZone| zone.name.is_within(&domain) || domain.is_within(&zone.name);
                let zones = self.observed.zones.clone().unwrap_or_default();
                for zone in zones.iter().filter(near) {
                    self.observed.records.entry(zone.id.clone()).or_insert_with(|| Ok(Vec::new()));
                }
            }
            Change::ChangeIdentity { change, .. } => {
                let Ok(Some(identity)) = &mut self.observed.identity else { return };
                match change {
                    // Nobody else claims it meanwhile.
                    IdentityChange::Tag(tags) => identity.tags.extend(tags.clone()),
                    IdentityChange::DkimKey(_) => identity.dkim.status = VerificationStatus::Pending,
                    IdentityChange::MailFrom(_)
                    | IdentityChange::Signing(_)
                    | IdentityChange::FeedbackForwarding(_)
                    | IdentityChange::ConfigurationSet(_)
                    | IdentityChange::Untag(_) => {
                        fold(identity, change);
                    }
                }
            }
            Change::DeleteIdentity => self.observed.identity = Ok(None),
            Change::ChangeRecords { zone, changes } => {
                if let Some(Ok(sets)) = self.observed.records.get_mut(zone) {
                    changes.iter().for_each(|change| write(sets, change));
                }
                self.observed.pending.push(PendingChange {
                    id: FORESEEN.to_owned(),
                    hosted_zone_id: zone.to_string(),
                    since: Time(self.now),
                });
            }
        }
    }

    /// What must come to pass before anything more is done, and lets it come to pass.
    fn wait(&mut self, plan: &Plan) -> Option<Await> {
        if plan.gone || self.subject.deleting {
            return None;
        }
        let on_their_way = |finding: &Finding| finding.verdict == Verdict::Right && !finding.in_sync;
        if !self.observed.pending.is_empty() || plan.findings.iter().any(on_their_way) {
            self.observed.pending.clear();
            self.now = schedule::after(self.now, schedule::GUESSED);
            return Some(Await::Served);
        }
        let Ok(Some(identity)) = &mut self.observed.identity else { return None };
        let waits = |status: VerificationStatus, purpose| status.is_waiting() && serves(plan, purpose);
        let dkim = waits(identity.dkim.status, RecordPurpose::Dkim);
        let mail_from = identity
            .mail_from
            .as_mut()
            .filter(|found| self.subject.mail_from().as_ref() == Some(&found.domain))
            .filter(|found| waits(found.status, RecordPurpose::MailFromMx));
        if dkim || mail_from.is_some() {
            if dkim {
                identity.dkim.status = VerificationStatus::Success;
            }
            let mail_from = mail_from.map(|found| {
                found.status = VerificationStatus::Success;
                found.domain.clone()
            });
            return Some(Await::Verified { dkim, mail_from });
        }
        if !is_verified(self.subject, identity) {
            return None;
        }
        self.next_stage()
    }

    fn next_stage(&mut self) -> Option<Await> {
        let (state, policy) = (self.status.dmarc.as_ref()?, self.subject.spec.dmarc_policy.as_ref()?);
        let at = state.until.as_ref()?.0;
        let index = policy.stages.iter().position(|stage| stage.name == state.stage)?;
        let (ends, begins) = (&policy.stages[index], policy.stages.get(index + 1)?);
        if at <= self.now {
            return None;
        }
        self.now = at;
        let known = self.subject.status.dmarc.as_ref();
        Some(Await::Stage {
            ends: ends.name.clone(),
            lasts: ends.min_duration.clone().unwrap_or_default(),
            begins: begins.name.clone(),
            at,
            begun: known.is_some_and(|known| known.stage == ends.name && known.since.is_some()),
        })
    }

    fn notes(&self, plan: &Plan) -> impl Iterator<Item = String> {
        let released = plan.released_dmarc.as_ref().map(|record| {
            let name = desired::dmarc_name(&self.subject.domain());
            format!("{name} TXT \"{record}\" stays as it is, and is no longer managed: spec.dmarcPolicy was removed")
        });
        let staying: Vec<String> = report::words::staying(plan).collect();
        released.into_iter().chain(plan.left_behind.clone()).chain(staying)
    }
}

/// An identity as SES would describe it after its creation.
fn created(new: &NewIdentity) -> Identity {
    Identity {
        dkim: Dkim {
            status: VerificationStatus::Pending,
            signing_enabled: true,
            tokens: FORESEEN_TOKENS.map(str::to_owned).to_vec(),
            signing_hosted_zone: None,
            origin: SigningOrigin::AwsSes,
            next_key_length: new.key_length,
            error: None,
        },
        mail_from: None,
        feedback_forwarding: true,
        configuration_set: new.configuration_set.clone(),
        tags: new.tags.clone(),
    }
}

fn write(sets: &mut Vec<RecordSet>, change: &RecordChange) {
    let (RecordChange::Create(set) | RecordChange::Delete(set)) = change;
    sets.retain(|other| !other.is_at(&set.name, &set.record_type));
    if matches!(change, RecordChange::Create(_)) {
        sets.push(set.clone());
    }
}

/// Whether the records of a purpose are served: SES verifies nothing that it can't find.
fn serves(plan: &Plan, purpose: RecordPurpose) -> bool {
    let mut findings = plan.findings.iter().filter(|finding| finding.wanted.purpose == purpose).peekable();
    findings.peek().is_some() && findings.all(|finding| finding.in_sync)
}
