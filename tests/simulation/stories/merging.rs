//! Our term in somebody else's SPF policy at the MAIL FROM name, and out of it again.

use serde_json::{Value, json};
use ses_operator::api::status::{RecordOrigin, RecordPurpose};

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, hours, manifest, minutes};

const AT: &str = "mail.example.com";
const THEIRS: &str = "\"v=spf1 a:x.example ~all\"";
const MERGED: &str = "\"v=spf1 a:x.example include:amazonses.com ~all\"";

fn merge() -> Value {
    json!({"dns": {"onConflict": "Merge"}})
}

/// A policy of others beside another value, with a TTL of its own; the manifest is Ready there.
fn merged() -> Simulation {
    let mut simulation = Simulation::new();
    simulation.protect(AT, "TXT", &["\"theirs\""]);
    simulation.tamper(AT, "TXT", &["\"theirs\"", THEIRS]);
    simulation.apply(NAME, manifest(merge()));
    simulation.until_ready();
    simulation.pass(hours(1));
    simulation
}

fn policies(simulation: &Simulation) -> Vec<String> {
    simulation.values(AT, "TXT").into_iter().filter(|value| value.contains("v=spf1")).collect()
}

fn origin(simulation: &Simulation) -> Option<RecordOrigin> {
    let records = simulation.status().records;
    records.iter().find(|entry| entry.purpose == RecordPurpose::MailFromSpf && entry.ours).map(|entry| entry.origin)
}

fn ttl(simulation: &Simulation) -> Option<u32> {
    let mut state = simulation.state();
    let sets = state.zones.zone(crate::simulation::ZONE).sets.values();
    sets.filter(|set| set.name.as_str() == AT && set.record_type.as_str() == "TXT").find_map(|set| set.ttl)
}

#[test]
fn only_our_term_is_put_in_and_only_it_is_taken_out() {
    let mut simulation = Simulation::new();
    simulation.protect(AT, "TXT", &["\"theirs\""]);
    simulation.tamper(AT, "TXT", &["\"theirs\"", THEIRS]);
    let before = ttl(&simulation);
    simulation.apply(NAME, manifest(merge()));
    simulation.until_ready();
    assert_eq!(policies(&simulation), [MERGED]);
    assert_eq!(ttl(&simulation), before, "the TTL is theirs");
    assert_eq!(origin(&simulation), Some(RecordOrigin::Merged));
    let events = simulation.events("RecordMerged");
    assert!(events.len() == 1 && events[0].contains(THEIRS.trim_matches('"')), "{events:?}");
    simulation.pass(hours(2));
    simulation.rests();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(policies(&simulation), [THEIRS], "{}", simulation.describe());
    assert_eq!(ttl(&simulation), before);
    simulation.no_harm();
}

#[test]
fn their_edits_stay_and_our_term_is_put_back() {
    let mut simulation = merged();
    simulation.tamper(AT, "TXT", &["\"theirs\"", "\"v=spf1 mx include:amazonses.com -all\""]);
    simulation.pass(hours(1));
    assert_eq!(policies(&simulation), ["\"v=spf1 mx include:amazonses.com -all\""], "an edit of theirs is theirs");
    simulation.tamper(AT, "TXT", &["\"theirs\"", "\"v=spf1 mx -all\""]);
    simulation.pass(hours(1));
    assert_eq!(policies(&simulation), ["\"v=spf1 mx include:amazonses.com -all\""], "{}", simulation.describe());
    assert_eq!(simulation.events("RecordPutBack").len(), 1);
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert_eq!(policies(&simulation), ["\"v=spf1 mx -all\""]);
    simulation.no_harm();
}

#[test]
fn when_merge_ends_our_term_goes_and_the_conflict_is_told() {
    let mut simulation = merged();
    simulation.change(json!({}));
    simulation.pass(minutes(10));
    assert_eq!(policies(&simulation), [THEIRS], "{}", simulation.describe());
    let stalled = simulation.condition("Stalled");
    assert!(stalled.contains("RecordConflict") && stalled.contains("spec.dns.onConflict to Merge"), "{stalled}");
    // What they put in themselves from now on is theirs.
    simulation.tamper(AT, "TXT", &["\"theirs\"", MERGED]);
    simulation.until_ready();
    simulation.pass(hours(1));
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(policies(&simulation), [MERGED]);
    simulation.no_harm();
}

#[test]
fn another_mail_from_label_takes_our_term_out_of_the_old_one() {
    let mut simulation = merged();
    let mut fields = merge();
    fields["mailFromSubdomain"] = json!("bounce");
    simulation.change(fields);
    simulation.pass(hours(3));
    assert_eq!(policies(&simulation), [THEIRS], "{}", simulation.describe());
    assert_eq!(simulation.values("bounce.example.com", "TXT"), ["\"v=spf1 include:amazonses.com ~all\""]);
    simulation.rests();
}

#[test]
fn what_can_not_be_merged_with_is_told_with_the_reason() {
    let ten = "v=spf1 a mx ptr exists:x include:1.x include:2.x include:3.x include:4.x include:5.x include:6.x ~all";
    for (policy, reason) in [(ten, "it would need 11 look-ups"), ("v=spf1 -include:amazonses.com ~all", "refuses SES")]
    {
        let mut simulation = Simulation::new();
        simulation.protect(AT, "TXT", &[&format!("\"{policy}\"")]);
        simulation.apply(NAME, manifest(merge()));
        simulation.pass(hours(1));
        let stalled = simulation.condition("Stalled");
        assert!(stalled.starts_with("True RecordConflict") && stalled.contains(reason), "{stalled}");
        simulation.rests();
    }
}

#[test]
fn merge_leaves_and_reports_all_else() {
    for (name, record_type, value) in [
        ("_dmarc.example.com", "TXT", "\"v=DMARC1; p=none; rua=mailto:a@b.example\""),
        ("mail.example.com", "MX", "10 mx.elsewhere.example"),
    ] {
        let mut simulation = Simulation::new();
        simulation.protect(name, record_type, &[value]);
        simulation.apply(NAME, manifest(merge()));
        simulation.pass(hours(1));
        assert!(simulation.condition("Stalled").contains("RecordConflict"), "{name}");
        simulation.no_harm();
    }
    let mut simulation = Simulation::new();
    simulation.protect(AT, "TXT", &[THEIRS, "\"v=spf1 mx -all\""]);
    simulation.apply(NAME, manifest(merge()));
    simulation.pass(hours(1));
    assert!(simulation.condition("Stalled").contains("2 values stand at"), "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn a_merged_policy_that_is_gone_becomes_one_of_ours() {
    let mut simulation = merged();
    simulation.tamper(AT, "TXT", &["\"theirs\""]);
    simulation.pass(hours(1));
    assert_eq!(policies(&simulation), ["\"v=spf1 include:amazonses.com ~all\""]);
    assert_eq!(origin(&simulation), Some(RecordOrigin::Created));
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert_eq!(simulation.values(AT, "TXT"), ["\"theirs\""]);
}

#[test]
fn with_the_status_lost_it_is_still_known_that_only_the_term_is_ours() {
    let mut simulation = merged();
    let aws = simulation.writes().0;
    simulation.api.edit(NAME, |resource| resource.status = None);
    simulation.operator.restart();
    simulation.pass(hours(1));
    assert_eq!(origin(&simulation), Some(RecordOrigin::Merged));
    assert_eq!(simulation.writes().0, aws);
    simulation.api.edit(NAME, |resource| resource.status = None);
    simulation.operator.restart();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(policies(&simulation), [THEIRS], "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn killed_at_every_call_the_end_is_the_same_and_nothing_stays() {
    let calls: usize = merged().state().calls.values().sum();
    for call in 0..calls {
        for strike in [Strike::DieBefore, Strike::DieAfter, Strike::LoseAnswer] {
            let mut simulation = Simulation::new();
            simulation.protect(AT, "TXT", &["\"theirs\""]);
            simulation.tamper(AT, "TXT", &["\"theirs\"", THEIRS]);
            simulation.state().faults.add("", call, 1, strike);
            simulation.apply(NAME, manifest(merge()));
            simulation.pass(hours(2));
            assert!(simulation.is("Ready", "True"), "{strike:?} at call {call}\n{}", simulation.describe());
            assert_eq!(policies(&simulation), [MERGED], "{strike:?} at call {call}");
            simulation.delete(NAME);
            simulation.pass(minutes(10));
            assert!(simulation.is_gone(NAME), "{strike:?} at call {call}");
            assert_eq!(policies(&simulation), [THEIRS], "{strike:?} at call {call}\n{}", simulation.describe());
            simulation.no_harm();
        }
    }
}
