//! What the watch and our own requests have shown of each resource, in few bytes.
//!
//! One truth, whatever shows it first. Three things show a resource, and what each is worth against what is known already
//! follows from when it was asked for:
//!
//! - **The running watch** shows every change in its order, and late: answers to our own requests are ahead of it. What it
//!   shows of an older version is passed over; a stale store must not say "not ours".
//! - **The answer to a request of ours**, a patch or a GET without a version, is the truth of a moment after the request was
//!   sent. It overrules what was known by then, also with a *lower* version: then etcd was restored to an older snapshot,
//!   since versions rise in all other cases. Against what was learned while it was on its way, the newer version counts.
//! - **A listing** (`Init` to `InitDone`) likewise overrules what was known when it began. That rests on its being no older
//!   than that: it is asked for without a version, which the API server answers from etcd, or from its cache once that has
//!   caught up with etcd; and its further pages are of the first one's moment. A listing "at any version" may be of
//!   yesterday, and must not be asked for.
//!
//! After a restore a watch that goes on from its last version is told nothing until versions have passed it again: so the
//! API server does it, in 1.36 still. So a watch that was interrupted begins with a listing ([`super::watch`]), and one that
//! an answer contradicts does so, too ([`Store::contradicted`]).
//!
//! A resource is kept packed ([`packed`]) and is unpacked for whoever asks. What is asked of all of them at once, the state
//! of the conditions, is kept beside it. With ten thousand settled domains the store takes 1.2 KiB of resident memory for
//! each, and their alarms 0.2 KiB more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::watcher::Event;
use tokio::sync::{Notify, watch};

use super::key::Key;
use crate::api::{SesDomain, SesDomainStatus};
use crate::dns::ZoneId;
use crate::domain_name::DomainName;
use crate::quota::Class;
use crate::telemetry::metrics::Census;
pub use packed::Packed;
use packed::keep_what_we_use;
use shelf::{Shelf, Source, State};

mod packed;
mod shelf;

/// What an event of the watch shows.
#[derive(Debug)]
pub enum Sighting {
    /// A resource that was not known: it is new, or the operator is.
    First(Key, Arc<SesDomain>),
    /// A resource that asks for a reconcile.
    Asks(Key, Class),
    /// A resource whose status is neither what was known nor what we are writing: somebody took it away or forged it, a
    /// request landed that was given up, or etcd was restored.
    Rewritten(Key),
    /// A resource that is gone, as it was last.
    Gone(Key, Arc<SesDomain>),
}

/// How the store keeps a resource.
pub trait Form: Clone + PartialEq + Send + Sync + std::fmt::Debug {
    /// The form of a resource.
    fn of(resource: &Arc<SesDomain>) -> Self;

    /// The resource again.
    fn resource(&self) -> Option<Arc<SesDomain>>;
}

/// The resources. Clones share them.
#[derive(Debug)]
pub struct Store<F = Packed>(Arc<Inner<F>>);

#[derive(Debug)]
struct Inner<F> {
    shelf: Mutex<Shelf<F>>,
    listed: watch::Sender<bool>,
    contradicted: Notify,
}

impl<F> Clone for Store<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> Default for Store<F> {
    fn default() -> Self {
        let (shelf, listed) = (Mutex::default(), watch::Sender::new(false));
        Self(Arc::new(Inner { shelf, listed, contradicted: Notify::new() }))
    }
}

impl<F: Form> Store<F> {
    /// Takes in what the watch shows, and tells what is to be done about it.
    pub fn observe(&self, event: Event<SesDomain>) -> Vec<Sighting> {
        let event = event.modify(keep_what_we_use);
        let mut shelf = self.shelf();
        match event {
            Event::Apply(resource) => shelf.see(resource, Source::Watch),
            Event::InitApply(resource) => shelf.list(resource),
            Event::Delete(resource) => shelf.see_gone(&resource).into_iter().collect(),
            Event::Init => {
                shelf.begin_listing();
                Vec::new()
            }
            Event::InitDone => {
                let gone = shelf.remove_unlisted();
                drop(shelf);
                self.0.listed.send_replace(true);
                gone
            }
        }
    }

    /// A request about a resource that is about to be sent, with the status that it puts there, if it does.
    pub fn request(&self, resource: &SesDomain, status: Option<&SesDomainStatus>) -> Request<F> {
        let key = Key::of(resource);
        let mut shelf = self.shelf();
        if let Some(status) = status {
            shelf.writing.insert(key.clone(), status.clone());
        }
        let sent_at = shelf.moment;
        drop(shelf);
        Request { store: self.clone(), key, uid: resource.metadata.uid.clone(), sent_at, writes: status.is_some() }
    }

    /// Waits until an answer to a request shows that the watch has missed something: all is to be listed anew. There is one
    /// who waits so: the watch.
    pub async fn contradicted(&self) {
        self.0.contradicted.notified().await;
    }

    /// A resource.
    pub fn get(&self, key: &Key) -> Option<Arc<SesDomain>> {
        let form = self.shelf().entries.get(key)?.form.clone();
        form.resource()
    }

    /// The resources that ask for this domain.
    pub fn of_domain(&self, domain: &DomainName) -> Vec<Key> {
        shelf::under(&self.shelf().by_domain, domain.as_str()).cloned().collect()
    }

    /// Goes through the resources that have records in this hosted zone, one unpacked at a time.
    pub fn each_in_zone(&self, zone: &ZoneId, mut look: impl FnMut(&SesDomain)) {
        let all: Vec<F> = {
            let shelf = self.shelf();
            let keys = shelf::under(&shelf.by_zone, &zone.0);
            keys.filter_map(|key| shelf.entries.get(key)).map(|entry| entry.form.clone()).collect()
        };
        all.iter().filter_map(Form::resource).for_each(|resource| look(&resource));
    }

    /// Goes through all resources, one unpacked at a time. What changes meanwhile may be seen as it was before.
    pub fn for_each(&self, mut look: impl FnMut(&SesDomain)) {
        let all: Vec<F> = self.shelf().entries.values().map(|entry| entry.form.clone()).collect();
        all.iter().filter_map(Form::resource).for_each(|resource| look(&resource));
    }

    /// The keys of all resources, for who goes through them with pauses.
    pub fn keys(&self) -> Vec<Key> {
        self.shelf().entries.keys().cloned().collect()
    }

    /// How many resources there are.
    pub fn len(&self) -> usize {
        self.shelf().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns once all resources have been listed: before that a missing one may be there.
    pub async fn listed(&self) {
        // The sender lives as long as this store.
        let _ = self.0.listed.subscribe().wait_for(|listed| *listed).await;
    }

    /// How the resources are, for the metrics. Nothing is unpacked.
    pub fn census(&self) -> Census {
        let shelf = self.shelf();
        let mut census = Census::default();
        let mut alike: BTreeMap<*const State, (&[State], i64)> = BTreeMap::new();
        for (key, entry) in &shelf.entries {
            alike.entry(entry.states.as_ptr()).or_insert((&entry.states, 0)).1 += 1;
            for state in entry.states.iter() {
                census.unmet(&key.namespace, &key.name, &state.condition, &state.status, &state.reason);
            }
        }
        for (states, count) in alike.values() {
            for state in *states {
                census.count(&state.condition, &state.status, *count);
            }
        }
        census
    }
}

impl<F> Store<F> {
    fn shelf(&self) -> MutexGuard<'_, Shelf<F>> {
        self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way. While it is, the status that it writes is ours, should the watch show it before the answer
/// comes. Where no answer comes, whoever looked meanwhile may have believed that it never arrived: so after that it is
/// looked at like anybody's.
#[derive(Debug)]
pub struct Request<F: Form> {
    store: Store<F>,
    key: Key,
    uid: Option<String>,
    sent_at: u64,
    writes: bool,
}

impl<F: Form> Request<F> {
    /// Takes in the answer. A resource that is gone does not come back by it.
    pub fn answered(self, mut answer: SesDomain) -> Arc<SesDomain> {
        keep_what_we_use(&mut answer);
        let answer = Arc::new(answer);
        let contradicts = self.store.shelf().learn(&self.key, &answer, self.sent_at);
        if contradicts {
            self.store.0.contradicted.notify_one();
        }
        answer
    }

    /// The resource does not exist.
    pub fn answered_gone(self) {
        let contradicts = self.store.shelf().knew(&self.key, self.uid.as_deref(), self.sent_at);
        if contradicts {
            self.store.0.contradicted.notify_one();
        }
    }
}

impl<F: Form> Drop for Request<F> {
    fn drop(&mut self) {
        if self.writes {
            self.store.shelf().writing.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
