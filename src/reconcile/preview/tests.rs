use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::words::{Tally, for_status, lines, summary};
use super::*;
use crate::api::SesDomainStatus;
use crate::api::status::{MOST_PLAN_LINES, PLAN_LINE_LENGTH};
use crate::cloud::{ErrorKind, Region};
use crate::dns::spf::look_ups::PermError;
use crate::dns::{HostedZone, RecordSet, RecordType, ZoneId};
use crate::reconcile::observe::Merge;
use crate::reconcile::plan::{merge, plan, refusal};
use crate::reconcile::subject::{Filters, Names, Neighbors, Settings};
use crate::ses::ownership::Owner;
use crate::ses::{Dkim, Identity, MailFrom, SigningOrigin, VerificationStatus};

/// Midnight, so that dates are easy to follow.
const NOW: &str = "2027-01-01T00:00:00Z";

/// What was found in AWS.
struct Found {
    identity: Option<Identity>,
    records: Vec<RecordSet>,
    /// What a policy would need with our term in it.
    look_ups: Result<Result<usize, PermError>, CloudError>,
}

impl Found {
    fn nothing() -> Self {
        Self { identity: None, records: Vec::new(), look_ups: Ok(Ok(10)) }
    }

    /// An identity that is wholly set up and verified, with these tags.
    fn verified(tags: Value) -> Self {
        let dkim = Dkim {
            status: VerificationStatus::Success,
            signing_enabled: true,
            tokens: ["a", "b", "c"].map(str::to_owned).to_vec(),
            signing_hosted_zone: None,
            origin: SigningOrigin::AwsSes,
            next_key_length: None,
            error: None,
        };
        let mail_from = MailFrom {
            domain: DomainName::new("mail.example.com"),
            status: VerificationStatus::Success,
            behavior: crate::api::spec::MxFailureBehavior::UseDefaultValue,
        };
        let tags = serde_json::from_value(tags).expect("tags");
        let identity =
            Identity { dkim, mail_from: Some(mail_from), feedback_forwarding: true, configuration_set: None, tags };
        let found = Self { identity: Some(identity), ..Self::nothing() };
        ["a", "b", "c"].iter().fold(found, |found, token| {
            let value = format!("{token}.dkim.amazonses.com");
            found.with(&format!("{token}._domainkey.example.com"), "CNAME", &[&value])
        })
    }

    fn with(mut self, name: &str, record_type: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.records.push(RecordSet::new(DomainName::new(name), RecordType::parse(record_type), 300, values));
        self
    }

    fn with_mail_from(self) -> Self {
        self.with("mail.example.com", "MX", &["10 feedback-smtp.eu-west-1.amazonses.com"]).with(
            "mail.example.com",
            "TXT",
            &["\"v=spf1 include:amazonses.com ~all\""],
        )
    }
}

fn preview_of(spec: Value, status: Value, found: Found) -> Preview {
    let mut spec = spec;
    spec["domain"] = json!("example.com");
    let spec: SesDomainSpec = serde_json::from_value(spec).expect("a spec");
    let status: SesDomainStatus = serde_json::from_value(status).expect("a status");
    let now: Timestamp = NOW.parse().expect("a time");
    let settings = Settings {
        account: "123456789012".to_owned(),
        default_region: Region::new("eu-west-1"),
        cluster_id: "c1".to_owned(),
        filters: Filters::default(),
    };
    let zone = HostedZone { id: ZoneId("Z1".to_owned()), name: DomainName::new("example.com"), record_sets: 1 };
    let mut observed = Observed {
        looked: true,
        identity: Ok(found.identity),
        zones: Ok(Arc::new(vec![zone.clone()])),
        records: BTreeMap::from([(zone.id, Ok(found.records))]),
        ..Observed::nothing(now)
    };
    let subject = Subject {
        spec: &spec,
        status: &status,
        generation: 1,
        deleting: false,
        reconcile_requested: None,
        owner: owner(),
        uid: "1",
        names: Names::of(&spec),
        neighbors: &Neighbors::default(),
        settings: &settings,
    };
    let considered = merge::considered(&subject, &observed, now);
    observed.merge = considered.map(|(_, policy)| Merge { policy, look_ups: found.look_ups });
    // As the reconcile does: what is refused is not looked at.
    match refusal(&subject) {
        Some(problem) => {
            let refused = Plan { at: now, problems: vec![problem], ..Plan::default() };
            preview(&subject, &Observed::nothing(now), &refused, now)
        }
        None => preview(&subject, &observed, &plan(&subject, &observed, now), now),
    }
}

fn owner() -> Owner {
    Owner { cluster: "c1".to_owned(), namespace: "mail".to_owned(), name: "example-com".to_owned() }
}

/// All lines, the last one too.
fn told(preview: &Preview) -> Vec<String> {
    let mut told = lines(preview);
    told.push(summary(&Tally::of(preview)));
    told
}

fn our_tags() -> Value {
    tags_that_claim("dkim mx spf @mail")
}

fn tags_that_claim(records: &str) -> Value {
    let mut tags = owner().tags();
    tags.insert("ses-operator.dev/records".to_owned(), records.to_owned());
    if records.contains("@mail") {
        tags.insert("ses-operator.dev/settings".to_owned(), "mf:9plf8".to_owned());
    }
    json!(tags)
}

fn walk() -> Value {
    json!({"stages": [
        {"name": "monitor", "policy": "None", "minDuration": "30d"},
        {"name": "reject", "policy": "Reject"},
    ]})
}

#[test]
fn a_new_domain_is_told_to_its_end() {
    let spec = json!({"mailFromSubdomain": "mail", "mxFailureBehavior": "RejectMessage", "dmarcPolicy": walk()});
    let preview = preview_of(spec, json!({}), Found::nothing());
    assert_eq!(
        told(&preview),
        [
            "+ SES identity example.com",
            "    tag ses-operator.dev/cluster: \"c1\"",
            "    tag ses-operator.dev/name: \"example-com\"",
            "    tag ses-operator.dev/namespace: \"mail\"",
            "    tag ses-operator.dev/records: \"dkim mx spf dmarc @mail\"",
            "    tag ses-operator.dev/settings: \"mx mf:9plf8\"",
            "+ 3 DKIM CNAME records below _domainkey.example.com (TTL 300, zone Z1), named by tokens that SES gives at creation",
            "+ TXT _dmarc.example.com (TTL 300, zone Z1): \"v=DMARC1; p=none\"",
            "+ MX mail.example.com (TTL 300, zone Z1): 10 feedback-smtp.eu-west-1.amazonses.com",
            "+ TXT mail.example.com (TTL 300, zone Z1): \"v=spf1 include:amazonses.com ~all\"",
            "once Route 53 serves the records (usually within 60 seconds):",
            "~ SES identity example.com",
            "    MAIL FROM domain: SES's own → mail.example.com",
            "once SES has verified DKIM and the MAIL FROM domain mail.example.com (usually minutes, at most 72 hours):",
            "~ SES identity example.com",
            "    mxFailureBehavior: UseDefaultValue → RejectMessage",
            "once the DMARC stage monitor has lasted 30d, not before 2027-01-31: the stage reject:",
            "~ TXT _dmarc.example.com (TTL 300, zone Z1): \"v=DMARC1; p=none\" → \"v=DMARC1; p=reject\"",
            "Plan: 1 identity to create, 6 records to create, 0 to change, 0 to delete",
        ]
    );
}

#[test]
fn of_a_suspended_resource_nobody_knows_the_dates() {
    let spec = json!({"dmarcPolicy": walk(), "suspend": true});
    let preview = preview_of(spec, json!({}), Found::nothing());
    let stage = "once the DMARC stage monitor has lasted 30d: the stage reject:";
    assert!(told(&preview).contains(&stage.to_owned()), "{:#?}", told(&preview));
    assert!(Tally::of(&preview).changes_something(), "it is told what is held back");

    let begun = json!({
        "dmarc": {"stage": "monitor", "since": "2026-12-20T12:00:00Z", "until": "2027-01-19T12:00:00Z"},
    });
    let spec = json!({"mailFromSubdomain": "mail", "dmarcPolicy": walk(), "suspend": true});
    let found =
        Found::verified(our_tags()).with_mail_from().with("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=none\""]);
    let told = told(&preview_of(spec, begun, found));
    let stage = "once the DMARC stage monitor has lasted 30d, not before 2027-01-19T12:00:00Z: the stage reject:";
    assert!(told.contains(&stage.to_owned()), "{told:#?}");
}

#[test]
fn nothing_is_to_be_done_where_all_is_right() {
    let found = Found::verified(our_tags()).with_mail_from();
    assert_eq!(told(&preview_of(json!({"mailFromSubdomain": "mail"}), json!({}), found)), ["Plan: nothing to do"]);
}

#[test]
fn what_differs_is_told_with_both_values() {
    let removed = Found::verified(our_tags());
    let ttl = json!({"mailFromSubdomain": "mail", "dns": {"ttl": 600}});
    let shared = ["\"site=1\"", "\"v=DMARC1; p=none; rua=mailto:old@example.com\""];
    let dmarc = json!({"mailFromSubdomain": "mail", "dns": {"onConflict": "Overwrite"}, "dmarcPolicy": walk()});
    let entry = |purpose: &str, name: &str, record_type: &str, value: &str| {
        json!({"purpose": purpose, "name": name, "type": record_type, "value": value, "ttl": 300, "hostedZoneId": "Z1",
               "ours": true, "published": true, "since": "2026-01-01T00:00:00Z"})
    };
    let mx = entry("MailFromMx", "mail.example.com", "MX", "10 feedback-smtp.eu-west-1.amazonses.com");
    for (case, spec, status, found, lines) in [
        (
            "ours was removed",
            json!({"mailFromSubdomain": "mail"}),
            json!({"records": [mx.clone()]}),
            removed.with("mail.example.com", "TXT", &["\"v=spf1 include:amazonses.com ~all\""]),
            vec![
                "+ MX mail.example.com (TTL 300, zone Z1): 10 feedback-smtp.eu-west-1.amazonses.com (ours, and was removed by somebody else)",
                "waits until Route 53 serves the records (usually within 60 seconds)",
                "Plan: 1 record to create, 0 to change, 0 to delete",
            ],
        ),
        (
            "ours was changed",
            json!({"mailFromSubdomain": "mail"}),
            json!({"records": [mx.clone()]}),
            Found::verified(our_tags())
                .with("mail.example.com", "TXT", &["\"v=spf1 include:amazonses.com ~all\""])
                .with("mail.example.com", "MX", &["10 mx.example.org"]),
            vec![
                "~ MX mail.example.com (TTL 300, zone Z1): 10 mx.example.org → 10 feedback-smtp.eu-west-1.amazonses.com (ours, and was changed by somebody else)",
                "waits until Route 53 serves the records (usually within 60 seconds)",
                "Plan: 0 records to create, 1 to change, 0 to delete",
            ],
        ),
        (
            "another TTL",
            ttl,
            json!({"records": [mx.clone()]}),
            Found::verified(tags_that_claim("mx spf @mail"))
                .with("mail.example.com", "MX", &["10 feedback-smtp.eu-west-1.amazonses.com"])
                .with("mail.example.com", "TXT", &["\"site=1\"", "\"v=spf1 include:amazonses.com ~all\""]),
            vec![
                "~ MX mail.example.com (TTL 300 → 600, zone Z1)",
                "waits until Route 53 serves the records (usually within 60 seconds)",
                "Plan: 0 records to create, 1 to change, 0 to delete",
            ],
        ),
        (
            "our term in somebody else's policy",
            json!({"domain": "example.com", "mailFromSubdomain": "mail", "dns": {"onConflict": "Merge"}}),
            json!({"records": [mx.clone()]}),
            Found::verified(tags_that_claim("dkim mx @mail"))
                .with("mail.example.com", "MX", &["10 feedback-smtp.eu-west-1.amazonses.com"])
                .with("mail.example.com", "TXT", &["\"v=spf1 mx -all\""]),
            vec![
                "~ SES identity example.com",
                "    tag ses-operator.dev/records: \"dkim mx @mail\" → \"dkim mx spf:merged @mail\"",
                "~ TXT mail.example.com (TTL 300, zone Z1): \"v=spf1 mx -all\" → \"v=spf1 mx include:amazonses.com -all\" (not ours: our term is put into it)",
                "waits until Route 53 serves the records (usually within 60 seconds)",
                "Plan: 1 identity to change, 0 records to create, 1 to change, 0 to delete",
            ],
        ),
        (
            "somebody else's value in a shared set, to be overwritten",
            dmarc,
            json!({}),
            Found::verified(our_tags()).with_mail_from().with("_dmarc.example.com", "TXT", &shared),
            vec![
                "~ SES identity example.com",
                "    tag ses-operator.dev/records: \"dkim mx spf @mail\" → \"dkim mx spf dmarc @mail\"",
                "~ TXT _dmarc.example.com (TTL 300, zone Z1): \"v=DMARC1; p=none; rua=mailto:old@example.com\" → \"v=DMARC1; p=none\"; the other value stays (not ours, and spec.dns.onConflict is Overwrite)",
                "waits until Route 53 serves the records (usually within 60 seconds)",
                "once the DMARC stage monitor has lasted 30d, not before 2027-01-31: the stage reject:",
                "~ TXT _dmarc.example.com (TTL 300, zone Z1): \"v=DMARC1; p=none\" → \"v=DMARC1; p=reject\"; the other value stays",
                "Plan: 1 identity to change, 0 records to create, 1 to change, 0 to delete",
            ],
        ),
        (
            "settings of the identity",
            json!({"mailFromSubdomain": "mail", "feedbackForwarding": "Disabled", "configurationSetName": "set", "tags": {"team": "mail"}}),
            json!({}),
            Found::verified(our_tags()).with_mail_from(),
            vec![
                "~ SES identity example.com",
                "    configuration set: none → set",
                "    feedback forwarding: Enabled → Disabled",
                "    tag ses-operator.dev/settings: \"mf:9plf8\" → \"fwd set:6kY2e mf:9plf8 tags:DrBjj\"",
                "    tag team: \"mail\"",
                "Plan: 1 identity to change, 0 records to create, 0 to change, 0 to delete",
            ],
        ),
    ] {
        assert_eq!(told(&preview_of(spec, status, found)), lines, "{case}");
    }
}

#[test]
fn a_move_of_mail_from_takes_the_old_records_out_last() {
    let entry = |purpose: &str, record_type: &str, value: &str| {
        json!({"purpose": purpose, "name": "mail.example.com", "type": record_type, "value": value, "ttl": 300,
               "hostedZoneId": "Z1", "ours": true, "published": true, "since": "2026-01-01T00:00:00Z"})
    };
    let status = json!({"records": [
        entry("MailFromMx", "MX", "10 feedback-smtp.eu-west-1.amazonses.com"),
        entry("MailFromSpf", "TXT", "v=spf1 include:amazonses.com ~all"),
    ]});
    let found = Found::verified(our_tags()).with_mail_from();
    let told = told(&preview_of(json!({"mailFromSubdomain": "bounce"}), status, found));
    let heads: Vec<&str> =
        told.iter().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(" (").next()).collect();
    assert_eq!(
        heads,
        [
            "~ SES identity example.com",
            "+ MX bounce.example.com",
            "+ TXT bounce.example.com",
            "once Route 53 serves the records",
            "~ SES identity example.com",
            "once SES has verified the MAIL FROM domain bounce.example.com",
            "~ SES identity example.com",
            "- MX mail.example.com",
            "- TXT mail.example.com",
            "Plan: 1 identity to change, 2 records to create, 0 to change, 0 to delete",
        ],
        "{told:#?}"
    );
}

#[test]
fn a_conflict_is_told_and_what_rests_on_it_is_not_foreseen() {
    let found = Found::nothing().with("mail.example.com", "MX", &["10 mx.example.org"]);
    let spec = json!({"mailFromSubdomain": "mail", "mxFailureBehavior": "RejectMessage", "dmarcPolicy": walk()});
    let told = told(&preview_of(spec, json!({}), found));
    let conflict: Vec<&String> = told.iter().filter(|line| line.starts_with("! ")).collect();
    assert_eq!(conflict.len(), 1, "{told:#?}");
    assert!(conflict[0].contains("RecordConflict: mail.example.com MX holds \"10 mx.example.org\""), "{told:#?}");
    assert!(conflict[0].contains("set spec.dns.onConflict to Overwrite"), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("RejectMessage") || line.contains("stage reject")), "{told:#?}");
    assert_eq!(
        told.last().map(String::as_str),
        Some("Plan: 1 identity to create, 5 records to create, 0 to change, 0 to delete; 1 conflict")
    );
}

#[test]
fn an_identity_of_others_is_a_conflict_and_nothing_else() {
    let spec = json!({"mailFromSubdomain": "mail"});
    let told = told(&preview_of(spec, json!({}), Found::verified(json!({})).with_mail_from()));
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("! IdentityNotOurs: the SES identity example.com exists already"), "{told:#?}");
    assert_eq!(told[1], "Plan: nothing to do; 1 conflict");
}

#[test]
fn what_is_refused_is_told_without_a_look() {
    let told = told(&preview_of(json!({"region": "cn-north-1"}), json!({}), Found::nothing()));
    assert_eq!(
        told,
        [
            "! RegionUnsupported: Amazon SES is not offered in cn-north-1: create the SesDomain anew with another spec.region",
            "Plan: nothing to do; 1 conflict",
        ]
    );
}

#[test]
fn an_adoption_is_told_with_the_records_that_follow_it() {
    let spec = json!({"mailFromSubdomain": "mail", "adoptionPolicy": "Adopt"});
    let told = told(&preview_of(spec, json!({}), Found::verified(json!({"team": "mail"}))));
    for line in [
        "    tag ses-operator.dev/adopted: \"true\"",
        "+ MX mail.example.com (TTL 300, zone Z1): 10 feedback-smtp.eu-west-1.amazonses.com",
        "Plan: 1 identity to change, 2 records to create, 0 to change, 0 to delete",
    ] {
        assert!(told.contains(&line.to_owned()), "{line}: {told:#?}");
    }
    assert!(!told.iter().any(|line| line.contains("team")), "what is found stays: {told:#?}");
}

#[test]
fn the_status_holds_bounded_lines() {
    let tags: BTreeMap<String, String> = (0..43).map(|n| (format!("key-{n:02}"), "v".repeat(256))).collect();
    let uris: Vec<String> = (0..10).map(|n| format!("mailto:{}{n}@example.com", "r".repeat(300))).collect();
    let stages: Vec<Value> = (0..8)
        .map(|n| json!({"name": format!("stage-{n}"), "policy": "None", "minDuration": "30d"}))
        .chain([])
        .collect();
    let spec = json!({
        "mailFromSubdomain": "mail", "tags": tags,
        "dmarcPolicy": {"aggregateReportUris": uris, "stages": stages},
    });
    let preview = preview_of(spec, json!({}), Found::nothing());
    let held = for_status(&preview);
    assert!(held.len() <= MOST_PLAN_LINES);
    assert!(held.iter().all(|line| line.0.chars().count() <= PLAN_LINE_LENGTH));
    assert!(held.iter().any(|line| line.0.ends_with('…')), "a long record is cut");
    assert_eq!(held.last().map(|line| line.0.clone()), told(&preview).last().cloned(), "the summary stays");

    let many = Preview {
        identity: preview.identity.clone(),
        now: Step { notes: (0..100).map(|n| format!("note {n}")).collect(), ..Step::default() },
        later: Vec::new(),
        suspended: true,
        failure: None,
    };
    let held = for_status(&many);
    assert_eq!(held.len(), MOST_PLAN_LINES);
    assert_eq!(held[MOST_PLAN_LINES - 2].0, "… and 38 lines more: `ses-operator plan` shows them");
}

#[test]
fn the_summary_counts() {
    for (identities, records, conflicts, words) in [
        ([0, 0, 0], [0, 0, 0], 0, "Plan: nothing to do"),
        ([0, 0, 0], [0, 0, 0], 2, "Plan: nothing to do; 2 conflicts"),
        (
            [1, 0, 0],
            [6, 0, 0],
            1,
            "Plan: 1 identity to create, 6 records to create, 0 to change, 0 to delete; 1 conflict",
        ),
        (
            [0, 1, 2],
            [0, 0, 0],
            0,
            "Plan: 1 identity to change, 2 identities to delete, 0 records to create, 0 to change, 0 to delete",
        ),
        ([0, 0, 0], [1, 2, 3], 0, "Plan: 1 record to create, 2 to change, 3 to delete"),
    ] {
        assert_eq!(summary(&Tally { identities, records, conflicts }), words);
    }
}

fn with_a_policy_to_merge(look_ups: Result<Result<usize, PermError>, CloudError>) -> Preview {
    let found = Found::verified(tags_that_claim("dkim mx @mail"))
        .with("mail.example.com", "MX", &["10 feedback-smtp.eu-west-1.amazonses.com"])
        .with("mail.example.com", "TXT", &["\"v=spf1 include:a.example -all\""]);
    let spec = json!({"domain": "example.com", "mailFromSubdomain": "mail", "dns": {"onConflict": "Merge"}});
    preview_of(spec, json!({}), Found { look_ups, ..found })
}

#[test]
fn a_policy_that_would_need_too_many_look_ups_is_a_conflict_with_the_count_and_the_remedy() {
    let costs = vec![("include:a.example".to_owned(), 10), ("include:amazonses.com".to_owned(), 1)];
    let preview = with_a_policy_to_merge(Ok(Err(PermError::TooManyLookUps { look_ups: 11, costs })));
    let told = "can't be merged with: it would need 11 look-ups, and SPF allows 10: include:a.example 10, include:amazonses.com 1; wanted there: \"v=spf1 include:amazonses.com ~all\"; take out of that policy what it can do without, name another spec.mailFromSubdomain, or set spec.dns.onConflict to Overwrite";
    let problems: Vec<&str> = preview.now.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(problems.len() == 1 && problems[0].ends_with(told), "{problems:?}");
    assert!(preview.now.difference.is_empty(), "{:?}", preview.now.difference);
}

#[test]
fn a_policy_of_which_the_look_ups_are_not_known_is_left_and_the_preview_says_that_it_is_not_whole() {
    let failure = CloudError {
        kind: ErrorKind::Unavailable,
        operation: crate::dns::public::LOOK_UP,
        object: "a.example TXT".to_owned(),
        message: "no answer".to_owned(),
    };
    let preview = with_a_policy_to_merge(Err(failure.clone()));
    assert_eq!(preview.failure, Some(failure));
    assert!(preview.now.difference.is_empty() && preview.now.problems.is_empty(), "{:?}", preview.now);
}
