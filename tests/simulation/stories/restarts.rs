//! The operator restarted: the same end, and nothing written for it.

use jiff::SignedDuration;
use serde_json::json;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, hours, manifest};

#[test]
fn in_every_phase_the_end_is_the_same() {
    let end = Simulation::settled(json!({})).end();
    for seconds in [1, 15, 25, 35, 45, 62, 65, 100, 200, 400, 700, 1000, 1500] {
        let mut simulation = Simulation::new();
        simulation.apply(NAME, manifest(json!({})));
        simulation.pass(SignedDuration::from_secs(seconds));
        simulation.operator.restart();
        simulation.until_ready();
        simulation.pass(hours(2));
        assert_eq!(simulation.end(), end, "restarted after {seconds} s");
        simulation.rests();
    }
}

#[test]
fn killed_at_every_call_the_end_is_the_same() {
    let end = Simulation::settled(json!({})).end();
    let calls: usize = Simulation::settled(json!({})).state().calls.values().sum();
    for call in 0..calls {
        for strike in [Strike::DieBefore, Strike::DieAfter, Strike::LoseAnswer] {
            let mut simulation = Simulation::new();
            simulation.state().faults.add("", call, 1, strike);
            simulation.apply(NAME, manifest(json!({})));
            let ready = simulation.until(hours(24), |simulation| simulation.is("Ready", "True"));
            assert!(ready, "{strike:?} at call {call}\n{}", simulation.describe());
            simulation.pass(hours(3));
            assert_eq!(simulation.end(), end, "{strike:?} at call {call}\n{}", simulation.describe());
            simulation.rests();
        }
    }
}

#[test]
fn a_settled_domain_is_not_written_to_for_a_restart() {
    let mut simulation = Simulation::settled(json!({}));
    let writes = simulation.writes();
    for _ in 0..5 {
        simulation.operator.restart();
        simulation.pass(hours(1));
    }
    assert_eq!(simulation.writes(), writes);
}
