//! One reconcile, from the resource's latest version to the alarm for the next look.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use jiff::SignedDuration;
use tracing::Instrument;

use super::alarm::Alarms;
use super::api_server::SaveError;
use super::disputes::Disputes;
use super::journal::{ApiJournal, is_held};
use super::key::Key;
use super::queue::Turn;
use super::{Controller, neighbors, retry};
use crate::api::SesDomain;
use crate::cloud::ErrorKind;
use crate::dns::DnsProvider;
use crate::kubernetes;
use crate::quota::{Caller, Class};
use crate::reconcile::Outcome;
use crate::reconcile::report::Next;
use crate::ses::IdentityService;

/// After a defect of ours: often enough to be seen, seldom enough to do no harm.
const AFTER_PANIC: SignedDuration = SignedDuration::from_mins(5);

/// What all reconciles share.
pub(super) struct Context<S, D> {
    pub(super) controller: Controller<S, D>,
    pub(super) alarms: Alarms,
    pub(super) journal: ApiJournal,
    /// How often each has failed in a row.
    pub(super) failures: Mutex<HashMap<Key, u32>>,
    /// Whose status somebody else writes as well.
    pub(super) disputes: Mutex<Disputes>,
}

/// Reconciles the resource whose turn it is. Whatever comes of it, an alarm is set for the next look.
pub(super) async fn take<S: IdentityService, D: DnsProvider>(context: Arc<Context<S, D>>, turn: Turn) {
    let Some(seen) = context.controller.store.get(&turn.key) else { return };
    let span = tracing::info_span!(
        "reconcile",
        namespace = &*turn.key.namespace,
        // Not `name`: JSON logs have the span's own name there.
        resource = &*turn.key.name,
        domain = seen.spec.domain
    );
    let caller = Caller::new(turn.class, Arc::clone(&turn.key.namespace));
    let work = async {
        let started = Instant::now();
        // What waits here may wait for minutes, and there are many: the whole of it is one allocation.
        let outcome = AssertUnwindSafe(context.reconcile(&seen)).catch_unwind().await;
        let label = if let Ok(outcome) = outcome {
            context.settle(&turn.key, &seen, outcome)
        } else {
            tracing::error!(wait = %AFTER_PANIC, "the reconcile panicked: this is a defect, please report it");
            context.alarms.set(turn.key.clone(), context.controller.clock.now() + AFTER_PANIC);
            "panicked"
        };
        context.controller.metrics.reconcile(label, started.elapsed());
    };
    caller.scope(work.instrument(span)).await;
}

impl<S: IdentityService, D: DnsProvider> Context<S, D> {
    async fn reconcile(&self, seen: &SesDomain) -> Result<Option<Outcome>, SaveError> {
        if seen.metadata.deletion_timestamp.is_some() && !is_held(seen) {
            return Ok(None);
        }
        let resource = self.journal.hold(seen).await?;
        let neighbors = neighbors::in_store(&self.controller.store, &resource);
        let rivals: Vec<Key> = neighbors.rivals.iter().map(|rival| Key::new(&*rival.namespace, &*rival.name)).collect();
        let page = self.journal.open(&resource);
        let outcome = self.controller.reconciler.reconcile(&resource, neighbors, &page).await?;
        if resource.metadata.deletion_timestamp.is_some() {
            // Whoever waits for the domain may be handed it over.
            rivals.iter().for_each(|rival| self.controller.queue.wake(rival, Class::Changed));
        }
        if outcome.gone {
            self.journal.release(&resource).await?;
            tracing::info!("released");
        }
        Ok(Some(outcome))
    }

    /// Sets the alarm for the next look, and gives the outcome's name for the metrics.
    fn settle(&self, key: &Key, seen: &SesDomain, outcome: Result<Option<Outcome>, SaveError>) -> &'static str {
        let now = self.controller.clock.now();
        match outcome {
            Ok(None) => {
                self.forget(key, seen);
                "gone"
            }
            Ok(Some(outcome)) if outcome.gone => {
                self.forget(key, seen);
                "gone"
            }
            Ok(Some(Outcome { next: Next::At(time), .. })) => {
                self.succeeded(key);
                self.alarms.set(key.clone(), time);
                "ok"
            }
            Ok(Some(Outcome { next: Next::Now, .. })) => {
                self.alarms.set(key.clone(), now + SignedDuration::from_secs(1));
                "ok"
            }
            Ok(Some(Outcome { next: Next::Retry(kind), failure, .. })) => {
                let wait = retry::after(kind, self.failed(key));
                let failure = failure.map(|failure| failure.to_string()).unwrap_or_default();
                tracing::warn!(kind = kind.as_label(), wait = %wait, "{failure}");
                self.alarms.set(key.clone(), now + wait + retry::spread(key, wait));
                kind.as_label()
            }
            Err(SaveError::Gone) => {
                self.forget(key, seen);
                "gone"
            }
            Err(SaveError::Outdated) => {
                self.alarms.set(key.clone(), now + SignedDuration::from_secs(1));
                "outdated"
            }
            Err(error @ (SaveError::Refused(_) | SaveError::Unanswered)) => {
                let wait = retry::after(ErrorKind::Unavailable, self.failed(key));
                let words = if let SaveError::Refused(error) = &error {
                    kubernetes::in_words(error)
                } else {
                    error.to_string()
                };
                tracing::warn!(wait = %wait, "can't write to the API server: {words}");
                self.alarms.set(key.clone(), now + wait);
                "api_server"
            }
        }
    }

    /// Whether a resource's last reconcile failed.
    pub(super) fn has_failed(&self, key: &Key) -> bool {
        self.failures().contains_key(key)
    }

    /// Counts failures in a row, and gives their number.
    fn failed(&self, key: &Key) -> u32 {
        let mut failures = self.failures();
        let count = failures.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn succeeded(&self, key: &Key) {
        self.failures().remove(key);
    }

    /// Forgets a resource that is gone.
    pub(super) fn forget(&self, key: &Key, resource: &SesDomain) {
        self.succeeded(key);
        self.alarms.cancel(key);
        self.controller.reconciler.forget(resource);
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<Key, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
