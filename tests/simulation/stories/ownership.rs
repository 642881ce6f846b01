//! Whose an identity is, and what a lost status may lead to.

use serde_json::json;
use ses_operator::api::spec::MxFailureBehavior;
use ses_operator::cloud::Region;
use ses_operator::domain_name::DomainName;
use ses_operator::ses::SigningOrigin;

use crate::simulation::{NAME, Simulation, hours, manifest, minutes};

#[test]
fn an_identity_that_is_not_ours_is_left_alone_and_said() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[("team", "other")]);
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(hours(1));
    let stalled = simulation.condition("Stalled");
    assert!(stalled.starts_with("True IdentityNotOurs") && stalled.contains("adoptionPolicy"), "{stalled}");
    assert_eq!(simulation.writes().0, 0);
    let writes = simulation.writes();
    simulation.pass(hours(6));
    assert_eq!(simulation.writes(), writes, "{}", simulation.describe());
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert!(simulation.identity().is_some());
    simulation.no_harm();
}

#[test]
fn what_was_found_is_named_and_what_was_ours_may_get_its_tags_back() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[("team", "other"), ("cost", "7")]);
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(minutes(5));
    let stalled = simulation.condition("Stalled");
    assert!(stalled.contains("was not created by this resource (its tags: cost, team)"), "{stalled}");

    let mut simulation = Simulation::settled(json!({}));
    let tags = simulation.identity().expect("an identity").tags;
    simulation.state().by_hand("example.com").identity.tags.clear();
    simulation.pass(hours(25));
    let stalled = simulation.condition("Stalled");
    assert!(stalled.contains("was this resource's, and its tags do not say so any more (it has no tags)"), "{stalled}");
    assert!(
        stalled.contains("put back ses-operator.dev/cluster=cluster-1, ses-operator.dev/namespace=mail"),
        "{stalled}"
    );
    let writes = simulation.writes();
    simulation.pass(hours(5));
    assert_eq!(simulation.writes(), writes, "it is said once\n{}", simulation.describe());
    simulation.state().by_hand("example.com").identity.tags = tags;
    simulation.pass(minutes(31));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert!(simulation.status().records.iter().all(|entry| entry.ours));
    simulation.rests();
}

#[test]
fn a_key_of_another_origin_is_left_alone_even_where_adoption_is_allowed() {
    for origin in ["EXTERNAL", "AWS_SES_US_EAST_1"] {
        let mut simulation = Simulation::new();
        simulation.foreign_identity(&[("team", "other")]);
        let easy = simulation.identity().expect("an identity").dkim.origin;
        simulation.state().by_hand("example.com").identity.dkim.origin = SigningOrigin::Other(origin.to_owned());
        simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
        simulation.pass(hours(1));
        let stalled = simulation.condition("Stalled");
        assert!(stalled.starts_with("True IdentityNotOurs") && stalled.contains(origin), "{stalled}");
        assert!(stalled.contains("switch the identity to Easy DKIM"), "{stalled}");
        assert_eq!(simulation.writes().0, 0);
        simulation.rests();
        // Its twin: with Easy DKIM it is adopted.
        simulation.state().by_hand("example.com").identity.dkim.origin = easy;
        simulation.until_ready();
        assert_eq!(simulation.events("IdentityAdopted").len(), 1);
    }
}

#[test]
fn an_identity_is_claimed_only_for_what_it_is_now_not_for_what_was_read_before() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[]);
    simulation.apply(NAME, manifest(json!({})));
    simulation.pass(minutes(1));
    assert!(simulation.condition("Stalled").contains("set spec.adoptionPolicy to Adopt"));
    for (tag, value) in [("cluster", "cluster-2"), ("namespace", "mail"), ("name", "theirs")] {
        let mut state = simulation.state();
        let tags = &mut state.by_hand("example.com").identity.tags;
        tags.insert(format!("ses-operator.dev/{tag}"), value.to_owned());
    }
    simulation.change(json!({"adoptionPolicy": "Adopt"}));
    simulation.pass(minutes(10));
    assert!(simulation.condition("Stalled").contains("of the cluster cluster-2"), "{}", simulation.describe());
    assert_eq!(simulation.writes().0, 0);
}

#[test]
fn an_identity_of_another_cluster_is_left_alone_even_where_adoption_is_allowed() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[
        ("ses-operator.dev/cluster", "cluster-2"),
        ("ses-operator.dev/namespace", "mail"),
        ("ses-operator.dev/name", "example-com"),
    ]);
    simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.pass(hours(1));
    let stalled = simulation.condition("Stalled");
    assert!(stalled.contains("of the cluster cluster-2") && stalled.contains("--cluster-id=cluster-2"), "{stalled}");
    assert_eq!(simulation.writes().0, 0);
}

#[test]
fn what_a_lost_owner_made_is_adopted_as_the_message_says_and_stays() {
    let mut simulation = Simulation::settled(json!({}));
    simulation.api.vanish(NAME);
    simulation.operator.restart();
    simulation.apply("other", manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.pass(hours(1));
    let stalled = simulation.condition_of("other", "Stalled");
    assert!(stalled.contains("take the tags ses-operator.dev/cluster, /namespace and /name off"), "{stalled}");
    for tag in ["cluster", "namespace", "name"] {
        simulation.state().by_hand("example.com").identity.tags.remove(&format!("ses-operator.dev/{tag}"));
    }
    let records = simulation.state().zones.zone("Z1").sets.len();
    assert!(simulation.until(hours(20), |simulation| simulation.condition_of("other", "Ready").starts_with("True")));
    simulation.pass(hours(1));
    simulation.delete("other");
    simulation.pass(minutes(5));
    assert!(simulation.is_gone("other") && simulation.identity().is_some());
    let left = simulation.state().zones.zone("Z1").sets.len();
    assert_eq!(left, records, "{}", simulation.describe());
}

#[test]
fn an_adopted_identity_is_managed_and_kept_when_the_resource_goes() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[("team", "other")]);
    simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.until_ready();
    assert_eq!(simulation.events("IdentityAdopted").len(), 1);
    assert_eq!(simulation.status().identity.map(|identity| identity.adopted), Some(true));
    simulation.pass(hours(2));
    simulation.rests();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME), "{}", simulation.describe());
    let identity = simulation.identity().expect("an adopted identity stays");
    assert_eq!(identity.tags.into_iter().collect::<Vec<_>>(), [("team".to_owned(), "other".to_owned())]);
    assert_eq!(identity.mail_from, None, "its MX record is gone, so mail must not be sent under it");
    assert_eq!(simulation.values("mail.example.com", "MX"), [""; 0]);
    simulation.no_harm();
    // Another resource may have it now.
    simulation.apply("other", manifest(json!({"adoptionPolicy": "Adopt"})));
    assert!(simulation.until(hours(20), |simulation| simulation.condition_of("other", "Ready").starts_with("True")));
}

#[test]
fn an_adopted_identitys_own_mail_from_domain_is_not_managed_where_the_spec_asks_for_none() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[]);
    simulation.protect("old.example.com", "MX", &["10 feedback-smtp.eu-west-1.amazonses.com"]);
    {
        let mut state = simulation.state();
        let now = state.now();
        let put = Some((DomainName::new("old.example.com"), MxFailureBehavior::RejectMessage));
        state.by_hand("example.com").put_mail_from(put, now, true);
    }
    let spec = manifest(json!({"adoptionPolicy": "Adopt", "mailFromSubdomain": null, "mxFailureBehavior": null}));
    simulation.apply(NAME, spec);
    simulation.until_ready();
    simulation.pass(hours(3));
    let domain = || simulation.identity().and_then(|identity| identity.mail_from).map(|found| found.domain.to_string());
    assert_eq!(domain().as_deref(), Some("old.example.com"));
    simulation.rests();
}

#[test]
fn an_erased_status_leads_to_no_write_and_to_the_same_ownership() {
    let mut simulation = Simulation::settled(json!({"tags": {"team": "mail"}}));
    let end = simulation.end();
    let aws = simulation.writes().0;
    for _ in 0..3 {
        simulation.api.edit(NAME, |resource| resource.status = None);
        simulation.operator.restart();
        simulation.pass(hours(1));
        assert_eq!(simulation.end(), end);
        assert_eq!(simulation.writes().0, aws);
    }
    simulation.rests();
    simulation.api.edit(NAME, |resource| resource.status = None);
    simulation.operator.restart();
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    assert_eq!(simulation.values("mail.example.com", "MX"), [""; 0], "{}", simulation.describe());
    assert_eq!(simulation.values("_dmarc.example.com", "TXT"), [""; 0], "{}", simulation.describe());
}

#[test]
fn the_second_resource_of_a_domain_is_told_who_has_it_and_follows_it() {
    let mut simulation = Simulation::settled(json!({}));
    let aws = simulation.writes().0;
    simulation.apply("second", manifest(json!({"dmarcPolicy": null})));
    simulation.pass(hours(1));
    let stalled = simulation.condition_of("second", "Stalled");
    assert!(stalled.starts_with("True DomainTaken") && stalled.contains("mail/example-com"), "{stalled}");
    assert_eq!(simulation.writes().0, aws);
    simulation.delete("second");
    simulation.pass(minutes(5));
    assert!(simulation.is_gone("second"));
    assert!(simulation.identity().is_some());
    simulation.apply("second", manifest(json!({"dmarcPolicy": null})));
    simulation.pass(hours(1));
    simulation.delete(NAME);
    assert!(simulation.until(hours(20), |simulation| simulation.condition_of("second", "Ready").starts_with("True")));
    simulation.no_harm();
}

#[test]
fn a_changed_default_region_moves_nothing() {
    let mut simulation = Simulation::settled(json!({}));
    let end = simulation.end();
    simulation.operator.settings.default_region = Region::new("us-east-1");
    simulation.operator.restart();
    simulation.pass(hours(2));
    assert_eq!(simulation.end(), end);
    simulation.rests();
}

#[test]
fn a_default_region_changed_between_the_creation_and_its_being_written_down_moves_nothing() {
    use crate::cloud::faults::Strike;
    let mut simulation = Simulation::new();
    simulation.strike("ses:CreateEmailIdentity", 1, Strike::DieAfter);
    simulation.operator.settings.default_region = Region::new("eu-west-1");
    simulation.apply(NAME, manifest(json!({})));
    let died = simulation.until(minutes(1), |simulation| simulation.operator.deaths == 1);
    assert!(died);
    simulation.operator.settings.default_region = Region::new("us-east-1");
    simulation.operator.restart();
    simulation.until_ready();
    assert_eq!(simulation.state().identities.held.len(), 1);
    assert_eq!(simulation.status().region.as_deref(), Some("eu-west-1"));
}

#[test]
fn a_region_added_to_the_spec_must_be_the_one_in_use() {
    let mut simulation = Simulation::settled(json!({}));
    let aws = simulation.writes().0;
    simulation.change(json!({"region": "eu-west-1"}));
    simulation.pass(hours(1));
    assert!(simulation.is("Ready", "True"));
    simulation.change(json!({"region": "us-east-1"}));
    simulation.pass(hours(1));
    assert!(simulation.condition("Stalled").contains("the identity lives in eu-west-1"), "{}", simulation.describe());
    assert_eq!(simulation.writes().0, aws);
}

#[test]
fn a_region_without_ses_is_refused() {
    let mut simulation = Simulation::new();
    simulation.apply(NAME, manifest(json!({"region": "cn-north-1"})));
    simulation.pass(hours(1));
    assert!(simulation.condition("Stalled").contains("RegionUnsupported"), "{}", simulation.describe());
    simulation.delete(NAME);
    simulation.pass(minutes(1));
    assert!(simulation.is_gone(NAME));
}

#[test]
fn a_foreign_record_at_a_new_mail_from_domain_is_not_claimed_for_the_old_ones_sake() {
    let mut simulation = Simulation::settled(json!({"dns": {"onConflict": "Overwrite"}}));
    simulation.protect("bounce.example.com", "TXT", &["\"v=spf1 include:amazonses.com ~all\""]);
    simulation.state().delays.mail_from = (36_000, 36_000);
    simulation.change(json!({"dns": {"onConflict": "Overwrite"}, "mailFromSubdomain": "bounce"}));
    simulation.pass(minutes(10));
    simulation.api.edit(NAME, |resource| resource.status = None);
    simulation.operator.restart();
    simulation.pass(minutes(10));
    simulation.delete(NAME);
    simulation.pass(minutes(10));
    assert!(simulation.is_gone(NAME));
    simulation.no_harm();
}

#[test]
fn a_policy_of_others_is_not_claimed_while_ours_waits_for_verification() {
    let stages =
        json!({"dmarcPolicy": {"stages": [{"name": "reject", "policy": "Reject"}], "aggregateReportUris": []}});
    let mut simulation = Simulation::new();
    simulation.state().delays.dkim = (36_000, 36_000);
    simulation.apply(NAME, manifest(stages));
    simulation.pass(minutes(30));
    simulation.protect("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=reject\""]);
    simulation.api.edit(NAME, |resource| resource.status = None);
    simulation.operator.restart();
    simulation.until_ready();
    simulation.delete(NAME);
    simulation.pass(minutes(10));
    assert!(simulation.is_gone(NAME));
    simulation.no_harm();
}

#[test]
fn whoever_reads_another_claim_after_its_own_yields() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[]);
    simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
    let tagged = |simulation: &Simulation| simulation.calls("ses:TagResource") == 1;
    // The answer is lost, and before the next look another cluster has put its name over ours.
    simulation.strike("ses:TagResource", 1, crate::cloud::faults::Strike::LoseAnswer);
    assert!(simulation.until(minutes(1), tagged));
    let tags = &mut simulation.state().by_hand("example.com").identity.tags.clone();
    tags.insert("ses-operator.dev/cluster".to_owned(), "cluster-2".to_owned());
    simulation.state().by_hand("example.com").identity.tags.clone_from(tags);
    let writes = simulation.writes().0;
    simulation.pass(hours(1));
    assert!(simulation.condition("Stalled").contains("of the cluster cluster-2"), "{}", simulation.describe());
    assert_eq!(simulation.writes().0, writes);
}

#[test]
fn a_claim_is_read_back_before_anything_is_done_with_it() {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[]);
    simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.until(minutes(1), |simulation| simulation.calls("route53:ChangeResourceRecordSets") == 1);
    assert_eq!(simulation.calls("ses:GetEmailIdentity"), 2, "once before the claim, once after it");
}
