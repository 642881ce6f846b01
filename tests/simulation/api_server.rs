//! The API server: resources with their versions, status patches, finalizers, events; and one run's connection to it, which
//! the operator's own journal stands on. [`watch`] holds what its store stands on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use ses_operator::api::{SesDomain, SesDomainSpec, SesDomainStatus};
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::{CloudError, ErrorKind};
use ses_operator::controller::api_server::{ApiServer, SaveError};
use ses_operator::dns::RecordType;
use ses_operator::domain_name::DomainName;
use ses_operator::reconcile::report::Event;

use crate::cloud::{Cloud, State, error};
use crate::truth;

pub mod watch;

/// So much of what was written is remembered for watches. One that is further behind must list anew.
const REMEMBERED: usize = 512;

/// The API server. Clones are the same server.
#[derive(Clone, Debug)]
pub struct Api {
    hand: Hand,
    kept: Arc<Mutex<Kept>>,
}

/// Something that was written.
#[derive(Clone, Debug)]
struct Written {
    at: Timestamp,
    version: u64,
    resource: Arc<SesDomain>,
    /// It is gone since.
    gone: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Kept {
    resources: BTreeMap<String, Arc<SesDomain>>,
    /// The version of what was written last.
    version: u64,
    /// How many resources were made.
    made: u64,
    log: VecDeque<Written>,
    /// How much was written before what the log begins with.
    forgotten: u64,
    /// How often all watches were interrupted, and until when: what is written meanwhile is shown to none.
    interruptions: u32,
    interrupted_until: Option<Timestamp>,
    /// After how many writes etcd was restored under watches that did not notice, and the version that it had then: what has
    /// no later one is not shown to them.
    restored: Option<(u64, u64)>,
    pub events: Vec<(Timestamp, String, Event)>,
    /// Every status that was written, where the story wants them.
    pub history: Option<Vec<(Timestamp, String, SesDomainStatus)>>,
    pub writes: usize,
    /// How late a watch shows what was written.
    pub watch_lag: SignedDuration,
}

/// What etcd held at a time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    resources: BTreeMap<String, Arc<SesDomain>>,
    version: u64,
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
        self.resources.values()
    }

    /// How much was written.
    fn written(&self) -> u64 {
        self.forgotten + self.log.len() as u64
    }

    fn write(&mut self, at: Timestamp, mut resource: SesDomain) -> Arc<SesDomain> {
        self.version += 1;
        resource.metadata.resource_version = Some(self.version.to_string());
        let gone = resource.metadata.deletion_timestamp.is_some() && resource.finalizers().is_empty();
        let (key, resource) = (key_of(&resource), Arc::new(resource));
        if gone {
            self.resources.remove(&key);
        } else {
            self.resources.insert(key, Arc::clone(&resource));
        }
        self.log.push_back(Written { at, version: self.version, resource: Arc::clone(&resource), gone });
        if self.log.len() > REMEMBERED {
            self.log.pop_front();
            self.forgotten += 1;
        }
        resource
    }

    fn interrupt(&mut self, until: Timestamp) {
        self.interruptions += 1;
        self.interrupted_until = Some(until);
    }

    fn roll_back(&mut self, snapshot: &Snapshot) {
        self.resources.clone_from(&snapshot.resources);
        self.version = snapshot.version;
    }

    /// The resource, if it is still the one of this UID, at this version.
    fn found(&self, operation: &'static str, of: &SesDomain, version: Option<&str>) -> Result<&SesDomain, CloudError> {
        let key = key_of(of);
        let Some(found) = self.resources.get(&key) else {
            return Err(error(ErrorKind::NotFound, operation, key, "there is no such resource"));
        };
        if version.is_some() && version != found.metadata.resource_version.as_deref() {
            return Err(error(ErrorKind::Conflict, operation, key, "the resource was changed meanwhile"));
        }
        Ok(found)
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
        self.kept().resources.get(key).cloned()
    }

    /// Somebody deletes it and takes its finalizers away: it is gone at once.
    pub fn vanish(&self, key: &str) {
        let now = self.hand.now();
        self.edit(key, |resource| {
            resource.metadata.deletion_timestamp = Some(Time(now));
            resource.metadata.finalizers = None;
        });
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
        kept.made += 1;
        resource.metadata.namespace = Some(namespace.to_owned());
        resource.metadata.generation = Some(1);
        resource.metadata.uid = Some(format!("uid-{}", kept.made));
        resource.metadata.creation_timestamp = Some(Time(now));
        kept.write(now, resource);
    }

    /// A person's edit: the generation rises when the spec changes.
    pub fn edit(&self, key: &str, edit: impl FnOnce(&mut SesDomain)) {
        let now = self.hand.now();
        let mut kept = self.kept();
        let found = kept.resources.get(key).expect("a resource of the story");
        let mut resource = found.as_ref().clone();
        edit(&mut resource);
        if resource.spec != found.spec {
            resource.metadata.generation = resource.metadata.generation.map(|generation| generation + 1);
        }
        kept.write(now, resource);
    }

    /// Deleted in spite of its finalizer, and made anew under the same name.
    pub fn replace(&self, key: &str, spec: SesDomainSpec) {
        self.vanish(key);
        self.apply(key, spec);
    }

    /// Whether a status that stood at `since` or later says of this record that it is ours.
    pub fn claims(&self, zone: &str, name: &DomainName, record_type: &RecordType, since: Timestamp) -> bool {
        let claims = |resource: &SesDomain| {
            resource.status.iter().flat_map(|status| &status.records).any(|entry| {
                let here = entry.hosted_zone_id == zone && entry.name == name.as_str();
                entry.ours && here && entry.record_type == record_type.as_str()
            })
        };
        let kept = self.kept();
        let mut stood = BTreeSet::new();
        let later =
            kept.log.iter().rev().filter(|written| written.at > since || stood.insert(key_of(&written.resource)));
        kept.resources().any(|resource| claims(resource)) || later.into_iter().any(|written| claims(&written.resource))
    }

    /// `kubectl delete`.
    pub fn delete(&self, key: &str) {
        let now = self.hand.now();
        self.edit(key, |resource| resource.metadata.deletion_timestamp = Some(Time(now)));
    }

    /// `etcdctl snapshot save`.
    pub fn snapshot(&self) -> Snapshot {
        let kept = self.kept();
        Snapshot { resources: kept.resources.clone(), version: kept.version }
    }

    /// `etcdutl snapshot restore`, with the API server stopped meanwhile: every watch is interrupted.
    pub fn restore(&self, snapshot: &Snapshot) {
        let now = self.hand.now();
        let mut kept = self.kept();
        kept.roll_back(snapshot);
        kept.interrupt(now);
    }

    /// The same, behind something that keeps the connections: the watches go on from their last version, and are shown
    /// nothing until another one has passed it.
    pub fn restore_unnoticed(&self, snapshot: &Snapshot) {
        let mut kept = self.kept();
        kept.restored = Some((kept.written(), kept.version));
        kept.roll_back(snapshot);
    }

    /// No watch is shown anything for so long; then each lists anew.
    pub fn interrupt_watches(&self, time: SignedDuration) {
        let until = self.hand.now() + time;
        self.kept().interrupt(until);
    }

    fn put_status(
        &self,
        state: &mut State,
        of: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> Result<SesDomain, CloudError> {
        let mut kept = self.kept();
        let mut resource = kept.found("api:PatchStatus", of, version)?.clone();
        let key = key_of(of);
        truth::must_hold(state, &resource, status);
        if state.told {
            println!("{}     {}", state.now(), in_short(status));
        }
        let now = state.now();
        kept.writes += 1;
        if let Some(history) = &mut kept.history {
            history.push((now, key, status.clone()));
        }
        resource.status = Some(status.clone());
        Ok(kept.write(now, resource).as_ref().clone())
    }

    fn put_finalizers(
        &self,
        state: &mut State,
        of: &SesDomain,
        finalizers: &[String],
    ) -> Result<SesDomain, CloudError> {
        let mut kept = self.kept();
        let operation = "api:PatchFinalizers";
        let mut resource = kept.found(operation, of, of.metadata.resource_version.as_deref())?.clone();
        if resource.metadata.uid != of.metadata.uid {
            return Err(error(ErrorKind::Conflict, operation, key_of(of), "it is another of its name"));
        }
        resource.metadata.finalizers = Some(finalizers.to_vec()).filter(|finalizers| !finalizers.is_empty());
        kept.writes += 1;
        Ok(kept.write(state.now(), resource).as_ref().clone())
    }
}

/// The API server as one run of the operator reaches it.
#[derive(Clone, Debug)]
pub struct Connection {
    api: Api,
    cloud: Cloud,
}

impl Connection {
    pub fn new(api: Api, cloud: Cloud) -> Self {
        Self { api, cloud }
    }
}

impl ApiServer for Connection {
    async fn get(&self, resource: &SesDomain) -> Result<SesDomain, SaveError> {
        let get = |_: &mut State| self.api.kept().found("api:Get", resource, None).cloned();
        self.cloud.call("api:Get", &key_of(resource), get).await.map_err(refused)
    }

    async fn put_finalizers(&self, resource: &SesDomain, finalizers: &[String]) -> Result<SesDomain, SaveError> {
        let put = |state: &mut State| self.api.put_finalizers(state, resource, finalizers);
        self.cloud.call("api:PatchFinalizers", &key_of(resource), put).await.map_err(refused)
    }

    async fn put_status(
        &self,
        resource: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> Result<SesDomain, SaveError> {
        let put = |state: &mut State| self.api.put_status(state, resource, version, status);
        self.cloud.call("api:PatchStatus", &key_of(resource), put).await.map_err(refused)
    }

    async fn tell(&self, resource: &SesDomain, event: &Event) -> Result<(), SaveError> {
        let key = key_of(resource);
        let told = |state: &mut State| {
            self.api.kept().events.push((state.now(), key.clone(), event.clone()));
            Ok(())
        };
        self.cloud.call("api:CreateEvent", &key, told).await.map_err(refused)
    }
}

fn refused(error: CloudError) -> SaveError {
    match error.kind {
        ErrorKind::NotFound => SaveError::Gone,
        ErrorKind::Conflict => SaveError::Outdated,
        ErrorKind::Unavailable
        | ErrorKind::Busy
        | ErrorKind::Throttled
        | ErrorKind::NotLeading
        | ErrorKind::Denied
        | ErrorKind::Unauthenticated
        | ErrorKind::Rejected
        | ErrorKind::QuotaExceeded => SaveError::Refused(Box::new(kube::Error::Service(error.into()))),
    }
}

/// A status on one line, for a person who looks into a seed.
fn in_short(status: &SesDomainStatus) -> String {
    let conditions = status.conditions.iter().map(|said| format!("{} {} {}", said.type_, said.status, said.reason));
    let records = status.records.iter().map(|entry| {
        let (ours, published) = (if entry.ours { "ours" } else { "theirs" }, if entry.published { "seen" } else { "" });
        format!(
            "{:?} {} {:?} {ours} {published} \"{}\"",
            entry.purpose, entry.hosted_zone_id, entry.origin, entry.value
        )
    });
    let pending = status.pending_changes.iter().map(|change| format!("pending {}", change.id));
    conditions.chain(records).chain(pending).collect::<Vec<_>>().join("; ")
}
