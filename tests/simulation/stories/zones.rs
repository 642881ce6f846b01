//! Which zone the records go to, and what is said where there is none or more than one.

use serde_json::json;
use ses_operator::cloud::ErrorKind;
use ses_operator::dns::ZoneId;
use ses_operator::domain_name::DomainName;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, hours, manifest, minutes};

#[test]
fn no_zone_stalls_and_a_zone_that_comes_later_is_found() {
    let mut simulation = Simulation::empty(1);
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(minutes(30));
    let condition = simulation.condition("Stalled");
    assert!(condition.starts_with("True HostedZoneNotFound: no public hosted zone was found for "), "{condition}");
    assert_eq!(simulation.writes().0, 0, "no identity whose records would have nowhere to go");
    let said = simulation.writes();
    simulation.pass(hours(5));
    assert_eq!(simulation.writes(), said, "a stalled resource is not said anew");
    simulation.state().zones.add("Z1", "example.com");
    simulation.until_condition("Reconciling", "True", minutes(3));
    simulation.until_ready();
    assert_eq!(simulation.condition("Stalled"), "");
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn two_zones_of_one_name_are_listed_and_the_spec_decides() {
    let mut simulation = Simulation::new();
    simulation.state().zones.add("Z2", "example.com");
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(minutes(10));
    let condition = simulation.condition("Stalled");
    assert!(condition.contains("HostedZoneAmbiguous") && condition.contains("Z1, Z2"), "{condition}");
    simulation.change(json!({"dns": {"route53": {"hostedZoneId": "Z1"}}}));
    simulation.until_ready();
    assert_eq!(simulation.values_in("Z2", "mail.example.com", "MX"), [""; 0]);
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn the_mail_from_name_in_a_zone_of_its_own_takes_two_batches() {
    let mut simulation = Simulation::new();
    simulation.state().zones.add("Z2", "mail.example.com");
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    assert_eq!(simulation.calls("route53:ChangeResourceRecordSets"), 2);
    assert_eq!(simulation.values_in("Z2", "mail.example.com", "MX").len(), 1);
    assert_eq!(simulation.values_in("Z1", "mail.example.com", "MX"), [""; 0]);
    let zones: Vec<String> = simulation.status().hosted_zones.iter().map(|zone| zone.id.clone()).collect();
    assert_eq!(zones, ["Z1", "Z2"], "the domain's own first");
    simulation.pass(hours(2));
    simulation.rests();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(simulation.values_in("Z2", "mail.example.com", "MX"), [""; 0]);
}

#[test]
fn a_zone_far_above_the_domain_and_wildcards_beside_ours_are_no_matter() {
    let mut simulation = Simulation::empty(1);
    simulation.state().zones.add("Z1", "com");
    simulation.protect("*.example.com", "TXT", &["\"wild\""]);
    simulation.protect("*.example.com", "MX", &["10 mx.elsewhere.example"]);
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn a_zone_too_large_for_one_listing_is_looked_up_by_name() {
    let mut simulation = Simulation::new();
    simulation.protect("a.example.com", "TXT", &["\"a\""]);
    simulation.protect("b.example.com", "TXT", &["\"b\""]);
    simulation.state().zones.zone("Z1").page = 3;
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    simulation.pass(hours(2));
    simulation.rests();
    simulation.tamper("mail.example.com", "TXT", &[]);
    simulation.pass(minutes(61));
    assert_eq!(simulation.values("mail.example.com", "TXT").len(), 1);
}

#[test]
fn what_hides_our_names_is_seen_in_a_large_zone_too() {
    for (domain, hides, record_type) in [
        ("example.com", "_domainkey.example.com", "NS"),
        ("example.com", "eu.example.com", "CNAME"),
        ("a.shop.example.com", "shop.example.com", "NS"),
        ("a.shop.example.com", "_domainkey.a.shop.example.com", "CNAME"),
    ] {
        let mut simulation = Simulation::new();
        for number in 0..40 {
            simulation.tamper(&format!("a{number}.{domain}"), "TXT", &["\"a\""]);
        }
        simulation.protect(hides, record_type, &["elsewhere.example"]);
        simulation.state().zones.zone("Z1").page = 3;
        simulation.apply(NAME, manifest(json!({"domain": domain, "mailFromSubdomain": "bounce.eu"})));
        simulation.pass(minutes(1));
        let stalled = simulation.condition("Stalled");
        assert!(
            stalled.starts_with("True RecordConflict") && stalled.contains(hides),
            "{hides}: {}",
            simulation.describe()
        );
        simulation.no_harm();
    }
}

#[test]
fn a_zone_that_was_deleted_stalls_and_a_new_one_is_filled() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.state().remove_zone("Z1");
    simulation.pass(minutes(61));
    assert!(simulation.condition("Stalled").contains("HostedZoneNotFound"), "{}", simulation.describe());
    simulation.state().zones.add("Z9", "example.com");
    simulation.until_condition("Ready", "True", hours(80));
    assert_eq!(simulation.values_in("Z9", "mail.example.com", "MX").len(), 1);
    simulation.pass(hours(2));
    simulation.rests();
}

/// Everything that the domain has in a zone.
fn sets_in(simulation: &Simulation, zone: &str) -> usize {
    simulation.state().zones.zone(zone).sets.len() - 1
}

#[test]
fn a_new_zone_that_can_not_be_read_is_not_believed_to_hold_what_the_old_one_held() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.state().remove_zone("Z1");
    simulation.state().zones.add("Z9", "example.com");
    simulation.strike_object("route53:ListResourceRecordSets", "Z9", 3, Strike::Refuse(ErrorKind::Busy));
    simulation.api.kept().history = Some(Vec::new());
    simulation.request("now");
    simulation.pass(hours(2));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    let kept = simulation.api.kept();
    let first = &kept.history.iter().flatten().next().expect("a status").2;
    let said = |about: &str| first.conditions.iter().find(|said| said.type_ == about).map(|said| said.status.clone());
    assert_eq!(said("DmarcPublished").as_deref(), Some("Unknown"));
}

#[test]
fn records_move_when_the_spec_names_another_zone_and_stay_in_the_old_one_while_it_may_be_asked() {
    for is_restarted in [false, true] {
        let mut simulation = Simulation::settled(json!({"dns": {"route53": {"hostedZoneId": "Z1"}}}));
        simulation.state().zones.add("Z2", "example.com");
        simulation.change(json!({"dns": {"route53": {"hostedZoneId": "Z2"}}}));
        // The registrar names the new one a day later, and some remember the old one until the next.
        simulation.pass(hours(24));
        assert_eq!((sets_in(&simulation, "Z1"), sets_in(&simulation, "Z2")), (6, 6), "{}", simulation.describe());
        assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
        let told = simulation.condition("RecordsPublished");
        assert!(told.contains("those in the hosted zone Z1 stay until 2027-01-17T1"), "{told}");
        let looks = simulation.operator.reconciles;
        {
            let mut state = simulation.state();
            state.zones.zone("Z2").delegated = true;
            state.zones.zone("Z1").delegated = false;
        }
        if is_restarted {
            simulation.operator.restart();
        }
        simulation.pass(hours(23));
        assert_eq!(sets_in(&simulation, "Z1"), 6);
        assert!(
            simulation.operator.reconciles - looks <= 5,
            "it is at rest: {}",
            simulation.operator.reconciles - looks
        );
        simulation.pass(hours(2));
        assert_eq!((sets_in(&simulation, "Z1"), sets_in(&simulation, "Z2")), (0, 6), "{}", simulation.describe());
        assert!(!simulation.condition("RecordsPublished").contains("Z1"));
        assert_eq!(simulation.status().records.len(), 6);
        simulation.rests();
        simulation.no_harm();
    }
}

#[test]
fn a_domain_that_is_deleted_while_it_moves_leaves_nothing_in_either_zone() {
    let mut simulation = Simulation::settled(json!({"dns": {"route53": {"hostedZoneId": "Z1"}}}));
    simulation.state().zones.add("Z2", "example.com");
    simulation.change(json!({"dns": {"route53": {"hostedZoneId": "Z2"}}}));
    simulation.pass(hours(12));
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!((sets_in(&simulation, "Z1"), sets_in(&simulation, "Z2")), (0, 0), "{}", simulation.describe());
}

#[test]
fn equal_records_that_stand_in_another_zone_already_stay_theirs_when_ours_move_there() {
    let mut simulation = Simulation::settled(json!({"dns": {"route53": {"hostedZoneId": "Z1"}}}));
    let sets: Vec<_> = simulation.state().zones.zone("Z1").sets.values().cloned().collect();
    simulation.state().zones.add("Z2", "example.com");
    // Copied by a person, as one does before a zone moves.
    for set in sets.iter().filter(|set| set.record_type.as_str() != "NS") {
        let (name, record_type) = (set.name.as_str(), set.record_type.as_str());
        let values: Vec<&str> = set.values.iter().map(String::as_str).collect();
        simulation.tamper_in("Z2", name, record_type, &values);
        simulation.protect_values_in("Z2", name, record_type, &values);
    }
    simulation.change(json!({"dns": {"route53": {"hostedZoneId": "Z2"}}}));
    simulation.pass(hours(1));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    {
        let mut state = simulation.state();
        state.zones.zone("Z2").delegated = true;
        state.zones.zone("Z1").delegated = false;
    }
    simulation.pass(hours(72));
    simulation.delete(NAME);
    simulation.pass(minutes(15));
    assert!(simulation.is_gone(NAME), "{}", simulation.describe());
    let left = simulation.state().zones.zone("Z1").sets.len();
    assert_eq!(left, 1, "ours went\n{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn filters_bound_what_may_be_asked_for() {
    let mut simulation = Simulation::new();
    simulation.operator.settings.filters.domains = vec![DomainName::new("example.org")];
    simulation.operator.restart();
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(minutes(10));
    assert!(simulation.condition("Stalled").contains("--domain-filter"), "{}", simulation.condition("Stalled"));
    assert_eq!(simulation.calls_of("ses") + simulation.calls_of("route53"), 0);
    simulation.operator.settings.filters.domains.clear();
    simulation.operator.settings.filters.excluded = vec![DomainName::new("com")];
    simulation.operator.restart();
    simulation.pass(minutes(10));
    assert!(simulation.condition("Stalled").contains("--exclude-domain"), "{}", simulation.condition("Stalled"));
    simulation.operator.settings.filters.excluded.clear();
    simulation.operator.settings.filters.zones = vec![ZoneId("Z7".to_owned())];
    simulation.operator.restart();
    simulation.pass(minutes(10));
    assert!(simulation.condition("Stalled").contains("--zone-filter"), "{}", simulation.condition("Stalled"));
    assert_eq!(simulation.writes().0, 0);
    simulation.operator.settings.filters.zones = vec![ZoneId("Z1".to_owned())];
    simulation.operator.restart();
    simulation.until_ready();
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn a_filter_that_comes_later_freezes_and_lets_go_without_a_loss() {
    let mut simulation = Simulation::settled(json!({}));
    let before = simulation.end();
    simulation.operator.settings.filters.excluded = vec![DomainName::new("example.com")];
    simulation.operator.restart();
    simulation.pass(hours(3));
    assert!(simulation.is("Stalled", "True"));
    let aws = simulation.writes().0;
    simulation.operator.settings.filters.excluded.clear();
    simulation.operator.restart();
    simulation.pass(hours(3));
    assert_eq!(simulation.writes().0, aws, "nothing is written in AWS");
    assert_eq!(simulation.end(), before);
    simulation.rests();
}

#[test]
fn a_zone_of_its_own_that_nothing_delegates_to_costs_the_old_records_nothing() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.state().zones.add("Z2", "mail.example.com").delegated = false;
    simulation.pass(hours(4));
    assert_eq!(simulation.values_in("Z2", "mail.example.com", "MX").len(), 1, "{}", simulation.describe());
    assert_eq!(simulation.values_in("Z1", "mail.example.com", "MX").len(), 1, "the world still asks there");
    simulation.no_harm();
    simulation.state().zones.zone("Z2").delegated = true;
    simulation.tamper_in("Z1", "mail.example.com", "NS", &["ns-1.awsdns-02.org."]);
    simulation.pass(hours(4));
    assert_eq!(simulation.values_in("Z1", "mail.example.com", "MX"), [""; 0], "delegated: nobody asks there any more");
}

#[test]
fn a_new_zone_that_cant_be_read_costs_the_old_records_nothing() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.state().zones.add("Z2", "mail.example.com");
    simulation.strike_object("route53:ListResourceRecordSets", "Z2", 1000, Strike::Refuse(ErrorKind::Denied));
    simulation.pass(hours(4));
    assert_eq!(simulation.values_in("Z1", "mail.example.com", "MX").len(), 1);
    simulation.no_harm();
}
