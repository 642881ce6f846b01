//! The words of the messages: each names the object, the cause and the next step, and stays the same while nothing changes.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::cloud::{CloudError, ErrorKind};
use crate::reconcile::plan::{Plan, Problem, Stay};

/// SES looks for records this long before it gives up.
const SES_GIVES_UP: SignedDuration = SignedDuration::from_hours(72);

pub(super) fn all_messages<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    problems.map(|problem| problem.message.as_str()).collect::<Vec<_>>().join(". Also: ")
}

pub(super) fn waiting(what: &str, since: &Time) -> String {
    format!(
        "SES looks for {what} since {}, and gives up at {}; nothing is to be done until then",
        seconds(since.0),
        gives_up(since)
    )
}

pub(super) fn lost(what: &str, since: &Time) -> String {
    format!("SES no longer finds {what}, noticed at {}; it looks until about {}", seconds(since.0), gives_up(since))
}

pub(super) fn failed(what: &str, since: &Time, restarted: Option<&Time>) -> String {
    let next = match restarted {
        Some(at) => format!("it was asked to look again at {}", seconds(at.0)),
        None => "it is asked to look again once the records are served".to_owned(),
    };
    format!("SES gave up looking for {what}, noticed at {}; {next}", seconds(since.0))
}

fn gives_up(since: &Time) -> String {
    since.0.checked_add(SES_GIVES_UP).map(seconds).unwrap_or_default()
}

/// What is left in zones that the records have moved from, and how long.
pub(in crate::reconcile) fn staying(plan: &Plan) -> impl Iterator<Item = String> {
    plan.staying.iter().map(|(zone, stay)| match stay {
        Stay::Until(time) => format!(
            "those in the hosted zone {zone} stay until {}, since resolvers remember its name servers for two days",
            seconds(*time)
        ),
        Stay::UntilDelegated => {
            format!("those in the hosted zone {zone} stay until it delegates to the zone that has them now")
        }
    })
}

/// A time as people read it, to the second.
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A failure as the person on call reads it.
pub(super) fn describe(error: &CloudError) -> String {
    let next = match error.kind {
        ErrorKind::Denied => "allow it to the operator's IAM role",
        ErrorKind::Unauthenticated => "check the operator's credentials, and the clock of its node",
        ErrorKind::Rejected => "correct what AWS names; it is tried again every few minutes",
        ErrorKind::QuotaExceeded => "ask AWS to raise the quota, or delete identities that are not used",
        ErrorKind::Throttled => "nothing is to be done: it is tried again, less often",
        ErrorKind::Busy | ErrorKind::Unavailable => "nothing is to be done: it is tried again",
        ErrorKind::NotFound | ErrorKind::Conflict => "it was changed meanwhile and is looked at again",
        ErrorKind::NotLeading => "another replica takes over",
    };
    format!("{error}; {next}")
}
