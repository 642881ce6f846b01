//! The limiter against a quota that another client spends from: how much is refused, and how much is left unused.

use std::cell::RefCell;
use std::sync::Arc;

use jiff::SignedDuration;
use ses_operator::clock::Clock;
use ses_operator::cloud::{CloudError, ErrorKind};
use ses_operator::quota::limiter::{Limiter, Pace};
use ses_operator::quota::{Caller, Class};

use super::desk::Desk;
use super::quota::{Quota, Tally, Who};
use crate::cloud::error;
use crate::random::Random;
use crate::seeds;

/// Route 53's.
const QUOTA: f64 = 5.0;

/// An operator that has always something to ask, and other clients.
struct Line {
    desk: Desk<Result<(), CloudError>>,
    quota: Quota,
    draw: Random,
}

impl Line {
    /// An operator that may spend so much of the quota.
    fn of(pace: f64, seed: u64) -> Self {
        let mut desk = Desk::new();
        let quota = Quota::new(desk.hand.clone(), QUOTA);
        let clock = Clock::moved_by(desk.hand.clone());
        let limiter = Arc::new(Limiter::new(Pace::per_second(pace), clock.clone()));
        let mut draw = Random::seeded(seed);
        // More than are ever under way at once.
        for _ in 0..20 {
            let (limiter, quota, clock, draw) =
                (Arc::clone(&limiter), quota.clone(), clock.clone(), RefCell::new(draw.split()));
            desk.ask(async move {
                loop {
                    ask(&limiter, &quota, &clock, &draw).await?;
                }
            });
        }
        Self { desk, quota, draw }
    }

    fn shared_with(&mut self, rate: f64, seconds: i64) {
        let until = self.desk.hand.now() + SignedDuration::from_secs(seconds);
        let other = self.quota.clone().shared_with_another(rate, self.draw.split(), until);
        self.desk.ask(async move {
            other.await;
            Ok(())
        });
    }

    /// What the operator asked for in so many seconds.
    fn pass(&mut self, seconds: i64) -> Tally {
        let before = self.quota.tally(Who::Operator);
        self.desk.pass(seconds);
        let after = self.quota.tally(Who::Operator);
        Tally { asked: after.asked - before.asked, refused: after.refused - before.refused }
    }
}

/// One call, which is on its way for up to a tenth of a second.
async fn ask(limiter: &Limiter, quota: &Quota, clock: &Clock, draw: &RefCell<Random>) -> Result<(), CloudError> {
    let send = |_| {
        let way = SignedDuration::from_millis(draw.borrow_mut().between(20, 100));
        async move {
            clock.sleep_until(clock.now() + way).await;
            quota.take(Who::Operator).map_err(|kind| error(kind, "route53:GetChange", "C1", "too many"))
        }
    };
    match limiter.send(&Caller::new(Class::Changed, "mail"), send).await.answer {
        // After eight times: whoever asked asks again.
        Err(error) if error.kind == ErrorKind::Throttled => Ok(()),
        answer => answer,
    }
}

#[test]
fn of_a_quota_that_is_all_ours_everything_is_used_and_nothing_refused() {
    let mut line = Line::of(QUOTA, 1);
    let tally = line.pass(3600);
    assert!(tally.granted() >= 17_950, "{tally:?}");
    assert!(tally.at_most(1), "{tally:?}");
}

#[test]
fn of_a_quota_that_another_client_spends_from_what_is_left_is_used_and_little_refused() {
    for seed in seeds::asked("LIMITING", 10, 100) {
        for (other, left, in_a_thousand) in [(1.0, 4.0, 5), (2.0, 3.0, 10), (3.0, 2.0, 15)] {
            let mut line = Line::of(QUOTA, seed);
            line.shared_with(other, 3600);
            let tally = line.pass(3600);
            println!("LIMITING={seed}: another client takes {other}/s: {tally:?}");
            assert!(tally.at_most(in_a_thousand), "LIMITING={seed}, {other}/s: {tally:?}");
            let most = left * 3600.0;
            assert!(
                tally.granted() as f64 >= 0.9 * most,
                "LIMITING={seed}, {other}/s: {tally:?}, and {most} were left"
            );
            let others = line.quota.tally(Who::Other);
            assert!(others.at_most(50), "LIMITING={seed}, {other}/s: of the other's {others:?}");
        }
    }
}

#[test]
fn a_pace_that_leaves_room_for_others_is_never_slowed_down_by_them() {
    let mut line = Line::of(0.6 * QUOTA, 1);
    line.shared_with(1.8, 3600);
    let tally = line.pass(3600);
    assert!(tally.at_most(1) && tally.granted() >= 10_700, "{tally:?}");
}

#[test]
fn the_pace_comes_back_within_minutes_once_the_other_client_has_gone() {
    let mut line = Line::of(QUOTA, 3);
    line.shared_with(4.0, 600);
    let crowded = line.pass(600);
    assert!(crowded.granted() < 900, "{crowded:?}");
    let after = line.pass(240);
    assert!(after.granted() >= 600, "it comes back: {after:?}");
    let full = line.pass(100);
    assert_eq!(full.refused, 0);
    assert!(full.granted() >= 495, "{full:?}");
}
