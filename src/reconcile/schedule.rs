//! When to look again, and how old an answer may be by then.
//!
//! Both come from the same due points, derived from the status and the time, so that nothing has to be remembered: a
//! restarted operator keeps the rhythm.

use jiff::{SignedDuration, Timestamp};

use super::plan::Plan;
use super::plan::records::CONTENTION;
use super::subject::Subject;
use crate::api::SesDomainStatus;

/// A settled identity is read whole this often; between that the rounds see it in the list of its Region.
pub const SETTLED: SignedDuration = SignedDuration::from_hours(24);
/// An answer this old is read anew when its day has come.
const SETTLED_IDENTITY: SignedDuration = SignedDuration::from_hours(20);
/// Zones and their records may be this old: the rounds read them as often.
const SETTLED_DNS: SignedDuration = SignedDuration::from_mins(60);
/// That a new identity does not exist may be known from a list this old: creating it is refused if it does.
const LISTED: SignedDuration = SignedDuration::from_mins(15);
/// How often the records are read anew while SES looks for them: it is patient for 72 hours, and the rounds look too.
const UNDER_VERIFICATION: SignedDuration = SignedDuration::from_hours(12);
/// How often a hand-over from one SesDomain to another is looked at: it is known from the cluster alone.
pub(super) const HAND_OVER: SignedDuration = SignedDuration::from_secs(5);
/// How soon is read again what may have been read as it was before our last write.
pub(super) const WRITES_SHOW: SignedDuration = SignedDuration::from_mins(1);
/// How soon a domain is looked at that waits for a person; later ones take as long as it has been waiting.
const STALLED: SignedDuration = SignedDuration::from_mins(2);
/// Looks at a domain that waits for a person are never further apart than this.
const LONGEST_STALLED: SignedDuration = SignedDuration::from_mins(30);
/// How old an answer may be when a person is asked to act on it, or something is deleted. Less than [`STALLED`].
const FRESH_ENOUGH: SignedDuration = SignedDuration::from_secs(90);
/// How old an answer may be that something is written over: what we wrote is folded in, and compare-and-swap catches the
/// rest of the records.
const FRESH_ENOUGH_TO_WRITE: SignedDuration = SignedDuration::from_mins(10);
/// The first look after a verification began; each later one doubles the time since then.
const FIRST_POLL: SignedDuration = SignedDuration::from_secs(60);
/// Looks are never further apart than this.
const LONGEST_POLL: SignedDuration = SignedDuration::from_mins(256);
/// AWS's own delays end on the second: look just after.
pub(super) const SLACK: SignedDuration = SignedDuration::from_secs(1);
/// A record whose change's ID was lost is believed to be served this long after it was first seen: the 60 seconds that
/// AWS speaks of, and one for the read that showed it.
pub(super) const GUESSED: SignedDuration = SignedDuration::from_secs(61);
/// How soon a domain is looked at again after something was put back: whoever changed it may do so again.
const AFTER_REPAIR: SignedDuration = SignedDuration::from_mins(10);
/// Looks at a change: INSYNC comes within 60 seconds as a rule, so one look is enough.
const CHANGE_POLL: SignedDuration = SignedDuration::from_secs(61);
/// All domains of a batch share the answer to one look at its change.
const CHANGE_ANSWER: SignedDuration = SignedDuration::from_secs(30);

/// How old each answer may be, as the earliest time at which it may have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Of the identity.
    pub identity: Timestamp,
    /// Of the identity too, but that a list may tell in its stead that its verification goes on.
    pub poll: Timestamp,
    /// Of the list of identities, where it tells that one was never made.
    pub listed: Timestamp,
    /// Of the list of hosted zones.
    pub zones: Timestamp,
    /// Of record sets.
    pub records: Timestamp,
    /// Of public DNS, which is asked only where something would be written by what it answers.
    pub public: Timestamp,
}

/// How old each answer may be in this reconcile.
pub fn freshness(subject: &Subject<'_>, now: Timestamp) -> Freshness {
    if subject.is_requested() {
        return Freshness { identity: now, poll: now, listed: now, zones: now, records: now, public: now };
    }
    let listed = now - LISTED;
    let (recent, older) = (now - FRESH_ENOUGH, now - FRESH_ENOUGH_TO_WRITE);
    let public = older;
    if subject.deleting || stalled_since(subject.status).is_some() {
        return Freshness { identity: recent, poll: recent, listed, zones: older, records: recent, public };
    }
    if subject.is_new_generation() {
        return Freshness { identity: recent, poll: recent, listed, zones: older, records: older, public };
    }
    let (identity, records) = match next_after_repair(subject.status, now) {
        Some(_) => (now - (AFTER_REPAIR - SLACK * 60), now - (AFTER_REPAIR - SLACK * 60)),
        None => (now - SETTLED_IDENTITY, now - SETTLED_DNS),
    };
    let zones = now - SETTLED_DNS;
    let Some(since) = waiting_since(subject.status) else {
        return Freshness { identity, poll: identity, listed, zones, records, public };
    };
    let identity = identity.min(since);
    let poll = last_poll(since, now).unwrap_or(identity);
    if is_at_first_verification(subject.status) {
        let older = now - UNDER_VERIFICATION;
        return Freshness { identity, poll, listed, zones: older, records: older, public };
    }
    Freshness { identity, poll, listed, zones, records, public }
}

/// How old the answers may be that a plan was made on: what is asked of a person is true now, and what is written is
/// written over what was read lately.
pub fn fresh_enough(plan: &Plan, freshness: Freshness, now: Timestamp) -> Freshness {
    let asks = !plan.problems.is_empty();
    let recent = now - if asks { FRESH_ENOUGH } else { FRESH_ENOUGH_TO_WRITE };
    let mut needed = freshness;
    if plan.rests_on_identity() {
        needed.identity = needed.identity.max(recent);
    }
    if plan.rests_on_tags() {
        needed.identity = now;
    }
    if plan.is_unsure {
        needed.records = now;
    }
    if plan.rests_on_records() {
        needed.records = needed.records.max(recent);
    }
    if asks {
        needed.zones = needed.zones.max(recent);
        needed.public = needed.public.max(recent);
    }
    needed
}

/// Since when the domain waits for a person.
fn stalled_since(status: &SesDomainStatus) -> Option<Timestamp> {
    let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled")?;
    Some(stalled.last_transition_time.0)
}

/// The next look at a domain that waits for a person: soon at first, while whoever applied it may be watching.
pub fn next_while_stalled(status: &SesDomainStatus, now: Timestamp) -> Timestamp {
    let waited = stalled_since(status).map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    after(now, waited.clamp(STALLED, LONGEST_STALLED))
}

/// The next look after a repair, while one still counts.
pub fn next_after_repair(status: &SesDomainStatus, now: Timestamp) -> Option<Timestamp> {
    let of_records = status.records.iter().flat_map(|entry| &entry.put_back);
    let of_identity = status.identity.iter().flat_map(|identity| &identity.put_back);
    let last = of_records.chain(of_identity).map(|at| at.0).max()?;
    (after(last, CONTENTION) > now).then(|| now + AFTER_REPAIR)
}

/// A time and a duration after it. A time of the status may be any: somebody may have written it.
pub fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// Whether SES has found nothing amiss so far: it has not lost records that it had found, nor given up.
fn is_at_first_verification(status: &SesDomainStatus) -> bool {
    let words = status.dkim.iter().map(|dkim| &dkim.status).chain(status.mail_from.iter().map(|found| &found.status));
    !words.into_iter().any(|word| matches!(word.as_str(), "TemporaryFailure" | "Failed"))
}

/// Since when the youngest verification waits that still does. While records are on their way nothing can be found.
fn waiting_since(status: &SesDomainStatus) -> Option<Timestamp> {
    let waits = |word: &str| matches!(word, "NotStarted" | "Pending" | "TemporaryFailure" | "Failed");
    let dkim = status.dkim.iter().filter(|dkim| waits(&dkim.status)).map(|dkim| dkim.since.0);
    // A MAIL FROM domain that is not set waits for us.
    let waits = |word: &str| waits(word) && word != "NotStarted";
    let mail_from =
        status.mail_from.iter().filter(|mail_from| waits(&mail_from.status)).map(|mail_from| mail_from.since.0);
    dkim.chain(mail_from).max().filter(|_| status.pending_changes.is_empty())
}

/// The next look at the identity for what it waits for.
pub fn next_poll(status: &SesDomainStatus, now: Timestamp) -> Option<Timestamp> {
    let since = waiting_since(status)?;
    polls(since).find(|due| *due > now)
}

/// The last look that was due by now.
fn last_poll(since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    polls(since).take_while(|due| *due <= now).last()
}

/// The looks at what waits since `since`: after 1, 2, 4, 8 … minutes, and never more than [`LONGEST_POLL`] apart.
fn polls(since: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(Some(FIRST_POLL), |after| Some(*after + (*after).min(LONGEST_POLL)))
        .map(move |wait| after(since, wait + SLACK))
}

/// When a look at a change that was accepted at `since` was last due, less what domains may share.
pub fn change_is_due(since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let polls = now.duration_since(since).as_secs() / CHANGE_POLL.as_secs();
    let last = i32::try_from(polls).unwrap_or(i32::MAX);
    (last > 0).then(|| after(since, CHANGE_POLL * last - CHANGE_ANSWER))
}

/// Whether a change whose ID was lost, and that was first seen at `since`, is believed to have arrived.
pub fn is_believed_to_be_served(since: Timestamp, now: Timestamp) -> bool {
    now >= after(since, GUESSED)
}

/// The next look at a change that was accepted at `since`.
pub fn next_change_poll(since: Timestamp, now: Timestamp) -> Timestamp {
    let first = after(since, CHANGE_POLL);
    if first > now { first } else { after(now, CHANGE_POLL) }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::status::DkimState;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn pending_since(seconds: i64) -> SesDomainStatus {
        let dkim = DkimState { status: "Pending".into(), since: Time(at(seconds)), tokens: vec![], restarted_at: None };
        SesDomainStatus { dkim: Some(dkim), ..SesDomainStatus::default() }
    }

    /// The looks until a verification of this length is seen to have succeeded.
    fn polls_for(delay: i64) -> usize {
        let status = pending_since(0);
        let looks = std::iter::successors(Some(at(0)), |now| next_poll(&status, *now));
        1 + looks.skip(1).take_while(|look| *look < at(delay)).count()
    }

    #[test]
    fn a_verification_of_any_length_is_seen_with_few_polls() {
        for (delay, most) in [(60, 1), (15 * 60, 5), (6 * 3600, 10)] {
            assert_eq!(polls_for(delay), most, "a delay of {delay} s");
        }
    }

    #[test]
    fn nothing_is_polled_while_records_are_on_their_way() {
        let mut status = pending_since(0);
        assert_eq!(next_poll(&status, at(0)), Some(at(61)));
        status.pending_changes.push(crate::api::status::PendingChange {
            id: "C1".into(),
            hosted_zone_id: "Z1".into(),
            since: Time(at(0)),
        });
        assert_eq!(next_poll(&status, at(0)), None);
    }

    #[test]
    fn a_change_that_is_served_within_a_minute_is_seen_with_one_look() {
        assert_eq!(change_is_due(at(0), at(60)), None);
        assert_eq!(change_is_due(at(0), at(61)), Some(at(31)));
        assert_eq!(change_is_due(at(0), at(125)), Some(at(92)));
        assert_eq!(next_change_poll(at(0), at(0)), at(61));
        assert_eq!(next_change_poll(at(0), at(61)), at(122));
        assert_eq!(next_change_poll(at(0), at(200)), at(261));
    }

    #[test]
    fn a_domain_that_waits_for_a_person_is_looked_at_less_and_less() {
        let stalled = serde_json::json!({"conditions": [{
            "type": "Stalled", "status": "True", "reason": "RecordConflict", "message": "x",
            "lastTransitionTime": at(0).to_string(),
        }]});
        let status: SesDomainStatus = serde_json::from_value(stalled).expect("a status");
        for (now, next) in [(0, 120), (120, 240), (600, 1200), (86_400, 88_200)] {
            assert_eq!(next_while_stalled(&status, at(now)), at(next));
        }
    }
}
