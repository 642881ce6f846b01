//! Somebody else's records where ours must stand.

use serde_json::json;

use crate::cloud::Intruder;
use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, ZONE, hours, manifest, minutes};

#[test]
fn a_foreign_record_is_left_reported_and_given_way_to_until_it_goes() {
    for (name, record_type, value, said) in [
        ("_dmarc.example.com", "TXT", "\"v=DMARC1; p=reject\"", "holds \"v=DMARC1; p=reject\""),
        ("_dmarc.example.com", "TXT", "\"v = DMARC1; p = none\"", "holds \"v = DMARC1; p = none\""),
        ("mail.example.com", "TXT", "\"v=spf1 include:elsewhere.example -all\"", "include:elsewhere.example"),
        ("mail.example.com", "MX", "10 mx.elsewhere.example", "10 mx.elsewhere.example"),
        ("mail.example.com", "CNAME", "elsewhere.example", "CNAME elsewhere.example"),
        ("_dmarc.example.com", "CNAME", "dmarc.elsewhere.example", "CNAME dmarc.elsewhere.example"),
        ("_domainkey.example.com", "NS", "ns.elsewhere.example", "delegated elsewhere"),
        ("_domainkey.example.com", "CNAME", "keys.elsewhere.example", "nothing below it is found"),
    ] {
        let mut simulation = Simulation::new();
        simulation.protect(name, record_type, &[value]);
        simulation.apply(NAME, manifest(json!({})));
        simulation.pass(hours(1));
        let case = format!("{name} {record_type} {value}");
        let stalled = simulation.condition("Stalled");
        assert!(stalled.starts_with("True RecordConflict"), "{case}: {}", simulation.describe());
        assert!(stalled.contains(said) && stalled.contains("remove "), "{case}: {stalled}");
        assert!(simulation.is("RecordsPublished", "False"), "{case}");
        let writes = simulation.writes();
        simulation.pass(hours(3));
        assert_eq!(
            simulation.writes(),
            writes,
            "{case}: what waits for a person is said once\n{}",
            simulation.describe()
        );
        simulation.no_harm();
        simulation.state().guard.protected.clear();
        simulation.tamper(name, record_type, &[]);
        simulation.pass(minutes(34));
        assert_eq!(simulation.condition("Stalled"), "", "{case}");
        simulation.until_ready();
        simulation.pass(hours(2));
        simulation.rests();
    }
}

#[test]
fn overwrite_replaces_what_can_be_replaced_and_says_so() {
    for (name, record_type, values) in [
        ("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=none; rua=mailto:a@b.example\""][..]),
        ("mail.example.com", "TXT", &["\"v=spf1 include:elsewhere.example -all\""]),
        ("mail.example.com", "MX", &["10 mx.elsewhere.example"]),
        ("mail.example.com", "MX", &["10 mx.elsewhere.example", "20 mx2.elsewhere.example"]),
    ] {
        let mut simulation = Simulation::new();
        simulation.protect("www.example.com", "TXT", &["\"theirs\""]);
        simulation.tamper(name, record_type, values);
        simulation.apply(NAME, manifest(json!({"dns": {"onConflict": "Overwrite"}})));
        simulation.until_ready();
        let events = simulation.events("RecordOverwritten");
        assert_eq!(events.len(), 1, "{name}: {events:?}");
        assert!(values.iter().all(|value| events[0].contains(value.trim_matches('"'))), "{name}: {events:?}");
        assert!(simulation.status().records.iter().all(|entry| entry.ours));
        simulation.pass(hours(2));
        simulation.rests();
    }
}

#[test]
fn overwrite_does_not_weaken_a_dmarc_policy_in_silence() {
    let mut simulation = Simulation::new();
    simulation.tamper("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=quarantine\""]);
    simulation.apply(NAME, manifest(json!({"dns": {"onConflict": "Overwrite"}})));
    simulation.until_ready();
    assert!(simulation.values("_dmarc.example.com", "TXT")[0].contains("p=quarantine; rua="));
    assert_eq!(simulation.status().dmarc.map(|dmarc| dmarc.stage).as_deref(), Some("quarantine"));
    simulation.no_harm();
}

#[test]
fn a_record_that_says_the_same_is_left_as_it_is_and_outlives_the_resource() {
    let mut simulation = Simulation::new();
    simulation.protect("_dmarc.example.com", "TXT", &["\"v=DMARC1;p=none;rua=mailto:dmarc@example.com\""]);
    simulation.protect("mail.example.com", "TXT", &["\"v=spf1 include:amazonses.com -all\""]);
    simulation.protect("mail.example.com", "MX", &["10 Feedback-SMTP.eu-west-1.amazonses.com."]);
    simulation.apply(NAME, manifest(json!({"dmarcPolicy": {"stages": [{"name": "monitor", "policy": "None"}]}})));
    simulation.until_ready();
    let ours = simulation.status().records.iter().filter(|entry| entry.ours).count();
    assert_eq!(ours, 3, "the DKIM records alone");
    simulation.pass(hours(2));
    simulation.rests();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    simulation.no_harm();
}

#[test]
fn values_of_others_in_a_shared_text_set_survive_everything() {
    let mut simulation = Simulation::new();
    let theirs = ["\"site-verification=1\"", "\"x\" \"y\"", "\"say \\\"hi\\\"\""];
    simulation.protect("mail.example.com", "TXT", &theirs);
    simulation.protect("_dmarc.example.com", "TXT", &["\"not a policy\""]);
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    assert_eq!(simulation.values("mail.example.com", "TXT").len(), 4);
    simulation.pass(hours(2));
    simulation.rests();
    simulation.change(json!({"mailFromSubdomain": "bounce"}));
    simulation.pass(hours(3));
    assert_eq!(simulation.values("mail.example.com", "TXT"), theirs, "{}", simulation.describe());
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(simulation.values("_dmarc.example.com", "TXT"), ["\"not a policy\""]);
    simulation.no_harm();
}

#[test]
fn two_policies_at_one_name_are_told_and_not_added_to() {
    let mut simulation = Simulation::new();
    simulation.protect("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=none\"", "\"v=DMARC1; p=reject\""]);
    simulation.apply(NAME, manifest(json!({"dns": {"onConflict": "Overwrite"}})));
    simulation.pass(hours(1));
    assert!(simulation.condition("Stalled").contains("2 values stand at"), "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn an_obstacle_that_comes_later_is_told_without_a_rush_of_looks() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.tamper("mail.example.com", "TXT", &[]);
    simulation.tamper("mail.example.com", "MX", &[]);
    simulation.tamper("mail.example.com", "CNAME", &["elsewhere.example"]);
    simulation.pass(hours(1));
    assert!(simulation.condition("Stalled").contains("CNAME elsewhere.example"), "{}", simulation.describe());
    let looks = simulation.operator.reconciles;
    simulation.pass(hours(1));
    assert!(
        simulation.operator.reconciles - looks <= 31,
        "{} looks in an hour",
        simulation.operator.reconciles - looks
    );
}

#[test]
fn addresses_at_the_mail_from_name_are_a_warning_and_stop_nothing() {
    let mut simulation = Simulation::new();
    simulation.protect("mail.example.com", "A", &["192.0.2.1"]);
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    let published = simulation.condition("RecordsPublished");
    assert!(published.contains("holds A 192.0.2.1 besides, and AWS wants"), "{published}");
    simulation.pass(hours(2));
    assert_eq!(simulation.events("MailFromShared").len(), 1, "it is told once");
    simulation.rests();
    simulation.tamper("mail.example.com", "A", &[]);
    simulation.state().guard.protected.clear();
    simulation.request("look");
    simulation.pass(minutes(1));
    assert!(!simulation.condition("RecordsPublished").contains("AWS wants"));
}

#[test]
fn an_ipv6_address_at_the_mail_from_name_is_a_warning_too() {
    let mut simulation = Simulation::new();
    simulation.protect("mail.example.com", "AAAA", &["2001:db8::1"]);
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    let published = simulation.condition("RecordsPublished");
    assert!(published.contains("holds AAAA 2001:db8::1 besides, and AWS wants"), "{published}");
    assert_eq!(simulation.events("MailFromShared").len(), 1);
    simulation.no_harm();
}

#[test]
fn a_set_that_is_chosen_by_weight_is_left_named_and_given_way_to_until_it_goes() {
    for (name, record_type, value) in [
        ("mail.example.com", "MX", "10 feedback-smtp.eu-west-1.amazonses.com"),
        ("mail.example.com", "TXT", "\"v=spf1 include:amazonses.com ~all\""),
        ("_dmarc.example.com", "TXT", "\"v=DMARC1; p=none; rua=mailto:dmarc@example.com\""),
    ] {
        let mut simulation = Simulation::new();
        simulation.protect(name, record_type, &[value]);
        {
            let mut state = simulation.state();
            let sets = state.zones.zone(ZONE).sets.values_mut();
            sets.filter(|set| set.name.as_str() == name).for_each(|set| set.routed = true);
        }
        simulation.apply(NAME, manifest(json!({"dns": {"onConflict": "Overwrite"}, "adoptionPolicy": "Adopt"})));
        simulation.pass(hours(1));
        let stalled = simulation.condition("Stalled");
        let named = format!("{name} {record_type} is an alias or weighted set");
        assert!(stalled.contains(&named) && stalled.contains("remove what stands there"), "{name}: {stalled}");
        simulation.no_harm();
        simulation.state().guard.protected.clear();
        simulation.tamper(name, record_type, &[]);
        simulation.until_ready();
        simulation.rests();
    }
}

#[test]
fn a_mail_from_name_that_is_an_older_sesdomains_too_is_a_conflict_and_a_younger_ones_a_warning() {
    let user = |domain: &str, label: &str| {
        manifest(json!({"domain": domain, "mailFromSubdomain": label, "dmarcPolicy": null}))
    };
    let mut simulation = Simulation::new();
    // a.mail below example.com is a below mail.example.com.
    simulation.apply("older", user("mail.example.com", "a"));
    assert!(simulation.until(hours(20), |simulation| simulation.condition_of("older", "Ready").starts_with("True")));
    let before = simulation.state().zones.zone(ZONE).sets.len();
    simulation.apply(NAME, user("example.com", "a.mail"));
    simulation.pass(hours(1));
    let stalled = simulation.condition("Stalled");
    assert!(
        stalled.contains("a.mail.example.com is the MAIL FROM domain of the SesDomain mail/older")
            && stalled.contains("set another spec.mailFromSubdomain"),
        "{stalled}"
    );
    let now = simulation.state().zones.zone(ZONE).sets.len();
    assert_eq!(now, before + 3, "the DKIM records alone");
    assert!(simulation.condition_of("older", "Ready").starts_with("True"), "{}", simulation.describe());
    // With it gone the younger one removes nothing of the older one's.
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    let left = simulation.state().zones.zone(ZONE).sets.len();
    assert!(simulation.is_gone(NAME) && left == before, "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn a_mail_from_name_of_an_older_sesdomain_is_a_conflict_and_the_older_one_goes_on() {
    let mut simulation = Simulation::new();
    simulation.apply("older", manifest(json!({"domain": "mail.example.com", "mailFromSubdomain": "bounce"})));
    simulation.pass(hours(1));
    let records = simulation.state().zones.zone(ZONE).sets.len();
    simulation.apply(NAME, manifest(json!({"dmarcPolicy": null})));
    simulation.pass(hours(1));
    let stalled = simulation.condition("Stalled");
    assert!(
        stalled.contains("the MAIL FROM domain mail.example.com is the domain of the SesDomain mail/older")
            && stalled.contains("set another spec.mailFromSubdomain"),
        "{stalled}"
    );
    let now = simulation.state().zones.zone(ZONE).sets.len();
    assert_eq!(now, records + 3, "the DKIM records alone");
    assert!(simulation.condition_of("older", "Ready").starts_with("True"), "{}", simulation.describe());
    simulation.change(json!({"dmarcPolicy": null, "mailFromSubdomain": "other"}));
    simulation.until_ready();
    simulation.no_harm();
}

#[test]
fn a_younger_sesdomain_at_the_mail_from_name_is_a_warning() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.apply(
        "younger",
        manifest(json!({"domain": "mail.example.com", "mailFromSubdomain": null, "mxFailureBehavior": null})),
    );
    simulation.pass(hours(2));
    simulation.request("look");
    simulation.pass(minutes(1));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert!(simulation.condition("RecordsPublished").contains("is the domain of the SesDomain mail/younger as well"));
    assert!(simulation.condition_of("younger", "Ready").starts_with("True"), "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn a_strangers_policy_that_was_merged_with_when_the_operator_died_is_kept() {
    let mut simulation = Simulation::new();
    let value = "\"v=spf1 include:elsewhere.example ~all\"";
    let place = (ZONE, "mail.example.com", "TXT");
    simulation.state().intruder =
        Some(Intruder { zone: place.0, name: place.1, record_type: place.2, value, protected: false });
    // Refused, since somebody was faster, and not told so; then merged, and not told either.
    simulation.strike("route53:ChangeResourceRecordSets", 1, Strike::LoseAnswer);
    simulation.state().faults.add("route53:ChangeResourceRecordSets", 0, 1, Strike::DieAfter);
    simulation.apply(NAME, manifest(json!({"dns": {"onConflict": "Merge", "ttl": 60}})));
    simulation.until_ready();
    let merged = ["\"v=spf1 include:elsewhere.example include:amazonses.com ~all\""];
    assert_eq!(simulation.values("mail.example.com", "TXT"), merged, "{}", simulation.describe());
    simulation.delete(NAME);
    simulation.pass(minutes(10));
    assert_eq!(simulation.values("mail.example.com", "TXT"), [value], "{}", simulation.describe());
}
