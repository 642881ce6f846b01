//! A quota of AWS's: a bucket that fills evenly, and that others take from as well.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use ses_operator::clock::Clock;
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::ErrorKind;

use crate::random::Random;

/// A quota. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Quota {
    hand: Hand,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rate: f64,
    tokens: f64,
    filled: Timestamp,
    tally: [Tally; 2],
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Operator,
    Other,
}

/// What was asked for, and how much of that was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub asked: usize,
    pub refused: usize,
}

impl Tally {
    pub fn granted(self) -> usize {
        self.asked - self.refused
    }

    /// Whether it is at most so many in a thousand that were refused.
    pub fn at_most(self, in_a_thousand: usize) -> bool {
        self.refused * 1000 <= self.asked * in_a_thousand
    }
}

impl Quota {
    /// So many requests a second, and one more than that at once after a pause: two that keep to the rate may come closer to
    /// each other on their way.
    pub fn new(hand: Hand, rate: f64) -> Self {
        let state = State { rate, tokens: rate + 1.0, filled: hand.now(), tally: [Tally::default(); 2] };
        Self { hand, state: Arc::new(Mutex::new(state)) }
    }

    /// Takes a request, or refuses it.
    pub fn take(&self, who: Who) -> Result<(), ErrorKind> {
        let now = self.hand.now();
        let mut state = self.state();
        let passed = now.duration_since(state.filled).as_secs_f64();
        state.tokens = (state.tokens + passed * state.rate).min(state.rate + 1.0);
        state.filled = now;
        let granted = state.tokens >= 1.0;
        state.tokens -= f64::from(u8::from(granted));
        let tally = &mut state.tally[who as usize];
        tally.asked += 1;
        tally.refused += usize::from(!granted);
        if granted { Ok(()) } else { Err(ErrorKind::Throttled) }
    }

    pub fn tally(&self, who: Who) -> Tally {
        self.state().tally[who as usize]
    }

    /// Somebody else asks so often a second, not quite evenly, until then.
    pub async fn shared_with_another(self, rate: f64, mut draw: Random, until: Timestamp) {
        let clock = Clock::moved_by(self.hand.clone());
        while clock.now() < until {
            let share = f64::from(i32::try_from(draw.between(500, 1500)).expect("small")) / 1000.0;
            clock.sleep_until(clock.now() + SignedDuration::from_secs_f64(share / rate)).await;
            // Whether it is refused is his affair.
            let _ = self.take(Who::Other);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }
}
