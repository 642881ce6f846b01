//! The scheduler around the reconcile code, and the API server's side of it: resources, their status, events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ses_operator::api::{SesDomain, SesDomainStatus};
use ses_operator::clock::Clock;
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::CloudError;
use ses_operator::controller::neighbors;
use ses_operator::dns::snapshot::Dns;
use ses_operator::quota::Class;
use ses_operator::reconcile::report::{Event, Next};
use ses_operator::reconcile::subject::Settings;
use ses_operator::reconcile::{Journal, Outcome, Reconciler};
use ses_operator::rounds::{Rounds, Watched};
use ses_operator::ses::snapshot::Identities;

use crate::cloud::Cloud;
use crate::cloud::route53::Route53;
use crate::cloud::ses::Ses;
use crate::executor::{Executor, Task, Turn};

/// The API server: what is asked for, what was said of it, and how often. Clones are the same server.
#[derive(Clone, Debug, Default)]
pub struct Api(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
pub struct Kept {
    /// In the order in which they were made.
    pub resources: Vec<SesDomain>,
    pub events: Vec<(Timestamp, String, Event)>,
    /// Every status that was written.
    pub history: Vec<(Timestamp, String, SesDomainStatus)>,
    pub writes: usize,
}

impl Api {
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no story goes on after a panic")
    }

    pub fn resource(&self, name: &str) -> Option<SesDomain> {
        self.kept().resources.iter().find(|resource| resource.metadata.name.as_deref() == Some(name)).cloned()
    }

    /// A person's edit: the generation rises when the spec changes.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut SesDomain)) {
        let mut kept = self.kept();
        let found = kept.resources.iter_mut().find(|resource| resource.metadata.name.as_deref() == Some(name));
        let resource = found.expect("a resource of the story");
        let spec = resource.spec.clone();
        edit(resource);
        if resource.spec != spec {
            resource.metadata.generation = resource.metadata.generation.map(|generation| generation + 1);
        }
    }
}

/// The API server as one run of the operator reaches it.
#[derive(Clone, Debug)]
pub struct Connection {
    api: Api,
    cloud: Cloud,
}

impl Journal for Connection {
    type Error = CloudError;

    async fn save(&self, resource: &SesDomain, status: &SesDomainStatus) -> Result<(), CloudError> {
        let name = name_of(resource);
        self.cloud
            .call("api:PatchStatus", &name, |state| {
                must_hold(status);
                let claims = status
                    .records
                    .iter()
                    .filter(|entry| entry.ours)
                    .map(|entry| (entry.hosted_zone_id.clone(), entry.name.clone(), entry.record_type.clone()));
                state.guard.claims.insert(name.clone(), claims.collect());
                let now = state.now();
                let mut kept = self.api.kept();
                kept.writes += 1;
                kept.history.push((now, name.clone(), status.clone()));
                let found = kept.resources.iter_mut().find(|resource| name_of(resource) == name);
                if let Some(kept) = found {
                    kept.status = Some(status.clone());
                }
                Ok(())
            })
            .await
    }

    async fn tell(&self, resource: &SesDomain, event: &Event) {
        let now = self.cloud.state().now();
        self.api.kept().events.push((now, name_of(resource), event.clone()));
    }
}

/// What holds for every status that is ever written.
fn must_hold(status: &SesDomainStatus) {
    let stands = |about: &str| status.conditions.iter().any(|condition| condition.type_ == about);
    assert!(!(stands("Stalled") && stands("Reconciling")), "both Stalled and Reconciling: {:#?}", status.conditions);
    let ready = status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    assert!(!(ready && (stands("Stalled") || stands("Reconciling"))), "ready and not: {:#?}", status.conditions);
    let mut types: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), status.conditions.len(), "a condition twice");
    for condition in &status.conditions {
        assert!(!condition.reason.is_empty() && !condition.message.is_empty(), "{condition:?}");
        assert!(condition.message.len() <= 32_768, "the API server refuses so long a message");
    }
    assert!(status.records.len() <= 64 && status.pending_changes.len() <= 16 && status.hosted_zones.len() <= 16);
    let repairs = status.records.iter().map(|entry| entry.put_back.len());
    assert!(repairs.chain(status.identity.iter().map(|identity| identity.put_back.len())).all(|count| count <= 8));
    let read: SesDomainStatus =
        serde_json::from_value(serde_json::to_value(status).expect("a status is JSON")).expect("and is read again");
    assert_eq!(&read, status, "what is read is what was written");
}

pub fn name_of(resource: &SesDomain) -> String {
    resource.metadata.name.clone().unwrap_or_default()
}

/// What a reconcile came to, or that a task of the background is over.
enum End {
    Reconciled { name: String, began: Timestamp, answer: Box<Result<Outcome, CloudError>> },
    Background,
}

/// One run of the operator, which dies as a whole.
#[derive(Debug)]
struct Run {
    cloud: Cloud,
    reconciler: Arc<Reconciler<Ses, Route53>>,
    tasks: Executor<End>,
    in_flight: BTreeSet<String>,
    woken: Woken,
}

/// Whom the rounds have woken.
type Woken = Arc<Mutex<Vec<String>>>;

/// The resources as the rounds see them.
struct Seen {
    api: Api,
    woken: Woken,
}

impl Watched for Seen {
    fn each(&self, look: &mut dyn FnMut(&SesDomain)) {
        self.api.kept().resources.iter().for_each(look);
    }

    fn wake(&self, _: &str, name: &str, _: Class) {
        self.woken.lock().expect("no panic while it is held").push(name.to_owned());
    }
}

impl Run {
    /// Starts the operator: its reconciler, and what runs beside the reconciles.
    fn start(api: &Api, cloud: &Cloud, hand: &Hand, settings: &Settings) -> Self {
        let cloud = cloud.for_new_process();
        let clock = Clock::moved_by(hand.clone());
        let reconciler = Arc::new(Reconciler {
            identities: Identities::new(Ses(cloud.clone()), clock.clone()),
            dns: Dns::new(Route53(cloud.clone()), clock.clone()),
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
        Self { cloud, reconciler, tasks, in_flight: BTreeSet::new(), woken }
    }
}

/// The scheduler: what a controller does.
#[derive(Debug)]
pub struct Operator {
    api: Api,
    cloud: Cloud,
    hand: Hand,
    pub settings: Settings,
    run: Run,
    /// Runs that were killed while a request was under way.
    ghosts: Vec<Run>,
    due: BTreeMap<String, Timestamp>,
    failures: BTreeMap<String, u32>,
    /// How many reconciles may be under way at once.
    pub concurrency: usize,
    /// How many reconciles were begun.
    pub reconciles: usize,
    /// How often the operator died.
    pub deaths: usize,
}

impl Operator {
    pub fn new(api: Api, cloud: Cloud, hand: Hand, settings: Settings) -> Self {
        let run = Run::start(&api, &cloud, &hand, &settings);
        Self {
            api,
            cloud,
            hand,
            settings,
            run,
            ghosts: Vec::new(),
            due: BTreeMap::new(),
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
        for name in std::mem::take(&mut self.run.in_flight) {
            self.due.insert(name, now);
        }
        self.due.values_mut().for_each(|due| *due = now);
        self.failures.clear();
        let run = Run::start(&self.api, &self.cloud, &self.hand, &self.settings);
        let killed = std::mem::replace(&mut self.run, run);
        if killed.cloud.haunts() {
            self.ghosts.push(killed);
        }
    }

    /// The watch shows that a resource is new or was changed.
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
        self.first_due().map(|(_, due)| *due)
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
    pub fn step(&mut self, api: &Api) -> bool {
        self.ghosts.retain_mut(|ghost| {
            while !matches!(ghost.tasks.turn(), Turn::Idle) {}
            ghost.cloud.haunts()
        });
        match self.run.tasks.turn() {
            Turn::Idle => return self.begin(api),
            Turn::Waits | Turn::Ended(End::Background) => {}
            Turn::Ended(End::Reconciled { name, began, answer }) => {
                self.run.in_flight.remove(&name);
                self.settle(api, name, began, &answer);
            }
        }
        let woken = std::mem::take(&mut *self.run.woken.lock().expect("no panic while it is held"));
        woken.iter().for_each(|name| self.wake(name));
        if self.run.cloud.is_dead() {
            self.deaths += 1;
            self.restart();
        }
        true
    }

    fn begin(&mut self, api: &Api) -> bool {
        let now = self.hand.now();
        let Some((name, _)) = self.first_due().filter(|(_, due)| **due <= now) else { return false };
        let name = name.clone();
        self.due.remove(&name);
        let Some(resource) = api.resource(&name) else { return true };
        self.reconciles += 1;
        let neighbors = neighbors::of(&resource, api.kept().resources.iter());
        let reconciler = Arc::clone(&self.run.reconciler);
        let connection = Connection { api: api.clone(), cloud: self.run.cloud.clone() };
        self.run.in_flight.insert(name.clone());
        self.run.tasks.spawn(Box::pin(async move {
            let answer = reconciler.reconcile(&resource, neighbors, &connection).await;
            End::Reconciled { name, began: now, answer: Box::new(answer) }
        }));
        true
    }

    /// Notes when to look again.
    fn settle(&mut self, api: &Api, name: String, began: Timestamp, answer: &Result<Outcome, CloudError>) {
        let now = self.hand.now();
        if let Some(deleted) = api.resource(&name).filter(|found| found.metadata.deletion_timestamp.is_some()) {
            // Whoever waits for the domain may be handed it over.
            let neighbors = neighbors::of(&deleted, api.kept().resources.iter());
            neighbors.rivals.iter().for_each(|rival| self.wake(&rival.name));
        }
        let next = match answer {
            Ok(outcome) if outcome.gone => {
                api.kept().resources.retain(|kept| name_of(kept) != name);
                self.due.remove(&name);
                // Whoever was refused for this one's sake is looked at again.
                self.due.values_mut().for_each(|due| *due = now);
                return;
            }
            Ok(outcome) => match outcome.next {
                Next::Now => now,
                Next::At(time) => {
                    assert!(time > began, "{name} is to be looked at again at {time}, and it was {began}");
                    time
                }
                Next::Retry(_) => now + self.backoff(&name),
            },
            Err(_) => now + self.backoff(&name),
        };
        if answer.as_ref().is_ok_and(|outcome| outcome.failure.is_none()) {
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

/// A resource that somebody has just deleted.
pub fn deleted_at(resource: &mut SesDomain, now: Timestamp) {
    resource.metadata.deletion_timestamp = Some(Time(now));
}
