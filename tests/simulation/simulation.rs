//! The cloud and the operator together, with the words that stories are told in.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use ses_operator::api::SesDomainStatus;
use ses_operator::api::spec::SesDomainSpec;
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::Region;
use ses_operator::domain_name::DomainName;
use ses_operator::reconcile::subject::{Filters, Settings};
use ses_operator::ses::{Identity, IdentityKey, NewIdentity};

use crate::api_server::{Api, key_of};
use crate::cloud::faults::Strike;
use crate::cloud::{Cloud, State};
use crate::end::End;
use crate::operator::Operator;
use crate::orphans;

/// The name of the one resource that most stories have.
pub const NAME: &str = "example-com";
/// Its zone.
pub const ZONE: &str = "Z1";

/// A cloud, an API server, an operator.
#[derive(Debug)]
pub struct Simulation {
    pub hand: Hand,
    pub cloud: Cloud,
    pub api: Api,
    pub operator: Operator,
    /// Operators that no longer hold the lease and have not noticed, and when they end.
    pub rivals: Vec<(Operator, Timestamp)>,
}

/// The services at one time, without an operator.
#[derive(Debug)]
pub struct Picture {
    cloud: Cloud,
    api: Api,
    settings: Settings,
    at: Timestamp,
}

impl Picture {
    /// Goes on from here with an operator that has just started.
    pub fn go_on(&self) -> Simulation {
        let hand = Hand::at(self.at);
        let api = self.api.fork(hand.clone());
        let cloud = self.cloud.fork(hand.clone(), api.clone());
        let mut operator = Operator::new(cloud.clone(), api.clone(), hand.clone(), self.settings.clone());
        api.kept().resources().for_each(|resource| operator.wake(&key_of(resource)));
        Simulation { hand, cloud, api, operator, rivals: Vec::new() }
    }
}

pub fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

pub fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// The manifest that the README shows, with other fields laid over it; `null` takes one out.
pub fn manifest(fields: Value) -> SesDomainSpec {
    let mut spec = json!({
        "domain": "example.com",
        "mailFromSubdomain": "mail",
        "mxFailureBehavior": "RejectMessage",
        "dmarcPolicy": {
            "aggregateReportUris": ["mailto:dmarc@example.com"],
            "stages": [
                {"name": "monitor", "policy": "None", "minDuration": "30d"},
                {"name": "quarantine", "policy": "Quarantine", "minDuration": "30d"},
                {"name": "reject", "policy": "Reject"},
            ],
        },
    });
    lay_over(&mut spec, fields);
    serde_json::from_value(spec).expect("a spec")
}

fn lay_over(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    under.remove(&key);
                } else {
                    lay_over(under.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (under, over) => *under = over,
    }
}

impl Simulation {
    /// An empty cloud.
    pub fn empty(seed: u64) -> Self {
        let hand = Hand::at(Timestamp::from_second(1_800_000_000).expect("a time"));
        let api = Api::new(hand.clone());
        let cloud = Cloud::new(hand.clone(), seed, api.clone());
        let settings = Settings {
            account: "123456789012".to_owned(),
            default_region: Region::new("eu-west-1"),
            cluster_id: "cluster-1".to_owned(),
            filters: Filters::default(),
        };
        let operator = Operator::new(cloud.clone(), api.clone(), hand.clone(), settings);
        Self { hand, cloud, api, operator, rivals: Vec::new() }
    }

    /// Everything as it is here, to go on from as often as one likes.
    pub fn picture(&self) -> Picture {
        let hand = Hand::at(self.now());
        let settings = self.operator.settings.clone();
        let api = self.api.fork(hand.clone());
        Picture { cloud: self.cloud.fork(hand, api.clone()), api, settings, at: self.now() }
    }

    /// A cloud with a zone for example.com.
    pub fn new() -> Self {
        let simulation = Self::empty(1);
        simulation.state().zones.add(ZONE, "example.com");
        simulation
    }

    /// The same, and the manifest with these fields is Ready there.
    pub fn ready(fields: Value) -> Self {
        let mut simulation = Self::new();
        simulation.apply(NAME, manifest(fields));
        simulation.until_ready();
        simulation
    }

    /// The same, and nothing is left to be done.
    pub fn settled(fields: Value) -> Self {
        let mut simulation = Self::ready(fields);
        simulation.pass(hours(2));
        simulation
    }

    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.cloud.state()
    }

    pub fn now(&self) -> Timestamp {
        self.hand.now()
    }

    /// Another replica takes the lease, while the one that had it goes on for some minutes without noticing.
    pub fn take_over(&mut self) {
        let mut next =
            Operator::new(self.cloud.clone(), self.api.clone(), self.hand.clone(), self.operator.settings.clone());
        next.mutant = self.operator.mutant;
        next.restart();
        (next.deaths, next.reconciles) = (self.operator.deaths, self.operator.reconciles);
        let deposed = std::mem::replace(&mut self.operator, next);
        deposed.depose();
        self.rivals.push((deposed, self.now() + minutes(3)));
    }

    /// `kubectl apply`.
    pub fn apply(&mut self, name: &str, spec: SesDomainSpec) {
        let policy = DomainName::new(&spec.domain).child("_dmarc");
        match &spec.dmarc_policy {
            Some(asked) => self.state().guard.policies.ask(&policy, asked),
            None if self.api.resource(name).is_some_and(|resource| resource.spec.dmarc_policy.is_some()) => {
                self.state().guard.left.insert(policy);
            }
            None => {}
        }
        self.api.apply(name, spec);
    }

    /// `kubectl apply` of the manifest with these fields laid over it.
    pub fn change(&mut self, fields: Value) {
        self.apply(NAME, manifest(fields));
    }

    /// `kubectl delete`.
    pub fn delete(&mut self, name: &str) {
        self.api.delete(name);
    }

    /// `kubectl annotate`: look now.
    pub fn request(&mut self, value: &str) {
        self.pass(SignedDuration::from_secs(1));
        self.api.edit(NAME, |resource| {
            let annotations = resource.metadata.annotations.get_or_insert_default();
            annotations.insert(ses_operator::api::RECONCILE_REQUESTED_AT.to_owned(), value.to_owned());
        });
        self.operator.wake(NAME);
    }

    /// Whether the resource is gone from the API server.
    pub fn is_gone(&self, name: &str) -> bool {
        self.api.resource(name).is_none()
    }

    /// Lets time pass, reconciles when they are due.
    pub fn pass(&mut self, time: SignedDuration) {
        let end = self.now() + time;
        self.until(time, |_| false);
        assert_eq!(self.now(), end);
    }

    /// Lets time pass until something holds; tells whether it does.
    pub fn until(&mut self, at_most: SignedDuration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.now() + at_most;
        loop {
            let mut at_this_time = 0;
            let now = self.now();
            self.rivals.retain(|(_, until)| *until > now);
            while self.rivals.iter_mut().any(|(rival, _)| rival.step()) || self.operator.step() {
                at_this_time += 1;
                assert!(at_this_time < 10_000, "the operator goes round in circles:\n{}", self.describe());
                if holds(self) {
                    return true;
                }
            }
            if holds(self) {
                return true;
            }
            // Time moves on to whatever comes first. The cloud's own turns on the way wake nobody.
            let rivals = self.rivals.iter().filter_map(|(rival, _)| rival.next_due());
            match self.operator.next_due().into_iter().chain(rivals).chain(self.hand.next_wake()).min() {
                Some(next) if next <= end => self.cloud.pass_until(next),
                Some(_) | None => {
                    self.cloud.pass_until(end);
                    return holds(self);
                }
            }
        }
    }

    /// Lets time pass until the resource is Ready.
    pub fn until_ready(&mut self) {
        self.until_condition("Ready", "True", hours(24));
    }

    /// Lets time pass until a condition has this status.
    pub fn until_condition(&mut self, about: &str, status: &str, at_most: SignedDuration) {
        let reached = self.until(at_most, |simulation| simulation.is(about, status));
        assert!(reached, "{about} is not {status} after {at_most}:\n{}", self.describe());
    }

    pub fn status(&self) -> SesDomainStatus {
        self.status_of(NAME)
    }

    pub fn status_of(&self, name: &str) -> SesDomainStatus {
        self.api.resource(name).and_then(|resource| resource.status.clone()).unwrap_or_default()
    }

    /// A condition as `status reason: message`; empty where there is none.
    pub fn condition_of(&self, name: &str, about: &str) -> String {
        let status = self.status_of(name);
        let found = status.conditions.iter().find(|condition| condition.type_ == about);
        found.map(|found| format!("{} {}: {}", found.status, found.reason, found.message)).unwrap_or_default()
    }

    pub fn condition(&self, about: &str) -> String {
        self.condition_of(NAME, about)
    }

    pub fn is(&self, about: &str, status: &str) -> bool {
        self.condition(about).split(' ').next() == Some(status)
    }

    pub fn reason(&self, about: &str) -> String {
        let condition = self.condition(about);
        condition.split([' ', ':']).nth(1).unwrap_or_default().to_owned()
    }

    /// The events of this reason, in their words.
    pub fn events(&self, reason: &str) -> Vec<String> {
        let kept = self.api.kept();
        kept.events
            .iter()
            .filter(|(_, _, event)| event.reason == reason)
            .map(|(_, _, event)| event.note.clone())
            .collect()
    }

    /// The values of a record set as the zone's API gives them.
    pub fn values(&self, name: &str, record_type: &str) -> Vec<String> {
        self.values_in(ZONE, name, record_type)
    }

    pub fn values_in(&self, zone: &str, name: &str, record_type: &str) -> Vec<String> {
        let mut state = self.state();
        let place = (DomainName::new(name), ses_operator::dns::RecordType::parse(record_type));
        state.zones.zone(zone).sets.get(&place).map(|set| set.values.clone()).unwrap_or_default()
    }

    /// Somebody else writes, or with no values removes, a record set.
    pub fn tamper(&self, name: &str, record_type: &str, values: &[&str]) {
        self.tamper_in(ZONE, name, record_type, values);
    }

    pub fn tamper_in(&self, zone: &str, name: &str, record_type: &str, values: &[&str]) {
        let mut state = self.state();
        let state = &mut *state;
        let now = state.now();
        state.zones.zone(zone).set(name, record_type, values, now, &mut state.random);
    }

    /// Somebody else's record set, whose values must survive everything.
    pub fn protect(&self, name: &str, record_type: &str, values: &[&str]) {
        self.tamper(name, record_type, values);
        self.protect_values(name, record_type, values);
    }

    /// These values must survive everything.
    pub fn protect_values(&self, name: &str, record_type: &str, values: &[&str]) {
        self.protect_values_in(ZONE, name, record_type, values);
    }

    pub fn protect_values_in(&self, zone: &str, name: &str, record_type: &str, values: &[&str]) {
        let mut state = self.state();
        for value in values {
            state.guard.protected.insert((
                ses_operator::dns::ZoneId(zone.to_owned()),
                DomainName::new(name),
                ses_operator::dns::RecordType::parse(record_type),
                (*value).to_owned(),
            ));
        }
    }

    /// The DKIM CNAMEs' names.
    pub fn dkim_names(&self) -> Vec<String> {
        let identity = self.identity().expect("an identity");
        identity.dkim.tokens.iter().map(|token| format!("{token}._domainkey.example.com")).collect()
    }

    pub fn identity(&self) -> Option<Identity> {
        self.state().identities.get("example.com").cloned()
    }

    pub fn key(&self) -> IdentityKey {
        IdentityKey { region: Region::new("eu-west-1"), domain: DomainName::new("example.com") }
    }

    /// Somebody else's identity of example.com.
    pub fn foreign_identity(&self, tags: &[(&str, &str)]) {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let new = NewIdentity { key_length: None, configuration_set: None, tags };
        let key = self.key();
        let mut state = self.state();
        let now = state.now();
        state.identities.create(&key, &new, now, true);
    }

    /// The next so many calls of an operation come to this.
    pub fn strike(&self, operation: &'static str, times: usize, strike: Strike) {
        self.state().faults.add(operation, 0, times, strike);
    }

    /// The same, of one object alone.
    pub fn strike_object(&self, operation: &'static str, object: &'static str, times: usize, strike: Strike) {
        self.state().faults.add_for(operation, object, times, strike);
    }

    pub fn calls(&self, operation: &str) -> usize {
        self.state().calls.get(operation).copied().unwrap_or_default()
    }

    /// All calls of a service: `ses` or `route53`.
    pub fn calls_of(&self, service: &str) -> usize {
        let state = self.state();
        state.calls.iter().filter(|(operation, _)| operation.starts_with(service)).map(|(_, count)| count).sum()
    }

    /// Every operation that was called.
    pub fn operations(&self) -> std::collections::BTreeSet<&'static str> {
        self.state().calls.keys().copied().collect()
    }

    /// What was written so far: in AWS, and to the API server.
    pub fn writes(&self) -> (usize, usize) {
        (self.state().mutations, self.api.kept().writes)
    }

    /// What was asked for so far that writes something, whatever came of it, events too.
    pub fn sent(&self) -> usize {
        self.state().sent
    }

    /// Nothing of ours is left that no SesDomain knows to be its own.
    pub fn no_orphans(&self) {
        let orphans = orphans::of(self);
        assert!(orphans.is_empty(), "nobody looks after: {orphans:#?}\n{}", self.describe());
    }

    /// Nothing was done that must not be.
    pub fn no_harm(&self) {
        let harm = self.state().guard.harm.clone();
        assert!(harm.is_empty(), "harm was done: {harm:#?}\n{}", self.describe());
    }

    /// Reconciles ten times over two hours, some after a restart, and nothing is written.
    pub fn rests(&mut self) {
        self.rests_for(hours(2));
    }

    /// The same, over another time.
    pub fn rests_for(&mut self, time: SignedDuration) {
        self.no_harm();
        let before = (self.writes(), self.sent());
        for look in 0..10 {
            if look % 3 == 1 {
                self.operator.restart();
            }
            self.operator.wake(NAME);
            self.pass(time / 10);
        }
        let after = (self.writes(), self.sent());
        assert_eq!(after, before, "((in AWS, to the API server), sent) at rest:\n{}", self.describe());
    }

    /// What `kubectl describe` and the consoles would show, for a story that fails.
    pub fn describe(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        let kept = self.api.kept();
        for resource in kept.resources() {
            let _ = writeln!(
                text,
                "{} spec: {}",
                key_of(resource),
                serde_json::to_string(&resource.spec).unwrap_or_default()
            );
            let status = resource.status.clone().unwrap_or_default();
            for condition in &status.conditions {
                let _ = writeln!(
                    text,
                    "  {} {} {}: {}",
                    condition.type_, condition.status, condition.reason, condition.message
                );
            }
            let mut rest = status;
            rest.conditions.clear();
            let _ = writeln!(text, "status: {}", serde_json::to_string(&rest).unwrap_or_default());
        }
        let skip = kept.events.len().saturating_sub(30);
        for (at, name, event) in kept.events.iter().skip(skip) {
            let _ = writeln!(text, "event {at} {name} {}: {}", event.reason, event.note);
        }
        drop(kept);
        let state = self.state();
        let _ = writeln!(text, "now {}, calls {:?}", state.now(), state.calls);
        for (key, held) in &state.identities.held {
            let _ = writeln!(text, "identity {} {}: {:?}", key.region, key.domain, held.identity);
        }
        for zone in &state.zones.zones {
            let _ = writeln!(text, "zone {} {}", zone.id, zone.name);
            for set in zone.sets.values() {
                let _ = writeln!(text, "  {} {} {:?} {:?}", set.name, set.record_type, set.ttl, set.values);
            }
        }
        text
    }

    /// The end of the run, to be compared with another's.
    pub fn end(&self) -> End {
        End::of(self)
    }
}
