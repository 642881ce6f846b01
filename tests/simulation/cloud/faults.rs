//! Calls that fail, lose their answer, or at which the operator dies.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use ses_operator::cloud::ErrorKind;

use crate::random::Random;

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// It is refused and does nothing.
    Refuse(ErrorKind),
    /// It is carried out and its answer is lost.
    LoseAnswer,
    /// The operator is killed before it is sent.
    DieBefore,
    /// The operator is killed after it was carried out.
    DieAfter,
    /// The operator is killed, and the call is carried out so much later.
    LandLate(SignedDuration),
    /// A read is answered, and the answer is empty.
    Empty,
}

/// What can be read empty: each of these answers may hold nothing.
pub const MAY_BE_EMPTY: [&str; 4] = [
    "ses:GetEmailIdentity",
    "ses:ListEmailIdentities",
    "route53:ListHostedZonesByName",
    "route53:ListResourceRecordSets",
];
/// An answer that was empty is not empty again for so long: of two reads at least one shows what is there.
const SHOWN_AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// Which calls are struck.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Vec<Rule>,
    chance: Option<Chance>,
    throttling: Option<Throttling>,
    outages: Vec<Outage>,
    /// An operation whose answers are never empty.
    pub never_empty: Option<&'static str>,
    /// When each object was last read empty.
    emptied: BTreeMap<(String, String), Timestamp>,
    /// How many calls were struck.
    pub struck: usize,
    /// Whether one of them landed after its sender's death.
    pub landed_late: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    operation: &'static str,
    object: &'static str,
    skip: usize,
    times: usize,
    strike: Strike,
}

#[derive(Clone, Debug)]
struct Chance {
    random: Random,
    once_in: i64,
    until: Timestamp,
    /// Whether a call may land after its sender's death.
    late: bool,
}

/// Every call of a service is refused for a while.
#[derive(Clone, Debug)]
struct Outage {
    service: &'static str,
    from: Timestamp,
    until: Timestamp,
    kind: ErrorKind,
}

/// Every call is refused for a while, then every second one.
#[derive(Clone, Debug)]
struct Throttling {
    random: Random,
    all_until: Timestamp,
    half_until: Timestamp,
}

impl Faults {
    /// Strikes the next `times` calls of an operation, or of any (`""`), after letting `skip` pass.
    pub fn add(&mut self, operation: &'static str, skip: usize, times: usize, strike: Strike) {
        self.rules.push(Rule { operation, object: "", skip, times, strike });
    }

    /// Strikes the next `times` calls of an operation for one object: a domain, a zone.
    pub fn add_for(&mut self, operation: &'static str, object: &'static str, times: usize, strike: Strike) {
        self.rules.push(Rule { operation, object, skip: 0, times, strike });
    }

    /// Strikes one call in so many, until then; `late`: some land after their sender's death.
    pub fn at_random(&mut self, random: Random, once_in: i64, until: Timestamp, late: bool) {
        self.chance = Some(Chance { random, once_in, until, late });
    }

    /// Throttles every call to AWS until then, and half of them until later.
    pub fn throttle(&mut self, random: Random, all_until: Timestamp, half_until: Timestamp) {
        self.throttling = Some(Throttling { random, all_until, half_until });
    }

    /// Refuses every call of a service, `api:`, `ses:` or `route53:`, in this time.
    pub fn refuse(&mut self, service: &'static str, from: Timestamp, until: Timestamp, kind: ErrorKind) {
        self.outages.push(Outage { service, from, until, kind });
    }

    /// All is well again.
    pub fn clear(&mut self) {
        self.throttling = None;
        self.outages.clear();
        self.rules.clear();
        self.chance = None;
    }

    pub(super) fn strike(&mut self, operation: &str, object: &str, now: Timestamp) -> Option<Strike> {
        let strike = self.draw(operation, object, now);
        self.struck += usize::from(strike.is_some());
        self.landed_late |= matches!(strike, Some(Strike::LandLate(_)));
        strike
    }

    fn draw(&mut self, operation: &str, object: &str, now: Timestamp) -> Option<Strike> {
        for rule in &mut self.rules {
            let concerns = |asked: &str, of: &str| asked.is_empty() || asked == of;
            if !concerns(rule.operation, operation) || !concerns(rule.object, object) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                return Some(rule.strike);
            }
        }
        let in_outage =
            |outage: &&Outage| operation.starts_with(outage.service) && outage.from <= now && now < outage.until;
        if let Some(outage) = self.outages.iter().find(in_outage) {
            return Some(Strike::Refuse(outage.kind));
        }
        let is_aws = operation.starts_with("ses:") || operation.starts_with("route53:");
        if let Some(throttling) = self.throttling.as_mut().filter(|_| is_aws) {
            let half = now < throttling.half_until && throttling.random.once_in(2);
            if now < throttling.all_until || half {
                return Some(Strike::Refuse(ErrorKind::Throttled));
            }
        }
        let chance = self.chance.as_mut().filter(|chance| now < chance.until)?;
        if !chance.random.once_in(chance.once_in) {
            return None;
        }
        let strikes = [
            Strike::Refuse(ErrorKind::Throttled),
            Strike::Refuse(ErrorKind::Unavailable),
            Strike::Refuse(ErrorKind::Denied),
            Strike::Refuse(ErrorKind::Busy),
            Strike::Empty,
            Strike::LoseAnswer,
            Strike::LoseAnswer,
            Strike::DieBefore,
            Strike::DieAfter,
            Strike::LandLate(SignedDuration::from_secs(chance.random.between(1, 120))),
        ];
        let possible = if chance.late { &strikes[..] } else { &strikes[..strikes.len() - 1] };
        let strike = *chance.random.one_of(possible);
        if strike == Strike::Empty {
            if !self.may_be_empty(operation, object, now) {
                return None;
            }
            self.emptied.insert((operation.to_owned(), object.to_owned()), now);
        }
        Some(strike)
    }

    fn may_be_empty(&self, operation: &str, object: &str, now: Timestamp) -> bool {
        let last = self.emptied.get(&(operation.to_owned(), object.to_owned()));
        let may_be = MAY_BE_EMPTY.contains(&operation) && self.never_empty != Some(operation);
        may_be && last.is_none_or(|last| *last + SHOWN_AGAIN <= now)
    }
}
