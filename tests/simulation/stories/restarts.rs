//! The operator restarted: the same end, and nothing written for it.

use jiff::SignedDuration;
use serde_json::json;

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

/// A zone is known as long as somebody needs it who has read it.
#[test]
fn what_was_read_for_a_domain_is_forgotten_when_it_comes_to_rest_as_by_a_restart() {
    for restarts in [false, true] {
        let mut simulation = Simulation::new();
        // What was read when it began is young enough to be used when it is Ready.
        simulation.state().delays.dkim = (60, 61);
        simulation.apply(NAME, manifest(json!({"mailFromSubdomain": null, "mxFailureBehavior": null})));
        simulation.until_ready();
        simulation.pass(SignedDuration::from_secs(1));
        if restarts {
            simulation.operator.restart();
        }
        let listed = simulation.calls("route53:ListResourceRecordSets");
        for other in ["a", "b"] {
            simulation.apply(&format!("mail/{other}"), manifest(json!({"domain": format!("{other}.example.com")})));
        }
        simulation.pass(SignedDuration::from_secs(30));
        assert_eq!(simulation.calls("route53:ListResourceRecordSets"), listed + 1, "once for both of the others");
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
