//! The limiters of one account: SES has a quota for each Region and operation, Route 53 one for all calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::caller::Class;
use super::limiter::{Limiter, Pace};
use crate::clock::Clock;
use crate::cloud::Region;

/// SES answers one request a second for each account and Region: this leaves a tenth to others.
pub const SES_RATE: f64 = 0.9;
/// Route 53 answers five requests a second for the whole account: external-dns and cert-manager spend from the same.
pub const ROUTE53_RATE: f64 = 3.0;

/// How fast the services may be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Requests to SES a second, in each Region and for each operation.
    pub ses: f64,
    /// Whether all operations of SES share one quota: AWS does not say.
    pub ses_is_shared: bool,
    /// Requests to Route 53 a second.
    pub route53: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Self { ses: SES_RATE, ses_is_shared: false, route53: ROUTE53_RATE }
    }
}

/// The quota that a call spends from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Quota {
    Ses(Region, Option<&'static str>),
    Route53,
}

/// The limiters of one account.
#[derive(Clone, Debug)]
pub struct Limiters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rates: Rates,
    clock: Clock,
    limiters: Mutex<HashMap<Quota, Arc<Limiter>>>,
}

impl Limiters {
    /// Limiters at their full pace.
    pub fn new(rates: Rates, clock: Clock) -> Self {
        Self(Arc::new(Inner { rates, clock, limiters: Mutex::default() }))
    }

    /// The limiter of an operation of SES in a Region.
    pub fn ses(&self, region: &Region, operation: &'static str) -> Arc<Limiter> {
        let operation = (!self.0.rates.ses_is_shared).then_some(operation);
        self.of(Quota::Ses(region.clone(), operation), Pace::per_second(self.0.rates.ses))
    }

    /// The limiter of Route 53.
    pub fn route53(&self) -> Arc<Limiter> {
        self.of(Quota::Route53, Pace::per_second(self.0.rates.route53))
    }

    /// The time, for what waits for no turn.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// How many calls of a class wait: for SES, and for Route 53.
    pub fn waiting(&self, class: Class) -> [(&'static str, usize); 2] {
        let limiters = self.0.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = [("ses", 0), ("route53", 0)];
        for (quota, limiter) in limiters.iter() {
            let service = usize::from(*quota == Quota::Route53);
            waiting[service].1 += limiter.waiting(class);
        }
        waiting
    }

    fn of(&self, quota: Quota, pace: Pace) -> Arc<Limiter> {
        let mut limiters = self.0.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let limiter = limiters.entry(quota).or_insert_with(|| Arc::new(Limiter::new(pace, self.0.clock.clone())));
        Arc::clone(limiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ses_is_limited_by_region_and_operation_or_by_region_alone() {
        let same = |shared, other_region: bool, other_operation: bool| {
            let rates = Rates { ses_is_shared: shared, ..Rates::default() };
            let limiters = Limiters::new(rates, Clock::system());
            let region = if other_region { "eu-central-1" } else { "eu-west-1" };
            let operation = if other_operation { "ses:GetEmailIdentity" } else { "ses:CreateEmailIdentity" };
            let one = limiters.ses(&Region::new("eu-west-1"), "ses:CreateEmailIdentity");
            Arc::ptr_eq(&one, &limiters.ses(&Region::new(region), operation))
        };
        assert!(same(false, false, false));
        assert!(!same(false, false, true));
        assert!(!same(false, true, false));
        assert!(same(true, false, true));
        assert!(!same(true, true, true));
    }
}
