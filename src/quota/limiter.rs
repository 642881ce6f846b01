//! The pace of one quota: evenly spread turns, fewer of them after AWS has throttled.
//!
//! A call that AWS throttles was not carried out: it waits for another turn, in its class, and nobody fails for it. Waiting is
//! a future, never a held thread. Whoever waits first hands out the turns to all that wait; when it has had its
//! own, the next one takes over, so there is no task of its own to start or to lose.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use super::caller::{Caller, Class};
use super::fair_queue::FairQueue;
use crate::clock::Clock;
use crate::cloud::{AsOf, CloudError, ErrorKind};

/// After AWS throttles the pace is this part of what it was: a single refusal costs a few seconds.
const SLOWER: f64 = 0.7;
/// And never less than this part of the one that was set.
const SLOWEST: f64 = 1.0 / 16.0;
/// Each call that is not throttled brings back this part of the pace that was set.
const RECOVERY: f64 = 0.02;
/// A call is sent so many times at the most while it is throttled,
const MOST_SENDS: usize = 8;
/// and not again once so much time has passed since the first of them: then whoever waits for it must be told.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// How fast calls may follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Calls a second.
    pub rate: f64,
    /// So many may follow each other at once after a pause.
    pub burst: f64,
}

impl Pace {
    /// So many calls a second, and after a pause a second's worth of them at once.
    pub fn per_second(rate: f64) -> Self {
        Self { rate, burst: rate.max(1.0) }
    }
}

/// Turns that have been saved up and turns that are due. Pure: the time is an argument.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    pace: Pace,
    /// The rate now: AWS may have throttled.
    rate: f64,
    tokens: f64,
    filled: Timestamp,
    slowed: Timestamp,
}

impl Bucket {
    fn full(pace: Pace, now: Timestamp) -> Self {
        Self { pace, rate: pace.rate, tokens: pace.burst, filled: now, slowed: Timestamp::MIN }
    }

    /// Takes a turn; or tells when there will be one.
    fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        // The system's clock may be set back: no turn is lost by it, and none is won.
        let passed = now.duration_since(self.filled).as_secs_f64().max(0.0);
        self.tokens = (self.tokens + passed * self.rate).min(self.pace.burst);
        self.filled = now;
        // A timer may fire a hair early.
        if self.tokens >= 1.0 - 1e-6 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = SignedDuration::from_secs_f64((1.0 - self.tokens) / self.rate);
        Err(now.checked_add(wait).unwrap_or(Timestamp::MAX))
    }

    /// AWS has throttled: a slower pace, once a second at the most, since calls that were sent together are refused
    /// together.
    fn slow_down(&mut self, now: Timestamp) {
        if now.duration_since(self.slowed) < SignedDuration::from_secs(1) && self.slowed <= now {
            return;
        }
        self.slowed = now;
        self.tokens = self.tokens.min(0.0);
        self.rate = (self.rate * SLOWER).max(self.pace.rate * SLOWEST);
    }

    fn speed_up(&mut self) {
        self.rate = (self.rate + self.pace.rate * RECOVERY).min(self.pace.rate);
    }
}

/// Hands out turns at a pace, the most urgent first.
#[derive(Debug)]
pub struct Limiter {
    clock: Clock,
    state: Mutex<State>,
    /// Held by whoever hands out the turns.
    baton: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    bucket: Bucket,
    queue: FairQueue<oneshot::Sender<()>>,
}

impl Limiter {
    /// A limiter at its full pace.
    pub fn new(pace: Pace, clock: Clock) -> Self {
        let bucket = Bucket::full(pace, clock.now());
        let state = Mutex::new(State { bucket, queue: FairQueue::default() });
        Self { clock, state, baton: tokio::sync::Mutex::const_new(()) }
    }

    /// Sends a call when it is the caller's turn, and again while it is throttled. `call` is told how long it has waited. The
    /// answer is as of when it was sent.
    pub async fn send<T, F>(&self, caller: &Caller, call: impl Fn(Duration) -> F) -> AsOf<Result<T, CloudError>>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let (mut sends, mut refused) = (0, None);
        loop {
            let asked = self.clock.now();
            self.turn(caller).await;
            let time = self.clock.now();
            let answer = call(Duration::try_from(time.duration_since(asked)).unwrap_or_default()).await;
            sends += 1;
            match answer.as_ref().err().map(|error| error.kind) {
                Some(ErrorKind::Throttled) => {
                    let first = *refused.get_or_insert(time);
                    self.throttled();
                    if sends < MOST_SENDS && time.duration_since(first) < PATIENCE {
                        continue;
                    }
                }
                // It was not sent.
                Some(ErrorKind::NotLeading) => {}
                Some(_) | None => self.answered(),
            }
            return AsOf { time, answer };
        }
    }

    /// Returns when it is the caller's turn.
    async fn turn(&self, caller: &Caller) {
        let turn = {
            let mut state = self.state();
            if state.queue.is_empty() && state.bucket.take(self.clock.now()).is_ok() {
                return;
            }
            let (sender, turn) = oneshot::channel();
            state.queue.push(caller.class, &caller.namespace, sender);
            turn
        };
        let mut turn = std::pin::pin!(turn);
        tokio::select! {
            biased;
            // It can't have been dropped: only who has a turn leaves the queue.
            _ = &mut turn => {}
            _baton = self.baton.lock() => self.hand_out_until(turn).await,
        }
    }

    /// Hands out turns until this one has been given.
    async fn hand_out_until(&self, mut turn: std::pin::Pin<&mut oneshot::Receiver<()>>) {
        while matches!(turn.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
            if let Err(next) = self.hand_out_one() {
                self.clock.sleep_until(next).await;
            }
        }
    }

    fn hand_out_one(&self) -> Result<(), Timestamp> {
        let mut state = self.state();
        state.bucket.take(self.clock.now())?;
        // Who has gone away, with a killed reconcile, takes no turn.
        while let Some(waiting) = state.queue.pop() {
            if waiting.send(()).is_ok() {
                break;
            }
        }
        Ok(())
    }

    /// AWS has throttled a call: the next ones come slower.
    fn throttled(&self) {
        let now = self.clock.now();
        self.state().bucket.slow_down(now);
    }

    /// AWS has answered: the pace may come back.
    fn answered(&self) {
        self.state().bucket.speed_up();
    }

    /// How many wait, by their class.
    pub fn waiting(&self, class: Class) -> usize {
        self.state().queue.waiting(class)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).expect("a time")
    }

    /// The times of the next turns, for a caller who takes each as soon as there is one.
    fn turns(bucket: &mut Bucket, count: usize) -> Vec<i64> {
        let mut now = bucket.filled;
        let mut taken = Vec::new();
        while taken.len() < count {
            match bucket.take(now) {
                Ok(()) => taken.push(now.duration_since(at(0)).as_millis() as i64),
                Err(next) => now = next,
            }
        }
        taken
    }

    #[test]
    fn after_a_seconds_worth_the_turns_are_evenly_spread() {
        let mut bucket = Bucket::full(Pace::per_second(2.0), at(0));
        assert_eq!(turns(&mut bucket, 5), [0, 0, 500, 1000, 1500]);
        let mut slow = Bucket::full(Pace::per_second(0.5), at(0));
        assert_eq!(turns(&mut slow, 3), [0, 2000, 4000]);
    }

    #[test]
    fn a_throttled_caller_slows_down_once_a_second_and_never_stands_still() {
        let mut bucket = Bucket::full(Pace::per_second(4.0), at(0));
        for (milliseconds, rate) in [(0, 2.8), (10, 2.8), (1010, 1.96), (2010, 1.372)] {
            bucket.slow_down(at(milliseconds));
            assert!((bucket.rate - rate).abs() < 1e-9, "after {milliseconds} ms: {}", bucket.rate);
        }
        (3..60).for_each(|second| bucket.slow_down(at(second * 1010)));
        assert!((bucket.rate - 0.25).abs() < 1e-9, "a sixteenth: {}", bucket.rate);
    }

    #[test]
    fn the_pace_comes_back_slowly_and_not_beyond_what_was_set() {
        let mut bucket = Bucket::full(Pace::per_second(4.0), at(0));
        bucket.slow_down(at(0));
        let calls = (1..).find(|_| {
            bucket.speed_up();
            bucket.rate >= 4.0
        });
        assert_eq!(calls, Some(15));
        bucket.speed_up();
        assert!(bucket.rate <= 4.0);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_stops_nor_floods() {
        let mut bucket = Bucket::full(Pace::per_second(1.0), at(0));
        assert_eq!(bucket.take(at(0)), Ok(()));
        assert_eq!(bucket.take(at(-3_600_000)), Err(at(-3_599_000)));
        assert_eq!(bucket.take(at(-3_599_000)), Ok(()));
    }

    #[tokio::test]
    async fn who_waits_is_served_in_turn_though_whoever_hands_out_goes_away() {
        let limiter = Arc::new(Limiter::new(Pace { rate: 200.0, burst: 1.0 }, Clock::system()));
        limiter.turn(&Caller::new(Class::Sweep, "")).await;
        let wait = |class, namespace: &'static str| {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move { limiter.turn(&Caller::new(class, namespace)).await })
        };
        let first = wait(Class::Sweep, "a");
        let others = [wait(Class::Changed, "a"), wait(Class::Changed, "b"), wait(Class::Sweep, "b")];
        tokio::task::yield_now().await;
        first.abort();
        for other in others {
            other.await.expect("it had its turn");
        }
        assert_eq!(Class::ALL.map(|class| limiter.waiting(class)), [0; 5]);
    }

    fn refused(kind: ErrorKind) -> CloudError {
        CloudError { kind, operation: "ses:CreateEmailIdentity", object: "example.com".into(), message: "no".into() }
    }

    /// What comes of a call that is answered with these kinds of errors, and then well; and how often it is sent.
    async fn sent(answers: &[ErrorKind]) -> (Result<(), ErrorKind>, usize) {
        let limiter = Limiter::new(Pace { rate: 10_000.0, burst: 1.0 }, Clock::system());
        let sends = AtomicUsize::new(0);
        let call = |_| {
            let answer = answers.get(sends.fetch_add(1, Ordering::Relaxed)).map_or(Ok(()), |kind| Err(refused(*kind)));
            std::future::ready(answer)
        };
        let AsOf { answer, .. } = limiter.send(&Caller::new(Class::Changed, "mail"), call).await;
        (answer.map_err(|error| error.kind), sends.into_inner())
    }

    #[tokio::test]
    async fn a_throttled_call_is_sent_again_until_it_is_answered_and_nothing_else_is() {
        use ErrorKind::{Busy, NotLeading, Throttled, Unavailable};
        for (answers, outcome, sends) in [
            (vec![], Ok(()), 1),
            (vec![Throttled; 3], Ok(()), 4),
            (vec![Throttled; 20], Err(Throttled), MOST_SENDS),
            (vec![Throttled, Unavailable], Err(Unavailable), 2),
            (vec![Busy], Err(Busy), 1),
            // The permit to write is asked for anew before each time.
            (vec![Throttled, NotLeading], Err(NotLeading), 2),
        ] {
            assert_eq!(sent(&answers).await, (outcome, sends), "{answers:?}");
        }
    }
}
