//! The controller: which resource is reconciled when, on its latest version, and what is written to the API server.
//!
//! The watch fills the store, and wakes in the queue whoever asks for a reconcile; alarms wake whose time has come. Who has
//! the turn is reconciled in a task of its own.
//!
//! | module | holds |
//! |---|---|
//! | [`key`] | a resource's namespace and name |
//! | [`store`] | what is known of each resource, in few bytes |
//! | [`urgency`] | what asks for a reconcile, and how urgently |
//! | [`queue`] | which resource is reconciled next |
//! | [`alarm`] | the times of the next looks |
//! | [`turn`] | one reconcile, from the latest version to the next alarm |
//! | [`neighbors`] | what a reconcile must know of the other SesDomains |
//! | [`watch`] | what fills the store |
//! | [`journal`] | what is written to the API server |
//! | [`api_server`], [`events`] | how it is written there |
//! | [`disputes`] | how soon a status is looked at that somebody else wrote |
//! | [`retry`] | how long to wait after which failure |

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::SignedDuration;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::SesDomain;
use crate::clock::Clock;
use crate::dns::{DnsProvider, ZoneId};
use crate::domain_name::DomainName;
use crate::quota::Class;
use crate::reconcile::{Reconciler, rest};
use crate::rounds::{Rounds, Watched};
use crate::ses::IdentityService;
use crate::telemetry::metrics::Metrics;

pub mod alarm;
pub mod api_server;
pub mod disputes;
pub mod events;
pub mod journal;
pub mod key;
pub mod neighbors;
pub mod queue;
pub mod retry;
pub mod store;
pub mod turn;
pub mod urgency;
mod watch;

use alarm::Alarms;
use api_server::Connection;
use journal::ApiJournal;
use key::Key;
use queue::Queue;
use store::{Sighting, Store};
use turn::Context;

/// A new resource of which nothing is said after this time is greeted: it waits, and says so. One that need not wait is
/// spared the request.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// So many are greeted at once.
const GREETINGS: usize = 8;

/// What the controller works with.
pub struct Controller<S, D> {
    /// The API server.
    pub client: Client,
    /// The SesDomains that are looked after.
    pub domains: Api<SesDomain>,
    /// What reconciles.
    pub reconciler: Arc<Reconciler<S, D>>,
    /// What is known of the SesDomains: empty, until the controller runs.
    pub store: Store,
    /// Who is to be reconciled.
    pub queue: Queue,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
}

/// Watches and reconciles until `stopped`; reconciles that are under way are let finish.
pub async fn run<S: IdentityService, D: DnsProvider>(controller: Controller<S, D>, stopped: impl Future<Output = ()>) {
    let alarms = Alarms::new(controller.clock.clone());
    let server = Connection::new(controller.client.clone(), controller.clock.clone());
    let journal = ApiJournal::new(server, controller.store.clone());
    let (failures, disputes) = (Mutex::default(), Mutex::default());
    let context = Arc::new(Context { controller, alarms, journal, failures, disputes });
    // In a task of its own: comparing all resources takes a moment. It ends with the controller.
    let mut rounds = JoinSet::new();
    rounds.spawn(go_rounds(Arc::clone(&context)));
    let mut reconciles = JoinSet::new();
    let (arrived, arrivals) = mpsc::unbounded_channel();
    tokio::select! {
        () = stopped => {}
        () = watch::watch(&context.controller.domains, &context.controller.store, |seen| context.sees(seen, &arrived)) => {}
        () = greet(&context, arrivals) => {}
        () = ring(&context) => {}
        () = start(&context, &mut reconciles) => {}
    }
    rounds.abort_all();
    while reconciles.join_next().await.is_some() {}
}

/// Goes the rounds, once it is known over whom.
async fn go_rounds<S: IdentityService, D: DnsProvider>(context: Arc<Context<S, D>>) {
    let Controller { store, queue, reconciler, .. } = &context.controller;
    store.listed().await;
    let watched = All { store: store.clone(), queue: queue.clone() };
    Rounds::new(Arc::clone(reconciler), watched).go().await;
}

/// The resources as the rounds see them.
#[derive(Clone)]
struct All {
    store: Store,
    queue: Queue,
}

impl Watched for All {
    fn each(&self, look: &mut dyn FnMut(&SesDomain)) {
        self.store.for_each(look);
    }

    fn each_in_zone(&self, zone: &ZoneId, look: &mut dyn FnMut(&SesDomain)) {
        self.store.each_in_zone(zone, look);
    }

    fn wake(&self, namespace: &str, name: &str, class: Class) {
        self.queue.wake(&Key::new(namespace, name), class);
    }
}

/// Wakes whose time has come.
async fn ring<S: IdentityService, D: DnsProvider>(context: &Context<S, D>) {
    loop {
        let key = context.alarms.ring().await;
        if let Some(resource) = context.controller.store.get(&key) {
            let class = if context.has_failed(&key) { Class::Pending } else { Class::Sweep };
            context.rouse(&key, &resource, class);
        }
    }
}

/// Starts the reconciles whose turn it is.
async fn start<S: IdentityService, D: DnsProvider>(context: &Arc<Context<S, D>>, reconciles: &mut JoinSet<()>) {
    loop {
        tokio::select! {
            turn = context.controller.queue.next() => {
                reconciles.spawn(turn::take(Arc::clone(context), turn));
            }
            Some(_) = reconciles.join_next() => {}
        }
    }
}

/// Greets the new ones that have to wait.
async fn greet<S: IdentityService, D: DnsProvider>(
    context: &Context<S, D>,
    arrivals: mpsc::UnboundedReceiver<(Instant, Key)>,
) {
    // They come in the order of their times, since the patience with each is the same.
    let waited = futures::stream::unfold(arrivals, async |mut arrivals| {
        let (since, key) = arrivals.recv().await?;
        tokio::time::sleep_until((since + PATIENCE).into()).await;
        Some((key, arrivals))
    });
    waited
        .for_each_concurrent(GREETINGS, async |key| {
            let greeting = |resource: &SesDomain| context.controller.reconciler.greeting(resource);
            if let Err(error) = context.journal.greet(&key, greeting).await {
                tracing::debug!("{key} could not be greeted: {error}");
            }
        })
        .await;
}

impl<S: IdentityService, D: DnsProvider> Context<S, D> {
    /// Has a resource reconciled for which nobody has just asked: as urgently as its state is, and as this class at least.
    fn rouse(&self, key: &Key, resource: &SesDomain, class: Class) {
        let class = class.min(urgency::of(resource));
        if rest::is_answered(resource) {
            self.controller.queue.go_on(key, class);
        } else {
            self.controller.queue.wake(key, class);
        }
    }

    fn sees(&self, sighting: Sighting, arrived: &mpsc::UnboundedSender<(Instant, Key)>) {
        let now = self.controller.clock.now();
        match sighting {
            Sighting::First(key, resource) if self.controller.reconciler.is_at_rest(&resource, now) => {
                self.alarms.set(key, rest::next_look(&resource, now));
            }
            Sighting::First(key, resource) => {
                self.rouse(&key, &resource, Class::Sweep);
                if journal::is_new(&resource) {
                    // Nobody listens any more only when the controller stops.
                    let _ = arrived.send((Instant::now(), key));
                }
            }
            Sighting::Asks(key, class) => self.controller.queue.wake(&key, class),
            Sighting::Rewritten(key) => {
                let wait = self.disputes.lock().unwrap_or_else(PoisonError::into_inner).wait(&key, now);
                match wait {
                    Some(SignedDuration::ZERO) => self.controller.queue.wake(&key, Class::Repair),
                    Some(wait) => self.alarms.remind(key, now + wait),
                    None => {}
                }
            }
            Sighting::Gone(key, resource) => {
                self.forget(&key, &resource);
                // Whoever was refused for this one's sake may have the domain now.
                for other in self.controller.store.of_domain(&DomainName::new(&resource.spec.domain)) {
                    self.controller.queue.wake(&other, Class::Changed);
                }
            }
        }
    }
}
