//! What is written to the API server: finalizers, status, events.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{Mutex, MutexGuard};

use super::events::Events;
use super::key::Key;
use super::store::Store;
use crate::api::{FIELD_MANAGER, FINALIZER, Reason, SesDomain, SesDomainStatus};
use crate::clock::Clock;
use crate::kubernetes::ANSWER_TIMEOUT;
use crate::reconcile::Journal;
use crate::reconcile::report::Event;

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The resource does not exist any more.
    #[error("the resource is gone")]
    Gone,
    /// Somebody else changed it: look again.
    #[error("the resource was changed meanwhile")]
    Outdated,
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Refused(Box<kube::Error>),
    /// The API server did not answer. What was asked may have been done.
    #[error("the API server did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Unanswered,
}

/// A request to the API server, which is not waited for without end: it holds a place that others need.
pub(super) async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, SaveError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(SaveError::Unanswered),
    }
}

impl From<kube::Error> for SaveError {
    fn from(error: kube::Error) -> Self {
        let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
        match code {
            404 => Self::Gone,
            409 => Self::Outdated,
            _ => Self::Refused(Box::new(error)),
        }
    }
}

/// The journal of a real API server. The answers to its patches go into the store.
pub struct ApiJournal {
    client: Client,
    store: Store,
    events: Events,
    /// The writes to one resource follow each other: it may be greeted while its reconcile begins. Whose names fall
    /// together wait for each other's request, no longer.
    turns: [Mutex<()>; 64],
}

impl ApiJournal {
    /// A journal that nothing was written to yet.
    pub fn new(client: Client, store: Store, clock: Clock) -> Self {
        let events = Events::new(client.clone(), clock);
        Self { client, store, events, turns: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Says of a resource of which nobody has said anything that it is seen, and holds it.
    ///
    /// # Errors
    /// When the API server did not take it.
    pub async fn greet(
        &self,
        key: &Key,
        greeting: impl FnOnce(&SesDomain) -> SesDomainStatus,
    ) -> Result<(), SaveError> {
        let Some(resource) = self.store.get(key).filter(|resource| is_new(resource)) else { return Ok(()) };
        self.hold(&resource).await?;
        let _turn = self.turn(key).await;
        let Some(resource) = self.store.get(key).filter(|resource| is_new(resource)) else { return Ok(()) };
        let version = resource.metadata.resource_version.as_deref();
        self.patch_status(&resource, version, &greeting(&resource)).await.map(|_| ())
    }

    /// The journal of one reconcile of a resource.
    pub fn open(&self, resource: &SesDomain) -> Page<'_> {
        Page { journal: self, base: std::sync::Mutex::new(Base::of(resource)) }
    }

    /// Sets our finalizer where it is missing, and gives the resource as it is then.
    ///
    /// # Errors
    /// When the API server did not take it.
    pub async fn hold(&self, resource: &SesDomain) -> Result<Arc<SesDomain>, SaveError> {
        let _turn = self.turn(&Key::of(resource)).await;
        let resource = self.latest(resource);
        if is_held(&resource) {
            return Ok(resource);
        }
        let finalizers = resource.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect();
        self.finalize(&resource, finalizers).await.map(Arc::new)
    }

    /// Takes our finalizer away.
    ///
    /// # Errors
    /// When the API server did not take it.
    pub async fn release(&self, resource: &SesDomain) -> Result<(), SaveError> {
        let _turn = self.turn(&Key::of(resource)).await;
        let resource = self.latest(resource);
        let left = resource.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
        self.finalize(&resource, left).await.map(|_| ())
    }

    /// Sets the finalizers, on the version that was read.
    async fn finalize(&self, resource: &SesDomain, finalizers: Vec<String>) -> Result<SesDomain, SaveError> {
        let patch = serde_json::json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": resource.metadata.resource_version,
            "uid": resource.metadata.uid,
        }});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let answer = answered(self.api(resource).patch(&resource.name_any(), &params, &Patch::Merge(&patch))).await?;
        self.store.learn(answer.clone());
        Ok(answer)
    }

    /// Writes a status over a version, and gives the resource as it is then.
    async fn patch_status(
        &self,
        resource: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> Result<SesDomain, SaveError> {
        let patch = serde_json::json!({
            "apiVersion": SesDomain::api_version(&()),
            "kind": SesDomain::kind(&()),
            "metadata": {
                "name": resource.name_any(),
                "namespace": resource.namespace(),
                "uid": resource.metadata.uid,
                "resourceVersion": version,
            },
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let answer =
            answered(self.api(resource).patch_status(&resource.name_any(), &params, &Patch::Apply(&patch))).await?;
        self.store.learn(answer.clone());
        Ok(answer)
    }

    /// The latest version of a resource. One that was made anew under the same name is another.
    fn latest(&self, resource: &SesDomain) -> Arc<SesDomain> {
        let found = self.store.get(&Key::of(resource));
        let found = found.filter(|found| found.metadata.uid == resource.metadata.uid);
        found.unwrap_or_else(|| Arc::new(resource.clone()))
    }

    async fn turn(&self, key: &Key) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let place = hasher.finish() % self.turns.len() as u64;
        self.turns[usize::try_from(place).unwrap_or_default()].lock().await
    }

    fn api(&self, resource: &SesDomain) -> Api<SesDomain> {
        Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default())
    }
}

/// Whether our finalizer is on a resource.
pub(super) fn is_held(resource: &SesDomain) -> bool {
    resource.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Whether nothing but our greeting was said of a resource.
fn is_greeted(resource: &SesDomain) -> bool {
    let Some(status) = &resource.status else { return false };
    let greets = |condition: &Condition| condition.reason == Reason::Progressing.to_string();
    // Which Region the greeting names is not asked: whatever is written over it names the right one.
    let rest = SesDomainStatus { conditions: Vec::new(), observed_generation: None, region: None, ..status.clone() };
    rest == SesDomainStatus::default() && !status.conditions.is_empty() && status.conditions.iter().all(greets)
}

/// Whether nobody has said anything about a resource yet. The CRD's default is generation -1.
pub(super) fn is_new(resource: &SesDomain) -> bool {
    let silent = resource.status.as_ref().is_none_or(|status| status.conditions.is_empty());
    silent && resource.metadata.deletion_timestamp.is_none()
}

/// The journal of one reconcile: it writes the status over the version that it was made from.
pub struct Page<'a> {
    journal: &'a ApiJournal,
    base: std::sync::Mutex<Base>,
}

/// What a reconcile believes to be the latest version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Base {
    uid: Option<String>,
    version: Option<String>,
    /// The status, as a hash: a reconcile may wait for minutes, and there are many.
    status: u64,
    silent: bool,
}

impl Base {
    fn of(resource: &SesDomain) -> Self {
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&resource.status).unwrap_or_default().hash(&mut hasher);
        Self {
            uid: resource.metadata.uid.clone(),
            version: resource.metadata.resource_version.clone(),
            status: hasher.finish(),
            silent: is_new(resource),
        }
    }

    /// Whether nobody has written the status in between, but ourselves to greet the resource.
    fn stands_in(&self, found: &SesDomain) -> bool {
        let now = Self::of(found);
        self.uid == now.uid && (self.status == now.status || (self.silent && is_greeted(found)))
    }
}

impl Page<'_> {
    /// The version to write over.
    fn base(&self, resource: &SesDomain) -> Base {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        if base.silent
            && let Some(found) = self.journal.store.get(&Key::of(resource)).filter(|found| base.stands_in(found))
        {
            *base = Base::of(&found);
        }
        base.clone()
    }

    async fn write(
        &self,
        resource: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> Result<(), SaveError> {
        let answer = self.journal.patch_status(resource, version, status).await?;
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Base::of(&answer);
        Ok(())
    }
}

impl Journal for Page<'_> {
    type Error = SaveError;

    /// Where only the spec changed meanwhile the status is written all the same, since what was done must not be
    /// forgotten; where somebody wrote the status, we look again.
    async fn save(&self, resource: &SesDomain, status: &SesDomainStatus) -> Result<(), SaveError> {
        let _turn = self.journal.turn(&Key::of(resource)).await;
        let base = self.base(resource);
        match self.write(resource, base.version.as_deref(), status).await {
            Err(SaveError::Outdated) => {
                let found = answered(self.journal.api(resource).get(&resource.name_any())).await?;
                self.journal.store.learn(found.clone());
                if !base.stands_in(&found) {
                    return Err(SaveError::Outdated);
                }
                self.write(resource, found.metadata.resource_version.as_deref(), status).await
            }
            outcome => outcome,
        }
    }

    async fn tell(&self, resource: &SesDomain, event: &Event) {
        if event.warning {
            tracing::warn!(reason = event.reason, "{}", event.note);
        } else {
            tracing::info!(reason = event.reason, "{}", event.note);
        }
        if let Err(error) = self.journal.events.tell(resource, event).await {
            tracing::debug!("an event could not be told: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::reconcile::report::conditions;

    fn resource(uid: &str, status: Value) -> SesDomain {
        serde_json::from_value(json!({
            "apiVersion": "ses-operator.dev/v1alpha1",
            "kind": "SesDomain",
            "metadata": {"name": "domain", "namespace": "mail", "uid": uid, "generation": 1},
            "spec": {"domain": "example.com"},
            "status": status,
        }))
        .expect("a SesDomain")
    }

    #[test]
    fn a_status_is_written_over_what_it_was_made_from_and_over_our_own_greeting() {
        let greeting = SesDomainStatus {
            conditions: conditions::at_first_sight(1, Timestamp::UNIX_EPOCH),
            observed_generation: Some(-1),
            region: Some("eu-west-1".to_owned()),
            ..SesDomainStatus::default()
        };
        let greeting = serde_json::to_value(greeting).expect("JSON");
        let unseen = json!({"observedGeneration": -1});
        let ready = json!([{
            "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]);
        let of_account = |account: &str| json!({"conditions": ready, "account": account});
        let (known, other) = (of_account("1"), of_account("2"));
        let of = |status: &Value| Base::of(&resource("u", status.clone()));
        let found = |status: &Value| resource("u", status.clone());
        assert!(of(&known).stands_in(&found(&known)));
        assert!(!of(&known).stands_in(&found(&other)), "somebody wrote it");
        assert!(!of(&known).stands_in(&resource("another", known.clone())), "it was made anew");
        assert!(of(&unseen).stands_in(&found(&greeting)));
        assert!(!of(&known).stands_in(&found(&greeting)), "somebody has taken the status away");
        let forged = json!({"conditions": greeting["conditions"], "account": "1"});
        assert!(!of(&unseen).stands_in(&found(&forged)));
    }
}
