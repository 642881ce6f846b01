//! What the store holds, and what becomes of it when something is seen. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{Form, Sighting};
use crate::api::{SesDomain, SesDomainStatus};
use crate::controller::key::Key;
use crate::controller::urgency::Asked;
use crate::domain_name::DomainName;

/// The resources, by their keys and by what they are asked for.
#[derive(Debug)]
pub(super) struct Shelf<F> {
    /// In an order that is the same each time: the simulation's seeds rest on it.
    pub(super) entries: BTreeMap<Key, Entry<F>>,
    /// The same resources by their domains.
    pub(super) by_domain: BTreeSet<(Arc<str>, Key)>,
    /// And by the hosted zones that their records stand in.
    pub(super) by_zone: BTreeSet<(Arc<str>, Key)>,
    /// What many resources have in common is kept once.
    pub(super) namespaces: HashMap<Arc<str>, usize>,
    pub(super) states: HashSet<Arc<[State]>>,
    /// The statuses that are being written.
    pub(super) writing: HashMap<Key, SesDomainStatus>,
    /// It grows with each thing that is learned, so that it tells what was known at a time.
    pub(super) moment: u64,
    /// The number of the listing: what an earlier one showed and this one has not is gone.
    listing: u64,
    /// The moment at which it began.
    listing_began: u64,
}

#[derive(Debug)]
pub(super) struct Entry<F> {
    uid: Box<str>,
    version: u64,
    /// The moment from which it has been known as it is.
    since: u64,
    domain: Arc<str>,
    zones: Box<[Arc<str>]>,
    /// What the watch, not an answer of ours, has shown: an edit that our own patch's answer showed first still asks.
    asked: Asked,
    pub(super) states: Arc<[State]>,
    pub(super) form: F,
    listing: u64,
}

/// The state of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) condition: Box<str>,
    pub(super) status: Box<str>,
    pub(super) reason: Box<str>,
}

/// Where a resource was seen, and so what that is worth against what is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// In the running watch, which may be late.
    Watch,
    /// In what was asked for at this moment.
    Asked(u64),
}

impl<F> Default for Shelf<F> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            by_domain: BTreeSet::new(),
            by_zone: BTreeSet::new(),
            namespaces: HashMap::new(),
            states: HashSet::new(),
            writing: HashMap::new(),
            moment: 0,
            listing: 0,
            listing_began: 0,
        }
    }
}

impl<F> Entry<F> {
    /// Whether what was seen counts, and not what is known.
    fn yields_to(&self, seen: &SesDomain, source: Source) -> bool {
        let was_known = matches!(source, Source::Asked(at) if self.since <= at);
        was_known || self.version < version(seen)
    }
}

impl<F: Form> Shelf<F> {
    pub(super) fn begin_listing(&mut self) {
        self.listing += 1;
        self.listing_began = self.moment;
    }

    /// A resource in a listing.
    pub(super) fn list(&mut self, resource: SesDomain) -> Vec<Sighting> {
        self.see(resource, Source::Asked(self.listing_began))
    }

    pub(super) fn see(&mut self, resource: SesDomain, source: Source) -> Vec<Sighting> {
        let resource = Arc::new(resource);
        let (key, asked, listing) = (Key::of(&resource), Asked::of(&resource), self.listing);
        let mut sightings = Vec::new();
        if let Some(known) = self.entries.get_mut(&key) {
            known.listing = listing;
            let counts = known.yields_to(&resource, source);
            if *known.uid == *uid(&resource) {
                let urgency = asked.since(&known.asked);
                known.asked = asked;
                let rewritten = counts && self.replace(&key, &resource);
                let sighting = match urgency {
                    Some(class) => Some(Sighting::Asks(self.own(key), class)),
                    None => rewritten.then(|| Sighting::Rewritten(self.own(key))),
                };
                return sighting.into_iter().collect();
            }
            if !counts {
                return sightings;
            }
            // Made anew under the same name: what was known of the former one must not be believed of this one.
            sightings.extend(self.remove(&key));
        }
        let key = self.insert(key, asked, &resource);
        sightings.push(Sighting::First(key, resource));
        sightings
    }

    /// A resource that the watch shows to be gone. It may be late: the one that is known by the name now stays.
    pub(super) fn see_gone(&mut self, resource: &SesDomain) -> Option<Sighting> {
        let key = Key::of(resource);
        let known = self.entries.get(&key).is_some_and(|known| *known.uid == *uid(resource));
        if known { self.remove(&key) } else { None }
    }

    pub(super) fn remove_unlisted(&mut self) -> Vec<Sighting> {
        let unlisted = self.entries.iter().filter(|(_, entry)| entry.listing < self.listing);
        let unlisted: Vec<Key> = unlisted.map(|(key, _)| key.clone()).collect();
        unlisted.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// Takes in the answer to a request that was sent at a moment; tells whether it shows that the watch has missed something.
    pub(super) fn learn(&mut self, key: &Key, answer: &Arc<SesDomain>, sent_at: u64) -> bool {
        let Some(known) = self.entries.get(key) else { return false };
        let was_known = known.since <= sent_at;
        if *known.uid != *uid(answer) {
            return was_known;
        }
        let went_back = was_known && version(answer) < known.version;
        if known.yields_to(answer, Source::Asked(sent_at)) {
            self.replace(key, answer);
        }
        went_back
    }

    /// Whether a resource was known at a moment, and still is.
    pub(super) fn knew(&self, key: &Key, uid: Option<&str>, at: u64) -> bool {
        self.entries.get(key).is_some_and(|known| Some(&*known.uid) == uid && known.since <= at)
    }

    /// Takes in a resource that was not known, and gives the key to hold on to.
    fn insert(&mut self, key: Key, asked: Asked, resource: &Arc<SesDomain>) -> Key {
        let known = self.namespaces.get_key_value(&key.namespace);
        let namespace = known.map_or(key.namespace, |(own, _)| Arc::clone(own));
        *self.namespaces.entry(Arc::clone(&namespace)).or_default() += 1;
        let key = Key { namespace, name: key.name };
        let domain: Arc<str> = Arc::from(DomainName::new(&resource.spec.domain).as_str());
        self.by_domain.insert((Arc::clone(&domain), key.clone()));
        self.moment += 1;
        let entry = Entry {
            uid: uid(resource).into(),
            version: version(resource),
            since: self.moment,
            domain,
            zones: self.enter_zones(&key, resource),
            asked,
            states: self.states_of(resource),
            form: F::of(resource),
            listing: self.listing,
        };
        self.entries.insert(key.clone(), entry);
        key
    }

    /// Takes in another version, and tells whether its status is neither what was known nor what we are writing. Its domain is
    /// the same: the API server lets nobody change it.
    fn replace(&mut self, key: &Key, resource: &Arc<SesDomain>) -> bool {
        self.moment += 1;
        let (form, moment) = (F::of(resource), self.moment);
        let Some(entry) = self.entries.get_mut(key) else { return false };
        entry.since = moment;
        if entry.form == form {
            return false;
        }
        let ours = resource.status.as_ref() == self.writing.get(key) && resource.status.is_some();
        let rewritten = !ours && entry.form.resource().is_none_or(|known| known.status != resource.status);
        entry.version = version(resource);
        entry.form = form;
        if rewritten || ours {
            self.index(key, resource);
        }
        rewritten
    }

    /// Enters what a new status says.
    fn index(&mut self, key: &Key, resource: &SesDomain) {
        let states = self.states_of(resource);
        let Some((own, entry)) = self.entries.get_key_value(key) else { return };
        let moved = !entry.zones.iter().map(AsRef::as_ref).eq(zones_of(resource));
        let zones = moved.then(|| (own.clone(), entry.zones.clone())).map(|(own, former)| {
            self.leave_zones(&own, former);
            self.enter_zones(&own, resource)
        });
        let Some(entry) = self.entries.get_mut(key) else { return };
        if let Some(zones) = zones {
            entry.zones = zones;
        }
        let before = std::mem::replace(&mut entry.states, states);
        self.let_go_of(before);
    }

    fn remove(&mut self, key: &Key) -> Option<Sighting> {
        let entry = self.entries.remove(key)?;
        let place = (entry.domain, key.clone());
        let key = self.by_domain.take(&place).map_or_else(|| key.clone(), |(_, key)| key);
        self.leave_zones(&key, entry.zones);
        self.let_go_of(entry.states);
        if let Some(count) = self.namespaces.get_mut(&key.namespace) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(&key.namespace);
            }
        }
        Some(Sighting::Gone(key, entry.form.resource()?))
    }

    fn enter_zones(&mut self, key: &Key, resource: &SesDomain) -> Box<[Arc<str>]> {
        let zones = zones_of(resource).into_iter().map(|zone| {
            // The zone of many resources is named once.
            let known = self.by_zone.range((Arc::from(zone), Key::new("", ""))..).next();
            let known = known.map(|(known, _)| known).filter(|known| ***known == *zone);
            let zone = known.map_or_else(|| Arc::from(zone), Arc::clone);
            self.by_zone.insert((Arc::clone(&zone), key.clone()));
            zone
        });
        zones.collect()
    }

    fn leave_zones(&mut self, key: &Key, zones: Box<[Arc<str>]>) {
        for zone in zones {
            self.by_zone.remove(&(zone, key.clone()));
        }
    }

    /// The same key with the text that the store holds.
    fn own(&self, key: Key) -> Key {
        self.entries.get_key_value(&key).map_or(key, |(own, _)| own.clone())
    }

    fn states_of(&mut self, resource: &SesDomain) -> Arc<[State]> {
        let states = resource.status.iter().flat_map(|status| &status.conditions).map(|condition| State {
            condition: condition.type_.as_str().into(),
            status: condition.status.as_str().into(),
            reason: condition.reason.as_str().into(),
        });
        let states: Arc<[State]> = states.collect();
        if let Some(known) = self.states.get(&states) {
            return Arc::clone(known);
        }
        self.states.insert(Arc::clone(&states));
        states
    }

    /// What no resource has any more is not kept: the set's own and this one are the last two.
    fn let_go_of(&mut self, states: Arc<[State]>) {
        if Arc::strong_count(&states) <= 2 {
            self.states.remove(&states);
        }
    }
}

/// The keys that an index has under a name.
pub(super) fn under<'a>(index: &'a BTreeSet<(Arc<str>, Key)>, name: &str) -> impl Iterator<Item = &'a Key> {
    let name: Arc<str> = Arc::from(name);
    let first = (Arc::clone(&name), Key::new("", ""));
    index.range(first..).take_while(move |(found, _)| *found == name).map(|(_, key)| key)
}

/// The hosted zones of a resource's records.
fn zones_of(resource: &SesDomain) -> BTreeSet<&str> {
    let records = resource.status.iter().flat_map(|status| &status.records);
    records.map(|entry| entry.hosted_zone_id.as_str()).collect()
}

fn uid(resource: &SesDomain) -> &str {
    resource.metadata.uid.as_deref().unwrap_or_default()
}

/// Versions grow: so says Kubernetes since 1.35, and so it has been with etcd ever since.
fn version(resource: &SesDomain) -> u64 {
    resource.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}
