//! The controller: watch, finalizer, the resource's latest version, and when to look again.
//!
//! | module | holds |
//! |---|---|
//! | [`alarm`] | the times of the next looks |
//! | [`journal`] | status patches and events |
//! | [`neighbors`] | what a reconcile must know of the other SesDomains |
//! | [`retry`] | how long to wait after which failure |

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::{PredicateConfig, WatchStreamExt, reflector, watcher};
use kube::{Api, Client, ResourceExt};
use tracing::Instrument;

use crate::api::{FIELD_MANAGER, FINALIZER, RECONCILE_REQUESTED_AT, SesDomain, SesDomainStatus};
use crate::clock::Clock;
use crate::cloud::ErrorKind;
use crate::dns::DnsProvider;
use crate::kubernetes;
use crate::reconcile::report::{Next, conditions};
use crate::reconcile::{Journal, Outcome, Reconciler};
use crate::ses::IdentityService;
use crate::telemetry::metrics::Metrics;

pub mod alarm;
pub mod journal;
pub mod neighbors;
pub mod retry;

use alarm::Alarms;
use journal::{ApiJournal, SaveError, answered};

/// How many resources are reconciled at once. AWS's quotas, not this, decide the speed.
const CONCURRENCY: u16 = 16;

/// What the controller works with.
pub struct Controller<S, D> {
    /// The API server.
    pub client: Client,
    /// The SesDomains that are looked after.
    pub domains: Api<SesDomain>,
    /// What reconciles.
    pub reconciler: Reconciler<S, D>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
}

struct Context<S, D> {
    controller: Controller<S, D>,
    store: Store<SesDomain>,
    alarms: Alarms,
    journal: ApiJournal,
    failures: Mutex<HashMap<ObjectRef<SesDomain>, u32>>,
}

/// Watches and reconciles until `stopped`; reconciles that are under way are let finish.
pub async fn run<S: IdentityService, D: DnsProvider>(
    controller: Controller<S, D>,
    store: Store<SesDomain>,
    writer: Writer<SesDomain>,
    stopped: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let (alarms, ringing) = Alarms::new(controller.clock.clone());
    let journal = ApiJournal::new(controller.client.clone());
    let watch = watcher(controller.domains.clone(), watcher::Config::default().any_semantic().page_size(500))
        .default_backoff()
        .modify(keep_what_we_use);
    let changed = reflector(writer, watch)
        .applied_objects()
        // Our own status patches ask for nothing.
        .predicate_filter(asks, PredicateConfig::default());
    let context = Arc::new(Context { controller, store: store.clone(), alarms, journal, failures: Mutex::default() });
    let results = kube::runtime::Controller::for_stream(changed, store)
        .reconcile_on(ringing)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stopped)
        .run(reconcile, |_, _, _| Action::await_change(), context);
    pin!(results)
        .for_each(async |result| {
            if let Err(error) = result {
                tracing::warn!("the watch was interrupted: {error}");
            }
        })
        .await;
}

/// Managed fields and the last applied manifest are most of an object, and nothing here reads them.
fn keep_what_we_use(domain: &mut SesDomain) {
    domain.metadata.managed_fields = None;
    domain.annotations_mut().retain(|name, _| name == RECONCILE_REQUESTED_AT);
}

/// What of an object asks for a reconcile when it changes.
fn asks(domain: &SesDomain) -> Option<u64> {
    let metadata = &domain.metadata;
    let mut hasher = DefaultHasher::new();
    metadata.generation.hash(&mut hasher);
    metadata.deletion_timestamp.is_some().hash(&mut hasher);
    metadata.annotations.hash(&mut hasher);
    metadata.finalizers.hash(&mut hasher);
    Some(hasher.finish())
}

/// One reconcile. Whatever comes of it, an alarm is set for the next look, so no error is left for the runtime.
async fn reconcile<S: IdentityService, D: DnsProvider>(
    seen: Arc<SesDomain>,
    context: Arc<Context<S, D>>,
) -> Result<Action, std::convert::Infallible> {
    // A root of its own: the runtime's span would say the same a second time in every line.
    let span = tracing::info_span!(
        parent: None,
        "reconcile",
        namespace = seen.namespace().unwrap_or_default(),
        // Not `name`: JSON logs have the span's own name there.
        resource = seen.name_any(),
        domain = seen.spec.domain
    );
    async {
        let started = Instant::now();
        let outcome = context.reconcile(&seen).await;
        let label = context.settle(&seen, outcome);
        context.controller.metrics.reconcile(label, started.elapsed());
    }
    .instrument(span)
    .await;
    Ok(Action::await_change())
}

impl<S: IdentityService, D: DnsProvider> Context<S, D> {
    async fn reconcile(&self, seen: &Arc<SesDomain>) -> Result<Option<Outcome>, SaveError> {
        let mut resource = self.journal.latest(seen);
        let deleting = resource.metadata.deletion_timestamp.is_some();
        let held = resource.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
        if deleting && !held {
            self.journal.forget(&resource);
            return Ok(None);
        }
        if !held {
            let finalizers = resource.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect();
            resource = self.finalize(&resource, finalizers).await?;
        }
        if is_new(resource.status.as_ref()) && !deleting {
            self.journal.save(&resource, &self.first_sight(&resource)).await?;
            resource = self.journal.latest(&Arc::new(resource));
        }
        let others = self.store.state();
        let neighbors = neighbors::of(&resource, others.iter().map(AsRef::as_ref));
        let outcome = self.controller.reconciler.reconcile(&resource, neighbors, &self.journal).await?;
        if outcome.gone {
            let resource = self.journal.latest(&Arc::new(resource));
            let left = resource.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
            self.finalize(&resource, left).await?;
            self.journal.forget(&resource);
            tracing::info!("released");
        }
        Ok(Some(outcome))
    }

    /// Sets the finalizers, on the version that was read.
    async fn finalize(&self, resource: &SesDomain, finalizers: Vec<String>) -> Result<SesDomain, SaveError> {
        let patch = serde_json::json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": resource.metadata.resource_version,
            "uid": resource.metadata.uid,
        }});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let api: Api<SesDomain> =
            Api::namespaced(self.controller.client.clone(), &resource.namespace().unwrap_or_default());
        let mut answer = answered(api.patch(&resource.name_any(), &params, &Patch::Merge(&patch))).await?;
        keep_what_we_use(&mut answer);
        self.journal.remember(answer.clone());
        Ok(answer)
    }

    fn first_sight(&self, resource: &SesDomain) -> SesDomainStatus {
        SesDomainStatus {
            conditions: conditions::at_first_sight(
                resource.metadata.generation.unwrap_or_default(),
                self.controller.clock.now(),
            ),
            ..resource.status.clone().unwrap_or_default()
        }
    }

    /// Sets the alarm for the next look, and gives the outcome's name for the metrics.
    fn settle(&self, seen: &SesDomain, outcome: Result<Option<Outcome>, SaveError>) -> &'static str {
        let key = ObjectRef::from_obj(seen);
        let now = self.controller.clock.now();
        match outcome {
            Ok(None) => {
                self.forget(seen, &key);
                "gone"
            }
            Ok(Some(outcome)) if outcome.gone => {
                self.forget(seen, &key);
                "gone"
            }
            Ok(Some(Outcome { next: Next::At(time), .. })) => {
                self.failed(&key, false);
                self.alarms.set(key.clone(), time + retry::spread(&key, time.duration_since(now)));
                "ok"
            }
            Ok(Some(Outcome { next: Next::Now, .. })) => {
                self.alarms.set(key, now + SignedDuration::from_secs(1));
                "ok"
            }
            Ok(Some(Outcome { next: Next::Retry(kind), failure, .. })) => {
                let wait = retry::after(kind, self.failed(&key, true));
                let failure = failure.map(|failure| failure.to_string()).unwrap_or_default();
                tracing::warn!(kind = kind.as_label(), wait = %wait, "{failure}");
                self.alarms.set(key.clone(), now + wait + retry::spread(&key, wait));
                kind.as_label()
            }
            Err(SaveError::Gone) => {
                self.forget(seen, &key);
                "gone"
            }
            Err(SaveError::Outdated) => {
                self.alarms.set(key, now + SignedDuration::from_secs(1));
                "outdated"
            }
            Err(error @ (SaveError::Refused(_) | SaveError::Unanswered)) => {
                let wait = retry::after(ErrorKind::Unavailable, self.failed(&key, true));
                let words = if let SaveError::Refused(error) = &error {
                    kubernetes::in_words(error)
                } else {
                    error.to_string()
                };
                tracing::warn!(wait = %wait, "can't write to the API server: {words}");
                self.alarms.set(key, now + wait);
                "api_server"
            }
        }
    }

    /// Counts failures in a row, and gives their number.
    fn failed(&self, key: &ObjectRef<SesDomain>, failed: bool) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failed {
            let count = failures.entry(key.clone()).or_default();
            *count = count.saturating_add(1);
            *count
        } else {
            failures.remove(key);
            0
        }
    }

    fn forget(&self, resource: &SesDomain, key: &ObjectRef<SesDomain>) {
        self.failed(key, false);
        self.alarms.cancel(key);
        self.journal.forget(resource);
        self.controller.reconciler.forget(resource);
    }
}

/// Whether nobody has said anything about a resource yet. The CRD's default is generation -1.
fn is_new(status: Option<&SesDomainStatus>) -> bool {
    status.is_none_or(|status| status.conditions.is_empty())
}
