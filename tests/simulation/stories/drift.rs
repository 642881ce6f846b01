//! What others change behind our back: seen, told, put back, and left alone where they insist.

use jiff::SignedDuration;
use serde_json::json;
use ses_operator::api::spec::MxFailureBehavior;
use ses_operator::cloud::ErrorKind;
use ses_operator::domain_name::DomainName;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, hours, minutes};

#[test]
fn the_spf_record_is_missed_while_ses_says_success() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.tamper("mail.example.com", "TXT", &[]);
    simulation.until_condition("RecordsPublished", "False", minutes(61));
    assert!(simulation.is("MailFromVerified", "True"));
    assert!(simulation.is("Ready", "False"));
    simulation.until_condition("Ready", "True", minutes(5));
    assert_eq!(simulation.values("mail.example.com", "TXT"), ["\"v=spf1 include:amazonses.com ~all\""]);
    assert_eq!(simulation.events("RecordPutBack").len(), 1);
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn every_kind_of_record_is_put_back_whatever_was_done_to_it() {
    let mut simulation = Simulation::settled(json!({}));
    let dkim = simulation.dkim_names().remove(0);
    for (name, record_type, rival) in [
        (dkim.as_str(), "CNAME", "elsewhere.example"),
        ("mail.example.com", "MX", "10 mx.elsewhere.example"),
        ("mail.example.com", "TXT", "\"v=spf1 -all\""),
        ("_dmarc.example.com", "TXT", "\"v=DMARC1; p=none; rua=mailto:x@elsewhere.example\""),
    ] {
        let ours = simulation.values(name, record_type);
        for rival in [vec![rival], vec![]] {
            simulation.tamper(name, record_type, &rival);
            simulation.pass(minutes(61));
            assert_eq!(simulation.values(name, record_type), ours, "{name} {record_type} after {rival:?}");
            simulation.pass(hours(6));
            assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
        }
    }
    let events = simulation.events("RecordPutBack");
    assert_eq!(events.len(), 8, "{events:#?}");
    simulation.rests();
}

#[test]
fn a_stronger_dmarc_record_of_somebody_else_is_drift_and_not_weakened_in_silence() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.tamper("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=reject\""]);
    simulation.pass(minutes(61));
    let events = simulation.events("RecordPutBack");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("\"v=DMARC1; p=reject\""), "{events:?}");
}

#[test]
fn a_foreign_value_beside_ours_survives_the_repair() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.protect("mail.example.com", "TXT", &["\"site-verification=1\""]);
    simulation.pass(hours(1));
    assert_eq!(simulation.values("mail.example.com", "TXT").len(), 2, "{}", simulation.describe());
    simulation.rests();
}

#[test]
fn a_record_put_back_three_times_within_an_hour_is_left_alone_for_an_hour() {
    let mut simulation = Simulation::settled(json!({}));
    let name = simulation.dkim_names().remove(0);
    simulation.state().delays.notice = (86_400, 86_400);
    let mut looks = 0;
    while !simulation.is("Stalled", "True") {
        simulation.tamper(&name, "CNAME", &["rival.example"]);
        looks += 1;
        simulation.request(&looks.to_string());
        simulation.pass(minutes(4));
        assert!(looks < 8, "{}", simulation.describe());
    }
    assert_eq!(looks, 4, "three repairs, and the fourth is not made");
    assert_eq!(simulation.reason("Ready"), "Contended");
    assert!(simulation.condition("Stalled").contains("rival.example"), "{}", simulation.condition("Stalled"));
    let writes = simulation.writes();
    simulation.pass(minutes(40));
    assert_eq!(simulation.values(&name, "CNAME"), ["rival.example"], "it is left alone");
    assert_eq!(simulation.writes(), writes, "and nothing is said anew:\n{}", simulation.describe());
    simulation.pass(minutes(30));
    assert_ne!(simulation.values(&name, "CNAME"), ["rival.example"], "an hour later it is put back again");
    simulation.pass(hours(6));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    simulation.rests();
}

type Edit = fn(&mut ses_operator::ses::Identity);

#[test]
fn attributes_that_others_change_are_put_back_with_an_event() {
    let spec = json!({
        "feedbackForwarding": "Disabled", "configurationSetName": "set-1", "tags": {"team": "mail"},
    });
    let edits: [(&str, Edit); 6] = [
        ("feedback forwarding", |identity| identity.feedback_forwarding = true),
        ("the configuration set", |identity| identity.configuration_set = None),
        ("the configuration set", |identity| identity.configuration_set = Some("other".to_owned())),
        ("tags", |identity| {
            identity.tags.remove("team");
        }),
        ("tags", |identity| {
            identity.tags.insert("team".to_owned(), "other".to_owned());
        }),
        ("the MAIL FROM settings", |identity| {
            identity.mail_from.as_mut().expect("a MAIL FROM domain").behavior = MxFailureBehavior::UseDefaultValue;
        }),
    ];
    for (what, edit) in edits {
        let mut simulation = Simulation::settled(spec.clone());
        let before = simulation.identity();
        edit(&mut simulation.state().by_hand("example.com").identity);
        simulation.pass(hours(24));
        assert_eq!(simulation.identity(), before, "{what}");
        let events = simulation.events("IdentityPutBack");
        assert!(events.len() == 1 && events[0].starts_with(what), "{what}: {events:?}");
        simulation.pass(hours(2));
        simulation.rests();
    }
}

#[test]
fn a_mail_from_domain_that_others_cleared_is_put_back_and_contended_where_they_insist() {
    let mut simulation = Simulation::settled(json!({}));
    let mut looks = 0;
    while !simulation.is("Stalled", "True") {
        simulation.state().by_hand("example.com").identity.mail_from = None;
        looks += 1;
        simulation.request(&looks.to_string());
        simulation.pass(minutes(4));
        assert!(looks < 8, "{}", simulation.describe());
    }
    assert_eq!(looks, 4, "{}", simulation.describe());
    assert_eq!(simulation.reason("Ready"), "Contended");
    let writes = simulation.writes();
    simulation.pass(minutes(40));
    assert_eq!(simulation.writes(), writes, "{}", simulation.describe());
    simulation.pass(hours(24));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    simulation.rests();
}

#[test]
fn another_mail_from_domain_is_put_back() {
    let mut simulation = Simulation::settled(json!({}));
    {
        let mut state = simulation.state();
        let now = state.now();
        let held = state.by_hand("example.com");
        held.put_mail_from(Some((DomainName::new("x.example.com"), MxFailureBehavior::UseDefaultValue)), now, true);
    }
    simulation.pass(hours(24));
    let domain = simulation.identity().and_then(|identity| identity.mail_from).map(|found| found.domain.to_string());
    assert_eq!(domain.as_deref(), Some("mail.example.com"));
    simulation.until_ready();
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn an_identity_that_others_deleted_is_made_again_and_old_tokens_go() {
    let mut simulation = Simulation::settled(json!({}));
    let key = simulation.key();
    simulation.state().remove_identity(&key);
    simulation.pass(minutes(16));
    assert!(simulation.identity().is_some(), "{}", simulation.describe());
    simulation.until_ready();
    simulation.pass(hours(2));
    let names: Vec<String> = simulation.status().records.iter().map(|entry| entry.name.clone()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    simulation.rests();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
}

#[test]
fn a_request_to_look_now_is_answered() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.tamper("mail.example.com", "TXT", &[]);
    simulation.request("now");
    simulation.pass(minutes(3));
    assert_eq!(simulation.values("mail.example.com", "TXT").len(), 1);
    assert_eq!(simulation.status().last_handled_reconcile_at.as_deref(), Some("now"));
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn a_request_to_look_now_is_not_answered_by_a_look_at_nothing() {
    for kind in [ErrorKind::Throttled, ErrorKind::Denied] {
        let mut simulation = Simulation::settled(json!({}));
        simulation.strike("ses:GetEmailIdentity", 3, Strike::Refuse(kind));
        simulation.request("now");
        simulation.pass(SignedDuration::from_secs(1));
        assert_eq!(simulation.status().last_handled_reconcile_at, None, "{kind:?}");
        // It is known to the next one too.
        simulation.operator.restart();
        simulation.pass(minutes(3));
        assert_eq!(simulation.status().last_handled_reconcile_at.as_deref(), Some("now"), "{kind:?}");
    }
}

#[test]
fn a_rival_that_never_rests_is_called_one_at_the_operators_own_pace() {
    let mut simulation = Simulation::settled(json!({}));
    let name = simulation.dkim_names()[0].clone();
    for _ in 0..80 {
        simulation.tamper(&name, "CNAME", &["rival.example.org"]);
        simulation.pass(minutes(1));
    }
    assert_eq!(simulation.reason("Stalled"), "Contended", "{}", simulation.describe());
    assert!(simulation.condition("Stalled").contains("rival.example.org"));
    assert_eq!(simulation.events("RecordPutBack").len(), 3, "left alone for an hour after the third");
}
