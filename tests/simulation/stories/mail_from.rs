//! The MAIL FROM domain, and RejectMessage only once it is verified.

use jiff::SignedDuration;
use serde_json::json;
use ses_operator::api::spec::MxFailureBehavior;
use ses_operator::cloud::ErrorKind;
use ses_operator::domain_name::DomainName;
use ses_operator::ses::VerificationStatus;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, ZONE, days, hours, manifest, minutes};

fn behavior(simulation: &Simulation) -> Option<MxFailureBehavior> {
    simulation.identity()?.mail_from.map(|mail_from| mail_from.behavior)
}

#[test]
fn reject_message_follows_the_verification() {
    let mut simulation = Simulation::new();
    simulation.state().delays.mail_from = (3600, 3600);
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(minutes(30));
    assert_eq!(behavior(&simulation), Some(MxFailureBehavior::UseDefaultValue));
    let condition = simulation.condition("MailFromVerified");
    assert!(condition.contains("UseDefaultValue is in force, and RejectMessage follows"), "{condition}");
    simulation.until_ready();
    assert_eq!(behavior(&simulation), Some(MxFailureBehavior::RejectMessage));
    assert!(simulation.condition("MailFromVerified").ends_with("mxFailureBehavior RejectMessage is in force"));
    simulation.rests();
}

#[test]
fn a_put_that_waited_long_for_its_turn_is_waited_for_from_when_it_was_made() {
    const PUT: &str = "ses:PutEmailIdentityMailFromAttributes";
    let mut simulation = Simulation::new();
    simulation.state().delays.mail_from = (7200, 7200);
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(SignedDuration::from_secs(30));
    simulation.state().delays.travel = (100_000, 100_000);
    assert!(simulation.until(hours(1), |simulation| simulation.calls(PUT) == 1));
    let put_at = simulation.now();
    simulation.state().delays.travel = (0, 0);
    assert!(simulation.until(hours(1), |simulation| simulation.status().mail_from.is_some()));
    let since = simulation.status().mail_from.expect("it is set").since.0;
    assert!(since >= put_at, "it was put at {put_at}, and is said to be so since {since}");
    let polled = simulation.calls("ses:GetEmailIdentity");
    simulation.pass(since.duration_since(simulation.now()) + minutes(16));
    assert_eq!(simulation.calls("ses:GetEmailIdentity"), polled + 4, "after 1, 2, 4 and 8 minutes");
}

#[test]
fn a_changed_behavior_is_put_and_said() {
    let mut simulation = Simulation::settled(json!({"mxFailureBehavior": null}));
    assert_eq!(behavior(&simulation), Some(MxFailureBehavior::UseDefaultValue));
    simulation.change(json!({}));
    simulation.pass(minutes(2));
    assert_eq!(behavior(&simulation), Some(MxFailureBehavior::RejectMessage));
    simulation.change(json!({"mxFailureBehavior": "UseDefaultValue"}));
    simulation.pass(minutes(2));
    assert_eq!(behavior(&simulation), Some(MxFailureBehavior::UseDefaultValue));
    simulation.rests();
}

#[test]
fn a_behavior_that_nobody_asked_for_stays_as_it_was_found_and_one_that_was_asked_for_goes() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[]);
    simulation.protect("mail.example.com", "MX", &["10 feedback-smtp.eu-west-1.amazonses.com"]);
    {
        let mut state = simulation.state();
        let now = state.now();
        let put = Some((DomainName::new("mail.example.com"), MxFailureBehavior::UseDefaultValue));
        state.by_hand("example.com").put_mail_from(put, now, true);
    }
    simulation.pass(hours(2));
    let mail_from = simulation.identity().and_then(|identity| identity.mail_from).expect("it was put");
    assert_eq!(mail_from.status, VerificationStatus::Success);
    {
        let mut state = simulation.state();
        let now = state.now();
        let put = Some((DomainName::new("mail.example.com"), MxFailureBehavior::RejectMessage));
        state.by_hand("example.com").put_mail_from(put, now, true);
    }
    let adopts = json!({"adoptionPolicy": "Adopt", "mxFailureBehavior": null});
    simulation.apply(NAME, manifest(adopts.clone()));
    simulation.until_ready();
    simulation.pass(hours(25));
    assert_eq!(behavior(&simulation), Some(MxFailureBehavior::RejectMessage), "{}", simulation.describe());
    assert!(simulation.condition("MailFromVerified").ends_with("mxFailureBehavior RejectMessage is in force"));
    assert_eq!(simulation.calls("ses:PutEmailIdentityMailFromAttributes"), 0);
    simulation.rests();
    // Once it was asked for, it is taken back.
    simulation.change(json!({"adoptionPolicy": "Adopt"}));
    simulation.pass(minutes(10));
    simulation.change(adopts);
    simulation.pass(minutes(10));
    assert_eq!(behavior(&simulation), Some(MxFailureBehavior::UseDefaultValue), "{}", simulation.describe());
    simulation.rests();
}

#[test]
fn a_changed_subdomain_is_verified_before_it_may_refuse_mail_and_the_old_records_go() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.change(json!({"mailFromSubdomain": "bounce.eu"}));
    simulation.until_condition("MailFromVerified", "False", minutes(5));
    simulation.until_ready();
    simulation.pass(hours(1));
    let mail_from = simulation.identity().and_then(|identity| identity.mail_from).expect("a MAIL FROM domain");
    assert_eq!(mail_from.domain.as_str(), "bounce.eu.example.com");
    assert_eq!(mail_from.behavior, MxFailureBehavior::RejectMessage);
    for record_type in ["MX", "TXT"] {
        assert_eq!(simulation.values("mail.example.com", record_type), [""; 0]);
        assert_eq!(simulation.values("bounce.eu.example.com", record_type).len(), 1);
    }
    simulation.rests();
}

#[test]
fn a_removed_subdomain_returns_to_ses_default_and_its_records_go() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.protect("other.example.com", "TXT", &["\"other\""]);
    simulation.change(json!({"mailFromSubdomain": null, "mxFailureBehavior": null}));
    simulation.pass(hours(1));
    assert_eq!(behavior(&simulation), None, "{}", simulation.describe());
    for record_type in ["MX", "TXT"] {
        assert_eq!(simulation.values("mail.example.com", record_type), [""; 0]);
    }
    assert_eq!(simulation.condition("MailFromVerified"), "");
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert_eq!(simulation.status().records.len(), 4);
    simulation.rests();
}

#[test]
fn a_subdomain_removed_before_it_was_verified_goes_too() {
    let mut simulation = Simulation::new();
    simulation.state().delays.mail_from = (days(1).as_secs(), days(1).as_secs());
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(minutes(30));
    assert!(behavior(&simulation).is_some());
    simulation.change(json!({"mailFromSubdomain": null, "mxFailureBehavior": null}));
    simulation.pass(hours(2));
    assert_eq!(behavior(&simulation), None);
    assert_eq!(simulation.values("mail.example.com", "MX"), [""; 0], "{}", simulation.describe());
    simulation.rests();
}

#[test]
fn a_second_mx_is_taken_out_again() {
    let mut simulation = Simulation::settled(json!({}));
    let ours = "10 feedback-smtp.eu-west-1.amazonses.com";
    simulation.tamper("mail.example.com", "MX", &[ours, "20 mx.elsewhere.example"]);
    simulation.pass(hours(2));
    assert_eq!(simulation.values("mail.example.com", "MX"), [ours]);
    simulation.until_ready();
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn ses_that_refuses_mail_from_until_dkim_is_verified_is_asked_again() {
    let mut simulation = Simulation::new();
    simulation.state().delays.mail_from_needs_dkim = true;
    simulation.state().delays.dkim = (3600, 3600);
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_condition("DkimVerified", "True", hours(5));
    let ready = simulation.until(hours(3), |simulation| simulation.is("Ready", "True"));
    assert!(ready, "{}", simulation.describe());
    assert_eq!(simulation.events("Rejected").len(), 0, "a wait is no matter for a person");
    simulation.rests();
}

#[test]
fn an_old_subdomains_records_go_though_another_record_conflicts_and_stay_while_a_zone_can_not_be_read() {
    let mut simulation = Simulation::new();
    simulation.state().zones.add("Z2", "mail.example.com");
    simulation.apply(NAME, manifest(json!({"dmarcPolicy": null})));
    simulation.until_ready();
    simulation.protect("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=none; rua=mailto:a@b.example\""]);
    simulation.strike_object("route53:ListResourceRecordSets", ZONE, 1000, Strike::Refuse(ErrorKind::Unavailable));
    simulation.operator.restart();
    simulation.change(json!({"mailFromSubdomain": "bounce"}));
    simulation.pass(hours(2));
    assert_eq!(simulation.values_in("Z2", "mail.example.com", "MX").len(), 1, "{}", simulation.describe());
    simulation.state().faults.clear();
    simulation.pass(hours(2));
    assert!(simulation.condition("Stalled").contains("RecordConflict"), "{}", simulation.describe());
    assert!(simulation.is("MailFromVerified", "True"), "{}", simulation.describe());
    assert_eq!(simulation.values_in("Z2", "mail.example.com", "MX"), [""; 0], "{}", simulation.describe());
    simulation.rests();
}
