//! Records that stood there before and say the same: used, or adopted.

use serde_json::{Value, json};
use ses_operator::api::status::{RecordOrigin, RecordPurpose};
use ses_operator::cloud::ErrorKind;
use ses_operator::ses::ownership::RECORDS;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, ZONE, days, hours, manifest, minutes};

/// A walk whose first record is what the consoles and the usual Terraform code publish.
fn walk(policy: &str) -> Value {
    let mut spec =
        json!({"adoptionPolicy": policy, "dmarcPolicy": {"aggregateReportUris": []}, "mxFailureBehavior": null});
    spec["dmarcPolicy"]["stages"] = json!([
        {"name": "monitor", "policy": "None", "minDuration": "30d"},
        {"name": "reject", "policy": "Reject"},
    ]);
    spec
}

/// What the SES console publishes, or with `verification` the usual Terraform code: an identity, its three CNAMEs, MX,
/// SPF and DMARC.
fn set_up_by_hand(verification: bool) -> Simulation {
    let simulation = Simulation::new();
    simulation.foreign_identity(&[("made-by", "hand")]);
    for name in simulation.dkim_names() {
        let token = name.split('.').next().unwrap_or_default().to_owned();
        simulation.protect(&name, "CNAME", &[&format!("{token}.dkim.amazonses.com")]);
    }
    if verification {
        simulation.protect("_amazonses.example.com", "TXT", &["\"pmBGN/7MjnfhTKUZ06Enqq1PeGUaOkw8lGhcfwefcHU=\""]);
    }
    simulation.protect("mail.example.com", "MX", &["10 feedback-smtp.eu-west-1.amazonses.com"]);
    simulation.protect("mail.example.com", "TXT", &["\"v=spf1 include:amazonses.com -all\""]);
    simulation.tamper("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=none;\""]);
    simulation
}

fn zone(simulation: &Simulation) -> Vec<String> {
    let mut state = simulation.state();
    let sets = state.zones.zone(ZONE).sets.values();
    sets.map(|set| format!("{} {} {:?} {:?}", set.name, set.record_type, set.ttl, set.values)).collect()
}

#[test]
fn what_console_and_terraform_made_becomes_ready_untouched_walks_to_reject_and_stays() {
    for verification in [false, true] {
        let mut simulation = set_up_by_hand(verification);
        let before = zone(&simulation);
        simulation.apply(NAME, manifest(walk("Adopt")));
        simulation.until_ready();
        simulation.pass(days(2));
        assert_eq!(zone(&simulation), before, "{}", simulation.describe());
        let records = simulation.status().records;
        let adopted = |record: &&_| {
            let ses_operator::api::status::RecordStatus { ours, origin, .. } = record;
            *ours && *origin == RecordOrigin::Adopted
        };
        assert_eq!(records.iter().filter(adopted).count(), 6, "{}", simulation.describe());
        simulation.rests();
        simulation.pass(days(30));
        assert_eq!(simulation.values("_dmarc.example.com", "TXT"), ["\"v=DMARC1; p=reject\""]);
        assert_eq!(simulation.events("RecordPutBack"), [""; 0], "the walk is no repair");
        let walked = zone(&simulation);
        simulation.delete(NAME);
        simulation.pass(minutes(5));
        assert!(simulation.is_gone(NAME));
        assert_eq!(zone(&simulation), walked, "what was there before stays");
        let identity = simulation.identity().expect("an adopted identity stays");
        assert!(identity.mail_from.is_some(), "its MX record stays too: {}", simulation.describe());
        simulation.no_harm();
    }
}

#[test]
fn the_readmes_manifest_with_adopt_becomes_ready_and_adds_its_report_address() {
    let mut simulation = set_up_by_hand(true);
    simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.until_ready();
    let with_reports = ["\"v=DMARC1; p=none; rua=mailto:dmarc@example.com\""];
    assert_eq!(simulation.values("_dmarc.example.com", "TXT"), with_reports, "{}", simulation.describe());
    simulation.pass(days(62));
    assert!(simulation.values("_dmarc.example.com", "TXT")[0].contains("p=reject"), "{}", simulation.describe());
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(simulation.values("_dmarc.example.com", "TXT").len(), 1, "what was there before stays");
    simulation.no_harm();
}

#[test]
fn a_policy_that_asks_for_something_else_than_reports_is_adopted_by_nobody() {
    for (theirs, adoption) in [
        ("\"v=DMARC1; p=none; rua=mailto:they@example.com\"", "Adopt"),
        ("\"v=DMARC1; p=none; adkim=s\"", "Adopt"),
        ("\"v=DMARC1; p=none\"", "Fail"),
    ] {
        let mut simulation = Simulation::new();
        simulation.protect("_dmarc.example.com", "TXT", &[theirs]);
        simulation.apply(NAME, manifest(json!({"adoptionPolicy": adoption})));
        simulation.pass(hours(1));
        assert!(simulation.condition("Stalled").contains("RecordConflict"), "{theirs}: {}", simulation.describe());
        simulation.no_harm();
    }
}

#[test]
fn dkim_records_that_stood_before_the_identity_was_made_stay() {
    for adoption in ["Fail", "Adopt"] {
        let mut simulation = Simulation::new();
        // SES gives an identity that is made anew its old tokens, and somebody's code has published their records.
        for token in ["k1n1", "k1n2", "k1n3"] {
            let value = format!("{token}.dkim.amazonses.com");
            simulation.protect(&format!("{token}._domainkey.example.com"), "CNAME", &[&value]);
        }
        simulation.apply(NAME, manifest(json!({"adoptionPolicy": adoption})));
        simulation.until_ready();
        assert_eq!(simulation.dkim_names()[0], "k1n1._domainkey.example.com");
        simulation.pass(hours(1));
        simulation.delete(NAME);
        simulation.pass(minutes(5));
        assert!(simulation.is_gone(NAME));
        simulation.no_harm();
    }
}

#[test]
fn where_some_dkim_records_stood_before_none_of_them_goes() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[]);
    let names = simulation.dkim_names();
    for name in &names[..2] {
        let token = name.split('.').next().unwrap_or_default().to_owned();
        simulation.protect(name, "CNAME", &[&format!("{token}.dkim.amazonses.com")]);
    }
    simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.until_ready();
    simulation.pass(hours(1));
    let origins: Vec<RecordOrigin> = simulation.status().records.iter().map(|entry| entry.origin).collect();
    assert_eq!(origins[..3], [RecordOrigin::Adopted; 3], "{}", simulation.describe());
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(simulation.values(&names[2], "CNAME").len(), 1, "the identity stays, and signs with it");
    simulation.no_harm();
}

#[test]
fn an_adopted_record_is_known_as_such_though_the_status_is_lost() {
    let mut simulation = set_up_by_hand(true);
    simulation.apply(NAME, manifest(walk("Adopt")));
    simulation.until_ready();
    simulation.pass(hours(1));
    let (before, aws) = (zone(&simulation), simulation.writes().0);
    simulation.api.edit(NAME, |resource| resource.status = None);
    simulation.operator.restart();
    simulation.pass(hours(1));
    assert!(simulation.status().records.iter().all(|entry| entry.origin == RecordOrigin::Adopted));
    assert_eq!(simulation.writes().0, aws, "nothing is written for it");
    simulation.api.edit(NAME, |resource| resource.status = None);
    simulation.operator.restart();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(zone(&simulation), before, "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn without_adoption_it_is_used_the_stall_is_announced_and_adoption_ends_it() {
    let mut simulation = Simulation::new();
    simulation.tamper("_dmarc.example.com", "TXT", &["\"v=DMARC1;p=none\""]);
    simulation.apply(NAME, manifest(walk("Fail")));
    simulation.until_ready();
    simulation.pass(days(2));
    let announced = simulation.condition("DmarcPublished");
    assert!(
        announced.starts_with("True") && announced.contains("set spec.adoptionPolicy to Adopt before"),
        "{announced}"
    );
    assert!(simulation.status().records.iter().any(|entry| !entry.ours));
    simulation.rests();
    simulation.pass(days(30));
    let stalled = simulation.condition("Stalled");
    assert!(stalled.contains("RecordConflict") && stalled.contains("set spec.adoptionPolicy to Adopt"), "{stalled}");
    assert_eq!(simulation.values("_dmarc.example.com", "TXT"), ["\"v=DMARC1;p=none\""]);
    simulation.change(walk("Adopt"));
    simulation.until_ready();
    assert_eq!(simulation.values("_dmarc.example.com", "TXT"), ["\"v=DMARC1; p=reject\""], "{}", simulation.describe());
    simulation.pass(hours(1));
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(simulation.values("_dmarc.example.com", "TXT"), ["\"v=DMARC1; p=reject\""], "adopted records stay");
}

#[test]
fn an_adopted_policy_that_loses_our_term_gets_it_back_and_keeps_the_rest() {
    let mut simulation = set_up_by_hand(false);
    simulation.apply(NAME, manifest(walk("Adopt")));
    simulation.until_ready();
    simulation.state().guard.protected.clear();
    simulation.tamper("mail.example.com", "TXT", &["\"v=spf1 include:elsewhere.example -all\""]);
    simulation.pass(hours(1));
    let merged = "\"v=spf1 include:elsewhere.example include:amazonses.com -all\"";
    assert_eq!(simulation.values("mail.example.com", "TXT"), [merged], "{}", simulation.describe());
}

#[test]
fn adopted_records_of_an_earlier_mail_from_label_stay() {
    let mut simulation = set_up_by_hand(false);
    simulation.apply(NAME, manifest(walk("Adopt")));
    simulation.until_ready();
    let mut fields = walk("Adopt");
    fields["mailFromSubdomain"] = json!("bounce");
    simulation.change(fields);
    simulation.pass(hours(3));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert_eq!(simulation.values("mail.example.com", "MX").len(), 1);
    simulation.rests();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert_eq!(simulation.values("bounce.example.com", "MX"), [""; 0], "what was made goes: {}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn an_earlier_labels_records_go_though_the_status_was_lost_on_the_way() {
    for (when, adoption) in [(1, "Fail"), (20, "Fail"), (20, "Adopt")] {
        let mut simulation = Simulation::settled(json!({"adoptionPolicy": adoption}));
        simulation.state().delays.mail_from = (1800, 1800);
        simulation.change(json!({"mailFromSubdomain": "bounce", "adoptionPolicy": adoption}));
        simulation.pass(minutes(when));
        simulation.api.edit(NAME, |resource| resource.status = None);
        simulation.operator.restart();
        assert_eq!(simulation.values("mail.example.com", "MX").len(), 1, "until the new one is verified");
        simulation.pass(hours(3));
        assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
        for record_type in ["MX", "TXT"] {
            assert_eq!(simulation.values("mail.example.com", record_type), [""; 0], "{}", simulation.describe());
            assert_eq!(simulation.values("bounce.example.com", record_type).len(), 1);
        }
        simulation.rests();
    }
}

#[test]
fn a_label_changed_in_git_while_the_status_was_lost_leaves_no_orphan() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.api.edit(NAME, |resource| {
        resource.status = None;
        resource.spec = manifest(json!({"mailFromSubdomain": "bounce"}));
    });
    simulation.operator.restart();
    simulation.pass(hours(3));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert_eq!(simulation.values("mail.example.com", "MX"), [""; 0], "{}", simulation.describe());
    // And where it is deleted before that.
    let mut simulation = Simulation::settled(json!({}));
    simulation.api.edit(NAME, |resource| {
        resource.status = None;
        resource.spec = manifest(json!({"mailFromSubdomain": "bounce"}));
    });
    simulation.operator.restart();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(zone(&simulation).len(), 1, "{}", simulation.describe());
}

#[test]
fn claims_that_no_tag_bears_out_are_made_anew_though_they_are_of_different_ages() {
    let mut simulation = set_up_by_hand(false);
    simulation.apply(NAME, manifest(walk("Adopt")));
    simulation.until_ready();
    simulation.pass(hours(2));
    let now = simulation.now();
    simulation.state().by_hand("example.com").identity.tags.insert(RECORDS.to_owned(), "dkim:adopted".to_owned());
    simulation.api.edit(NAME, |resource| {
        for entry in resource.status.iter_mut().flat_map(|status| &mut status.records) {
            match entry.purpose {
                RecordPurpose::MailFromMx => entry.since.0 = now,
                RecordPurpose::MailFromSpf => entry.since.0 = now - minutes(5),
                RecordPurpose::Dkim | RecordPurpose::Dmarc => {}
            }
        }
    });
    simulation.request("now");
    simulation.pass(hours(1));
    let tags = simulation.identity().expect("an identity").tags;
    assert_eq!(tags[RECORDS], "dkim:adopted mx:adopted spf:adopted dmarc:adopted @mail", "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn an_adopted_identity_that_was_deleted_is_ours_once_made_anew_whenever_the_operator_dies() {
    for call in 0..20 {
        let mut simulation = Simulation::new();
        simulation.foreign_identity(&[("made-by", "hand")]);
        simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
        simulation.until_ready();
        simulation.pass(hours(2));
        let key = simulation.key();
        simulation.state().remove_identity(&key);
        simulation.state().faults.add("", call, 1, Strike::DieAfter);
        simulation.request("now");
        simulation.pass(hours(2));
        let identity = simulation.status().identity.expect("an identity");
        assert!(!identity.adopted, "died at call {call}\n{}", simulation.describe());
        simulation.delete(NAME);
        simulation.pass(minutes(10));
        assert!(simulation.identity().is_none(), "died at call {call}: it is not left behind");
    }
}

#[test]
fn of_an_identity_made_anew_no_record_is_said_to_be_published_that_could_not_be_read() {
    for read in 0..6 {
        let mut simulation = Simulation::settled(json!({}));
        simulation.state().watches_words = true;
        let key = simulation.key();
        simulation.state().remove_identity(&key);
        simulation.strike("ses:CreateEmailIdentity", 1, Strike::DieAfter);
        let refused = Strike::Refuse(ErrorKind::Unavailable);
        simulation.state().faults.add("route53:ListResourceRecordSets", read, 1, refused);
        simulation.request("now");
        simulation.pass(hours(2));
        assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
        simulation.no_harm();
    }
}
