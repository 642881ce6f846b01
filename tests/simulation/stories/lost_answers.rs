//! Changes that were made though their answer was lost: what is known of them afterwards.

use serde_json::json;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, hours, manifest, minutes};

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

#[test]
fn what_was_written_without_an_answer_is_said_to_be_served_once_it_is() {
    let pinned = |stage: &str| json!({"dmarcPolicy": {"activeStage": stage}});
    for strike in [Strike::LoseAnswer, Strike::DieAfter] {
        let mut simulation = Simulation::new();
        simulation.state().watches_words = true;
        simulation.strike("route53:ChangeResourceRecordSets", 1, strike);
        simulation.apply(NAME, manifest(json!({})));
        simulation.until_ready();
        simulation.pass(hours(2));
        simulation.strike("route53:ChangeResourceRecordSets", 1, strike);
        simulation.change(pinned("quarantine"));
        assert!(simulation.until(minutes(1), |simulation| simulation.reason("DmarcPublished") == "ChangePending"));
        simulation.until_condition("DmarcPublished", "True", minutes(5));
        simulation.pass(hours(2));
        assert_eq!(simulation.status().pending_changes, []);
        simulation.rests();
    }
}
