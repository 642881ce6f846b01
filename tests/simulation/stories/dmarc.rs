//! The walk from monitoring to enforcement.

use jiff::SignedDuration;
use serde_json::json;
use ses_operator::cloud::ErrorKind;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, days, hours, manifest, minutes};

const DMARC: &str = "_dmarc.example.com";

fn policy(simulation: &Simulation) -> String {
    let values = simulation.values(DMARC, "TXT");
    values.iter().find_map(|value| value.split("; ").nth(1)).unwrap_or("nothing").trim_matches('"').to_owned()
}

#[test]
fn sixty_days_from_none_to_reject() {
    let mut simulation = Simulation::ready(json!({}));
    let mut seen = vec![(0, policy(&simulation))];
    for day in 1..=70 {
        simulation.pass(days(1));
        assert!(simulation.is("Ready", "True"), "day {day}: {}", simulation.condition("Ready"));
        if seen.last().is_some_and(|(_, last)| *last != policy(&simulation)) {
            seen.push((day, policy(&simulation)));
        }
    }
    let seen: Vec<(i32, &str)> = seen.iter().map(|(day, policy)| (*day, policy.as_str())).collect();
    assert_eq!(seen, [(0, "p=none"), (30, "p=quarantine"), (60, "p=reject")]);
    let events = simulation.events("DmarcStage");
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].contains("the DMARC stage quarantine begins"), "{events:?}");
    assert_eq!(simulation.status().dmarc.and_then(|dmarc| dmarc.until), None, "the last stage has no end");
    simulation.rests();
}

#[test]
fn a_stage_that_ends_while_a_call_is_under_way_is_left_all_the_same() {
    let mut simulation = Simulation::settled(json!({}));
    let end = simulation.status().dmarc.and_then(|dmarc| dmarc.until).expect("the first stage ends").0;
    simulation.pass(end.duration_since(simulation.now()) - minutes(10));
    let picture = simulation.picture();
    for seconds in (5..300).step_by(5) {
        let mut simulation = picture.go_on();
        let before = SignedDuration::from_secs(seconds);
        simulation.pass(minutes(10) - before);
        simulation.state().delays.travel = (10_000, 10_000);
        simulation.change(json!({"feedbackForwarding": "Disabled"}));
        simulation.pass(before);
        simulation.state().delays.travel = (0, 0);
        simulation.pass(minutes(15));
        assert_eq!(policy(&simulation), "p=quarantine", "changed {before} before the end: {}", simulation.describe());
    }
}

#[test]
fn the_condition_says_until_when_a_stage_lasts() {
    let simulation = Simulation::settled(json!({}));
    let condition = simulation.condition("DmarcPublished");
    assert!(condition.contains("stage monitor, which lasts until 2027-02-1"), "{condition}");
}

#[test]
fn a_stage_that_is_due_waits_for_verification_and_no_longer() {
    let mut simulation = Simulation::ready(json!({}));
    simulation.pass(days(29));
    simulation.state().delays.mail_from = (40 * 3600, 40 * 3600);
    simulation.tamper("mail.example.com", "MX", &[]);
    simulation.pass(days(1) + hours(2));
    assert_eq!(policy(&simulation), "p=none", "{}", simulation.condition("DmarcPublished"));
    assert!(simulation.condition("DmarcPublished").contains("due and waits"), "{}", simulation.describe());
    simulation.pass(days(2));
    assert_eq!(policy(&simulation), "p=quarantine", "{}", simulation.describe());
}

#[test]
fn an_enforcing_first_stage_is_published_once_verified() {
    let stages = json!({"dmarcPolicy": {"stages": [{"name": "reject", "policy": "Reject"}]}});
    let mut simulation = Simulation::new();
    simulation.apply(NAME, manifest(stages));
    assert!(simulation.until(hours(1), |simulation| simulation.reason("DmarcPublished") == "StageWaiting"));
    assert_eq!(policy(&simulation), "nothing");
    simulation.until_ready();
    assert_eq!(policy(&simulation), "p=reject");
    simulation.rests();
}

#[test]
fn a_pinned_stage_is_taken_at_once_a_weaker_one_too_and_let_go_of() {
    let mut simulation = Simulation::ready(json!({}));
    simulation.change(json!({"dmarcPolicy": {"activeStage": "reject"}}));
    simulation.pass(minutes(5));
    assert_eq!(policy(&simulation), "p=reject");
    simulation.change(json!({"dmarcPolicy": {"activeStage": "monitor"}}));
    simulation.pass(minutes(5));
    assert_eq!(policy(&simulation), "p=none");
    simulation.change(json!({}));
    simulation.pass(days(31));
    assert_eq!(policy(&simulation), "p=quarantine");
    simulation.no_harm();
}

#[test]
fn a_lost_status_finds_the_stage_again_and_weakens_nothing() {
    for (day, stage) in [(10, "p=none"), (40, "p=quarantine"), (65, "p=reject")] {
        let mut simulation = Simulation::ready(json!({}));
        simulation.pass(days(day));
        assert_eq!(policy(&simulation), stage);
        simulation.api.edit(NAME, |resource| resource.status = None);
        simulation.operator.restart();
        let aws = simulation.writes().0;
        simulation.pass(hours(1));
        assert_eq!(policy(&simulation), stage);
        assert_eq!(simulation.writes().0, aws, "nothing is written in AWS for a lost status");
        assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
        assert!(simulation.status().records.iter().all(|entry| entry.ours), "{}", simulation.describe());
        simulation.rests();
    }
}

#[test]
fn a_policy_taken_out_of_the_spec_leaves_its_record_and_says_so_once() {
    let mut simulation = Simulation::ready(json!({}));
    simulation.pass(days(65));
    simulation.change(json!({"dmarcPolicy": null}));
    simulation.pass(days(1));
    assert_eq!(policy(&simulation), "p=reject");
    let events = simulation.events("DmarcReleased");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("p=reject; rua=mailto:dmarc@example.com"), "{events:?}");
    assert_eq!(simulation.condition("DmarcPublished"), "");
    assert_eq!(simulation.status().dmarc, None);
    simulation.rests();
    let values = simulation.values(DMARC, "TXT");
    simulation.protect_values(DMARC, "TXT", &[values[0].as_str()]);
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(simulation.values(DMARC, "TXT"), values, "a record that was let go outlives the resource");
    simulation.no_harm();
}

#[test]
fn a_policy_that_is_let_go_while_its_zone_is_in_doubt_stays_and_is_told_of_once() {
    for dies in [0, 1] {
        let mut simulation = Simulation::settled(json!({}));
        let values = simulation.values(DMARC, "TXT");
        simulation.protect_values(DMARC, "TXT", &[values[0].as_str()]);
        simulation.state().zones.add("Z2", "example.com");
        // The tags say it by then, and the status does not.
        simulation.strike("api:PatchStatus", dies, Strike::DieBefore);
        simulation.change(json!({"dmarcPolicy": null}));
        simulation.pass(days(1));
        assert!(simulation.condition("Stalled").contains("HostedZoneAmbiguous"), "{}", simulation.describe());
        assert_eq!(simulation.events("DmarcReleased").len(), 1);
        let is_known = simulation.status().records.iter().any(|entry| entry.name == DMARC);
        assert!(!is_known, "{}", simulation.describe());
        simulation.state().remove_zone("Z2");
        simulation.until_ready();
        simulation.delete(NAME);
        simulation.pass(minutes(5));
        assert!(simulation.is_gone(NAME));
        assert_eq!(simulation.values(DMARC, "TXT"), values);
        simulation.no_harm();
    }
}

#[test]
fn a_record_that_meant_the_same_all_along_goes_with_the_resource() {
    let stages = json!([{"name": "reject", "policy": "Reject"}]);
    let mut simulation = Simulation::settled(json!({"dmarcPolicy": {"stages": stages, "subdomainPolicy": "Reject"}}));
    simulation.change(json!({"dmarcPolicy": {"stages": stages}}));
    simulation.pass(hours(2));
    assert!(simulation.values(DMARC, "TXT")[0].contains("sp=reject"), "it is not written anew for its text");
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    simulation.no_orphans();
    assert!(simulation.is_gone(NAME));
}

#[test]
fn a_policy_that_was_let_go_and_lost_with_the_status_is_not_claimed_anew() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.change(json!({"dmarcPolicy": null}));
    simulation.pass(hours(1));
    simulation.api.edit(NAME, |resource| resource.status = None);
    simulation.operator.restart();
    simulation.change(json!({}));
    simulation.pass(hours(1));
    let ours = simulation.status().records.iter().any(|entry| entry.name == DMARC && entry.ours);
    assert!(!ours, "{}", simulation.describe());
}

#[test]
fn a_suspended_resource_keeps_its_policy_and_tells_it_no_more_than_once() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.change(json!({"dmarcPolicy": null, "suspend": true}));
    simulation.pass(days(2));
    assert_eq!(simulation.events("DmarcReleased").len(), 0);
    simulation.change(json!({"dmarcPolicy": null}));
    simulation.pass(days(2));
    assert_eq!(simulation.events("DmarcReleased").len(), 1);
    simulation.no_harm();
}

#[test]
fn manual_advancement_stays_until_a_stage_is_named() {
    let mut simulation = Simulation::ready(json!({"dmarcPolicy": {"advancement": "Manual"}}));
    simulation.pass(days(90));
    assert_eq!(policy(&simulation), "p=none");
    simulation.change(json!({"dmarcPolicy": {"advancement": "Manual", "activeStage": "quarantine"}}));
    simulation.pass(minutes(5));
    assert_eq!(policy(&simulation), "p=quarantine");
    simulation.change(json!({"dmarcPolicy": {"advancement": "Manual"}}));
    simulation.pass(days(90));
    assert_eq!(policy(&simulation), "p=quarantine", "what was reached is not gone back on");
    simulation.no_harm();
}

#[test]
fn renamed_and_reordered_stages_weaken_nothing() {
    let mut simulation = Simulation::ready(json!({}));
    simulation.pass(days(45));
    assert_eq!(policy(&simulation), "p=quarantine");
    simulation.change(json!({"dmarcPolicy": {"stages": [
        {"name": "watch", "policy": "None", "minDuration": "1d"},
        {"name": "hold", "policy": "Quarantine", "minDuration": "5d"},
        {"name": "refuse", "policy": "Reject"},
    ]}}));
    simulation.pass(hours(1));
    assert_eq!(policy(&simulation), "p=quarantine");
    simulation.pass(days(6));
    assert_eq!(policy(&simulation), "p=reject");
    simulation.no_harm();
}

#[test]
fn a_record_that_is_stricter_than_every_stage_is_reported_and_not_weakened() {
    let mut simulation = Simulation::new();
    simulation.tamper("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=reject\""]);
    let stages = json!([{"name": "monitor", "policy": "None"}]);
    let fields = json!({"dmarcPolicy": {"stages": stages}, "dns": {"onConflict": "Overwrite"}});
    simulation.apply(NAME, manifest(fields));
    simulation.pass(hours(2));
    assert!(simulation.condition("DmarcPublished").contains("stricter than every stage"), "{}", simulation.describe());
    assert_eq!(simulation.values("_dmarc.example.com", "TXT"), ["\"v=DMARC1; p=reject\""]);
}

#[test]
fn a_lost_status_and_new_report_uris_at_once_are_no_conflict() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.api.edit(NAME, |resource| resource.status = None);
    let stages =
        json!([{"name": "monitor", "policy": "None", "minDuration": "30d"}, {"name": "reject", "policy": "Reject"}]);
    simulation.change(json!({"dmarcPolicy": {"stages": stages, "aggregateReportUris": ["mailto:new@example.com"]}}));
    simulation.until_ready();
    assert!(simulation.values("_dmarc.example.com", "TXT")[0].contains("mailto:new@example.com"));
}

#[test]
fn a_stage_whose_record_is_refused_while_its_zone_cant_be_read_goes_on_where_it_was() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.strike("route53:ChangeResourceRecordSets", 1, Strike::Refuse(ErrorKind::Denied));
    let stage = |simulation: &Simulation| simulation.status().dmarc.map(|dmarc| (dmarc.stage, dmarc.since.is_some()));
    let refused = simulation.until(days(31), |simulation| stage(simulation) == Some(("quarantine".to_owned(), false)));
    assert!(refused, "{}", simulation.describe());
    simulation.strike("route53:ListResourceRecordSets", 4, Strike::Refuse(ErrorKind::Throttled));
    simulation.operator.restart();
    simulation.pass(minutes(10));
    assert_eq!(stage(&simulation), Some(("quarantine".to_owned(), true)), "{}", simulation.describe());
    assert_eq!(policy(&simulation), "p=quarantine");
}
