//! Changes that were made though their answer was lost: what is known of them afterwards.

use serde_json::json;

use crate::cloud::faults::Strike;
use crate::simulation::{Simulation, hours, minutes};

#[test]
fn a_ttl_that_was_written_without_an_answer_is_not_taken_for_somebody_elses() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.strike("route53:ChangeResourceRecordSets", 1, Strike::LoseAnswer);
    simulation.change(json!({"dns": {"ttl": 60}}));
    simulation.pass(hours(2));
    assert!(simulation.status().records.iter().all(|entry| entry.ttl == 60), "{}", simulation.describe());
    simulation.change(json!({"dns": {"ttl": 120}}));
    simulation.pass(minutes(10));
    assert_eq!(simulation.events("RecordPutBack"), [""; 0]);
    simulation.pass(hours(2));
    simulation.rests();
}
