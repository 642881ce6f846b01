//! Zones, record sets, changes on their way, and what resolvers see.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use ses_operator::cloud::{AsOf, CloudError, ErrorKind};
use ses_operator::dns::{DnsProvider, HostedZone, RecordChange, RecordSet, RecordType, Subtree, ZoneId};
use ses_operator::domain_name::DomainName;

use super::{Cloud, State, error};
use crate::random::Random;

/// So many of the sets that resolvers saw are remembered.
const REMEMBERED: usize = 256;

type Place = (DomainName, RecordType);
type Sets = BTreeMap<Place, RecordSet>;
/// What stands at each place that was changed.
type Changed = BTreeMap<Place, Option<RecordSet>>;

/// Reads never lag behind by more.
const LONGEST_LAG: SignedDuration = SignedDuration::from_mins(10);
/// A change leaves at most so long after the status was written that claims its records.
const CLAIM_STANDS: SignedDuration = SignedDuration::from_mins(2);

/// A hosted zone.
#[derive(Clone, Debug)]
pub struct Zone {
    pub id: ZoneId,
    pub name: DomainName,
    /// Whether the world asks this zone, where several have one name.
    pub delegated: bool,
    /// What the API says.
    pub sets: Sets,
    /// What resolvers see.
    pub served: Sets,
    /// What others than the operator left at each place where they wrote last.
    pub others: Sets,
    /// What changes for them, and when.
    arriving: VecDeque<(Timestamp, Changed)>,
    /// What stood before each change of late.
    before: VecDeque<(Timestamp, Changed)>,
    /// What resolvers saw at each place until then.
    saw: VecDeque<(Timestamp, Place, RecordSet)>,
    /// A listing shows so many sets at most.
    pub page: usize,
}

/// All zones of the account.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    pub zones: Vec<Zone>,
    /// Whether resolvers may see something else since they were asked last.
    touched: bool,
    changes: BTreeMap<String, Timestamp>,
    /// When each zone was removed that is no more.
    pub removed: BTreeMap<String, Timestamp>,
}

impl Zones {
    pub fn add(&mut self, id: &str, name: &str) -> &mut Zone {
        let id = ZoneId(id.to_owned());
        let name = DomainName::new(name);
        let delegated = !self.zones.iter().any(|zone| zone.name == name);
        let ns = RecordSet::new(name.clone(), RecordType::Ns, 172_800, vec!["ns-1.awsdns-01.org.".to_owned()]);
        let sets: Sets = [((name.clone(), RecordType::Ns), ns)].into();
        let (served, others) = (sets.clone(), sets.clone());
        self.touched = true;
        self.zones.push(Zone {
            id,
            name,
            delegated,
            sets,
            served,
            others,
            arriving: VecDeque::new(),
            before: VecDeque::new(),
            saw: VecDeque::new(),
            page: 300,
        });
        self.zones.last_mut().expect("just added")
    }

    pub fn zone(&mut self, id: &str) -> &mut Zone {
        self.touched = true;
        self.zones.iter_mut().find(|zone| zone.id.0 == id).expect("a zone of the story")
    }

    fn find(&mut self, operation: &'static str, id: &ZoneId) -> Result<&mut Zone, CloudError> {
        let found = self.zones.iter_mut().find(|zone| &zone.id == id);
        found.ok_or_else(|| error(ErrorKind::NotFound, operation, id, "no hosted zone of that ID"))
    }

    /// When the next change reaches resolvers.
    pub(super) fn next_arrival(&self) -> Option<Timestamp> {
        self.zones.iter().filter_map(|zone| zone.arriving.front()).map(|(at, _)| *at).min()
    }

    /// Brings changes to resolvers; tells whether these may see something else now.
    pub(super) fn arrive(&mut self, now: Timestamp) -> bool {
        let mut changed = std::mem::take(&mut self.touched);
        for zone in &mut self.zones {
            while zone.arriving.front().is_some_and(|(at, _)| *at <= now) {
                let (_, arrived) = zone.arriving.pop_front().expect("there is a front");
                let before =
                    arrived.keys().filter_map(|place| Some((now, place.clone(), zone.served.get(place)?.clone())));
                zone.saw.extend(before);
                while zone.saw.len() > REMEMBERED {
                    zone.saw.pop_front();
                }
                put(&mut zone.served, arrived);
                changed = true;
            }
        }
        changed
    }

    /// What a resolver answers now.
    pub fn resolve(&self, name: &DomainName, record_type: &RecordType) -> &[String] {
        self.values(name, record_type, |zone| &zone.served)
    }

    /// What it will answer once all changes have arrived.
    fn standing(&self, name: &DomainName, record_type: &RecordType) -> &[String] {
        self.values(name, record_type, |zone| &zone.sets)
    }

    /// The zone that the world asks for a name.
    pub fn asked_for(&self, name: &DomainName) -> Option<&Zone> {
        let holds = |zone: &&Zone| zone.delegated && name.is_within(&zone.name);
        self.zones.iter().filter(holds).max_by_key(|zone| zone.name.label_count())
    }

    /// The values at a name in the zone that the world asks.
    fn values(&self, name: &DomainName, record_type: &RecordType, sets: impl Fn(&Zone) -> &Sets) -> &[String] {
        let zone = self.asked_for(name);
        let set = zone.and_then(|zone| sets(zone).get(&(name.clone(), record_type.clone())));
        set.map(|set| &set.values[..]).unwrap_or_default()
    }
}

/// The `_dmarc` names that a batch changes.
fn policies(changes: &[RecordChange]) -> BTreeSet<DomainName> {
    let sets = changes.iter().map(|change| match change {
        RecordChange::Create(set) | RecordChange::Delete(set) => set,
    });
    let is_policy = |set: &&RecordSet| set.record_type == RecordType::Txt && set.name.as_str().starts_with("_dmarc.");
    sets.filter(is_policy).map(|set| set.name.clone()).collect()
}

fn put(sets: &mut Sets, changed: Changed) {
    for (place, set) in changed {
        match set {
            Some(set) => sets.insert(place, set),
            None => sets.remove(&place),
        };
    }
}

impl Zone {
    /// All changes or none.
    pub fn change(
        &mut self,
        changes: &[RecordChange],
        now: Timestamp,
        random: &mut Random,
    ) -> Result<Timestamp, String> {
        let mut after = Changed::new();
        let mut created = Vec::new();
        for change in changes {
            let (RecordChange::Create(set) | RecordChange::Delete(set)) = change;
            let place = (set.name.clone(), set.record_type.clone());
            let found = after.get(&place).map_or_else(|| self.sets.get(&place), Option::as_ref);
            match (change, found) {
                (RecordChange::Delete(set), Some(found)) if found == set => {
                    after.insert(place, None);
                }
                (RecordChange::Delete(set), Some(_)) => {
                    return Err(format!(
                        "{} {}, but the values provided do not match the current values",
                        set.name, set.record_type
                    ));
                }
                (RecordChange::Delete(set), None) => {
                    return Err(format!("{} {}, but it was not found", set.name, set.record_type));
                }
                (RecordChange::Create(set), found) => {
                    if !set.name.is_within(&self.name) || set.values.is_empty() {
                        return Err(format!("{} {} is not permitted in zone {}", set.name, set.record_type, self.name));
                    }
                    if created.contains(&place) {
                        return Err(
                            "the request contains an invalid set of changes for a resource record set".to_owned()
                        );
                    }
                    if found.is_some() {
                        return Err(format!("{} {}, but it already exists", set.name, set.record_type));
                    }
                    created.push(place.clone());
                    after.insert(place, Some(set.clone()));
                }
            }
        }
        for place @ (name, record_type) in &created {
            let stands =
                |place: &Place| after.get(place).map_or_else(|| self.sets.contains_key(place), Option::is_some);
            let of_name = (name.clone(), RecordType::Cname)..;
            let beside = self
                .sets
                .range(of_name.clone())
                .map(|(place, _)| place)
                .chain(after.range(of_name).map(|(place, _)| place))
                .take_while(|other| &other.0 == name)
                .any(|other| {
                    other != place
                        && (other.1 == RecordType::Cname || *record_type == RecordType::Cname)
                        && stands(other)
                });
            if beside {
                return Err(format!(
                    "{name} {record_type} is not permitted as it conflicts with other records with the same DNS name"
                ));
            }
        }
        let earliest = self.arriving.back().map_or(now, |(at, _)| *at);
        let served_at = earliest.max(now + SignedDuration::from_secs(random.between(20, 60)));
        let before = after.keys().map(|place| (place.clone(), self.sets.get(place).cloned())).collect();
        self.before.push_back((now, before));
        while self.before.front().is_some_and(|(at, _)| *at + LONGEST_LAG < now) {
            self.before.pop_front();
        }
        put(&mut self.sets, after.clone());
        self.arriving.push_back((served_at, after));
        Ok(served_at)
    }

    /// Until when resolvers last saw a set at a place that was as it should be.
    pub fn served_until(&self, place: &Place, holds: impl Fn(&RecordSet) -> bool) -> Option<Timestamp> {
        let last = self.saw.iter().rev().find(|(_, of, set)| of == place && holds(set));
        last.map(|(until, _, _)| *until)
    }

    /// What stands here has stood here for long.
    pub fn age(&mut self) {
        self.before.clear();
    }

    /// The sets as a read shows them that lags behind.
    fn shown(&self, now: Timestamp, lag: SignedDuration) -> Cow<'_, Sets> {
        if lag.is_zero() {
            return Cow::Borrowed(&self.sets);
        }
        let mut sets = self.sets.clone();
        for (_, before) in self.before.iter().rev().take_while(|(at, _)| *at + lag > now) {
            put(&mut sets, before.clone());
        }
        Cow::Owned(sets)
    }

    /// A change by somebody else, which needs no old value.
    pub fn set(&mut self, name: &str, record_type: &str, values: &[&str], now: Timestamp, random: &mut Random) {
        let place = (DomainName::new(name), RecordType::parse(record_type));
        let mut changes: Vec<RecordChange> =
            self.sets.get(&place).cloned().map(RecordChange::Delete).into_iter().collect();
        self.others.remove(&place);
        if !values.is_empty() {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let set = RecordSet::new(place.0.clone(), place.1.clone(), 300, values);
            self.others.insert(place, set.clone());
            changes.push(RecordChange::Create(set));
        }
        if !changes.is_empty() {
            self.change(&changes, now, random).expect("a change that Route 53 takes");
        }
    }
}

impl State {
    /// Somebody deletes a zone.
    pub fn remove_zone(&mut self, id: &str) {
        let now = self.now();
        self.zones.touched = true;
        self.zones.removed.insert(id.to_owned(), now);
        self.zones.zones.retain(|zone| zone.id.0 != id);
    }

    /// Somebody else writes, just before our first change arrives.
    pub fn intrude(&mut self) {
        let Some(intruder) = self.intruder.take() else { return };
        let now = self.now();
        let place = (DomainName::new(intruder.name), RecordType::parse(intruder.record_type));
        let Some(zone) = self.zones.zones.iter_mut().find(|zone| zone.id.0 == intruder.zone) else { return };
        if zone.sets.keys().any(|(name, _)| *name == place.0) {
            return;
        }
        zone.set(intruder.name, intruder.record_type, &[intruder.value], now, &mut self.random);
        if intruder.protected {
            let id = ZoneId(intruder.zone.to_owned());
            self.guard.protected.insert((id, place.0, place.1, intruder.value.to_owned()));
        }
    }

    /// Carries out a change that was sent by a process that began at `began`.
    fn change_records(
        &mut self,
        id: &ZoneId,
        changes: &[RecordChange],
        began: Timestamp,
    ) -> Result<String, CloudError> {
        const OPERATION: &str = "route53:ChangeResourceRecordSets";
        let now = self.now();
        let policies = policies(changes);
        let before: Vec<Vec<String>> =
            policies.iter().map(|name| self.zones.standing(name, &RecordType::Txt).to_vec()).collect();
        let zone = self.zones.zones.iter_mut().find(|zone| &zone.id == id);
        let Some(zone) = zone else {
            return Err(error(ErrorKind::NotFound, OPERATION, id, "no hosted zone of that ID"));
        };
        let served_at = zone
            .change(changes, now, &mut self.random)
            .map_err(|message| error(ErrorKind::Conflict, OPERATION, id, &message))?;
        let (api, known_since) = (self.api.clone(), began.max(now - CLAIM_STANDS));
        self.guard.records(zone, changes, |set| api.claims(&id.0, &set.name, &set.record_type, known_since));
        for (name, before) in policies.iter().zip(before) {
            let after = self.zones.standing(name, &RecordType::Txt);
            let domain = name.as_str().trim_start_matches("_dmarc.");
            let goes = api
                .kept()
                .resources()
                .any(|resource| resource.spec.domain == domain && resource.metadata.deletion_timestamp.is_some());
            self.guard.policy(name, &before, after, goes);
        }
        let goes = |domain: &DomainName| {
            let kept = api.kept();
            let mut of_domain = kept.resources().filter(|resource| domain.is(&resource.spec.domain));
            of_domain.any(|resource| resource.metadata.deletion_timestamp.is_some())
        };
        self.guard.uses(id, &self.zones, &self.identities, changes, goes);
        let broken = self.broken_merges(changes);
        self.guard.harm.extend(broken);
        self.mutations += 1;
        let change = format!("C{}", self.zones.changes.len() + 1);
        self.zones.changes.insert(change.clone(), served_at);
        Ok(change)
    }
}

/// Route 53, as the operator sees it.
#[derive(Clone, Debug)]
pub struct Route53(pub Cloud);

impl Route53 {
    /// The set that stands where this one would.
    pub fn stands(&self, zone: &ZoneId, at: &RecordSet) -> Option<RecordSet> {
        let state = self.0.state();
        let zone = state.zones.zones.iter().find(|found| &found.id == zone)?;
        zone.sets.get(&(at.name.clone(), at.record_type.clone())).cloned()
    }
}

impl DnsProvider for Route53 {
    async fn hosted_zones(&self) -> Result<AsOf<Vec<HostedZone>>, CloudError> {
        let list = |state: &mut State| {
            let zones = state.zones.zones.iter();
            Ok(zones
                .map(|zone| HostedZone {
                    id: zone.id.clone(),
                    name: zone.name.clone(),
                    record_sets: zone.sets.len() * 300 / zone.page.max(1),
                })
                .collect())
        };
        self.0.read("route53:ListHostedZonesByName", "", Vec::new(), list).await
    }

    async fn listing(&self, zone: &ZoneId) -> Result<AsOf<Vec<RecordSet>>, CloudError> {
        const OPERATION: &str = "route53:ListResourceRecordSets";
        let list = |state: &mut State| {
            let (now, lag) = (state.now(), state.lag);
            Ok(state.zones.find(OPERATION, zone)?.shown(now, lag).values().cloned().collect())
        };
        self.0.read(OPERATION, &zone.0, Vec::new(), list).await
    }

    async fn subtree(&self, zone: &ZoneId, root: &DomainName) -> Result<AsOf<Subtree>, CloudError> {
        const OPERATION: &str = "route53:ListResourceRecordSets";
        let list = |state: &mut State| {
            let (now, lag) = (state.now(), state.lag);
            let zone = state.zones.find(OPERATION, zone)?;
            let mut record_sets: Vec<RecordSet> =
                zone.shown(now, lag).values().filter(|set| set.name.is_within(root)).cloned().collect();
            let complete = record_sets.len() <= zone.page;
            record_sets.truncate(zone.page);
            if !complete {
                // The sets of one name stay together.
                let cut = record_sets.last().map(|set| set.name.clone());
                record_sets.retain(|set| Some(&set.name) != cut.as_ref());
            }
            Ok(Subtree { record_sets, complete })
        };
        let nothing = Subtree { record_sets: Vec::new(), complete: true };
        self.0.read(OPERATION, &zone.0, nothing, list).await
    }

    async fn record_sets(&self, zone: &ZoneId, name: &DomainName) -> Result<AsOf<Vec<RecordSet>>, CloudError> {
        const OPERATION: &str = "route53:ListResourceRecordSets";
        let list = |state: &mut State| {
            let (now, lag) = (state.now(), state.lag);
            let zone = state.zones.find(OPERATION, zone)?;
            Ok(zone.shown(now, lag).values().filter(|set| &set.name == name).cloned().collect())
        };
        self.0.read(OPERATION, &zone.0, Vec::new(), list).await
    }

    async fn change(&self, zone: &ZoneId, changes: &[RecordChange]) -> Result<String, CloudError> {
        self.0.state().intrude();
        let change = |state: &mut State| state.change_records(zone, changes, self.0.began());
        self.0.call("route53:ChangeResourceRecordSets", &zone.0, change).await
    }

    async fn is_in_sync(&self, change_id: &str) -> Result<AsOf<bool>, CloudError> {
        const OPERATION: &str = "route53:GetChange";
        let ask = |state: &mut State| match state.zones.changes.get(change_id) {
            Some(served_at) => Ok(*served_at <= state.now()),
            None => Err(error(ErrorKind::NotFound, OPERATION, change_id, "no such change")),
        };
        self.0.call_as_of(OPERATION, change_id, ask).await
    }
}
