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

/// After AWS throttles the pace is this part of what it was: a single refusal costs little.
const SLOWER: f64 = 0.8;
/// And never less than this part of the one that was set.
const SLOWEST: f64 = 1.0 / 16.0;
/// A full pace that was throttled has come back after so many seconds. Where others spend from the quota, this is about how
/// often it is exceeded.
const RETURN: f64 = 100.0;
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
    tokens: f64,
    filled: Timestamp,
    throttled: Option<Throttled>,
}

/// When AWS throttled last, and the rate at which it did.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Throttled {
    at: Timestamp,
    rate: f64,
}

impl Bucket {
    fn full(pace: Pace, now: Timestamp) -> Self {
        Self { pace, tokens: pace.burst, filled: now, throttled: None }
    }

    /// Calls a second, now.
    ///
    /// Where others spend from the same quota, the rate at which it was exceeded is about what they leave. So the pace comes
    /// back quickly to near that, goes slowly past it, and then faster and faster while nothing is refused, since they may
    /// have gone. It is the curve by which CUBIC (RFC 9438) finds what a shared line bears.
    fn rate(&self, now: Timestamp) -> f64 {
        let full = self.pace.rate;
        let Some(Throttled { at, rate }) = self.throttled else { return full };
        let until_there = (rate / full).cbrt();
        let beyond = seconds(at, now) / RETURN - until_there;
        (rate + full * (1.0 - SLOWER) * beyond.powi(3)).clamp(full * SLOWEST, full)
    }

    /// Takes a turn; or tells when there will be one.
    fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let rate = self.rate(now);
        self.tokens = (self.tokens + seconds(self.filled, now) * rate).min(self.pace.burst);
        self.filled = now;
        // A timer may fire a hair early.
        if self.tokens >= 1.0 - 1e-6 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = SignedDuration::from_secs_f64((1.0 - self.tokens) / rate);
        Err(now.checked_add(wait).unwrap_or(Timestamp::MAX))
    }

    /// AWS has throttled: a slower pace, once a second at the most, since calls that were sent together are refused
    /// together.
    fn slow_down(&mut self, now: Timestamp) {
        let again = self.throttled.is_some_and(|last| last.at <= now && seconds(last.at, now) < 1.0);
        if !again {
            self.throttled = Some(Throttled { at: now, rate: self.rate(now) });
            self.tokens = self.tokens.min(0.0);
        }
    }
}

/// The seconds from one time to another. The system's clock may be set back: no turn is lost by it, and none is won.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
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
        let (mut sends, mut first) = (0, None);
        loop {
            let asked = self.clock.now();
            self.turn(caller).await;
            let time = self.clock.now();
            let answer = call(Duration::try_from(time.duration_since(asked)).unwrap_or_default()).await;
            sends += 1;
            if answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Throttled) {
                self.throttled();
                if sends < MOST_SENDS && time.duration_since(*first.get_or_insert(time)) < PATIENCE {
                    continue;
                }
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
        for (milliseconds, rate) in [(0, 3.2), (10, 3.2), (1010, 2.57), (2020, 2.07)] {
            bucket.slow_down(at(milliseconds));
            let found = bucket.rate(at(milliseconds));
            assert!((found - rate).abs() < 0.05, "after {milliseconds} ms: {found}");
        }
        (3..60).for_each(|second| bucket.slow_down(at(second * 1010)));
        assert!((bucket.rate(at(59 * 1010)) - 0.25).abs() < 1e-9, "a sixteenth");
    }

    #[test]
    fn the_pace_comes_back_to_where_it_was_throttled_and_goes_on_from_there_slowly_and_then_faster() {
        let mut bucket = Bucket::full(Pace::per_second(5.0), at(0));
        bucket.throttled = Some(Throttled { at: at(0), rate: 3.0 });
        for (second, rate) in
            [(0, 2.4), (20, 2.73), (40, 2.91), (84, 3.0), (110, 3.02), (150, 3.28), (180, 3.88), (211, 5.0)]
        {
            let found = bucket.rate(at(second * 1000));
            assert!((found - rate).abs() < 0.01, "{rate} after {second} s: {found}");
        }
        assert!((bucket.rate(at(86_400_000)) - 5.0).abs() < 1e-9, "and not beyond what was set");
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
