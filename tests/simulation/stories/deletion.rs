//! Deletion: only what is ours, whatever is gone already, and never in silence.

use serde_json::json;
use ses_operator::cloud::ErrorKind;
use ses_operator::dns::ZoneId;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, ZONE, hours, manifest, minutes};

/// The record sets that are left, but for the zone's own.
fn left(simulation: &Simulation) -> Vec<String> {
    let mut state = simulation.state();
    let sets = state.zones.zone(ZONE).sets.values();
    sets.filter(|set| set.record_type.as_str() != "NS").map(|set| format!("{} {}", set.name, set.record_type)).collect()
}

#[test]
fn everything_of_ours_goes_and_an_event_names_it() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.protect("www.example.com", "TXT", &["\"theirs\""]);
    let before = simulation.calls("route53:ChangeResourceRecordSets");
    simulation.delete(NAME);
    simulation.pass(minutes(1));
    assert!(simulation.is_gone(NAME), "{}", simulation.describe());
    assert_eq!(left(&simulation), ["www.example.com TXT"]);
    assert_eq!(simulation.identity(), None);
    assert_eq!(simulation.calls("route53:ChangeResourceRecordSets"), before + 1, "one batch");
    let events = simulation.events("RecordsRemoved");
    assert!(events.len() == 1 && events[0].contains("removed 6 of our records"), "{events:?}");
    assert_eq!(simulation.events("IdentityDeleted").len(), 1);
    simulation.no_harm();
}

#[test]
fn in_every_phase_of_the_set_up_nothing_is_left_behind() {
    for seconds in [0, 1, 20, 31, 62, 90, 130, 250, 600, 1000, 2000] {
        let mut simulation = Simulation::new();
        simulation.apply(NAME, manifest(json!({})));
        if seconds > 0 {
            simulation.pass(jiff::SignedDuration::from_secs(seconds));
        }
        simulation.delete(NAME);
        simulation.pass(minutes(5));
        assert!(simulation.is_gone(NAME), "after {seconds} s\n{}", simulation.describe());
        assert_eq!(left(&simulation), [""; 0], "after {seconds} s");
        assert_eq!(simulation.identity(), None, "after {seconds} s");
        simulation.no_harm();
    }
}

#[test]
fn whatever_fails_on_the_way_nothing_is_left_behind() {
    let operations = [
        "ses:GetEmailIdentity",
        "ses:DeleteEmailIdentity",
        "route53:ListHostedZonesByName",
        "route53:ListResourceRecordSets",
        "route53:ChangeResourceRecordSets",
        "api:PatchStatus",
    ];
    let strikes = [
        Strike::Refuse(ErrorKind::Throttled),
        Strike::Refuse(ErrorKind::Unavailable),
        Strike::Refuse(ErrorKind::Denied),
        Strike::LoseAnswer,
        Strike::DieBefore,
        Strike::DieAfter,
    ];
    for operation in operations {
        for strike in strikes {
            let mut simulation = Simulation::settled(json!({}));
            simulation.operator.restart();
            simulation.strike(operation, 3, strike);
            simulation.delete(NAME);
            simulation.pass(hours(1));
            assert!(simulation.is_gone(NAME), "{operation} {strike:?}\n{}", simulation.describe());
            assert_eq!(left(&simulation), [""; 0], "{operation} {strike:?}");
            assert_eq!(simulation.identity(), None, "{operation} {strike:?}");
            simulation.no_harm();
        }
    }
}

#[test]
fn while_aws_is_down_it_waits_says_so_and_finishes() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.operator.restart();
    simulation.strike("", 1000, Strike::Refuse(ErrorKind::Unavailable));
    simulation.state().faults.clear();
    for operation in ["ses:GetEmailIdentity", "route53:ListHostedZonesByName"] {
        simulation.strike(operation, 1000, Strike::Refuse(ErrorKind::Unavailable));
    }
    simulation.delete(NAME);
    simulation.pass(hours(2));
    assert!(!simulation.is_gone(NAME));
    assert!(
        simulation.condition("Ready").contains("ses:GetEmailIdentity for example.com"),
        "{}",
        simulation.describe()
    );
    assert_eq!(left(&simulation).len(), 6, "nothing is deleted because a read failed");
    simulation.state().faults.clear();
    simulation.pass(minutes(6));
    assert!(simulation.is_gone(NAME));
    assert_eq!(left(&simulation), [""; 0]);
}

#[test]
fn a_zone_or_an_identity_that_is_gone_is_no_obstacle() {
    for (zone, identity) in [(true, false), (false, true), (true, true)] {
        let mut simulation = Simulation::settled(json!({}));
        if zone {
            simulation.state().remove_zone(ZONE);
        }
        if identity {
            let key = simulation.key();
            simulation.state().remove_identity(&key);
        }
        simulation.operator.restart();
        simulation.delete(NAME);
        simulation.pass(minutes(5));
        assert!(simulation.is_gone(NAME), "zone gone: {zone}, identity gone: {identity}\n{}", simulation.describe());
        assert_eq!(simulation.identity(), None);
        if !zone {
            assert_eq!(left(&simulation), [""; 0]);
        }
    }
}

#[test]
fn records_that_no_longer_hold_what_we_wrote_stay() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.protect("mail.example.com", "MX", &["10 mx.elsewhere.example"]);
    simulation.protect("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=reject; rua=mailto:a@b.example\""]);
    simulation.operator.restart();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(left(&simulation), ["_dmarc.example.com TXT", "mail.example.com MX"]);
    simulation.no_harm();
}

/// The record sets, with their values and TTL.
fn zone(simulation: &Simulation) -> Vec<String> {
    let mut state = simulation.state();
    let sets = state.zones.zone(ZONE).sets.values();
    sets.map(|set| format!("{} {} {:?} {:?}", set.name, set.record_type, set.ttl, set.values)).collect()
}

fn tag(simulation: &Simulation, key: &str) -> Option<String> {
    simulation.identity()?.tags.get(key).cloned()
}

#[test]
fn retain_leaves_everything_and_says_so_in_a_tag() {
    let mut simulation = Simulation::settled(json!({"deletionPolicy": "Retain"}));
    let (records, aws) = (zone(&simulation), simulation.writes().0);
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(simulation.writes().0, aws + 1, "one tag");
    assert_eq!(tag(&simulation, "ses-operator.dev/released").as_deref(), Some("true"));
    assert_eq!(simulation.events("IdentityReleased").len(), 1);
    // Made anew from Git, it is the same owner, who has not to adopt what is its own.
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(hours(1));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert_eq!(simulation.writes().0, aws + 2, "the tag is taken off");
    assert_eq!(tag(&simulation, "ses-operator.dev/released"), None);
    assert_eq!(zone(&simulation), records);
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert_eq!(left(&simulation), [""; 0]);
    simulation.no_harm();
}

#[test]
fn what_was_retained_moves_to_another_cluster_that_adopts_it() {
    let mut simulation = Simulation::settled(json!({"deletionPolicy": "Retain"}));
    let records = zone(&simulation);
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    simulation.operator.settings.cluster_id = "cluster-2".to_owned();
    simulation.operator.restart();
    simulation.apply("moved", manifest(json!({})));
    simulation.pass(minutes(5));
    let stalled = simulation.condition_of("moved", "Stalled");
    assert!(
        stalled.contains("left behind by the SesDomain mail/example-com of the cluster cluster-1")
            && stalled.contains("set spec.adoptionPolicy to Adopt"),
        "{stalled}"
    );
    simulation.apply("moved", manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.pass(hours(1));
    assert!(simulation.condition_of("moved", "Ready").starts_with("True"), "{}", simulation.describe());
    assert_eq!(zone(&simulation), records);
    assert_eq!(tag(&simulation, "ses-operator.dev/cluster").as_deref(), Some("cluster-2"));
    assert_eq!(tag(&simulation, "ses-operator.dev/released"), None);
    // What is adopted is kept.
    simulation.delete("moved");
    simulation.pass(minutes(5));
    assert!(simulation.is_gone("moved"));
    assert_eq!(zone(&simulation), records, "{}", simulation.describe());
    assert!(simulation.identity().is_some_and(|identity| identity.mail_from.is_some()));
    simulation.no_harm();
}

#[test]
fn retain_waits_until_it_has_said_so_and_suspended_it_goes_without() {
    let mut simulation = Simulation::settled(json!({"deletionPolicy": "Retain"}));
    simulation.strike("ses:TagResource", 3, Strike::Refuse(ErrorKind::Unavailable));
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(tag(&simulation, "ses-operator.dev/released").as_deref(), Some("true"));
    let mut simulation = Simulation::settled(json!({}));
    let aws = simulation.writes().0;
    simulation.change(json!({"suspend": true}));
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(!simulation.is_gone(NAME));
    simulation.change(json!({"suspend": true, "deletionPolicy": "Retain"}));
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME), "Retain is honoured while deleting: {}", simulation.describe());
    assert_eq!(simulation.writes().0, aws);
}

#[test]
fn a_suspended_resource_says_why_it_does_not_go() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.change(json!({"suspend": true}));
    simulation.delete(NAME);
    simulation.pass(hours(2));
    assert!(!simulation.is_gone(NAME));
    assert!(simulation.condition("Stalled").contains("set suspend to false"), "{}", simulation.describe());
    simulation.change(json!({}));
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(left(&simulation), [""; 0]);
}

#[test]
fn what_was_suspended_from_its_birth_goes_at_once_whatever_others_have_there() {
    for is_foreign in [false, true] {
        let mut simulation = Simulation::new();
        if is_foreign {
            simulation.foreign_identity(&[("team", "other")]);
            simulation.protect("mail.example.com", "MX", &["10 feedback-smtp.eu-west-1.amazonses.com"]);
        }
        simulation.apply(NAME, manifest(json!({"suspend": true})));
        simulation.pass(hours(1));
        simulation.delete(NAME);
        simulation.pass(minutes(5));
        assert!(simulation.is_gone(NAME), "nothing was made for it: {}", simulation.describe());
        assert_eq!(simulation.writes().0, 0);
        simulation.no_harm();
    }
}

#[test]
fn records_in_a_zone_that_cant_be_told_any_more_hold_the_deletion_and_that_is_said() {
    for is_filtered in [false, true] {
        let mut simulation = Simulation::settled(json!({}));
        // The tags alone know of the records.
        simulation.api.edit(NAME, |resource| resource.status = None);
        if is_filtered {
            simulation.operator.settings.filters.zones = vec![ZoneId("Z7".to_owned())];
        } else {
            simulation.state().zones.add("Z2", "example.com");
        }
        simulation.operator.restart();
        simulation.delete(NAME);
        simulation.pass(hours(1));
        let stalled = simulation.condition("Stalled");
        let reason = if is_filtered { "Filtered" } else { "HostedZoneAmbiguous" };
        assert!(stalled.starts_with(&format!("True {reason}")), "{stalled}\n{}", simulation.describe());
        assert!(stalled.contains("spec.deletionPolicy to Retain"), "{stalled}");
        assert!(simulation.identity().is_some(), "its tags are the claim on the records");
        assert_eq!(left(&simulation).len(), 6);
        if is_filtered {
            simulation.operator.settings.filters.zones.clear();
            simulation.operator.restart();
        } else {
            simulation.state().remove_zone("Z2");
        }
        simulation.pass(hours(1));
        assert!(simulation.is_gone(NAME), "{}", simulation.describe());
        assert_eq!(left(&simulation), [""; 0]);
    }
}

#[test]
fn records_that_could_never_be_written_hold_no_deletion() {
    let mut simulation = Simulation::new();
    simulation.protect("_domainkey.example.com", "NS", &["ns.elsewhere.example"]);
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(hours(1));
    assert!(
        simulation.condition("Stalled").contains("_domainkey.example.com is delegated"),
        "{}",
        simulation.describe()
    );
    let tags = simulation.identity().expect("an identity").tags;
    assert_eq!(tags["ses-operator.dev/records"], "mx spf dmarc @mail");
    simulation.state().zones.add("Z2", "example.com");
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME), "{}", simulation.describe());
    assert_eq!(left(&simulation), [""; 0]);
    simulation.no_harm();
}

#[test]
fn an_identity_that_the_status_calls_adopted_stays_though_the_tag_was_taken_off() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[]);
    simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.until_ready();
    simulation.state().by_hand("example.com").identity.tags.remove("ses-operator.dev/adopted");
    simulation.pass(hours(25));
    assert_eq!(simulation.status().identity.map(|identity| identity.adopted), Some(true));
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME) && simulation.identity().is_some(), "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn records_of_two_zones_go() {
    let mut simulation = Simulation::new();
    simulation.state().zones.add("Z2", "mail.example.com");
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    simulation.state().remove_zone("Z2");
    simulation.operator.restart();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME), "{}", simulation.describe());
    assert_eq!(left(&simulation), [""; 0]);
}

#[test]
fn what_was_let_go_before_is_removed_too() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.state().delays.mail_from = (100_000, 100_000);
    simulation.change(json!({"mailFromSubdomain": "bounce"}));
    simulation.pass(hours(1));
    assert_eq!(left(&simulation).len(), 8, "old and new stand until the new is verified");
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert_eq!(left(&simulation), [""; 0]);
}
