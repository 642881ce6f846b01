//! The in-memory cloud: one lock around everything, and a call is carried out whole or not at all.
//!
//! | module | holds |
//! |---|---|
//! | [`route53`] | zones, record sets, changes on their way, and what resolvers see |
//! | [`public`] | what public DNS answers to anybody |
//! | [`ses`] | identities and their verifications, true to what resolvers see |
//! | [`faults`] | calls that fail, lose their answer, or at which the operator dies |
//! | [`harm`] | what must never happen |
//! | [`policy`] | how strict a DMARC policy is, and that it never becomes weaker by itself |

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use ses_operator::clock::Clock;
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::{AsOf, CloudError, ErrorKind};

use crate::api_server::Api;
use crate::random::Random;

pub mod faults;
pub mod harm;
pub mod policy;
pub mod public;
pub mod route53;
pub mod ses;

use faults::{Faults, Strike};
use harm::Guard;
use public::OtherNames;
use route53::Zones;
use ses::{Delays, Identities};

/// The cloud as one process reaches it: the story, or one run of the operator.
#[derive(Clone, Debug)]
pub struct Cloud {
    shared: Arc<Mutex<State>>,
    process: Arc<Process>,
}

/// Somebody who writes a record at the worst of times.
#[derive(Clone, Debug)]
pub struct Intruder {
    pub zone: &'static str,
    pub name: &'static str,
    pub record_type: &'static str,
    pub value: &'static str,
    /// Whether the value must survive.
    pub protected: bool,
}

/// A run of the operator, from its start to its death.
#[derive(Debug, Default)]
struct Process {
    /// Its clock, which may be wrong.
    clock: Clock,
    /// It was killed: nothing that it holds goes on, but for a request that is under way already.
    dead: AtomicBool,
    /// One of its requests is under way still, and lands though nobody waits for it.
    haunts: AtomicBool,
    /// Another one holds the lease.
    deposed: AtomicBool,
    /// When it was started, in seconds.
    began: i64,
}

impl Process {
    fn by(hand: Hand) -> Self {
        Self { clock: Clock::moved_by(hand), ..Self::default() }
    }
}

/// Everything that the services hold.
#[derive(Clone, Debug)]
pub struct State {
    pub hand: Hand,
    /// The API server: what its statuses claim is watched.
    pub api: Api,
    pub random: Random,
    pub delays: Delays,
    pub zones: Zones,
    /// What others publish in zones of their own.
    pub others: OtherNames,
    pub identities: Identities,
    pub faults: Faults,
    pub guard: Guard,
    /// How old what reads of SES and Route 53 show is.
    pub lag: SignedDuration,
    /// A record that somebody else writes just before our first change arrives.
    pub intruder: Option<Intruder>,
    /// How often each operation was called, refused calls too.
    pub calls: BTreeMap<&'static str, usize>,
    /// Which calls were made, at which time and in which order, as a hash.
    pub course: u64,
    /// How many calls changed something.
    pub mutations: usize,
    /// How many calls would have changed something, whatever came of them.
    pub sent: usize,
    /// Whether each call is told: for a person who looks into a seed, with TRACE=1.
    pub told: bool,
    /// How many statuses were written.
    pub statuses: usize,
    /// Whether what a status says is compared with what is so: not where a story changes things behind the operator's back.
    pub watches_words: bool,
    /// Until when AWS or the API server may not answer as they should.
    pub trouble_until: Timestamp,
}

/// One error of this kind.
pub fn error(kind: ErrorKind, operation: &'static str, object: impl ToString, message: &str) -> CloudError {
    CloudError { kind, operation, object: object.to_string(), message: message.to_owned() }
}

/// Whether an operation only reads.
fn reads(operation: &str) -> bool {
    let (service, name) = operation.split_once(':').expect("a service and its operation");
    service == "dns" || name.starts_with("Get") || name.starts_with("List")
}

impl Cloud {
    pub fn new(hand: Hand, seed: u64, api: Api) -> Self {
        let state = State {
            hand,
            api,
            random: Random::seeded(seed),
            delays: Delays::default(),
            zones: Zones::default(),
            others: OtherNames::default(),
            identities: Identities::default(),
            faults: Faults::default(),
            lag: SignedDuration::ZERO,
            intruder: None,
            guard: Guard::default(),
            calls: BTreeMap::new(),
            course: 0,
            mutations: 0,
            sent: 0,
            told: std::env::var_os("TRACE").is_some(),
            statuses: 0,
            watches_words: false,
            trouble_until: Timestamp::MIN,
        };
        Self { process: Arc::new(Process::by(state.hand.clone())), shared: Arc::new(Mutex::new(state)) }
    }

    /// A cloud like this one, which goes its own way from now on.
    pub fn fork(&self, hand: Hand, api: Api) -> Self {
        let process = Process::by(hand.clone());
        let state = State { hand, api, ..self.state().clone() };
        Self { shared: Arc::new(Mutex::new(state)), process: Arc::new(process) }
    }

    /// The same cloud, reached by a process that has just started, and that reads the time from this hand.
    pub fn for_new_process(&self, hand: Hand) -> Self {
        let process = Process { began: self.state().now().as_second(), ..Process::by(hand) };
        Self { shared: Arc::clone(&self.shared), process: Arc::new(process) }
    }

    /// When the process was started.
    pub fn began(&self) -> Timestamp {
        Timestamp::from_second(self.process.began).expect("a time of the story")
    }

    /// Kills the process: none of its calls goes on.
    pub fn kill(&self) {
        self.process.dead.store(true, Ordering::Relaxed);
    }

    /// Whether the process was killed.
    pub fn is_dead(&self) -> bool {
        self.process.dead.load(Ordering::Relaxed)
    }

    /// Takes the lease from the process, and the API server out of its reach.
    pub fn depose(&self) {
        self.process.deposed.store(true, Ordering::Relaxed);
    }

    /// Whether the process no longer holds the lease.
    pub fn is_deposed(&self) -> bool {
        self.process.deposed.load(Ordering::Relaxed)
    }

    /// Whether a request of the killed process is under way still.
    pub fn haunts(&self) -> bool {
        self.process.haunts.load(Ordering::Relaxed)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().expect("no story goes on after a panic")
    }

    /// Lets the time pass until `time`: changes arrive, verifications end, in their order.
    pub fn pass_until(&self, time: Timestamp) {
        self.state().pass_until(time);
    }

    /// A call of the operator's that reads; its answer may come back empty.
    pub async fn read<T>(
        &self,
        operation: &'static str,
        object: &str,
        empty: T,
        act: impl FnOnce(&mut State) -> Result<T, CloudError> + Send,
    ) -> Result<AsOf<T>, CloudError> {
        let sent = self.as_of_now(());
        let answer = self.call_for(operation, object, Some(empty), act).await?;
        Ok(sent.map(|()| answer))
    }

    /// A call of the operator's whose answer has an age.
    pub async fn call_as_of<T>(
        &self,
        operation: &'static str,
        object: &str,
        act: impl FnOnce(&mut State) -> Result<T, CloudError> + Send,
    ) -> Result<AsOf<T>, CloudError> {
        let sent = self.as_of_now(());
        let answer = self.call(operation, object, act).await?;
        Ok(sent.map(|()| answer))
    }

    /// Something that is known now, by the process's clock.
    pub fn as_of_now<T>(&self, answer: T) -> AsOf<T> {
        AsOf { time: self.process.clock.now(), answer }
    }

    /// A call of the operator's: counted, struck by faults, carried out.
    pub async fn call<T>(
        &self,
        operation: &'static str,
        object: &str,
        act: impl FnOnce(&mut State) -> Result<T, CloudError> + Send,
    ) -> Result<T, CloudError> {
        self.call_for(operation, object, None, act).await
    }

    async fn call_for<T>(
        &self,
        operation: &'static str,
        object: &str,
        empty: Option<T>,
        act: impl FnOnce(&mut State) -> Result<T, CloudError> + Send,
    ) -> Result<T, CloudError> {
        if let Some(kind) = self.barred(operation) {
            return Err(error(kind, operation, object, "not sent: another replica holds the lease"));
        }
        self.travel().await;
        match self.struck(operation, object) {
            None => {
                let answer = act(&mut self.state());
                self.travel().await;
                return answer;
            }
            Some(Strike::Refuse(kind)) => return Err(error(kind, operation, object, "as the story has it")),
            Some(Strike::Empty) => return Ok(empty.expect("a read that may come back empty")),
            Some(Strike::LoseAnswer) => {
                let _ = act(&mut self.state());
                return Err(error(ErrorKind::Unavailable, operation, object, "no answer in time"));
            }
            Some(Strike::DieBefore) => self.kill(),
            Some(Strike::DieAfter) => {
                let _ = act(&mut self.state());
                self.kill();
            }
            Some(Strike::LandLate(after)) => {
                self.process.haunts.store(true, Ordering::Relaxed);
                self.kill();
                self.sleep(after).await;
                let _ = act(&mut self.state());
                self.process.haunts.store(false, Ordering::Relaxed);
            }
        }
        std::future::pending().await
    }

    /// Why a call is not even sent.
    fn barred(&self, operation: &str) -> Option<ErrorKind> {
        let of_api = operation.starts_with("api:");
        let kind = if of_api { ErrorKind::Unavailable } else { ErrorKind::NotLeading };
        (self.is_deposed() && (of_api || !reads(operation))).then_some(kind)
    }

    fn struck(&self, operation: &'static str, object: &str) -> Option<Strike> {
        let mut state = self.state();
        *state.calls.entry(operation).or_default() += 1;
        state.sent += usize::from(!reads(operation));
        let now = state.now();
        let mut course = DefaultHasher::new();
        (state.course, now, operation, object).hash(&mut course);
        state.course = course.finish();
        let strike = state.faults.strike(operation, object, now);
        if state.told {
            println!("{now} {operation} {object} {strike:?}");
        }
        strike
    }

    /// The way to the service or back. Whoever is killed on it goes no further.
    async fn travel(&self) {
        let way = {
            let mut state = self.state();
            let (low, high) = state.delays.travel;
            if high == 0 { 0 } else { state.random.between(low, high) }
        };
        if way > 0 {
            self.sleep(SignedDuration::from_millis(way)).await;
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    async fn sleep(&self, time: SignedDuration) {
        let hand = self.state().hand.clone();
        let until = hand.now() + time;
        Clock::moved_by(hand).sleep_until(until).await;
    }
}

impl State {
    pub fn now(&self) -> Timestamp {
        self.hand.now()
    }

    fn pass_until(&mut self, time: Timestamp) {
        loop {
            self.look();
            let next = self.zones.next_arrival().into_iter().chain(self.identities.next_turn).min();
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
        if !changed && self.identities.next_turn.is_none_or(|turn| turn > now) {
            return;
        }
        self.identities.look(&self.zones, now, &self.delays, &mut self.random);
        self.identities.remember(now, self.lag);
    }
}
