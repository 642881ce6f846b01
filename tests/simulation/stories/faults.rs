//! Faults that come from outside: answers that are old, two operators at once, clocks that are wrong.

use jiff::SignedDuration;
use serde_json::json;
use ses_operator::api::status::RecordOrigin;

use crate::random::Random;
use crate::simulation::{NAME, Simulation, days, hours, manifest, minutes};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

#[test]
fn answers_that_are_old_lead_to_the_same_end() {
    let end = Simulation::settled(json!({})).end();
    for lag in [5, 30, 90, 300] {
        let mut simulation = Simulation::new();
        simulation.state().lag = seconds(lag);
        simulation.apply(NAME, manifest(json!({})));
        for _ in 0..5 {
            simulation.pass(minutes(3));
            simulation.operator.restart();
        }
        simulation.until_ready();
        simulation.pass(hours(2));
        assert_eq!(simulation.end(), end, "{lag} s\n{}", simulation.describe());
        simulation.rests();
    }
}

#[test]
fn what_was_written_a_moment_ago_stays_ours_though_a_read_shows_what_stood_before() {
    for (adoption, lag) in [("Fail", 50), ("Fail", 90), ("Adopt", 90)] {
        let mut simulation = Simulation::settled(json!({"adoptionPolicy": adoption}));
        simulation.state().lag = seconds(lag);
        simulation.change(json!({"adoptionPolicy": adoption, "dmarcPolicy": {"activeStage": "reject"}}));
        for _ in 0..10 {
            simulation.pass(seconds(10));
            simulation.operator.restart();
        }
        simulation.until_ready();
        assert_eq!(simulation.events("RecordConflict"), [""; 0]);
        assert_eq!(simulation.events("RecordPutBack"), [""; 0]);
        let records = simulation.status().records;
        assert!(records.iter().all(|entry| entry.ours && entry.origin == RecordOrigin::Created), "{records:?}");
        simulation.pass(hours(2));
        simulation.rests();
    }
}

#[test]
fn what_an_old_read_does_not_show_yet_is_not_done_again_and_again() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[("theirs", "1")]);
    simulation.state().lag = seconds(90);
    simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.pass(seconds(1));
    assert_eq!(simulation.calls("ses:TagResource"), 1);
    simulation.until_ready();
    assert!(simulation.calls("ses:TagResource") < 10, "{}", simulation.calls("ses:TagResource"));

    let mut simulation = Simulation::settled(json!({}));
    simulation.state().lag = seconds(90);
    simulation.delete(NAME);
    simulation.pass(seconds(1));
    assert_eq!(simulation.calls("ses:DeleteEmailIdentity"), 1);
    simulation.pass(minutes(10));
    assert!(simulation.is_gone(NAME), "{}", simulation.describe());
    assert!(simulation.calls("ses:DeleteEmailIdentity") < 10);
    simulation.no_orphans();
}

#[test]
fn a_watch_that_lags_behind_leads_to_the_same_end() {
    let spec = json!({"mailFromSubdomain": "bounce", "tags": {"team": "mail"}});
    let end = Simulation::settled(spec.clone()).end();
    for lag in [1, 10, 60, 300] {
        let mut simulation = Simulation::settled(json!({"mailFromSubdomain": "bounce"}));
        simulation.api.kept().watch_lag = seconds(lag);
        simulation.tamper("bounce.example.com", "MX", &[]);
        simulation.operator.wake(NAME);
        simulation.change(spec.clone());
        simulation.pass(hours(3));
        assert_eq!(simulation.end(), end, "{lag} s\n{}", simulation.describe());
        simulation.rests();
    }
}

#[test]
fn a_resource_that_was_made_anew_under_its_name_knows_what_is_its_own() {
    for lag in [0, 30] {
        let mut simulation = Simulation::settled(json!({}));
        let (end, aws) = (simulation.end(), simulation.writes().0);
        simulation.api.kept().watch_lag = seconds(lag);
        simulation.api.replace(NAME, manifest(json!({})));
        simulation.operator.wake(NAME);
        simulation.pass(hours(3));
        assert_eq!(simulation.end(), end, "{lag} s\n{}", simulation.describe());
        assert_eq!(simulation.writes().0, aws, "nothing is written in AWS");
        simulation.delete(NAME);
        simulation.pass(minutes(10));
        assert!(simulation.is_gone(NAME) && simulation.identity().is_none(), "{}", simulation.describe());
        assert_eq!(simulation.values("mail.example.com", "MX"), [""; 0]);
    }
}

#[test]
fn an_operator_that_lost_the_lease_unnoticed_harms_nothing() {
    let end = Simulation::settled(json!({})).end();
    for after in [0, 1, 2, 3, 5, 8, 32, 62, 70, 130, 300] {
        let mut simulation = Simulation::new();
        simulation.state().delays.travel = (400, 900);
        simulation.apply(NAME, manifest(json!({})));
        simulation.pass(seconds(after));
        simulation.take_over();
        simulation.pass(minutes(2));
        simulation.take_over();
        simulation.until_ready();
        simulation.pass(hours(2));
        assert_eq!(simulation.end(), end, "taken over after {after} s\n{}", simulation.describe());
        simulation.rests();
    }
}

#[test]
fn ten_minutes_of_throttling_and_ten_more_of_half_are_overcome() {
    let end = Simulation::settled(json!({})).end();
    for seed in 1..20 {
        let mut simulation = Simulation::new();
        let now = simulation.now();
        simulation.state().faults.throttle(Random::seeded(seed), now + minutes(10), now + minutes(20));
        simulation.apply(NAME, manifest(json!({})));
        simulation.pass(hours(2));
        assert_eq!(simulation.end(), end, "{}", simulation.describe());
        simulation.rests();
    }
}

#[test]
fn a_status_restored_from_a_backup_becomes_true_again() {
    let mut simulation = Simulation::new();
    simulation.apply(NAME, manifest(json!({})));
    let mut backups = Vec::new();
    for _ in 0..20 {
        simulation.pass(seconds(20));
        backups.push(simulation.status());
    }
    simulation.until_ready();
    simulation.pass(hours(2));
    let (end, aws) = (simulation.end(), simulation.writes().0);
    for backup in backups {
        simulation.api.edit(NAME, |resource| resource.status = Some(backup));
        simulation.operator.restart();
        simulation.pass(hours(3));
        assert_eq!(simulation.end(), end, "{}", simulation.describe());
        assert_eq!(simulation.writes().0, aws, "nothing is written in AWS\n{}", simulation.describe());
    }
    simulation.rests();
}

#[test]
fn a_backup_of_an_earlier_dmarc_stage_weakens_nothing() {
    let walk = |advancement: &str, active: Option<&str>| json!({"dmarcPolicy": {"advancement": advancement, "activeStage": active}});
    for advancement in ["Automatic", "Manual"] {
        let mut simulation = Simulation::settled(walk(advancement, None));
        simulation.pass(days(10));
        let backup = simulation.status();
        for (stage, wait) in [("quarantine", 25), ("reject", 31)] {
            let case = format!("{advancement}, {stage}");
            simulation.pass(days(wait));
            if advancement == "Manual" {
                simulation.change(walk(advancement, Some(stage)));
                simulation.pass(hours(2));
                simulation.change(walk(advancement, None));
                simulation.pass(hours(2));
            }
            let (policy, aws) = (simulation.values("_dmarc.example.com", "TXT"), simulation.writes().0);
            assert!(policy[0].contains(&format!("p={stage}")), "{case}: {policy:?}");
            simulation.api.edit(NAME, |resource| resource.status = Some(backup.clone()));
            simulation.operator.restart();
            simulation.pass(hours(5));
            assert_eq!(simulation.values("_dmarc.example.com", "TXT"), policy, "{case}\n{}", simulation.describe());
            assert_eq!(simulation.writes().0, aws, "{case}: nothing is written in AWS\n{}", simulation.describe());
            assert!(simulation.is("Ready", "True"), "{case}\n{}", simulation.describe());
            assert_eq!(simulation.status().dmarc.map(|dmarc| dmarc.stage).as_deref(), Some(stage), "{case}");
            simulation.rests();
        }
    }
}

#[test]
fn a_clock_that_is_hours_off_at_a_restart_costs_nothing() {
    for skew in [hours(5), -hours(5)] {
        let mut simulation = Simulation::settled(json!({}));
        let (end, aws) = (simulation.end(), simulation.writes().0);
        simulation.operator.skew = skew;
        simulation.operator.restart();
        simulation.pass(hours(2));
        assert_eq!(simulation.end(), end, "{}", simulation.describe());
        simulation.tamper("mail.example.com", "MX", &[]);
        simulation.pass(hours(2));
        simulation.operator.skew = SignedDuration::ZERO;
        simulation.operator.restart();
        simulation.pass(hours(8));
        assert_eq!(simulation.end(), end, "{}", simulation.describe());
        assert_eq!(simulation.writes().0, aws + 1, "the record was put back, and nothing else was written");
        simulation.rests();
    }
}
