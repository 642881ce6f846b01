//! Verifications that fail, are lost, and come back.

use serde_json::json;

use crate::simulation::{NAME, Simulation, days, hours, manifest, minutes};

/// Where SES looks, no record is seen: the domain is not delegated to the zone.
fn undelegated() -> Simulation {
    let mut simulation = Simulation::new();
    simulation.state().zones.zone("Z1").delegated = false;
    simulation.apply(NAME, manifest(json!({})));
    simulation
}

#[test]
fn messages_say_since_when_and_until_when_ses_looks() {
    let mut simulation = undelegated();
    simulation.pass(hours(1));
    for about in ["DkimVerified", "MailFromVerified"] {
        let condition = simulation.condition(about);
        assert!(condition.starts_with("False VerificationPending: SES looks for the "), "{condition}");
        assert!(condition.contains("since 2027-01-15T08:0"), "{condition}");
        assert!(condition.contains("gives up at 2027-01-18T08:0"), "{condition}");
    }
    let writes = simulation.writes();
    simulation.pass(days(2));
    assert_eq!(simulation.writes(), writes, "a wait of days writes nothing");
}

#[test]
fn a_failed_verification_is_restarted_whatever_way_ses_wants_it() {
    for (put_restarts, new_tokens) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut simulation = undelegated();
        {
            let mut state = simulation.state();
            state.delays.put_restarts = put_restarts;
            state.delays.new_tokens = new_tokens;
        }
        simulation.pass(days(4));
        simulation.pass(days(1));
        simulation.state().zones.zone("Z1").delegated = true;
        let case = format!("put restarts: {put_restarts}, new tokens: {new_tokens}");
        let ready = simulation.until(days(4), |simulation| simulation.is("Ready", "True"));
        assert!(ready, "{case}\n{}", simulation.describe());
        assert!(!simulation.events("VerificationRestarted").is_empty(), "{case}");
        simulation.pass(hours(2));
        assert_eq!(
            simulation.status().records.iter().filter(|entry| entry.record_type == "CNAME").count(),
            3,
            "{case}: the old tokens' records are gone\n{}",
            simulation.describe()
        );
        simulation.rests();
    }
}

#[test]
fn a_verification_that_fails_again_is_restarted_every_three_days_and_not_more_often() {
    let mut simulation = undelegated();
    simulation.pass(days(16));
    let restarts = simulation.calls("ses:PutEmailIdentityDkimSigningAttributes");
    assert!((4..=5).contains(&restarts), "{restarts} restarts in 16 days");
    simulation.no_harm();
}

#[test]
fn lost_records_are_seen_put_back_and_verified_again() {
    let mut simulation = Simulation::settled(json!({}));
    for name in simulation.dkim_names() {
        simulation.tamper(&name, "CNAME", &[]);
    }
    assert!(simulation.until(minutes(61), |simulation| simulation.is("RecordsPublished", "False")));
    let seen = simulation.now();
    simulation.until_condition("RecordsPublished", "True", minutes(5));
    assert!(simulation.now().duration_since(seen) < minutes(3));
    let events = simulation.events("RecordPutBack");
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events[0].contains("was removed behind our back"), "{events:?}");
    simulation.until_ready();
    simulation.pass(hours(5));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    simulation.rests();
}

#[test]
fn a_temporary_failure_is_told_and_over() {
    let mut simulation = Simulation::settled(json!({}));
    {
        let mut state = simulation.state();
        state.delays.notice = (30, 30);
        state.zones.zone("Z1").delegated = false;
    }
    assert!(simulation.until(hours(1), |simulation| simulation.reason("Ready") == "VerificationLost"));
    let condition = simulation.condition("DkimVerified");
    assert!(condition.contains("no longer finds the DKIM records of example.com"), "{condition}");
    simulation.state().zones.zone("Z1").delegated = true;
    simulation.until_condition("Ready", "True", hours(12));
    simulation.rests();
}

#[test]
fn a_verification_that_was_lost_for_good_is_restarted() {
    let mut simulation = Simulation::settled(json!({}));
    {
        let mut state = simulation.state();
        state.delays.notice = (30, 30);
        state.zones.zone("Z1").delegated = false;
    }
    simulation.pass(days(4));
    simulation.state().zones.zone("Z1").delegated = true;
    let ready = simulation.until(days(4), |simulation| simulation.is("Ready", "True"));
    assert!(ready, "{}", simulation.describe());
    simulation.pass(hours(2));
    simulation.rests();
}
