//! The API server: resources with their versions, status patches, finalizers, events; and one run's connection to it,
//! which remembers what was answered, as the operator's own journal does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use ses_operator::api::{FINALIZER, SesDomain, SesDomainSpec, SesDomainStatus};
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::{CloudError, ErrorKind};
use ses_operator::dns::RecordType;
use ses_operator::domain_name::DomainName;
use ses_operator::reconcile::Journal;
use ses_operator::reconcile::report::Event;

use crate::cloud::{Cloud, State, error};
use crate::mutants::Mutant;
use crate::truth;

/// As many versions of a resource are remembered for a watch that lags.
const REMEMBERED: usize = 16;

/// The API server. Clones are the same server.
#[derive(Clone, Debug)]
pub struct Api {
    hand: Hand,
    kept: Arc<Mutex<Kept>>,
}

/// A resource as it was from a time on.
type Version = (Timestamp, Option<Arc<SesDomain>>);

#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The versions of each resource by its key, the last one last; `None` where it was gone.
    versions: BTreeMap<String, Vec<Version>>,
    written: u64,
    pub events: Vec<(Timestamp, String, Event)>,
    /// Every status that was written, where the story wants them.
    pub history: Option<Vec<(Timestamp, String, SesDomainStatus)>>,
    pub writes: usize,
    /// How old what a watch shows is.
    pub watch_lag: SignedDuration,
}

/// What stories call a resource: its name, and before it the namespace where that is not `mail`.
pub fn key(namespace: &str, name: &str) -> String {
    if namespace == "mail" { name.to_owned() } else { format!("{namespace}/{name}") }
}

pub fn key_of(resource: &SesDomain) -> String {
    key(resource.metadata.namespace.as_deref().unwrap_or_default(), &resource.name_any())
}

impl Kept {
    pub fn resources(&self) -> impl Iterator<Item = &Arc<SesDomain>> {
        self.versions.values().filter_map(|versions| versions.last().and_then(|(_, latest)| latest.as_ref()))
    }

    fn latest(&self, key: &str) -> Option<&Arc<SesDomain>> {
        self.versions.get(key).and_then(|versions| versions.last()).and_then(|(_, latest)| latest.as_ref())
    }

    fn shown(&self, versions: &[Version], now: Timestamp, began: Timestamp) -> Option<Arc<SesDomain>> {
        let until = (now - self.watch_lag).max(began);
        let shown = versions.iter().rev().find(|(at, _)| *at <= until).or_else(|| versions.first());
        shown.and_then(|(_, version)| version.clone())
    }

    fn write(&mut self, now: Timestamp, mut resource: SesDomain) -> Arc<SesDomain> {
        self.written += 1;
        resource.metadata.resource_version = Some(self.written.to_string());
        let leaves = resource.metadata.deletion_timestamp.is_some() && resource.finalizers().is_empty();
        let versions = self.versions.entry(key_of(&resource)).or_default();
        let resource = Arc::new(resource);
        if versions.len() == REMEMBERED {
            versions.remove(0);
        }
        versions.push((now, (!leaves).then(|| Arc::clone(&resource))));
        resource
    }

    /// The resource, if it is still the one of this UID, at this version.
    fn found(&self, operation: &'static str, of: &SesDomain, version: Option<&str>) -> Result<SesDomain, CloudError> {
        let key = key_of(of);
        let Some(found) = self.latest(&key) else {
            return Err(error(ErrorKind::NotFound, operation, key, "there is no such resource"));
        };
        let outdated = version.is_some() && version != found.metadata.resource_version.as_deref();
        if found.metadata.uid != of.metadata.uid || outdated {
            return Err(error(ErrorKind::Conflict, operation, key, "the resource was changed meanwhile"));
        }
        Ok(found.as_ref().clone())
    }
}

impl Api {
    pub fn new(hand: Hand) -> Self {
        Self { hand, kept: Arc::default() }
    }

    /// A server like this one, which goes its own way from now on.
    pub fn fork(&self, hand: Hand) -> Self {
        Self { hand, kept: Arc::new(Mutex::new(self.kept().clone())) }
    }

    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no story goes on after a panic")
    }

    pub fn resource(&self, key: &str) -> Option<Arc<SesDomain>> {
        self.kept().latest(key).cloned()
    }

    /// Somebody takes its finalizers away: it is gone at once.
    pub fn vanish(&self, key: &str) {
        let now = self.hand.now();
        self.kept().versions.entry(key.to_owned()).or_default().push((now, None));
    }

    /// What a watch shows of a resource, if the watch was begun at `began`: never less than it showed then.
    pub fn watched(&self, key: &str, began: Timestamp) -> Option<Arc<SesDomain>> {
        let kept = self.kept();
        kept.shown(kept.versions.get(key)?, self.hand.now(), began)
    }

    /// All that such a watch shows.
    pub fn watched_all(&self, began: Timestamp) -> Vec<Arc<SesDomain>> {
        let kept = self.kept();
        kept.versions.values().filter_map(|versions| kept.shown(versions, self.hand.now(), began)).collect()
    }

    /// `kubectl apply`: a new resource, or a new spec.
    pub fn apply(&self, key: &str, spec: SesDomainSpec) {
        if self.resource(key).is_some() {
            return self.edit(key, |resource| resource.spec = spec);
        }
        let (namespace, name) = key.split_once('/').unwrap_or(("mail", key));
        let mut resource = SesDomain::new(name, spec);
        let now = self.hand.now();
        let mut kept = self.kept();
        resource.metadata.namespace = Some(namespace.to_owned());
        resource.metadata.generation = Some(1);
        resource.metadata.uid = Some(format!("uid-{}", kept.written + 1));
        resource.metadata.creation_timestamp = Some(Time(now));
        kept.write(now, resource);
    }

    /// A person's edit: the generation rises when the spec changes.
    pub fn edit(&self, key: &str, edit: impl FnOnce(&mut SesDomain)) {
        let now = self.hand.now();
        let mut kept = self.kept();
        let found = kept.latest(key).expect("a resource of the story");
        let mut resource = found.as_ref().clone();
        edit(&mut resource);
        if resource.spec != found.spec {
            resource.metadata.generation = resource.metadata.generation.map(|generation| generation + 1);
        }
        kept.write(now, resource);
    }

    /// Deleted in spite of its finalizer, and made anew under the same name.
    pub fn replace(&self, key: &str, spec: SesDomainSpec) {
        let now = self.hand.now();
        self.kept().versions.entry(key.to_owned()).or_default().push((now, None));
        self.apply(key, spec);
    }

    /// Whether a status that stood at `since` or later says of this record that it is ours.
    pub fn claims(&self, zone: &str, name: &DomainName, record_type: &RecordType, since: Timestamp) -> bool {
        let claims = |version: &Version| {
            let status = version.1.as_ref().and_then(|resource| resource.status.as_ref());
            status.iter().flat_map(|status| &status.records).any(|entry| {
                let here = entry.hosted_zone_id == zone && entry.name == name.as_str();
                entry.ours && here && entry.record_type == record_type.as_str()
            })
        };
        self.kept().versions.values().any(|versions| {
            let first = versions.partition_point(|(at, _)| *at <= since).saturating_sub(1);
            versions[first..].iter().any(claims)
        })
    }

    /// What time it is there.
    pub fn now(&self) -> Timestamp {
        self.hand.now()
    }

    /// `kubectl delete`.
    pub fn delete(&self, key: &str) {
        let now = self.hand.now();
        self.edit(key, |resource| resource.metadata.deletion_timestamp = Some(Time(now)));
    }

    fn put_status(
        &self,
        state: &mut State,
        of: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> Result<Arc<SesDomain>, CloudError> {
        let mut kept = self.kept();
        let mut resource = kept.found("api:PatchStatus", of, version)?;
        let key = key_of(of);
        truth::must_hold(state, &resource, status);
        let now = state.now();
        kept.writes += 1;
        if let Some(history) = &mut kept.history {
            history.push((now, key, status.clone()));
        }
        resource.status = Some(status.clone());
        Ok(kept.write(now, resource))
    }

    fn put_finalizers(
        &self,
        state: &mut State,
        of: &SesDomain,
        finalizers: &[String],
    ) -> Result<Arc<SesDomain>, CloudError> {
        let mut kept = self.kept();
        let mut resource = kept.found("api:PatchFinalizers", of, of.metadata.resource_version.as_deref())?;
        resource.metadata.finalizers = Some(finalizers.to_vec()).filter(|finalizers| !finalizers.is_empty());
        kept.writes += 1;
        Ok(kept.write(state.now(), resource))
    }
}

/// The API server as one run of the operator reaches it.
#[derive(Clone, Debug)]
pub struct Connection {
    pub api: Api,
    cloud: Cloud,
    /// The answers to our own writes, by UID: a watch may lag behind them.
    latest: Arc<Mutex<HashMap<String, Arc<SesDomain>>>>,
    mutant: Mutant,
    /// What a broken operator has not written yet.
    late: Arc<Mutex<Vec<(SesDomain, SesDomainStatus)>>>,
}

impl Connection {
    pub fn new(api: Api, cloud: Cloud, mutant: Mutant) -> Self {
        Self { api, cloud, latest: Arc::default(), mutant, late: Arc::default() }
    }

    /// Writes what a broken operator should have written before.
    pub async fn write_late(&self) -> Result<(), CloudError> {
        let late = std::mem::take(&mut *self.late.lock().expect("no panic while it is held"));
        for (resource, status) in late {
            self.put(&resource, &status).await?;
        }
        Ok(())
    }

    /// The latest version that is known.
    pub fn latest(&self, seen: &Arc<SesDomain>) -> Arc<SesDomain> {
        let mut latest = self.known();
        match latest.get(&uid(seen)) {
            Some(ours) if version(ours) > version(seen) => Arc::clone(ours),
            Some(_) | None => {
                latest.remove(&uid(seen));
                Arc::clone(seen)
            }
        }
    }

    pub fn forget(&self, resource: &SesDomain) {
        self.known().remove(&uid(resource));
    }

    /// Adds our finalizer, or takes it away.
    pub async fn finalize(&self, resource: &SesDomain, held: bool) -> Result<Arc<SesDomain>, CloudError> {
        let others = resource.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned();
        let finalizers: Vec<String> = others.chain(held.then(|| FINALIZER.to_owned())).collect();
        let put = |state: &mut State| self.api.put_finalizers(state, resource, &finalizers);
        let answer = self.cloud.call("api:PatchFinalizers", &key_of(resource), put).await?;
        self.remember(&answer);
        Ok(answer)
    }

    async fn patch(
        &self,
        resource: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> Result<(), CloudError> {
        let put = |state: &mut State| self.api.put_status(state, resource, version, status);
        let answer = self.cloud.call("api:PatchStatus", &key_of(resource), put).await?;
        self.remember(&answer);
        Ok(())
    }

    /// Writes a status as the operator's own journal does.
    async fn put(&self, resource: &SesDomain, status: &SesDomainStatus) -> Result<(), CloudError> {
        let known = self.known().get(&uid(resource)).filter(|ours| version(ours) > version(resource)).cloned();
        let base = known.as_deref().unwrap_or(resource);
        match self.patch(resource, base.metadata.resource_version.as_deref(), status).await {
            Err(refused) if refused.kind == ErrorKind::Conflict => {
                let get = |_: &mut State| self.api.kept().found("api:Get", resource, None);
                let found = self.cloud.call("api:Get", &key_of(resource), get).await?;
                if found.status != base.status {
                    self.forget(resource);
                    return Err(refused);
                }
                self.patch(resource, found.metadata.resource_version.as_deref(), status).await
            }
            outcome => outcome,
        }
    }

    fn remember(&self, answer: &Arc<SesDomain>) {
        self.known().insert(uid(answer), Arc::clone(answer));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<SesDomain>>> {
        self.latest.lock().expect("no panic while it is held")
    }
}

impl Journal for Connection {
    type Error = CloudError;

    async fn save(&self, resource: &SesDomain, status: &SesDomainStatus) -> Result<(), CloudError> {
        if self.mutant == Mutant::NoWriteAhead {
            self.late.lock().expect("no panic while it is held").push((resource.clone(), status.clone()));
            return Ok(());
        }
        self.put(resource, status).await
    }

    async fn tell(&self, resource: &SesDomain, event: &Event) {
        let key = key_of(resource);
        let told = |state: &mut State| {
            self.api.kept().events.push((state.now(), key.clone(), event.clone()));
            Ok(())
        };
        // That it could not be told is no reason to stop.
        let _ = self.cloud.call("api:CreateEvent", &key, told).await;
    }
}

fn uid(resource: &SesDomain) -> String {
    resource.metadata.uid.clone().unwrap_or_default()
}

fn version(resource: &SesDomain) -> u64 {
    resource.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}
