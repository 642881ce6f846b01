//! The scheduler around the reconcile code: what the controller does with a watch, alarms and finalizers. The store, the
//! journal, and what is decided of a resource are the controller's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use ses_operator::api::{SesDomain, SesDomainStatus};
use ses_operator::clock::Clock;
use ses_operator::clock::simulated::Hand;
use ses_operator::controller::api_server::SaveError;
use ses_operator::controller::disputes::Disputes;
use ses_operator::controller::journal::{ApiJournal, Page, is_held, is_new};
use ses_operator::controller::key::Key;
use ses_operator::controller::store::{Sighting, Store};
use ses_operator::controller::{PATIENCE, neighbors};
use ses_operator::dns::ZoneId;
use ses_operator::dns::public::snapshot::PublicNames;
use ses_operator::dns::snapshot::Dns;
use ses_operator::domain_name::DomainName;
use ses_operator::quota::Class;
use ses_operator::reconcile::report::{Event, Next};
use ses_operator::reconcile::subject::Settings;
use ses_operator::reconcile::{Journal, Outcome, Reconciler, rest};
use ses_operator::rounds::{Rounds, Watched};
use ses_operator::ses::snapshot::Identities;

use crate::api_server::watch::{Plain, Watch};
use crate::api_server::{Api, Connection, key};
use crate::cloud::Cloud;
use crate::cloud::public::Resolver;
use crate::cloud::route53::Route53;
use crate::cloud::ses::Ses;
use crate::executor::{Executor, Task, Turn};
use crate::mutants::{BrokenResolver, BrokenRoute53, BrokenSes, Mutant};

/// What a reconcile came to, or that a task of the background is over.
enum End {
    Reconciled { name: String, began: Timestamp, done: Box<Result<Option<Done>, SaveError>> },
    Background,
}

/// A reconcile that was not in vain.
struct Done {
    outcome: Outcome,
    /// Whoever waits for the domain of a resource that is being deleted may be handed it over.
    rivals: Vec<Key>,
}

/// One run of the operator, which dies as a whole.
#[derive(Debug)]
struct Run {
    cloud: Cloud,
    store: Store<Plain>,
    watch: Watch,
    /// An answer has shown that the watch missed something.
    contradicted: Arc<AtomicBool>,
    journal: Arc<ApiJournal<Connection, Plain>>,
    reconciler: Arc<Reconciler<BrokenSes, BrokenRoute53>>,
    disputes: Disputes,
    mutant: Mutant,
    /// How far its clock is ahead.
    skew: SignedDuration,
    tasks: Executor<End>,
    in_flight: BTreeSet<String>,
    woken: Woken,
}

/// Whom the rounds have woken.
type Woken = Arc<Mutex<Vec<String>>>;

/// The resources as the rounds see them.
#[derive(Clone)]
struct Seen {
    store: Store<Plain>,
    woken: Woken,
}

impl Watched for Seen {
    fn each(&self, look: &mut dyn FnMut(&SesDomain)) {
        self.store.for_each(look);
    }

    fn each_in_zone(&self, zone: &ZoneId, look: &mut dyn FnMut(&SesDomain)) {
        self.store.each_in_zone(zone, look);
    }

    fn wake(&self, namespace: &str, name: &str, _: Class) {
        self.woken.lock().expect("no panic while it is held").push(key(namespace, name));
    }
}

impl Run {
    /// Starts the operator: its reconciler, and what runs beside the reconciles.
    fn start(
        cloud: &Cloud,
        api: &Api,
        (hand, skew): (&Hand, SignedDuration),
        settings: &Settings,
        mutant: Mutant,
    ) -> Self {
        let hand = hand.skewed(skew);
        let cloud = cloud.for_new_process(hand.clone());
        let clock = Clock::moved_by(hand);
        let store = Store::default();
        let reconciler = Arc::new(Reconciler {
            identities: Identities::new(BrokenSes(Ses(cloud.clone()), mutant), clock.clone()),
            dns: Dns::new(BrokenRoute53(Route53(cloud.clone()), mutant), clock.clone()),
            public: PublicNames::new(BrokenResolver(Resolver(cloud.clone()), mutant), clock.clone()),
            clock,
            settings: settings.clone(),
        });
        let woken = Arc::default();
        let contradicted = Arc::new(AtomicBool::new(false));
        // What the operator does beside its reconciles goes here: it starts with each run and dies with it.
        let background: [Task<()>; 2] = [
            Box::pin(go_rounds(Arc::clone(&reconciler), Seen { store: store.clone(), woken: Arc::clone(&woken) })),
            Box::pin(doubts(store.clone(), Arc::clone(&contradicted))),
        ];
        let mut tasks = Executor::new();
        for task in background {
            tasks.spawn(in_background(task));
        }
        let journal = Arc::new(ApiJournal::new(Connection::new(api.clone(), cloud.clone()), store.clone()));
        Self {
            cloud,
            store,
            watch: Watch::new(api.clone()),
            contradicted,
            journal,
            reconciler,
            disputes: Disputes::default(),
            mutant,
            skew,
            tasks,
            in_flight: BTreeSet::new(),
            woken,
        }
    }
}

fn in_background(task: Task<()>) -> Task<End> {
    Box::pin(async move {
        task.await;
        End::Background
    })
}

async fn go_rounds(reconciler: Arc<Reconciler<BrokenSes, BrokenRoute53>>, seen: Seen) {
    seen.store.listed().await;
    Rounds::new(reconciler, seen).go().await;
}

async fn doubts(store: Store<Plain>, contradicted: Arc<AtomicBool>) {
    loop {
        store.contradicted().await;
        contradicted.store(true, Ordering::Relaxed);
    }
}

/// The scheduler: what a controller does.
#[derive(Debug)]
pub struct Operator {
    cloud: Cloud,
    api: Api,
    hand: Hand,
    pub settings: Settings,
    /// What is broken from the next start on.
    pub mutant: Mutant,
    run: Run,
    /// Runs that were killed while a request was under way.
    ghosts: Vec<Run>,
    due: BTreeMap<String, Timestamp>,
    /// How far its clock is ahead, from the next start on.
    pub skew: SignedDuration,
    failures: BTreeMap<String, u32>,
    /// It was stopped for good.
    stopped: bool,
    /// How many reconciles may be under way at once.
    pub concurrency: usize,
    /// How many reconciles were begun.
    pub reconciles: usize,
    /// How often the operator died.
    pub deaths: usize,
}

impl Operator {
    pub fn new(cloud: Cloud, api: Api, hand: Hand, settings: Settings) -> Self {
        let run = Run::start(&cloud, &api, (&hand, SignedDuration::ZERO), &settings, Mutant::None);
        Self {
            cloud,
            api,
            hand,
            settings,
            mutant: Mutant::None,
            run,
            ghosts: Vec::new(),
            due: BTreeMap::new(),
            skew: SignedDuration::ZERO,
            failures: BTreeMap::new(),
            stopped: false,
            concurrency: 16,
            reconciles: 0,
            deaths: 0,
        }
    }

    /// Starts anew: nothing is remembered, and what was under way is no more.
    pub fn restart(&mut self) {
        self.run.cloud.kill();
        self.due.clear();
        self.failures.clear();
        let run = Run::start(&self.cloud, &self.api, (&self.hand, self.skew), &self.settings, self.mutant);
        let killed = std::mem::replace(&mut self.run, run);
        if killed.cloud.haunts() {
            self.ghosts.push(killed);
        }
    }

    /// Stops for good: what is under way is no more.
    pub fn stop(&mut self) {
        self.restart();
        self.stopped = true;
    }

    /// This run no longer holds the lease: AWS is sent no change, and the API server is out of reach.
    pub fn depose(&self) {
        self.run.cloud.depose();
    }

    /// Looks at a resource now.
    pub fn wake(&mut self, name: &str) {
        self.due.insert(name.to_owned(), self.hand.now());
        self.failures.remove(name);
    }

    /// How many reconciles are under way.
    pub fn in_flight(&self) -> usize {
        self.run.in_flight.len()
    }

    /// When the next reconcile may begin, or the watch shows something.
    pub fn next_due(&self) -> Option<Timestamp> {
        let shown = if self.is_cut_off() { None } else { self.run.watch.next() };
        self.first_due().map(|(_, due)| *due).into_iter().chain(shown).min()
    }

    fn is_cut_off(&self) -> bool {
        self.stopped || self.run.cloud.is_deposed()
    }

    /// A resource is reconciled by one task at a time.
    fn first_due(&self) -> Option<(&String, &Timestamp)> {
        if self.run.in_flight.len() >= self.concurrency {
            return None;
        }
        self.due.iter().filter(|(name, _)| !self.run.in_flight.contains(*name)).min_by_key(|(_, due)| **due)
    }

    /// Lets somebody go on who is awake, or else begins the reconcile that is due first; false where nothing happens
    /// before time passes.
    pub fn step(&mut self) -> bool {
        self.ghosts.retain_mut(|ghost| {
            while !matches!(ghost.tasks.turn(), Turn::Idle) {}
            ghost.cloud.haunts()
        });
        self.watch();
        match self.run.tasks.turn() {
            Turn::Idle => return self.begin(),
            Turn::Waits | Turn::Ended(End::Background) => {}
            Turn::Ended(End::Reconciled { name, began, done }) => {
                self.run.in_flight.remove(&name);
                self.settle(name, began, *done);
            }
        }
        let woken = std::mem::take(&mut *self.run.woken.lock().expect("no panic while it is held"));
        woken.iter().for_each(|name| self.wake(name));
        if self.run.cloud.is_dead() {
            self.deaths += 1;
            if self.run.cloud.is_deposed() {
                self.stop();
            } else {
                self.restart();
            }
        }
        true
    }

    /// Takes in what the watch shows.
    fn watch(&mut self) {
        if self.is_cut_off() {
            return;
        }
        if self.run.contradicted.swap(false, Ordering::Relaxed) {
            self.run.watch.begin_anew();
        }
        for event in self.run.watch.shows() {
            for sighting in self.run.store.observe(event) {
                self.sees(sighting);
            }
        }
    }

    fn sees(&mut self, sighting: Sighting) {
        let now = self.run.reconciler.clock.now();
        match sighting {
            Sighting::First(key, resource) if self.run.reconciler.is_at_rest(&resource, now) => {
                self.look_by(name_of(&key), self.by_our_clock(rest::next_look(&resource, now)));
            }
            Sighting::First(key, resource) => {
                self.wake(&name_of(&key));
                if is_new(&resource) {
                    let (journal, reconciler) = (Arc::clone(&self.run.journal), Arc::clone(&self.run.reconciler));
                    self.run.tasks.spawn(in_background(Box::pin(async move {
                        reconciler.clock.sleep_until(now + PATIENCE).await;
                        // Whoever could not be greeted is reconciled all the same.
                        let _ = journal.greet(&key, |resource| reconciler.greeting(resource)).await;
                    })));
                }
            }
            Sighting::Asks(key, _) => self.wake(&name_of(&key)),
            Sighting::Rewritten(key) => {
                if let Some(wait) = self.run.disputes.wait(&key, now) {
                    self.look_by(name_of(&key), self.hand.now() + wait);
                }
            }
            Sighting::Gone(key, resource) => {
                self.forget(&name_of(&key), &resource);
                let others = self.run.store.of_domain(&DomainName::new(&resource.spec.domain));
                others.iter().for_each(|other| self.wake(&name_of(other)));
            }
        }
    }

    /// A time of the operator's own clock, which may be wrong.
    fn by_our_clock(&self, time: Timestamp) -> Timestamp {
        time.checked_sub(self.run.skew).unwrap_or(time)
    }

    fn look_by(&mut self, name: String, time: Timestamp) {
        self.due.entry(name).and_modify(|due| *due = time.min(*due)).or_insert(time);
    }

    fn forget(&mut self, name: &str, resource: &SesDomain) {
        self.due.remove(name);
        self.failures.remove(name);
        self.run.reconciler.forget(resource);
    }

    fn begin(&mut self) -> bool {
        let now = self.hand.now();
        let Some((name, _)) = self.first_due().filter(|(_, due)| **due <= now) else { return false };
        let name = name.clone();
        self.due.remove(&name);
        let Some(seen) = self.run.store.get(&key_of(&name)) else { return true };
        self.reconciles += 1;
        let (reconciler, journal) = (Arc::clone(&self.run.reconciler), Arc::clone(&self.run.journal));
        let (store, mutant) = (self.run.store.clone(), self.run.mutant);
        self.run.in_flight.insert(name.clone());
        self.run.tasks.spawn(Box::pin(async move {
            let done = Box::new(reconcile(&reconciler, &store, &journal, &seen, mutant).await);
            End::Reconciled { name, began: now, done }
        }));
        true
    }

    /// Notes when to look again.
    fn settle(&mut self, name: String, began: Timestamp, done: Result<Option<Done>, SaveError>) {
        let now = self.hand.now();
        let done = match done {
            Ok(Some(done)) => done,
            Ok(None) | Err(SaveError::Gone) => return,
            Err(SaveError::Outdated) => return self.look_by(name, now + SignedDuration::from_secs(1)),
            Err(SaveError::Refused(_) | SaveError::Unanswered) => {
                let backoff = self.backoff(&name);
                return self.look_by(name, now + backoff);
            }
        };
        done.rivals.iter().for_each(|rival| self.wake(&name_of(rival)));
        if done.outcome.gone {
            return;
        }
        let next = match done.outcome.next {
            Next::Now => now + SignedDuration::from_secs(1),
            Next::At(time) => {
                let time = self.by_our_clock(time);
                assert!(time > began, "{name} is to be looked at again at {time}, and it was {began}");
                time
            }
            Next::Retry(_) => now + self.backoff(&name),
        };
        if done.outcome.failure.is_none() {
            self.failures.remove(&name);
        }
        // Whoever was woken meanwhile is looked at as early as that.
        self.look_by(name, next);
    }

    fn backoff(&mut self, name: &str) -> SignedDuration {
        let failures = self.failures.entry(name.to_owned()).or_default();
        *failures += 1;
        SignedDuration::from_secs((1_i64 << (*failures).min(9)).min(300))
    }
}

fn name_of(of: &Key) -> String {
    key(&of.namespace, &of.name)
}

fn key_of(name: &str) -> Key {
    let (namespace, name) = name.split_once('/').unwrap_or(("mail", name));
    Key::new(namespace, name)
}

/// What the controller does around a reconcile: the finalizer, and the others of the domain. `None` where the resource is
/// gone.
async fn reconcile(
    reconciler: &Reconciler<BrokenSes, BrokenRoute53>,
    store: &Store<Plain>,
    journal: &ApiJournal<Connection, Plain>,
    seen: &SesDomain,
    mutant: Mutant,
) -> Result<Option<Done>, SaveError> {
    if seen.metadata.deletion_timestamp.is_some() && !is_held(seen) {
        return Ok(None);
    }
    let resource = journal.hold(seen).await?;
    let neighbors = neighbors::in_store(store, &resource);
    let rivals = neighbors.rivals.iter().map(|rival| Key::new(&*rival.namespace, &*rival.name)).collect();
    let page = Written { page: journal.open(&resource), mutant, late: Mutex::default() };
    let outcome = reconciler.reconcile(&resource, neighbors, &page).await;
    page.write_late(&resource).await?;
    let outcome = outcome?;
    if outcome.gone {
        journal.release(&resource).await?;
    }
    let deleting = resource.metadata.deletion_timestamp.is_some();
    Ok(Some(Done { outcome, rivals: if deleting { rivals } else { Vec::new() } }))
}

/// The journal of a reconcile, as an operator that may be broken writes it.
struct Written<'a> {
    page: Page<'a, Connection, Plain>,
    mutant: Mutant,
    /// What a broken operator has not written yet.
    late: Mutex<Vec<SesDomainStatus>>,
}

impl Written<'_> {
    /// Writes what a broken operator should have written before.
    async fn write_late(&self, resource: &SesDomain) -> Result<(), SaveError> {
        let late = std::mem::take(&mut *self.late.lock().expect("no panic while it is held"));
        for status in late {
            self.page.save(resource, &status).await?;
        }
        Ok(())
    }
}

impl Journal for Written<'_> {
    type Error = SaveError;

    async fn save(&self, resource: &SesDomain, status: &SesDomainStatus) -> Result<(), SaveError> {
        if self.mutant == Mutant::NoWriteAhead {
            self.late.lock().expect("no panic while it is held").push(status.clone());
            return Ok(());
        }
        self.page.save(resource, status).await
    }

    async fn tell(&self, resource: &SesDomain, event: &Event) {
        self.page.tell(resource, event).await;
    }
}
