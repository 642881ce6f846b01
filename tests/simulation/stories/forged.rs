//! What a status may lead to that somebody forged, who may write nothing else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use ses_operator::api::SesDomainStatus;
use ses_operator::api::spec::MxFailureBehavior;
use ses_operator::api::status::{MailFromState, RecordOrigin, RecordPurpose, RecordStatus};
use ses_operator::dns::ZoneId;
use ses_operator::domain_name::DomainName;

use crate::simulation::{NAME, Simulation, days, hours, manifest, minutes};

const SPF: &str = "v=spf1 include:amazonses.com ~all";
const MX: &str = "10 feedback-smtp.eu-west-1.amazonses.com";

/// `kubectl patch --subresource status`.
fn forge(simulation: &mut Simulation, forgery: impl FnOnce(&mut SesDomainStatus)) {
    simulation.api.edit(NAME, |resource| forgery(resource.status.get_or_insert_default()));
}

fn entry(simulation: &Simulation, purpose: RecordPurpose, name: &str, value: &str) -> RecordStatus {
    let record_type = match purpose {
        RecordPurpose::Dkim => "CNAME",
        RecordPurpose::MailFromMx => "MX",
        RecordPurpose::MailFromSpf | RecordPurpose::Dmarc => "TXT",
    };
    RecordStatus {
        purpose,
        name: name.to_owned(),
        record_type: record_type.to_owned(),
        value: value.to_owned(),
        ttl: 300,
        hosted_zone_id: "Z1".to_owned(),
        ours: true,
        origin: RecordOrigin::Created,
        published: true,
        since: Time(simulation.now()),
        put_back: vec![],
    }
}

/// The forged entry, as of the time that the forger chose, is there when the operator looks, or when all is deleted.
fn reaches_nothing(spec: &Value, entry: impl Fn(&Simulation) -> RecordStatus, theirs: &str) {
    for since in [-days(30), minutes(0), minutes(-1), days(1)] {
        for is_deleted_at_once in [false, true] {
            let mut simulation = Simulation::settled(spec.clone());
            let mut entry = entry(&simulation);
            entry.since.0 += since;
            let case = format!("{entry:?}, deleted at once: {is_deleted_at_once}");
            let theirs = if entry.record_type == "TXT" { format!("\"{theirs}\"") } else { theirs.to_owned() };
            simulation.protect(&entry.name, &entry.record_type, &[&theirs]);
            forge(&mut simulation, |status| status.records.push(entry.clone()));
            if !is_deleted_at_once {
                simulation.pass(hours(2));
                assert_eq!(simulation.values(&entry.name, &entry.record_type), std::slice::from_ref(&theirs), "{case}");
                forge(&mut simulation, |status| status.records.push(entry.clone()));
            }
            simulation.delete(NAME);
            simulation.pass(minutes(30));
            assert!(simulation.is_gone(NAME), "{case}\n{}", simulation.describe());
            assert_eq!(simulation.values(&entry.name, &entry.record_type), [theirs], "{case}");
            assert_eq!(simulation.state().zones.zone("Z1").sets.len(), 2, "{case}: ours went, and nothing else");
            assert_eq!(simulation.identity(), None, "{case}");
            simulation.no_harm();
        }
    }
}

#[test]
fn an_entry_that_we_would_not_have_written_reaches_nothing() {
    use RecordPurpose::{Dkim, MailFromMx, MailFromSpf};
    for (purpose, name, value) in [
        (MailFromMx, "example.com", MX),
        (MailFromMx, "shop.example.com", "10 mx.example.com"),
        (MailFromSpf, "example.com", SPF),
        (MailFromSpf, "shop.example.com", "v=spf1 include:amazonses.com include:shop.example -all"),
        (Dkim, "www.example.com", "elsewhere.example"),
        (Dkim, "k9._domainkey.example.com", "k8.dkim.amazonses.com"),
    ] {
        reaches_nothing(&json!({}), |simulation| entry(simulation, purpose, name, value), value);
    }
}

#[test]
fn an_entry_of_a_record_that_the_identitys_tag_does_not_claim_reaches_nothing() {
    use RecordPurpose::{Dmarc, MailFromMx, MailFromSpf};
    let merged = "v=spf1 include:shop.example include:amazonses.com -all";
    for (purpose, origin, name, value) in [
        (MailFromMx, RecordOrigin::Created, "shop.example.com", MX),
        (MailFromSpf, RecordOrigin::Created, "shop.example.com", SPF),
        (MailFromSpf, RecordOrigin::Merged, "shop.example.com", merged),
        (Dmarc, RecordOrigin::Created, "_dmarc.example.com", "v=DMARC1; p=reject"),
    ] {
        let forged = |simulation: &Simulation| RecordStatus { origin, ..entry(simulation, purpose, name, value) };
        reaches_nothing(&json!({"dmarcPolicy": null}), forged, value);
    }
}

#[test]
fn a_policy_of_others_is_not_replaced_for_being_called_ours() {
    for since in [-days(30), minutes(0)] {
        let mut simulation = Simulation::new();
        simulation.protect("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=none; rua=mailto:they@example.com\""]);
        simulation.apply(NAME, manifest(json!({})));
        simulation.pass(hours(2));
        assert!(simulation.condition("Stalled").contains("RecordConflict"), "{}", simulation.describe());
        for value in ["v=DMARC1; p=none; rua=mailto:they@example.com", "v=DMARC1; p=none; rua=mailto:dmarc@example.com"]
        {
            let mut forged = entry(&simulation, RecordPurpose::Dmarc, "_dmarc.example.com", value);
            forged.since.0 += since;
            forge(&mut simulation, |status| status.records.push(forged));
            simulation.pass(hours(2));
            simulation.no_harm();
        }
        assert!(simulation.condition("Stalled").contains("RecordConflict"), "{}", simulation.describe());
    }
}

#[test]
fn an_adopted_record_does_not_go_for_being_called_made() {
    let mut simulation = Simulation::new();
    simulation.protect("mail.example.com", "MX", &[MX]);
    simulation.protect("mail.example.com", "TXT", &[&format!("\"{SPF}\"")]);
    simulation.apply(NAME, manifest(json!({"adoptionPolicy": "Adopt"})));
    simulation.until_ready();
    simulation.pass(hours(1));
    let now = simulation.now();
    forge(&mut simulation, |status| {
        for entry in &mut status.records {
            entry.origin = RecordOrigin::Created;
            entry.since = Time(now);
        }
    });
    simulation.delete(NAME);
    simulation.pass(minutes(30));
    assert!(simulation.is_gone(NAME), "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn a_zone_outside_of_the_filter_is_not_written_to_and_the_deletion_says_so() {
    let mut simulation = Simulation::new();
    simulation.state().zones.add("Z2", "shop.example.com");
    simulation.operator.settings.filters.zones = vec![ZoneId("Z1".to_owned())];
    simulation.operator.restart();
    simulation.apply(NAME, manifest(json!({})));
    simulation.until_ready();
    simulation.pass(hours(1));
    simulation.tamper_in("Z2", "a.shop.example.com", "MX", &[MX]);
    simulation.protect_values_in("Z2", "a.shop.example.com", "MX", &[MX]);
    let forged = RecordStatus {
        hosted_zone_id: "Z2".to_owned(),
        ..entry(&simulation, RecordPurpose::MailFromMx, "a.shop.example.com", MX)
    };
    // With the identity there is no tag any more to ask.
    let key = simulation.key();
    simulation.state().identities.held.remove(&key);
    forge(&mut simulation, |status| status.records.push(forged.clone()));
    simulation.delete(NAME);
    simulation.pass(minutes(10));
    let stalled = simulation.condition("Stalled");
    assert!(stalled.contains("Filtered: ") && stalled.contains("the hosted zone Z2"), "{}", simulation.describe());
    assert!(stalled.contains("--zone-filter") && stalled.contains("deletionPolicy to Retain"), "{stalled}");
    simulation.no_harm();
    // Where it is allowed, the entry is believed: it has the form of what we write.
    simulation.state().guard.protected.clear();
    simulation.operator.settings.filters.zones.clear();
    simulation.operator.restart();
    simulation.pass(minutes(10));
    assert!(simulation.is_gone(NAME), "{}", simulation.describe());
}

/// An adopted identity with a tag, a configuration set and a MAIL FROM domain of others, that forwards nothing.
fn adopted_with_settings_of_others() -> Simulation {
    let mut simulation = Simulation::new();
    simulation.foreign_identity(&[("team", "other")]);
    simulation.protect("old.example.com", "MX", &[MX]);
    {
        let mut state = simulation.state();
        let now = state.now();
        let held = state.by_hand("example.com");
        held.identity.configuration_set = Some("theirs".to_owned());
        held.identity.feedback_forwarding = false;
        held.put_mail_from(Some((DomainName::new("old.example.com"), MxFailureBehavior::UseDefaultValue)), now, true);
        held.foreign_settings = true;
    }
    let spec = json!({"adoptionPolicy": "Adopt", "mailFromSubdomain": null, "mxFailureBehavior": null});
    simulation.apply(NAME, manifest(spec));
    simulation.until_ready();
    simulation.pass(hours(1));
    simulation
}

#[test]
fn settings_and_tags_of_others_are_not_taken_out_for_being_called_ours() {
    let mut simulation = adopted_with_settings_of_others();
    let before = simulation.identity();
    let since = Time(simulation.now());
    for is_restarted in [false, true] {
        forge(&mut simulation, |status| {
            let identity = status.identity.as_mut().expect("an identity");
            identity.tags = ["ses-operator.dev/name", "ses-operator.dev/records", "team"].map(str::to_owned).to_vec();
            identity.configuration_set_name = Some("theirs".to_owned());
            identity.manages_feedback_forwarding = true;
            status.mail_from = Some(MailFromState {
                domain: "old.example.com".to_owned(),
                status: "Success".to_owned(),
                since: since.clone(),
                mx_failure_behavior: MxFailureBehavior::UseDefaultValue,
                restarted_at: None,
            });
        });
        if is_restarted {
            // A status that calls itself settled is believed at a start, until the daily look.
            simulation.operator.restart();
            simulation.pass(days(1));
        }
        simulation.pass(hours(1));
        assert_eq!(simulation.identity(), before, "{}", simulation.describe());
        let status = simulation.status();
        assert_eq!(status.mail_from, None, "what is somebody else's is not spoken of");
        assert_eq!(
            status.identity.map(|identity| (identity.tags, identity.configuration_set_name)),
            Some((vec![], None))
        );
    }
    forge(&mut simulation, |status| {
        status.identity.as_mut().expect("an identity").tags = vec!["team".to_owned()];
    });
    simulation.delete(NAME);
    simulation.pass(minutes(5));
    assert!(simulation.is_gone(NAME));
    let left = simulation.identity().expect("it was adopted");
    assert_eq!(left.configuration_set.as_deref(), Some("theirs"));
    assert!(left.mail_from.is_some() && left.tags.len() == 1, "{left:?}");
    simulation.no_harm();
}

#[test]
fn another_region_makes_no_second_identity_and_is_set_right() {
    for fields in [json!({}), json!({"region": "eu-west-1"})] {
        for is_deleted in [false, true] {
            let mut simulation = Simulation::settled(fields.clone());
            let (end, aws) = (simulation.end(), simulation.writes().0);
            forge(&mut simulation, |status| status.region = Some("us-east-1".to_owned()));
            if is_deleted {
                simulation.delete(NAME);
                simulation.pass(minutes(5));
                assert!(simulation.is_gone(NAME), "{}", simulation.describe());
                assert_eq!(simulation.state().identities.held.len(), 0, "{}", simulation.describe());
                assert_eq!(simulation.state().zones.zone("Z1").sets.len(), 1, "{}", simulation.describe());
            } else {
                simulation.pass(hours(3));
                assert_eq!(simulation.end(), end, "{}", simulation.describe());
                assert_eq!(simulation.status().region.as_deref(), Some("eu-west-1"));
                assert_eq!(simulation.writes().0, aws, "nothing is written in AWS");
                simulation.rests();
            }
            simulation.no_harm();
        }
    }
}

#[test]
fn another_region_with_an_identity_of_others_is_not_adopted() {
    let mut simulation = Simulation::settled(json!({"adoptionPolicy": "Adopt"}));
    let other =
        ses_operator::ses::IdentityKey { region: ses_operator::cloud::Region::new("us-east-1"), ..simulation.key() };
    {
        let mut state = simulation.state();
        let now = state.now();
        let new = ses_operator::ses::NewIdentity {
            key_length: None,
            configuration_set: None,
            tags: [("team".to_owned(), "other".to_owned())].into(),
        };
        state.identities.create(&other, &new, now, true);
        state.guard.leaves_foreign_identities = true;
    }
    forge(&mut simulation, |status| status.region = Some("us-east-1".to_owned()));
    simulation.pass(hours(3));
    assert!(simulation.is("Ready", "True"), "{}", simulation.describe());
    assert_eq!(simulation.status().region.as_deref(), Some("eu-west-1"));
    simulation.no_harm();
}
