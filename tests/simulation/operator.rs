//! The scheduler around the reconcile code: what the controller does with a watch, alarms and finalizers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use ses_operator::api::{FINALIZER, SesDomain};
use ses_operator::clock::Clock;
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::{CloudError, ErrorKind};
use ses_operator::controller::neighbors;
use ses_operator::dns::snapshot::Dns;
use ses_operator::quota::Class;
use ses_operator::reconcile::report::Next;
use ses_operator::reconcile::subject::Settings;
use ses_operator::reconcile::{Journal, Outcome, Reconciler};
use ses_operator::rounds::{Rounds, Watched};
use ses_operator::ses::snapshot::Identities;

use crate::api_server::{Api, Connection, key};
use crate::cloud::Cloud;
use crate::cloud::route53::Route53;
use crate::cloud::ses::Ses;
use crate::executor::{Executor, Task, Turn};
use crate::mutants::{BrokenRoute53, BrokenSes, Mutant};

/// What a reconcile came to, or that a task of the background is over.
enum End {
    Reconciled { name: String, began: Timestamp, answer: Box<Result<Option<Outcome>, CloudError>> },
    Background,
}

/// One run of the operator, which dies as a whole.
#[derive(Debug)]
struct Run {
    cloud: Cloud,
    began: Timestamp,
    connection: Connection,
    reconciler: Arc<Reconciler<BrokenSes, BrokenRoute53>>,
    tasks: Executor<End>,
    in_flight: BTreeSet<String>,
    woken: Woken,
}

/// Whom the rounds have woken.
type Woken = Arc<Mutex<Vec<String>>>;

/// The resources as the rounds see them.
#[derive(Clone)]
struct Seen {
    api: Api,
    woken: Woken,
}

impl Watched for Seen {
    fn each(&self, look: &mut dyn FnMut(&SesDomain)) {
        self.api.kept().resources().for_each(|resource| look(resource));
    }

    fn wake(&self, namespace: &str, name: &str, _: Class) {
        self.woken.lock().expect("no panic while it is held").push(key(namespace, name));
    }
}

impl Run {
    /// Starts the operator: its reconciler, and what runs beside the reconciles.
    fn start(cloud: &Cloud, api: &Api, hand: &Hand, settings: &Settings, mutant: Mutant) -> Self {
        let cloud = cloud.for_new_process(hand.clone());
        let clock = Clock::moved_by(hand.clone());
        let reconciler = Arc::new(Reconciler {
            identities: Identities::new(BrokenSes(Ses(cloud.clone()), mutant), clock.clone()),
            dns: Dns::new(BrokenRoute53(Route53(cloud.clone()), mutant), clock.clone()),
            clock,
            settings: settings.clone(),
        });
        // What the operator does beside its reconciles goes here: it starts with each run and dies with it.
        let woken = Arc::default();
        let rounds = Rounds::new(Arc::clone(&reconciler), Seen { api: api.clone(), woken: Arc::clone(&woken) });
        let background: [Task<()>; 1] = [Box::pin(rounds.go())];
        let mut tasks = Executor::new();
        for task in background {
            tasks.spawn(Box::pin(async move {
                task.await;
                End::Background
            }));
        }
        let connection = Connection::new(api.clone(), cloud.clone(), mutant);
        Self { cloud, began: api.now(), connection, reconciler, tasks, in_flight: BTreeSet::new(), woken }
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
    /// When the watch shows what is new of a resource.
    shown: BTreeMap<String, Timestamp>,
    /// How far its clock is ahead, from the next start on.
    pub skew: SignedDuration,
    failures: BTreeMap<String, u32>,
    /// How many reconciles may be under way at once.
    pub concurrency: usize,
    /// How many reconciles were begun.
    pub reconciles: usize,
    /// How often the operator died.
    pub deaths: usize,
}

impl Operator {
    pub fn new(cloud: Cloud, api: Api, hand: Hand, settings: Settings) -> Self {
        let run = Run::start(&cloud, &api, &hand, &settings, Mutant::None);
        Self {
            cloud,
            api,
            hand,
            settings,
            mutant: Mutant::None,
            run,
            ghosts: Vec::new(),
            due: BTreeMap::new(),
            shown: BTreeMap::new(),
            skew: SignedDuration::ZERO,
            failures: BTreeMap::new(),
            concurrency: 16,
            reconciles: 0,
            deaths: 0,
        }
    }

    /// Starts anew: nothing is remembered, what was under way is no more, and everything is looked at.
    pub fn restart(&mut self) {
        self.run.cloud.kill();
        let now = self.hand.now();
        let shown = std::mem::take(&mut self.shown).into_keys();
        for name in shown.chain(std::mem::take(&mut self.run.in_flight)) {
            self.due.insert(name, now);
        }
        self.due.values_mut().for_each(|due| *due = now);
        self.failures.clear();
        let read = self.hand.skewed(self.skew);
        let run = Run::start(&self.cloud, &self.api, &read, &self.settings, self.mutant);
        let killed = std::mem::replace(&mut self.run, run);
        if killed.cloud.haunts() {
            self.ghosts.push(killed);
        }
    }

    /// Stops for good: what is under way is no more.
    pub fn stop(&mut self) {
        self.restart();
        self.due.clear();
    }

    /// This run no longer holds the lease: AWS is sent no change, and the API server is out of reach.
    pub fn depose(&self) {
        self.run.cloud.depose();
    }

    /// A resource is new or was changed, and the watch shows it, sooner or later.
    pub fn watch(&mut self, name: &str) {
        let lag = self.api.kept().watch_lag;
        if lag.is_zero() {
            self.wake(name);
        } else {
            self.shown.insert(name.to_owned(), self.hand.now() + lag);
        }
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

    /// When the next reconcile may begin.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.first_due().map(|(_, due)| *due).into_iter().chain(self.shown.values().copied()).min()
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
        let now = self.hand.now();
        while let Some(name) = self.shown.iter().find(|(_, at)| **at <= now).map(|(name, _)| name.clone()) {
            self.shown.remove(&name);
            self.wake(&name);
        }
        match self.run.tasks.turn() {
            Turn::Idle => return self.begin(),
            Turn::Waits | Turn::Ended(End::Background) => {}
            Turn::Ended(End::Reconciled { name, began, answer }) => {
                self.run.in_flight.remove(&name);
                self.settle(name, began, &answer);
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

    fn begin(&mut self) -> bool {
        let now = self.hand.now();
        let Some((key, _)) = self.first_due().filter(|(_, due)| **due <= now) else { return false };
        let key = key.clone();
        self.due.remove(&key);
        let Some(seen) = self.api.watched(&key, self.run.began) else { return true };
        self.reconciles += 1;
        let reconciler = Arc::clone(&self.run.reconciler);
        let connection = self.run.connection.clone();
        let began = self.run.began;
        self.run.in_flight.insert(key.clone());
        self.run.tasks.spawn(Box::pin(async move {
            let answer = Box::new(reconcile(&reconciler, &connection, &seen, began).await);
            End::Reconciled { name: key, began: now, answer }
        }));
        true
    }

    /// Notes when to look again.
    fn settle(&mut self, name: String, began: Timestamp, answer: &Result<Option<Outcome>, CloudError>) {
        let now = self.hand.now();
        let deleted = self.api.resource(&name).filter(|found| found.metadata.deletion_timestamp.is_some());
        if let Some(deleted) = deleted {
            // Whoever waits for the domain may be handed it over.
            let all: Vec<Arc<SesDomain>> = self.api.kept().resources().cloned().collect();
            let neighbors = neighbors::of(&deleted, all.iter().map(AsRef::as_ref));
            neighbors.rivals.iter().for_each(|rival| self.wake(&key(&rival.namespace, &rival.name)));
        }
        let next = match answer {
            Ok(None) => return,
            Err(gone) if gone.kind == ErrorKind::NotFound => return,
            Err(outdated) if outdated.kind == ErrorKind::Conflict => now + SignedDuration::from_secs(1),
            Ok(Some(outcome)) => match outcome.next {
                Next::Now => now + SignedDuration::from_secs(1),
                Next::At(time) => {
                    let time = time.checked_sub(self.skew).unwrap_or(time);
                    assert!(time > began, "{name} is to be looked at again at {time}, and it was {began}");
                    time
                }
                Next::Retry(_) => now + self.backoff(&name),
            },
            Err(_) => now + self.backoff(&name),
        };
        if answer.as_ref().is_ok_and(|outcome| outcome.as_ref().is_none_or(|outcome| outcome.failure.is_none())) {
            self.failures.remove(&name);
        }
        // Whoever was woken meanwhile is looked at as early as that.
        self.due.entry(name).and_modify(|due| *due = next.min(*due)).or_insert(next);
    }

    fn backoff(&mut self, name: &str) -> SignedDuration {
        let failures = self.failures.entry(name.to_owned()).or_default();
        *failures += 1;
        SignedDuration::from_secs((1_i64 << (*failures).min(9)).min(300))
    }
}

/// What the controller does around a reconcile: the finalizer, the first words, and the holder of the domain. `None` where
/// the resource is gone.
async fn reconcile(
    reconciler: &Reconciler<BrokenSes, BrokenRoute53>,
    connection: &Connection,
    seen: &Arc<SesDomain>,
    began: Timestamp,
) -> Result<Option<Outcome>, CloudError> {
    let mut resource = connection.latest(seen);
    let deleting = resource.metadata.deletion_timestamp.is_some();
    let held = resource.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    if deleting && !held {
        connection.forget(&resource);
        return Ok(None);
    }
    if !held {
        resource = connection.finalize(&resource, true).await?;
    }
    if !deleting && resource.status.as_ref().is_none_or(|status| status.conditions.is_empty()) {
        let first = reconciler.greeting(&resource);
        connection.save(&resource, &first).await?;
        resource = connection.latest(&resource);
    }
    let others = connection.api.watched_all(began);
    let neighbors = neighbors::of(&resource, others.iter().map(AsRef::as_ref));
    let outcome = reconciler.reconcile(&resource, neighbors, connection).await;
    connection.write_late().await?;
    let outcome = outcome?;
    if outcome.gone {
        let resource = connection.latest(&resource);
        connection.finalize(&resource, false).await?;
        connection.forget(&resource);
        reconciler.forget(&resource);
        return Ok(None);
    }
    Ok(Some(outcome))
}
