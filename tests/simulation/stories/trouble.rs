//! Errors of AWS at every operation: the status says it, and later all is well.

use serde_json::json;
use ses_operator::cloud::ErrorKind;

use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, hours, manifest, minutes};

#[test]
fn every_error_of_every_operation_is_said_and_overcome() {
    let operations = [
        "ses:GetEmailIdentity",
        "ses:CreateEmailIdentity",
        "ses:PutEmailIdentityMailFromAttributes",
        "route53:ListHostedZonesByName",
        "route53:ListResourceRecordSets",
        "route53:ChangeResourceRecordSets",
    ];
    let kinds = [
        (ErrorKind::Throttled, "Throttled", "Reconciling"),
        (ErrorKind::Unavailable, "AwsUnavailable", "Reconciling"),
        (ErrorKind::Denied, "AccessDenied", "Stalled"),
        (ErrorKind::Rejected, "Rejected", "Stalled"),
        (ErrorKind::QuotaExceeded, "QuotaExceeded", "Stalled"),
        (ErrorKind::NotLeading, "Progressing", "Reconciling"),
    ];
    for operation in operations {
        for (kind, reason, progress) in kinds {
            let case = format!("{kind:?} at {operation}");
            let mut simulation = Simulation::new();
            simulation.state().delays.dkim = (10, 10);
            simulation.strike(operation, 1000, Strike::Refuse(kind));
            simulation.apply(NAME, manifest(json!({})));
            let said = simulation.until(hours(2), |simulation| simulation.condition("Ready").contains(operation));
            assert!(said, "{case} is not said\n{}", simulation.describe());
            simulation.pass(hours(1));
            let condition = simulation.condition("Ready");
            assert!(condition.starts_with(&format!("False {reason}: {operation} for ")), "{case}: {condition}");
            assert!(simulation.is(progress, "True"), "{case}\n{}", simulation.describe());
            let writes = simulation.writes();
            simulation.pass(hours(1));
            assert_eq!(simulation.writes(), writes, "{case}: said once\n{}", simulation.describe());
            simulation.state().faults.clear();
            simulation.until_ready();
            simulation.pass(hours(2));
            simulation.rests();
        }
    }
}

#[test]
fn what_was_true_of_the_last_spec_is_not_said_of_the_next_one_while_aws_can_not_be_asked() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.strike("route53:ListHostedZonesByName", 1000, Strike::Refuse(ErrorKind::Unavailable));
    simulation.change(json!({"mailFromSubdomain": "bounce", "dmarcPolicy": {"activeStage": "reject"}}));
    simulation.pass(minutes(20));
    for about in ["RecordsPublished", "DmarcPublished"] {
        assert!(simulation.condition(about).starts_with("Unknown AwsUnavailable"), "{}", simulation.describe());
    }
    assert!(simulation.is("DkimVerified", "True"), "no spec changes that");
    simulation.state().faults.clear();
    simulation.until_ready();
}

#[test]
fn a_zone_that_can_not_be_read_hides_nothing_of_what_is_on_its_way_in_another() {
    let mut simulation = Simulation::empty(1);
    simulation.state().zones.add("Z1", "example.com");
    simulation.state().zones.add("Z2", "mail.example.com");
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    simulation.pass(hours(2));
    simulation.strike_object("route53:ListResourceRecordSets", "Z2", 1000, Strike::Refuse(ErrorKind::Unavailable));
    simulation.change(json!({"dmarcPolicy": {"activeStage": "reject"}}));
    let written = simulation.until(minutes(20), |simulation| simulation.reason("DmarcPublished") == "ChangePending");
    assert!(written, "{}", simulation.describe());
    assert_eq!(simulation.reason("RecordsPublished"), "ChangePending", "{}", simulation.describe());
}

#[test]
fn a_domain_that_works_goes_on_being_ready_while_aws_can_not_be_asked() {
    for kind in [ErrorKind::Throttled, ErrorKind::Unavailable] {
        for operation in ["ses:GetEmailIdentity", "route53:ListHostedZonesByName", "route53:ListResourceRecordSets"] {
            let mut simulation = Simulation::settled(json!({}));
            let writes = simulation.writes();
            simulation.strike(operation, 40, Strike::Refuse(kind));
            simulation.pass(hours(1));
            simulation.operator.restart();
            simulation.pass(hours(4));
            let case = format!("{kind:?} at {operation}");
            assert!(simulation.is("Ready", "True"), "{case}\n{}", simulation.describe());
            assert_eq!(simulation.writes(), writes, "{case}\n{}", simulation.describe());
            simulation.rests();
        }
    }
}

#[test]
fn a_permission_that_is_taken_away_is_said_of_a_domain_that_works() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.strike("route53:ListResourceRecordSets", 1000, Strike::Refuse(ErrorKind::Denied));
    simulation.pass(hours(1));
    let stalled = simulation.condition("Stalled");
    assert!(stalled.contains("AccessDenied") && stalled.contains("IAM role"), "{}", simulation.describe());
    assert!(simulation.is("DkimVerified", "True"), "what was not denied is still known");
    simulation.state().faults.clear();
    simulation.pass(minutes(10));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    simulation.pass(hours(2));
    simulation.rests();
}

#[test]
fn a_journal_that_can_not_be_written_stops_all_changes() {
    let mut simulation = Simulation::new();
    simulation.strike("api:PatchStatus", 20, Strike::Refuse(ErrorKind::Unavailable));
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(minutes(1));
    assert_eq!(simulation.writes().0, 0, "nothing is made that is not written down before");
    simulation.until_ready();
    simulation.no_harm();
}

#[test]
fn one_bad_domain_does_not_hold_up_another() {
    let mut simulation = Simulation::new();
    simulation.state().zones.add("Z2", "example.org");
    simulation.apply("bad", manifest(json!({"domain": "example.net"})));
    simulation.apply(NAME, manifest(json!({})));
    simulation.apply("org", manifest(json!({"domain": "example.org"})));
    simulation.until_ready();
    assert!(simulation.until(hours(20), |simulation| simulation.condition_of("org", "Ready").starts_with("True")));
    assert!(simulation.condition_of("bad", "Stalled").contains("HostedZoneNotFound"));
}

#[test]
fn a_change_that_may_not_be_asked_for_is_told() {
    let mut simulation = Simulation::new();
    simulation.strike("route53:GetChange", 1000, Strike::Refuse(ErrorKind::Denied));
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(minutes(10));
    assert_eq!(simulation.reason("Stalled"), "AccessDenied", "{}", simulation.describe());
    assert!(simulation.condition("Ready").contains("route53:GetChange"), "{}", simulation.condition("Ready"));
}
