//! What is written to the API server: finalizers, status, events. What of it talks to the API server is [`ApiServer`]'s.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use tokio::sync::{Mutex, MutexGuard};

use super::api_server::{ApiServer, Connection, SaveError};
use super::key::Key;
use super::store::{Form, Packed, Store};
use crate::api::{FINALIZER, Reason, SesDomain, SesDomainStatus};
use crate::reconcile::Journal;
use crate::reconcile::report::Event;

/// What is written about all resources. The answers go into the store.
#[derive(Debug)]
pub struct ApiJournal<A = Connection, F = Packed> {
    server: A,
    store: Store<F>,
    /// The writes to one resource follow each other: it may be greeted while its reconcile begins. Whose names fall
    /// together wait for each other's request, no longer; and so many connections are all that is needed.
    turns: [Mutex<()>; 16],
    /// Of which resources a write was not answered as one that was made or refused for good: which version stands is open.
    unsure: std::sync::Mutex<HashSet<Key>>,
}

impl<A: ApiServer, F: Form> ApiJournal<A, F> {
    /// A journal that nothing was written to yet.
    pub fn new(server: A, store: Store<F>) -> Self {
        Self { server, store, turns: std::array::from_fn(|_| Mutex::default()), unsure: std::sync::Mutex::default() }
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
        self.put_status(&resource, version, &greeting(&resource)).await.map(|_| ())
    }

    /// The journal of one reconcile of a resource.
    pub fn open(&self, resource: &SesDomain) -> Page<'_, A, F> {
        Page { journal: self, base: std::sync::Mutex::new(Base::of(resource)) }
    }

    /// Sets our finalizer where it is missing, and gives the resource as it is then. Where the answer to a write was lost,
    /// the resource is read first: a change that rests on an older status may be claimed by none.
    ///
    /// # Errors
    /// When the API server did not take it.
    pub async fn hold(&self, resource: &SesDomain) -> Result<Arc<SesDomain>, SaveError> {
        let key = Key::of(resource);
        let _turn = self.turn(&key).await;
        if self.unsure().contains(&key) {
            self.get(resource).await?;
        }
        let resource = self.latest(resource);
        if is_held(&resource) {
            return Ok(resource);
        }
        let finalizers: Vec<String> = resource.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect();
        self.put_finalizers(&resource, &finalizers).await
    }

    /// Takes our finalizer away.
    ///
    /// # Errors
    /// When the API server did not take it.
    pub async fn release(&self, resource: &SesDomain) -> Result<(), SaveError> {
        let _turn = self.turn(&Key::of(resource)).await;
        let resource = self.latest(resource);
        let left = resource.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER);
        let left: Vec<String> = left.cloned().collect();
        self.put_finalizers(&resource, &left).await.map(|_| ())
    }

    /// Sets the finalizers, on the version that is known. Where another one stands, that is known afterwards.
    async fn put_finalizers(&self, resource: &SesDomain, finalizers: &[String]) -> Result<Arc<SesDomain>, SaveError> {
        let put = self.learn(resource, None, self.server.put_finalizers(resource, finalizers)).await;
        if let Err(SaveError::Outdated) = put {
            self.get(resource).await?;
        }
        put
    }

    /// Writes a status over a version, and gives the resource as it is then.
    async fn put_status(
        &self,
        resource: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> Result<Arc<SesDomain>, SaveError> {
        self.learn(resource, Some(status), self.server.put_status(resource, version, status)).await
    }

    /// The resource as it is now.
    async fn get(&self, resource: &SesDomain) -> Result<Arc<SesDomain>, SaveError> {
        self.learn(resource, None, self.server.get(resource)).await
    }

    /// Sends a request, and takes in its answer.
    async fn learn(
        &self,
        resource: &SesDomain,
        status: Option<&SesDomainStatus>,
        request: impl Future<Output = Result<SesDomain, SaveError>>,
    ) -> Result<Arc<SesDomain>, SaveError> {
        let sent = self.store.request(resource, status);
        let key = Key::of(resource);
        match request.await {
            Ok(answer) => {
                self.unsure().remove(&key);
                Ok(sent.answered(answer))
            }
            Err(error) => {
                match error {
                    SaveError::Gone => {
                        self.unsure().remove(&key);
                        sent.answered_gone();
                    }
                    SaveError::Outdated => {}
                    SaveError::Refused(_) | SaveError::Unanswered => {
                        self.unsure().insert(key);
                    }
                }
                Err(error)
            }
        }
    }

    fn unsure(&self) -> std::sync::MutexGuard<'_, HashSet<Key>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
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
}

/// Whether our finalizer is on a resource.
pub fn is_held(resource: &SesDomain) -> bool {
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
pub fn is_new(resource: &SesDomain) -> bool {
    let silent = resource.status.as_ref().is_none_or(|status| status.conditions.is_empty());
    silent && resource.metadata.deletion_timestamp.is_none()
}

/// The journal of one reconcile: it writes the status over the version that it was made from.
pub struct Page<'a, A = Connection, F = Packed> {
    journal: &'a ApiJournal<A, F>,
    base: std::sync::Mutex<Base>,
}

/// What a reconcile believes to be the latest version.
#[derive(Clone, Debug)]
struct Base {
    version: Option<String>,
    /// The status, as a hash: a reconcile may wait for minutes, and there are many. None: the one that the reconcile began
    /// with, and still holds.
    status: Option<u64>,
    silent: bool,
}

impl Base {
    fn of(resource: &SesDomain) -> Self {
        Self { version: resource.metadata.resource_version.clone(), status: None, silent: is_new(resource) }
    }

    /// The version that a reconcile has found or made, other than the one that it began with.
    fn later(found: &SesDomain) -> Self {
        Self { status: Some(hash(found.status.as_ref())), ..Self::of(found) }
    }

    /// Whether nobody has written the status in between, but ourselves to greet the resource.
    fn stands_in(&self, resource: &SesDomain, found: &SesDomain) -> bool {
        let is_known = || match self.status {
            None => resource.status == found.status,
            Some(status) => status == hash(found.status.as_ref()),
        };
        resource.metadata.uid == found.metadata.uid && ((self.silent && is_greeted(found)) || is_known())
    }
}

fn hash(status: Option<&SesDomainStatus>) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

impl<A: ApiServer, F: Form> Page<'_, A, F> {
    /// The version to write over.
    fn base(&self, resource: &SesDomain) -> Base {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        if base.silent
            && let Some(found) = self.journal.store.get(&Key::of(resource))
            && base.stands_in(resource, &found)
        {
            *base = Base::later(&found);
        }
        base.clone()
    }

    async fn write(
        &self,
        resource: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> Result<(), SaveError> {
        let answer = self.journal.put_status(resource, version, status).await?;
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Base::later(&answer);
        Ok(())
    }
}

impl<A: ApiServer, F: Form> Journal for Page<'_, A, F> {
    type Error = SaveError;

    /// Where only the spec changed meanwhile the status is written all the same, since what was done must not be
    /// forgotten; where somebody wrote the status, we look again.
    async fn save(&self, resource: &SesDomain, status: &SesDomainStatus) -> Result<(), SaveError> {
        let _turn = self.journal.turn(&Key::of(resource)).await;
        let base = self.base(resource);
        match self.write(resource, base.version.as_deref(), status).await {
            Err(SaveError::Outdated) => {
                let found = self.journal.get(resource).await?;
                if !base.stands_in(resource, &found) {
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
        let _turn = self.journal.turn(&Key::of(resource)).await;
        if let Err(error) = self.journal.server.tell(resource, event).await {
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
        let found = |status: &Value| resource("u", status.clone());
        for later in [false, true] {
            let stands = |began: &Value, found: &SesDomain| {
                let began = resource("u", began.clone());
                let base = if later { Base::later(&began) } else { Base::of(&began) };
                base.stands_in(&began, found)
            };
            assert!(stands(&known, &found(&known)));
            assert!(!stands(&known, &found(&other)), "somebody wrote it");
            assert!(!stands(&known, &resource("another", known.clone())), "it was made anew");
            assert!(stands(&unseen, &found(&greeting)));
            assert!(!stands(&known, &found(&greeting)), "somebody has taken the status away");
            let forged = json!({"conditions": greeting["conditions"], "account": "1"});
            assert!(!stands(&unseen, &found(&forged)));
        }
    }
}
