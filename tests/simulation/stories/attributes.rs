//! Tags, the configuration set and feedback forwarding: managed while the spec names them, and let go afterwards.

use serde_json::{Value, json};
use ses_operator::cloud::ErrorKind;

use crate::cloud::faults::Strike;
use crate::simulation::{Simulation, hours, minutes};

fn managed() -> Value {
    json!({"feedbackForwarding": "Disabled", "configurationSetName": "set-1", "tags": {"team": "mail", "cost": "7"}})
}

fn attributes(simulation: &Simulation) -> (bool, Option<String>, Vec<String>) {
    let identity = simulation.identity().expect("an identity");
    let tags = identity.tags.iter().filter(|(key, _)| !key.starts_with("ses-operator.dev/"));
    (
        identity.feedback_forwarding,
        identity.configuration_set.clone(),
        tags.map(|(key, value)| format!("{key}={value}")).collect(),
    )
}

#[test]
fn what_the_spec_asks_for_is_set_and_nothing_is_called_a_repair() {
    let mut simulation = Simulation::ready(managed());
    assert_eq!(
        attributes(&simulation),
        (false, Some("set-1".to_owned()), vec!["cost=7".to_owned(), "team=mail".to_owned()])
    );
    assert_eq!(simulation.events("IdentityPutBack"), [""; 0]);
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn what_is_added_and_changed_later_is_set() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.change(managed());
    simulation.pass(minutes(1));
    assert_eq!(attributes(&simulation).1.as_deref(), Some("set-1"));
    simulation
        .change(json!({"feedbackForwarding": "Enabled", "configurationSetName": "set-2", "tags": {"team": "it"}}));
    simulation.pass(minutes(1));
    assert_eq!(attributes(&simulation), (true, Some("set-2".to_owned()), vec!["team=it".to_owned()]));
    assert_eq!(simulation.events("IdentityPutBack"), [""; 0]);
    simulation.rests();
}

#[test]
fn what_is_taken_out_of_the_spec_returns_to_the_default_whatever_fails_on_the_way() {
    for operation in [
        "",
        "ses:UntagResource",
        "ses:PutEmailIdentityConfigurationSetAttributes",
        "ses:PutEmailIdentityFeedbackAttributes",
        "ses:GetEmailIdentity",
        "api:PatchStatus",
    ] {
        for strike in [
            Strike::Refuse(ErrorKind::Throttled),
            Strike::Refuse(ErrorKind::Denied),
            Strike::LoseAnswer,
            Strike::DieBefore,
            Strike::DieAfter,
        ] {
            let mut simulation = Simulation::settled(managed());
            simulation.strike(operation, 2, strike);
            simulation.change(json!({}));
            simulation.pass(hours(1));
            assert_eq!(attributes(&simulation), (true, None, vec![]), "{operation} {strike:?}");
            assert!(simulation.is("Ready", "True"), "{operation} {strike:?}\n{}", simulation.describe());
            assert_eq!(simulation.events("IdentityPutBack"), [""; 0], "{operation} {strike:?}");
            simulation.rests();
        }
    }
}

#[test]
fn what_is_taken_out_while_suspended_returns_to_the_default_afterwards() {
    let mut simulation = Simulation::settled(managed());
    simulation.change(json!({"suspend": true}));
    let aws = simulation.writes().0;
    simulation.pass(hours(3));
    assert_eq!(simulation.writes().0, aws, "a suspended resource changes nothing in AWS");
    simulation.change(json!({}));
    simulation.pass(hours(1));
    assert_eq!(attributes(&simulation), (true, None, vec![]));
    simulation.rests();
}

#[test]
fn what_somebody_else_set_stays() {
    let mut simulation = Simulation::settled(json!({}));
    {
        let mut state = simulation.state();
        let held = state.by_hand("example.com");
        held.identity.tags.insert("theirs".to_owned(), "1".to_owned());
        held.foreign_tags.insert("theirs".to_owned());
        held.identity.configuration_set = Some("theirs".to_owned());
        held.identity.feedback_forwarding = false;
    }
    simulation.pass(hours(2));
    assert_eq!(attributes(&simulation), (false, Some("theirs".to_owned()), vec!["theirs=1".to_owned()]));
    simulation.rests();
}

#[test]
fn signing_that_was_switched_off_is_seen_and_switched_on() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.state().by_hand("example.com").identity.dkim.signing_enabled = false;
    assert!(simulation.until(hours(24), |simulation| !simulation.events("IdentityPutBack").is_empty()));
    assert!(simulation.identity().expect("an identity").dkim.signing_enabled);
    simulation.until_ready();
    simulation.pass(hours(3));
    simulation.rests();
}

#[test]
fn signing_that_cant_be_switched_on_is_not_called_verified() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.state().by_hand("example.com").identity.dkim.signing_enabled = false;
    simulation.strike("ses:PutEmailIdentityDkimAttributes", 1000, Strike::Refuse(ErrorKind::Denied));
    simulation.until_condition("DkimVerified", "False", hours(24));
    assert_eq!(simulation.reason("DkimVerified"), "SigningDisabled");
    assert!(simulation.is("Ready", "False"));
}
