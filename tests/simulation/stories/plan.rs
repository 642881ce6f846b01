//! What a suspended resource would do stands in its status.

use serde_json::json;

use crate::simulation::{NAME, Simulation, days, hours, manifest, minutes};

fn plan(simulation: &Simulation) -> Vec<String> {
    simulation.status().plan.into_iter().map(|line| line.0).collect()
}

#[test]
fn a_suspended_resource_tells_its_plan_and_does_as_it_said_when_it_is_resumed() {
    let mut simulation = Simulation::new();
    simulation.apply(NAME, manifest(json!({"suspend": true})));
    simulation.pass(minutes(1));
    let told = plan(&simulation);
    assert_eq!(told[0], "+ SES identity example.com", "{told:#?}");
    let last = told.last().expect("lines");
    assert_eq!(last, "Plan: 1 identity to create, 6 records to create, 0 to change, 0 to delete");
    assert!(told.iter().any(|line| line.contains("mxFailureBehavior: UseDefaultValue → RejectMessage")), "{told:#?}");
    assert!(simulation.condition("Ready").contains("status.plan"), "{}", simulation.condition("Ready"));
    assert_eq!(simulation.writes().0, 0);

    simulation.change(json!({}));
    simulation.until_ready();
    assert_eq!(plan(&simulation), [""; 0]);
    for name in ["_dmarc.example.com TXT", "mail.example.com MX", "mail.example.com TXT"] {
        let (place, record_type) = name.split_once(' ').expect("a name and a type");
        let line = format!("+ {record_type} {place} (TTL 300, zone Z1): {}", simulation.values(place, record_type)[0]);
        assert!(told.contains(&line), "{line} was not foreseen: {told:#?}");
    }
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn the_plan_is_written_when_it_changes_and_not_else() {
    let mut simulation = Simulation::new();
    simulation.apply(NAME, manifest(json!({"suspend": true})));
    simulation.pass(hours(1));
    let before = simulation.writes();
    simulation.pass(days(3));
    assert_eq!(simulation.writes(), before, "{}", simulation.describe());

    simulation.tamper("mail.example.com", "MX", &["10 mx.example.org"]);
    simulation.request("look");
    simulation.pass(minutes(1));
    let told = plan(&simulation);
    assert!(told.iter().any(|line| line.starts_with("! RecordConflict: mail.example.com MX")), "{told:#?}");
    assert!(told.last().is_some_and(|line| line.ends_with("; 1 conflict")), "{told:#?}");
    assert_eq!(simulation.writes().0, before.0, "nothing is changed in AWS");
}

#[test]
fn what_is_held_back_keeps_a_suspended_resource_from_being_ready() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.change(json!({"suspend": true}));
    simulation.pass(hours(1));
    assert!(simulation.is("Ready", "True"), "suspending alone takes nothing away: {}", simulation.describe());
    let told = plan(&simulation);
    assert_eq!(told.last().map(String::as_str), Some("Plan: nothing to do"), "{told:#?}");
    let ready = simulation.condition("Ready");
    assert!(ready.ends_with("; spec.suspend is true, so nothing is changed in AWS"), "{ready}");
    simulation.rests();

    simulation.change(json!({"suspend": true, "tags": {"team": "mail"}}));
    simulation.pass(hours(1));
    assert_eq!(simulation.reason("Ready"), "Suspended", "{}", simulation.describe());
    assert!(plan(&simulation).contains(&"    tag team: \"mail\"".to_owned()), "{:#?}", plan(&simulation));
    simulation.change(json!({"tags": {"team": "mail"}}));
    simulation.pass(hours(1));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert!(!simulation.condition("Ready").contains("suspend"), "{}", simulation.condition("Ready"));
    assert_eq!(plan(&simulation), [""; 0]);
    simulation.rests();
}

#[test]
fn a_suspended_resource_that_is_deleted_tells_what_would_go() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.change(json!({"suspend": true}));
    simulation.pass(minutes(5));
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    let told = plan(&simulation);
    assert!(told.contains(&"- SES identity example.com".to_owned()), "{told:#?}");
    let last = told.last().expect("lines");
    assert_eq!(last, "Plan: 1 identity to delete, 0 records to create, 0 to change, 6 to delete");
    assert!(simulation.identity().is_some(), "nothing has gone");

    simulation.change(json!({}));
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME), "{}", simulation.describe());
    assert!(simulation.identity().is_none());
    simulation.no_harm();
}
