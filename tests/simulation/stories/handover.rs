//! A SesDomain that goes while another one of the same domain waits: the domain is handed over, nothing is removed.

use serde_json::{Value, json};

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, ZONE, days, hours, manifest, minutes};

const HEIR: &str = "heir";

/// A settled domain, and another SesDomain that waits for it.
fn with_an_heir(fields: Value) -> Simulation {
    let mut simulation = Simulation::settled(json!({"tags": {"team": "mail"}}));
    simulation.apply(HEIR, manifest(fields));
    simulation.pass(minutes(5));
    assert!(simulation.condition_of(HEIR, "Stalled").starts_with("True DomainTaken"), "{}", simulation.describe());
    simulation
}

/// All record sets of the zone, with their values and TTL.
fn zone(simulation: &Simulation) -> Vec<String> {
    let mut state = simulation.state();
    let sets = state.zones.zone(ZONE).sets.values();
    sets.map(|set| format!("{} {} {:?} {:?}", set.name, set.record_type, set.ttl, set.values)).collect()
}

fn owner(simulation: &Simulation) -> Option<String> {
    simulation.identity()?.tags.get("ses-operator.dev/name").cloned()
}

/// The heir is Ready and holds all that the first one held, and no record was touched on the way.
fn was_handed_over(simulation: &mut Simulation, case: &str) {
    let done = simulation.until(minutes(30), |simulation| {
        simulation.is_gone(NAME) && simulation.condition_of(HEIR, "Ready").starts_with("True")
    });
    assert!(done, "{case}\n{}", simulation.describe());
    assert_eq!(owner(simulation).as_deref(), Some(HEIR), "{case}");
    let status = simulation.status_of(HEIR);
    assert!(status.records.len() == 6 && status.records.iter().all(|entry| entry.ours), "{case}: {status:#?}");
    assert_eq!(simulation.calls("ses:DeleteEmailIdentity"), 0, "{case}");
    simulation.pass(hours(1));
    if simulation.operator.deaths > 0 {
        // Killed as the former one goes, it finds the heir at rest, and the mark at the daily look.
        simulation.pass(hours(24));
    }
    let tags = simulation.identity().map(|identity| identity.tags).unwrap_or_default();
    assert!(!tags.contains_key("ses-operator.dev/handed-over-by"), "{case}: {tags:?}");
    simulation.no_harm();
}

/// The heir goes in its turn, and nothing is left.
fn leaves_nothing(simulation: &mut Simulation, case: &str) {
    simulation.delete(HEIR);
    simulation.pass(minutes(10));
    assert!(simulation.is_gone(HEIR), "{case}\n{}", simulation.describe());
    assert_eq!(simulation.identity(), None, "{case}");
    assert_eq!(zone(simulation).len(), 1, "the zone's own NS set\n{case}\n{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn the_identity_and_the_ledger_pass_on_and_no_record_is_touched() {
    let mut simulation = with_an_heir(json!({"tags": {"team": "mail"}}));
    let (records, changes) = (zone(&simulation), simulation.calls("route53:ChangeResourceRecordSets"));
    simulation.delete(NAME);
    was_handed_over(&mut simulation, "");
    assert_eq!(zone(&simulation), records);
    assert_eq!(simulation.calls("route53:ChangeResourceRecordSets"), changes);
    let handed = simulation.events("HandedOver");
    assert!(handed.len() == 1 && handed[0].contains("to the SesDomain mail/heir"), "{handed:?}");
    let taken = simulation.events("TookOver");
    assert!(taken.len() == 1 && taken[0].contains("6 records from the SesDomain mail/example-com"), "{taken:?}");
    leaves_nothing(&mut simulation, "");
}

#[test]
fn the_dmarc_walk_goes_on_where_it_was() {
    let mut simulation = with_an_heir(json!({}));
    simulation.pass(days(20));
    let before = simulation.status().dmarc.and_then(|dmarc| dmarc.until);
    simulation.delete(NAME);
    was_handed_over(&mut simulation, "");
    assert_eq!(simulation.status_of(HEIR).dmarc.and_then(|dmarc| dmarc.until), before);
    simulation.pass(days(10));
    assert_eq!(simulation.status_of(HEIR).dmarc.map(|dmarc| dmarc.stage).as_deref(), Some("quarantine"));
}

#[test]
fn an_heir_that_asks_for_something_else_gets_it_and_what_it_does_not_want_goes() {
    let mut simulation = with_an_heir(json!({"mailFromSubdomain": "bounce"}));
    simulation.delete(NAME);
    assert!(simulation.until(hours(20), |simulation| simulation.condition_of(HEIR, "Ready").starts_with("True")));
    simulation.pass(hours(2));
    assert_eq!(simulation.values("mail.example.com", "MX"), [""; 0], "{}", simulation.describe());
    assert_eq!(simulation.values("bounce.example.com", "MX").len(), 1);
    assert!(!simulation.identity().is_some_and(|identity| identity.tags.contains_key("team")));
    leaves_nothing(&mut simulation, "");
}

#[test]
fn retain_hands_over_as_well() {
    let mut simulation = with_an_heir(json!({}));
    simulation.change(json!({"deletionPolicy": "Retain"}));
    simulation.pass(minutes(5));
    let records = zone(&simulation);
    simulation.delete(NAME);
    was_handed_over(&mut simulation, "");
    assert_eq!(zone(&simulation), records);
}

#[test]
fn killed_at_every_call_the_hand_over_comes_to_the_same_end() {
    let calls = |simulation: &Simulation| simulation.state().calls.values().sum::<usize>();
    let start = || {
        let mut simulation = with_an_heir(json!({}));
        simulation.operator.restart();
        simulation
    };
    let mut undisturbed = start();
    let before = calls(&undisturbed);
    undisturbed.delete(NAME);
    was_handed_over(&mut undisturbed, "undisturbed");
    let seen = calls(&undisturbed) - before;
    assert!(seen > 5, "{seen} calls");
    for call in 0..seen {
        for strike in [Strike::DieBefore, Strike::DieAfter, Strike::LoseAnswer] {
            let case = format!("{strike:?} at call {call}");
            let mut simulation = start();
            let (records, changes) = (zone(&simulation), simulation.calls("route53:ChangeResourceRecordSets"));
            simulation.state().faults.add("", call, 1, strike);
            simulation.delete(NAME);
            was_handed_over(&mut simulation, &case);
            assert_eq!(zone(&simulation), records, "{case}");
            assert_eq!(simulation.calls("route53:ChangeResourceRecordSets"), changes, "{case}");
            leaves_nothing(&mut simulation, &case);
        }
    }
}

#[test]
fn when_both_go_nothing_is_left_whatever_the_moment() {
    for calls in 0..12 {
        let case = format!("the heir is deleted after {calls} calls");
        let mut simulation = with_an_heir(json!({}));
        simulation.operator.restart();
        let seen = |simulation: &Simulation| simulation.state().calls.values().sum::<usize>();
        let before = seen(&simulation);
        simulation.delete(NAME);
        simulation.until(minutes(10), |simulation| seen(simulation) - before >= calls);
        simulation.delete(HEIR);
        simulation.pass(minutes(20));
        assert!(simulation.is_gone(NAME) && simulation.is_gone(HEIR), "{case}\n{}", simulation.describe());
        assert_eq!(simulation.identity(), None, "{case}\n{}", simulation.describe());
        assert_eq!(zone(&simulation).len(), 1, "{case}\n{}", simulation.describe());
        simulation.no_harm();
    }
}

#[test]
fn an_heir_that_goes_before_it_took_over_costs_nothing() {
    let mut simulation = with_an_heir(json!({}));
    simulation.apply("second-heir", manifest(json!({})));
    simulation.pass(minutes(5));
    simulation.delete(NAME);
    let named = simulation.until(minutes(5), |simulation| owner(simulation).as_deref() == Some(HEIR));
    assert!(named);
    assert!(simulation.status_of(HEIR).identity.is_none(), "it has not read its name yet");
    // As with kubectl patch of the finalizers: it is gone at once.
    simulation.api.vanish(HEIR);
    let done = simulation.until(hours(1), |simulation| {
        simulation.is_gone(NAME) && simulation.condition_of("second-heir", "Ready").starts_with("True")
    });
    assert!(done, "{}", simulation.describe());
    assert_eq!(owner(&simulation).as_deref(), Some("second-heir"));
    assert_eq!(simulation.calls("ses:DeleteEmailIdentity"), 0);
    simulation.no_harm();
}

#[test]
fn an_heir_in_another_region_gets_nothing_and_makes_its_own() {
    let mut simulation = with_an_heir(json!({"region": "us-east-1"}));
    simulation.delete(NAME);
    let ready = simulation.until(hours(20), |simulation| simulation.condition_of(HEIR, "Ready").starts_with("True"));
    assert!(ready && simulation.is_gone(NAME), "{}", simulation.describe());
    assert_eq!(simulation.calls("ses:DeleteEmailIdentity"), 1);
    let regions: Vec<String> =
        simulation.state().identities.held.keys().map(|key| key.region.as_str().to_owned()).collect();
    assert_eq!(regions, ["us-east-1"]);
    simulation.no_harm();
}

#[test]
fn a_suspended_resource_hands_nothing_over_until_it_is_resumed() {
    let mut simulation = with_an_heir(json!({}));
    simulation.change(json!({"suspend": true, "tags": {"team": "mail"}}));
    let writes = simulation.writes().0;
    simulation.delete(NAME);
    simulation.pass(hours(1));
    assert_eq!(simulation.writes().0, writes);
    assert!(simulation.condition("Stalled").contains("set suspend to false"), "{}", simulation.describe());
    assert!(simulation.condition_of(HEIR, "Stalled").contains("is being deleted"), "{}", simulation.describe());
    simulation.change(json!({"tags": {"team": "mail"}}));
    was_handed_over(&mut simulation, "");
}

#[test]
fn whom_the_tags_name_keeps_the_domain_though_its_status_is_lost() {
    let mut simulation = with_an_heir(json!({}));
    let writes = simulation.writes().0;
    for name in [NAME, HEIR] {
        simulation.api.edit(name, |resource| resource.status = None);
    }
    simulation.operator.restart();
    simulation.pass(minutes(5));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert!(simulation.condition_of(HEIR, "Stalled").contains("mail/example-com has the domain"));
    // The older one has the domain only while no tag says otherwise.
    let mut simulation = with_an_heir(json!({}));
    simulation.api.edit(NAME, |resource| {
        let later = resource.metadata.creation_timestamp.as_mut().expect("a time");
        later.0 += days(1);
        resource.status = None;
    });
    simulation.operator.restart();
    simulation.pass(minutes(5));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert_eq!(simulation.writes().0, writes);
}
