//! The scheduler around the reconcile code, and the API server's side of it: resources, their status, events.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ses_operator::api::{SesDomain, SesDomainStatus};
use ses_operator::clock::Clock;
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::CloudError;
use ses_operator::controller::neighbors;
use ses_operator::dns::snapshot::Dns;
use ses_operator::reconcile::report::{Event, Next};
use ses_operator::reconcile::subject::Settings;
use ses_operator::reconcile::{Journal, Outcome, Reconciler};
use ses_operator::ses::snapshot::Identities;

use crate::cloud::Cloud;
use crate::cloud::route53::Route53;
use crate::cloud::ses::Ses;

/// The API server: what is asked for, what was said of it, and how often.
#[derive(Debug)]
pub struct Api {
    cloud: Cloud,
    kept: Mutex<Kept>,
}

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
    pub fn new(cloud: Cloud) -> Self {
        Self { cloud, kept: Mutex::default() }
    }

    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no story goes on after a panic")
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

impl Journal for Api {
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
                let mut kept = self.kept();
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
        self.kept().events.push((now, name_of(resource), event.clone()));
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

/// The scheduler: what a controller does, without the waiting.
#[derive(Debug)]
pub struct Operator {
    cloud: Cloud,
    hand: Hand,
    pub settings: Settings,
    reconciler: Reconciler<Ses, Route53>,
    due: BTreeMap<String, Timestamp>,
    failures: BTreeMap<String, u32>,
    /// How many reconciles were run.
    pub reconciles: usize,
    /// How often the operator died.
    pub deaths: usize,
}

impl Operator {
    pub fn new(cloud: Cloud, hand: Hand, settings: Settings) -> Self {
        let reconciler = start(&cloud, &hand, &settings);
        Self {
            cloud,
            hand,
            settings,
            reconciler,
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
            reconciles: 0,
            deaths: 0,
        }
    }

    /// Starts anew: nothing is remembered, and everything is looked at.
    pub fn restart(&mut self) {
        self.reconciler = start(&self.cloud, &self.hand, &self.settings);
        self.failures.clear();
        let now = self.hand.now();
        self.due.values_mut().for_each(|due| *due = now);
    }

    /// The watch shows that a resource is new or was changed.
    pub fn wake(&mut self, name: &str) {
        self.due.insert(name.to_owned(), self.hand.now());
        self.failures.remove(name);
    }

    /// When the next reconcile is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.values().min().copied()
    }

    /// Runs the reconcile that is due first, if that is by now.
    pub fn step(&mut self, api: &Api) -> Option<(String, Option<Outcome>)> {
        let now = self.hand.now();
        let (name, _) = self.due.iter().filter(|(_, due)| **due <= now).min_by_key(|(_, due)| **due)?;
        let name = name.clone();
        let Some(resource) = api.resource(&name) else {
            self.due.remove(&name);
            return Some((name, None));
        };
        self.reconciles += 1;
        let neighbors = neighbors::of(&resource, api.kept().resources.iter());
        let Some(answer) = poll_once(self.reconciler.reconcile(&resource, neighbors, api)) else {
            self.deaths += 1;
            self.restart();
            return Some((name, None));
        };
        let next = match &answer {
            Ok(outcome) if outcome.gone => {
                api.kept().resources.retain(|kept| name_of(kept) != name);
                self.due.remove(&name);
                // Whoever was refused for this one's sake is looked at again.
                self.due.values_mut().for_each(|due| *due = now);
                return Some((name, answer.ok()));
            }
            Ok(outcome) => match outcome.next {
                Next::Now => now,
                Next::At(time) => {
                    assert!(time > now, "{name} is to be looked at again at {time}, and it is {now}");
                    time
                }
                Next::Retry(_) => now + self.backoff(&name),
            },
            Err(_) => now + self.backoff(&name),
        };
        if answer.as_ref().is_ok_and(|outcome| outcome.failure.is_none()) {
            self.failures.remove(&name);
        }
        self.due.insert(name.clone(), next);
        Some((name, answer.ok()))
    }

    fn backoff(&mut self, name: &str) -> SignedDuration {
        let failures = self.failures.entry(name.to_owned()).or_default();
        *failures += 1;
        SignedDuration::from_secs((1_i64 << (*failures).min(9)).min(300))
    }
}

fn start(cloud: &Cloud, hand: &Hand, settings: &Settings) -> Reconciler<Ses, Route53> {
    let clock = Clock::moved_by(hand.clone());
    Reconciler {
        identities: Identities::new(Ses(cloud.clone()), clock.clone()),
        dns: Dns::new(Route53(cloud.clone()), clock.clone()),
        clock,
        settings: settings.clone(),
    }
}

/// Runs what never waits; `None` where the operator died on the way.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A resource that somebody has just deleted.
pub fn deleted_at(resource: &mut SesDomain, now: Timestamp) {
    resource.metadata.deletion_timestamp = Some(Time(now));
}
