//! The in-memory cloud: one lock around everything, and a call is carried out whole or not at all.
//!
//! | module | holds |
//! |---|---|
//! | [`route53`] | zones, record sets, changes on their way, and what resolvers see |
//! | [`ses`] | identities and their verifications, true to what resolvers see |
//! | [`faults`] | calls that fail, lose their answer, or at which the operator dies |
//! | [`harm`] | what must never happen |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::{CloudError, ErrorKind};

use crate::random::Random;

pub mod faults;
pub mod harm;
pub mod route53;
pub mod ses;

use faults::{Faults, Strike};
use harm::Guard;
use route53::Zones;
use ses::{Delays, Identities};

/// The cloud, shared by the operator's adapters and the story.
#[derive(Clone, Debug)]
pub struct Cloud(Arc<Mutex<State>>);

/// Everything that the services hold.
#[derive(Debug)]
pub struct State {
    pub hand: Hand,
    pub random: Random,
    pub delays: Delays,
    pub zones: Zones,
    pub identities: Identities,
    pub faults: Faults,
    pub guard: Guard,
    /// How often each operation was called, refused calls too.
    pub calls: BTreeMap<&'static str, usize>,
    /// How many calls changed something.
    pub mutations: usize,
}

/// One error of this kind.
pub fn error(kind: ErrorKind, operation: &'static str, object: impl ToString, message: &str) -> CloudError {
    CloudError { kind, operation, object: object.to_string(), message: message.to_owned() }
}

impl Cloud {
    pub fn new(hand: Hand, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            hand,
            random: Random::seeded(seed),
            delays: Delays::default(),
            zones: Zones::default(),
            identities: Identities::default(),
            faults: Faults::default(),
            guard: Guard::default(),
            calls: BTreeMap::new(),
            mutations: 0,
        })))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no story goes on after a panic")
    }

    /// Lets the time pass until `time`: changes arrive, verifications end, in their order.
    pub fn pass_until(&self, time: Timestamp) {
        self.state().pass_until(time);
    }

    /// A call of the operator's: counted, struck by faults, carried out.
    pub async fn call<T>(
        &self,
        operation: &'static str,
        object: &str,
        act: impl FnOnce(&mut State) -> Result<T, CloudError> + Send,
    ) -> Result<T, CloudError> {
        let (answer, dies) = {
            let mut state = self.state();
            *state.calls.entry(operation).or_default() += 1;
            let now = state.hand.now();
            match state.faults.strike(operation, object, now) {
                None => (act(&mut state), false),
                Some(Strike::Refuse(kind)) => (Err(error(kind, operation, object, "as the story has it")), false),
                Some(Strike::LoseAnswer) => {
                    let _ = act(&mut state);
                    (Err(error(ErrorKind::Unavailable, operation, object, "no answer in time")), false)
                }
                Some(Strike::DieBefore) => (Err(error(ErrorKind::Unavailable, operation, object, "")), true),
                Some(Strike::DieAfter) => (act(&mut state), true),
            }
        };
        if dies {
            // The scheduler takes what waits for a process that was killed.
            std::future::pending::<()>().await;
        }
        answer
    }
}

impl State {
    pub fn now(&self) -> Timestamp {
        self.hand.now()
    }

    fn pass_until(&mut self, time: Timestamp) {
        loop {
            self.look();
            let next = self.zones.next_arrival().into_iter().chain(self.identities.next_turn()).min();
            match next {
                Some(next) if next <= time => self.hand.move_to(next.max(self.hand.now())),
                Some(_) | None => break,
            }
        }
        self.hand.move_to(time.max(self.hand.now()));
    }

    /// Brings everything to the time that it is.
    fn look(&mut self) {
        let now = self.now();
        let changed = self.zones.arrive(now) | std::mem::take(&mut self.identities.touched);
        if !changed && self.identities.next_turn().is_none_or(|turn| turn > now) {
            return;
        }
        self.identities.look(&self.zones, now, &self.delays, &mut self.random);
    }
}
