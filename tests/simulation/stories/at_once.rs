//! Many reconciles under way at once, calls that take their time, and what becomes of them when the operator dies.

use jiff::SignedDuration;
use serde_json::json;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, hours, manifest, minutes};

#[test]
fn the_calls_of_domains_that_start_together_overlap() {
    let mut simulation = Simulation::empty(1);
    simulation.state().delays.travel = (50, 400);
    let domains = ["a.example", "b.example", "c.example", "d.example"];
    for domain in domains {
        simulation.state().zones.add(&format!("Z-{domain}"), domain);
        simulation.apply(domain, manifest(json!({"domain": domain})));
    }
    let all = simulation.until(minutes(1), |simulation| simulation.operator.in_flight() == 4);
    assert!(all, "they wait for each other");
    for domain in domains {
        let ready = |simulation: &Simulation| simulation.condition_of(domain, "Ready").starts_with("True");
        assert!(simulation.until(hours(24), ready), "{}", simulation.describe());
    }
    simulation.no_harm();
}

#[test]
fn what_was_under_way_when_the_operator_died_goes_no_further() {
    let mut simulation = Simulation::new();
    simulation.state().delays.travel = (1000, 1000);
    simulation.apply(NAME, manifest(json!({})));
    assert!(simulation.until(minutes(1), |simulation| simulation.calls("route53:ListHostedZonesByName") == 1));
    let calls = simulation.state().calls.clone();
    simulation.operator.stop();
    simulation.pass(minutes(5));
    assert_eq!(simulation.state().calls, calls, "the dead send nothing");
}

#[test]
fn a_request_that_lands_after_its_sender_died_changes_nothing_of_the_end() {
    let end = Simulation::settled(json!({})).end();
    let writes = ["ses:CreateEmailIdentity", "route53:ChangeResourceRecordSets", "api:PatchStatus"];
    for operation in writes {
        for seconds in [1, 20, 70, 400] {
            let mut simulation = Simulation::new();
            simulation.strike(operation, 1, Strike::LandLate(SignedDuration::from_secs(seconds)));
            simulation.apply(NAME, manifest(json!({})));
            simulation.until_ready();
            simulation.pass(hours(3));
            assert_eq!(simulation.operator.deaths, 1);
            assert_eq!(simulation.end(), end, "{operation} lands after {seconds} s\n{}", simulation.describe());
            simulation.rests();
        }
    }
}
