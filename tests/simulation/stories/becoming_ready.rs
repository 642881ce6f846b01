//! From `kubectl apply` to Ready, and the rest after it.

use serde_json::json;

use crate::simulation::{NAME, Simulation, ZONE, hours, manifest, minutes};

#[test]
fn apply_leads_to_ready_each_condition_in_its_turn() {
    let mut simulation = Simulation::new();
    {
        let mut state = simulation.state();
        state.delays.dkim = (240, 240);
        state.delays.mail_from = (900, 900);
    }
    simulation.api.kept().history = Some(Vec::new());
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    let kept = simulation.api.kept();
    let mut turned: Vec<&str> = Vec::new();
    for (_, _, status) in kept.history.iter().flatten() {
        for condition in status.conditions.iter().filter(|condition| condition.status == "True") {
            if !turned.contains(&condition.type_.as_str()) {
                turned.push(&condition.type_);
            }
        }
    }
    assert_eq!(
        turned,
        ["Reconciling", "DmarcPublished", "RecordsPublished", "DkimVerified", "Ready", "MailFromVerified"],
        "Ready and MailFromVerified turn together, and Ready is listed first"
    );
    drop(kept);
    assert!(simulation.condition("Ready").contains("passes SPF, DKIM and DMARC"), "{}", simulation.condition("Ready"));
    assert_eq!(simulation.condition("Reconciling"), "");
    simulation.pass(hours(3));
    simulation.rests();
}

#[test]
fn few_calls_are_made_until_ready() {
    for (delay, most_polls) in [(60, 1), (15 * 60, 5), (6 * 3600, 10)] {
        let mut simulation = Simulation::new();
        {
            let mut state = simulation.state();
            state.delays.dkim = (delay, delay);
            state.delays.mail_from = (delay, delay);
        }
        simulation.apply(NAME, manifest(json!({"mxFailureBehavior": null})));
        simulation.until_ready();
        let calls = simulation.state().calls.clone();
        assert!(simulation.calls_of("ses") <= 3 + most_polls, "a delay of {delay} s: {calls:?}");
        assert!(simulation.calls_of("route53") <= 4 + usize::from(delay > 3600) * 3, "a delay of {delay} s: {calls:?}");
        assert_eq!(simulation.calls("route53:ChangeResourceRecordSets"), 1, "a delay of {delay} s: {calls:?}");
    }
}

#[test]
fn what_stands_in_the_zone_is_what_the_facts_ask_for() {
    let simulation = Simulation::ready(json!({}));
    assert_eq!(simulation.values("mail.example.com", "MX"), ["10 feedback-smtp.eu-west-1.amazonses.com"]);
    assert_eq!(simulation.values("mail.example.com", "TXT"), ["\"v=spf1 include:amazonses.com ~all\""]);
    assert_eq!(simulation.values("_dmarc.example.com", "TXT"), ["\"v=DMARC1; p=none; rua=mailto:dmarc@example.com\""]);
    for name in simulation.dkim_names() {
        assert_eq!(simulation.values(&name, "CNAME").len(), 1, "{name}");
    }
    let status = simulation.status();
    assert_eq!(status.hosted_zones[0].id, ZONE);
    assert!(status.records.iter().all(|entry| entry.ours && entry.published), "{:#?}", status.records);
    assert_eq!(status.records.len(), 6);
}

#[test]
fn a_settled_domain_is_left_alone_and_its_twin_with_a_change_is_not() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.rests();
    let before = simulation.writes();
    simulation.change(json!({"dns": {"ttl": 600}}));
    simulation.pass(minutes(10));
    let after = simulation.writes();
    assert!(after.0 > before.0 && after.1 > before.1, "a changed spec is written: {before:?} {after:?}");
    simulation.rests();
}
