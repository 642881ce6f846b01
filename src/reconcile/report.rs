//! Step four: turn success or failure alike into the status, the events, and the time of the next look. Pure.
//!
//! | module | holds |
//! |---|---|
//! | [`facts`] | what there is: identity, records, stage |
//! | [`conditions`] | what is true |
//! | [`words`] | the messages' words |
//! | [`events`] | what happened |

use jiff::Timestamp;

use super::apply::Applied;
use super::observe::Observed;
use super::plan::{Change, Plan, Stay};
use super::preview::{self, Preview};
use super::schedule;
use super::subject::{Rival, Subject};
use crate::api::SesDomainStatus;
use crate::cloud::{CloudError, ErrorKind};
use crate::ses::IdentityChange;

pub mod conditions;
pub mod events;
mod facts;
pub(in crate::reconcile) mod words;

pub use events::Event;

/// What a reconcile came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The whole status.
    pub status: SesDomainStatus,
    /// What happened.
    pub events: Vec<Event>,
    /// When to look again.
    pub next: Next,
    /// The failure of this pass, if there was one.
    pub failure: Option<CloudError>,
    /// Deletion only: the finalizer may go.
    pub gone: bool,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once: this pass changed what the next one decides by.
    Now,
    /// At this time.
    At(Timestamp),
    /// After a failure: later each time, by the kind of the failure.
    Retry(ErrorKind),
}

/// The status that is written before the changes are made: it claims their records.
pub fn write_ahead(subject: &Subject<'_>, observed: &Observed, plan: &Plan, now: Timestamp) -> SesDomainStatus {
    report(subject, observed, plan, &Applied::default(), now).status
}

/// What the reconcile came to. `now` is after the changes, which may have waited for their turns.
pub fn report(subject: &Subject<'_>, observed: &Observed, plan: &Plan, applied: &Applied, now: Timestamp) -> Report {
    let failure = failure(observed, plan, applied).cloned();
    let mut status = facts::facts(subject, observed, plan, applied, now);
    if failure.is_some() {
        // Whoever asks for a look now is not answered by one at nothing.
        status.last_handled_reconcile_at.clone_from(&subject.status.last_handled_reconcile_at);
    }
    let withheld = subject.spec.suspend.then(|| preview::preview(subject, observed, plan, now));
    status.plan = match &withheld {
        // What could not be read is as it was.
        Some(Preview { failure: Some(_), .. }) => subject.status.plan.clone(),
        Some(withheld) => preview::words::for_status(withheld),
        None => Vec::new(),
    };
    let withholds = withheld.is_some_and(|withheld| !withheld.now.difference.is_empty());
    status.conditions = conditions::conditions(subject, observed, plan, applied, &status, withholds, now);
    let events = events::events(subject, observed, plan, applied, &status);
    let next = next(subject, plan, applied, failure.as_ref(), &status, now);
    Report { status, events, next, failure, gone: plan.gone }
}

/// The failure of the pass, if there was one that is more than a wait.
fn failure<'a>(observed: &'a Observed, plan: &Plan, applied: &'a Applied) -> Option<&'a CloudError> {
    let applied = applied.failure.as_ref().filter(|_| !is_too_early(observed, plan, applied));
    applied.or_else(|| observed.failure())
}

/// SES may refuse a MAIL FROM domain until it has verified DKIM: it is asked again with each look.
fn is_too_early(observed: &Observed, plan: &Plan, applied: &Applied) -> bool {
    let refused = applied.failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::Rejected);
    let change = plan.changes.get(applied.made.len());
    let identity = observed.identity.as_ref().ok().and_then(Option::as_ref);
    refused
        && matches!(change, Some(Change::ChangeIdentity { change: IdentityChange::MailFrom(Some(_)), .. }))
        && identity.is_some_and(|identity| identity.dkim.status.is_waiting())
}

fn next(
    subject: &Subject<'_>,
    plan: &Plan,
    applied: &Applied,
    failure: Option<&CloudError>,
    status: &SesDomainStatus,
    now: Timestamp,
) -> Next {
    if let Some(failure) = failure {
        return Next::Retry(failure.kind);
    }
    let again = applied.made.iter().any(|change| match change {
        // What was taken back is let go of in the tags.
        Change::CreateIdentity(_) | Change::ChangeIdentity { .. } | Change::DeleteIdentity => true,
        Change::ChangeRecords { .. } => subject.deleting,
    });
    if again || plan.corrects_status() || (plan.changes.is_empty() && plan.gone) {
        return Next::Now;
    }
    let changes = status.pending_changes.iter().map(|change| schedule::next_change_poll(change.since.0, now));
    let poll = schedule::next_poll(status, now);
    let stage = status.dmarc.as_ref().and_then(|dmarc| dmarc.until.as_ref()).map(|until| until.0);
    // A hand-over waits for what another SesDomain's status says.
    let hands_over = plan.heir.is_some() || subject.neighbors.rivals.iter().any(Rival::is_going);
    let hand_over = hands_over.then_some(now + schedule::HAND_OVER);
    let unsure = plan.is_unsure.then_some(now + schedule::WRITES_SHOW);
    let leaving = plan.staying.values().filter_map(|stay| match stay {
        Stay::Until(time) => Some(schedule::after(*time, schedule::SLACK)),
        Stay::UntilDelegated => None,
    });
    let stalled = (!plan.problems.is_empty()).then(|| schedule::next_while_stalled(status, now));
    let settled = now + schedule::SETTLED;
    let earliest = changes
        .chain(poll)
        .chain(schedule::next_after_repair(status, now))
        .chain(stage.filter(|end| *end > plan.at))
        .chain(stalled)
        .chain(hand_over)
        .chain(unsure)
        .chain(leaving)
        .chain([settled])
        .min();
    Next::At(earliest.unwrap_or(settled))
}
