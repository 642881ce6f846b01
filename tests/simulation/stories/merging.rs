//! Our term in somebody else's SPF policy at the MAIL FROM name, and out of it again.

use serde_json::{Value, json};
use ses_operator::api::status::{RecordOrigin, RecordPurpose};
use ses_operator::cloud::ErrorKind;
use ses_operator::dns::public::Asked;

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
    let mut simulation = with_a_policy(THEIRS);
    simulation.apply(NAME, manifest(merge()));
    simulation.until_ready();
    simulation.pass(hours(1));
    simulation
}

/// This policy of others beside another value of theirs.
fn with_a_policy(policy: &str) -> Simulation {
    let simulation = Simulation::new();
    simulation.protect(AT, "TXT", &["\"theirs\""]);
    simulation.tamper(AT, "TXT", &["\"theirs\"", policy]);
    simulation
}

/// `_spf.example.net` has a policy of so many look-ups, without the one that leads to it.
fn publish_a_policy_of(simulation: &Simulation, look_ups: usize) {
    let mut state = simulation.state();
    state.others.publish("x.example.net", Asked::Txt, &["v=spf1 -all"]);
    let policy = format!("v=spf1{} -all", " include:x.example.net".repeat(look_ups));
    state.others.publish("_spf.example.net", Asked::Txt, &[&policy]);
}

/// A policy of others that includes it.
const INCLUDING: &str = "\"v=spf1 include:_spf.example.net ~all\"";
const INCLUDING_MERGED: &str = "\"v=spf1 include:_spf.example.net include:amazonses.com ~all\"";
/// The look-up in public DNS.
const QUERY: &str = "dns:Query";

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
    let mut simulation = with_a_policy(THEIRS);
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
fn what_can_not_be_merged_with_is_told_with_the_reason_and_the_remedy() {
    let ten = "v=spf1 ptr ptr exists:%{i}.x ptr ptr ptr ptr ptr ptr include:_spf.example.net ~all";
    for (policy, reason) in [
        (
            ten,
            "can't be merged with: it would need 11 look-ups, and SPF allows 10: ptr 1, ptr 1, exists:%{i}.x 1, ptr 1, …;",
        ),
        (
            "v=spf1 include:nowhere.example ~all",
            "\"include:nowhere.example\" leads to nowhere.example, which publishes no",
        ),
        ("v=spf1 ip:192.0.2.1 ~all", "\"ip:192.0.2.1\" in the policy of mail.example.com is no term of SPF"),
        ("v=spf1 -include:amazonses.com ~all", "it says \"-include:amazonses.com\" already, which refuses SES"),
    ] {
        let mut simulation = Simulation::new();
        publish_a_policy_of(&simulation, 0);
        simulation.protect(AT, "TXT", &[&format!("\"{policy}\"")]);
        simulation.apply(NAME, manifest(merge()));
        simulation.pass(hours(1));
        let stalled = simulation.condition("Stalled");
        assert!(stalled.starts_with("True RecordConflict") && stalled.contains(reason), "{stalled}");
        assert!(stalled.contains("take out of that policy what it can do without"), "{stalled}");
        simulation.rests();
    }
}

#[test]
fn look_ups_count_through_all_includes_and_a_shorter_policy_is_merged_with() {
    let mut simulation = with_a_policy(INCLUDING);
    publish_a_policy_of(&simulation, 9);
    simulation.apply(NAME, manifest(merge()));
    simulation.pass(hours(1));
    let stalled = simulation.condition("Stalled");
    let count = "it would need 11 look-ups, and SPF allows 10: include:_spf.example.net 10, include:amazonses.com 1;";
    assert!(stalled.starts_with("True RecordConflict") && stalled.contains(count), "{stalled}");
    assert_eq!(policies(&simulation), [INCLUDING]);
    simulation.rests();
    // Whoever publishes what is included has mended it, and nobody tells us.
    publish_a_policy_of(&simulation, 8);
    simulation.until_ready();
    assert_eq!(policies(&simulation), [INCLUDING_MERGED]);
    simulation.rests();
}

#[test]
fn three_look_ups_that_find_nothing_are_told_by_name_until_one_finds_something() {
    let policy = "\"v=spf1 a:old.example.net mx:old.example.net a:new.example.net ~all\"";
    let mut simulation = with_a_policy(policy);
    simulation.apply(NAME, manifest(merge()));
    simulation.pass(hours(1));
    let stalled = simulation.condition("Stalled");
    let told =
        "3 of its look-ups find nothing, and SPF allows 2: old.example.net A, old.example.net MX, new.example.net A;";
    assert!(stalled.starts_with("True RecordConflict") && stalled.contains(told), "{stalled}");
    assert_eq!(policies(&simulation), [policy]);
    simulation.state().others.publish("new.example.net", Asked::A, &["192.0.2.1"]);
    simulation.until_ready();
    assert!(policies(&simulation)[0].contains("include:amazonses.com ~all"), "{}", simulation.describe());
}

#[test]
fn a_name_that_can_not_be_resolved_is_told_and_asked_for_again_and_nothing_is_merged_blindly() {
    let mut simulation = with_a_policy(INCLUDING);
    publish_a_policy_of(&simulation, 2);
    simulation.strike_object(QUERY, "x.example.net", 40, Strike::Refuse(ErrorKind::Unavailable));
    simulation.apply(NAME, manifest(merge()));
    simulation.until_condition("DkimVerified", "True", hours(1));
    simulation.pass(minutes(2));
    let ready = simulation.condition("Ready");
    assert!(ready.starts_with("False DnsUnavailable: a look-up in public DNS for x.example.net TXT"), "{ready}");
    assert!(ready.contains("nothing is put into the SPF policy of mail.example.com before that is known"), "{ready}");
    let records = simulation.condition("RecordsPublished");
    assert!(records.starts_with("False RecordsMissing: missing or different: mail.example.com TXT"), "{records}");
    assert_eq!(simulation.condition("Stalled"), "", "nobody is asked to act");
    assert_eq!(policies(&simulation), [INCLUDING]);
    simulation.until_ready();
    assert_eq!(policies(&simulation), [INCLUDING_MERGED]);
    simulation.rests();
}

#[test]
fn what_is_merged_is_counted_anew_only_when_our_term_must_be_put_back() {
    let mut simulation = with_a_policy(INCLUDING);
    publish_a_policy_of(&simulation, 8);
    simulation.apply(NAME, manifest(merge()));
    simulation.until_ready();
    simulation.pass(hours(1));
    let asked = simulation.calls(QUERY);
    assert!(asked > 0);
    // Somebody else's policy is longer by now, and ours is left as it is.
    publish_a_policy_of(&simulation, 9);
    simulation.pass(hours(50));
    assert_eq!(simulation.calls(QUERY), asked, "nobody counts while our term stands");
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    simulation.tamper(AT, "TXT", &["\"theirs\"", INCLUDING]);
    simulation.pass(hours(1));
    let stalled = simulation.condition("Stalled");
    assert!(stalled.starts_with("True RecordConflict") && stalled.contains("it would need 11 look-ups"), "{stalled}");
    assert_eq!(policies(&simulation), [INCLUDING]);
    publish_a_policy_of(&simulation, 8);
    simulation.until_ready();
    assert_eq!(policies(&simulation), [INCLUDING_MERGED]);
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert_eq!(policies(&simulation), [INCLUDING], "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn while_a_drift_can_not_be_counted_the_claim_stays_and_the_policy_too() {
    let mut simulation = with_a_policy(INCLUDING);
    publish_a_policy_of(&simulation, 1);
    simulation.apply(NAME, manifest(merge()));
    simulation.until_ready();
    simulation.pass(hours(1));
    simulation.strike(QUERY, 60, Strike::Refuse(ErrorKind::Unavailable));
    simulation.tamper(AT, "TXT", &["\"theirs\"", INCLUDING]);
    let noticed = simulation.until(hours(2), |simulation| simulation.is("RecordsPublished", "False"));
    assert!(noticed, "{}", simulation.describe());
    assert_eq!(origin(&simulation), Some(RecordOrigin::Merged));
    assert_eq!(policies(&simulation), [INCLUDING]);
    simulation.until_ready();
    assert_eq!(policies(&simulation), [INCLUDING_MERGED]);
    assert_eq!(simulation.events("RecordPutBack").len(), 1);
    simulation.no_harm();
}

#[test]
fn nobody_is_asked_where_nothing_is_to_be_merged() {
    for fields in [json!({}), json!({"dns": {"onConflict": "Overwrite"}})] {
        let mut simulation = with_a_policy(INCLUDING);
        simulation.apply(NAME, manifest(fields));
        simulation.pass(hours(3));
        assert_eq!(simulation.calls(QUERY), 0);
    }
    let mut simulation = Simulation::new();
    simulation.apply(NAME, manifest(merge()));
    simulation.until_ready();
    assert_eq!(simulation.calls(QUERY), 0, "nobody's policy stands there");
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
    let simulation = merged();
    assert!(simulation.calls(QUERY) > 0, "the look-ups are among them");
    let calls: usize = simulation.state().calls.values().sum();
    for call in 0..calls {
        for strike in [Strike::DieBefore, Strike::DieAfter, Strike::LoseAnswer] {
            let mut simulation = with_a_policy(THEIRS);
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
