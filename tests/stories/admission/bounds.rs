//! Tags, enums, and the bounds of the other fields.

use anyhow::{Context, Result};
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{Case, FINE, admit, resource, resources, spec};

#[tokio::test]
async fn tags_are_what_aws_takes_beside_ours() -> Result<()> {
    let tag = |key: &str, value: &str| spec(json!({ "tags": { key: value } }));
    let many = |count: usize| -> Value {
        let tags: serde_json::Map<String, Value> = (0..count).map(|n| (format!("key-{n}"), json!("value"))).collect();
        spec(json!({ "tags": tags }))
    };
    let reserved = Some("tag keys under aws: and ses-operator.dev/ are reserved: choose another key");
    let lengths = Some("tag keys must have 1 to 128 characters");
    let cases: Vec<Case> = vec![
        ("a tag", tag("team", "mail"), FINE),
        ("an empty value", tag("team", ""), FINE),
        ("43 tags", many(43), FINE),
        ("44 tags", many(44), Some("spec.tags: Too many: 44: must have at most 43 items")),
        ("a key of AWS's", tag("aws:createdBy", "me"), reserved),
        ("a key of AWS's in capitals", tag("AWS:createdBy", "me"), reserved),
        ("a key that only begins alike", tag("awsome", "me"), FINE),
        ("a key of ours", tag("ses-operator.dev/name", "me"), reserved),
        ("a key of somebody else's domain", tag("example.com/name", "me"), FINE),
        ("a key of 128", tag(&"k".repeat(128), "value"), FINE),
        ("a key of 129", tag(&"k".repeat(129), "value"), lengths),
        ("an empty key", tag("", "value"), lengths),
        ("a value of 256", tag("key", &"v".repeat(256)), FINE),
        (
            "a value of 257",
            tag("key", &"v".repeat(257)),
            Some("spec.tags.key: Too long: may not be more than 256 bytes"),
        ),
        ("a number", spec(json!({"tags": {"key": 1}})), Some("spec.tags.key in body must be of type string")),
    ];
    admit(cases).await
}

/// Sets a value at a path such as `dmarcPolicy.dkimAlignment`, in a spec that is fine without it.
fn with(path: &str, value: Value) -> Value {
    let mut spec =
        spec(json!({"mailFromSubdomain": "mail", "dmarcPolicy": {"stages": [{"name": "a", "policy": "None"}]}}));
    let mut place = &mut spec;
    for step in path.split('.') {
        place = match step.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[step],
        };
    }
    *place = value;
    spec
}

#[tokio::test]
async fn enums_take_their_own_words_only() -> Result<()> {
    let enums: [(&str, &[&str]); 12] = [
        ("mxFailureBehavior", &["UseDefaultValue", "RejectMessage"]),
        ("feedbackForwarding", &["Enabled", "Disabled"]),
        ("adoptionPolicy", &["Fail", "Adopt"]),
        ("deletionPolicy", &["Delete", "Retain"]),
        ("dkim.signingKeyLength", &["Rsa1024", "Rsa2048"]),
        ("dns.onConflict", &["Fail", "Overwrite"]),
        ("dmarcPolicy.advancement", &["Automatic", "Manual"]),
        ("dmarcPolicy.dkimAlignment", &["Relaxed", "Strict"]),
        ("dmarcPolicy.spfAlignment", &["Relaxed", "Strict"]),
        ("dmarcPolicy.subdomainPolicy", &["None", "Quarantine", "Reject"]),
        ("dmarcPolicy.nonexistentSubdomainPolicy", &["None", "Quarantine", "Reject"]),
        ("dmarcPolicy.stages.0.policy", &["None", "Quarantine", "Reject"]),
    ];
    let mut cases: Vec<Case> = Vec::new();
    for (path, words) in enums {
        cases.extend(words.iter().map(|word| (path, with(path, json!(word)), FINE)));
        for wrong in ["NONE", "reject", "Fails", ""] {
            cases.push((path, with(path, json!(wrong)), Some("Unsupported value: \"")));
        }
    }
    admit(cases).await
}

#[tokio::test]
async fn the_other_fields_have_their_bounds() -> Result<()> {
    let at_least = |least| -> Option<&'static str> { Some(least) };
    let ttl = |ttl: Value| with("dns.ttl", ttl);
    let zone = |id: &str| with("dns.route53.hostedZoneId", json!(id));
    let set = |name: &str| with("configurationSetName", json!(name));
    let cases: Vec<Case> = vec![
        ("a TTL of 60", ttl(json!(60)), FINE),
        ("a TTL of 86400", ttl(json!(86_400)), FINE),
        ("a TTL of 59", ttl(json!(59)), at_least("spec.dns.ttl in body should be greater than or equal to 60")),
        ("a TTL of 86401", ttl(json!(86_401)), Some("spec.dns.ttl in body should be less than or equal to 86400")),
        ("a zone's ID", zone("Z0123456789ABCDEFGHIJ"), FINE),
        ("a zone's ID of 32", zone(&"Z".repeat(32)), FINE),
        ("a zone's ID of 33", zone(&"Z".repeat(33)), Some("hostedZoneId: Too long: may not be more than 32 bytes")),
        ("a zone's ID with its path", zone("/hostedzone/Z1"), Some("hostedZoneId in body should match '^[A-Z0-9]+$'")),
        ("no zone's ID", zone(""), Some("hostedZoneId in body should be at least 1 chars long")),
        ("a configuration set", set("Main_set-1"), FINE),
        ("a configuration set of 64", set(&"a".repeat(64)), FINE),
        ("one of 65", set(&"a".repeat(65)), Some("configurationSetName: Too long: may not be more than 64 bytes")),
        ("one with a space", set("main set"), Some("configurationSetName in body should match")),
        ("an empty one", set(""), Some("configurationSetName in body should be at least 1 chars long")),
        ("suspended", with("suspend", json!(true)), FINE),
        ("suspended by a text", with("suspend", json!("yes")), Some("spec.suspend in body must be of type boolean")),
        (
            "testing by a text",
            with("dmarcPolicy.stages.0.testing", json!("y")),
            Some("testing in body must be of type boolean"),
        ),
    ];
    admit(cases).await
}

#[tokio::test]
async fn what_is_null_is_as_if_it_were_absent() -> Result<()> {
    let nulls = json!({
        "region": null, "mailFromSubdomain": null, "mxFailureBehavior": null, "dkim": null, "dns": null, "tags": null,
        "configurationSetName": null, "feedbackForwarding": null, "adoptionPolicy": null, "deletionPolicy": null,
        "suspend": null, "dmarcPolicy": null,
    });
    assert_eq!(stored(spec(nulls)).await?, stored(spec(json!({}))).await?);

    let policy = |rest: Value| {
        let mut policy = json!({"stages": [{"name": "a", "policy": "None"}]});
        super::merge(&mut policy, rest);
        spec(json!({ "dmarcPolicy": policy, "dns": {}, "dkim": {} }))
    };
    let nulls = json!({
        "stages": [{"name": "a", "policy": "None", "minDuration": null, "testing": null, "percent": null}],
        "activeStage": null, "advancement": null, "aggregateReportUris": null, "failureReportUris": null,
        "dkimAlignment": null, "spfAlignment": null, "subdomainPolicy": null, "nonexistentSubdomainPolicy": null,
    });
    let mut inner = policy(nulls);
    inner["dns"] = json!({"ttl": null, "onConflict": null, "route53": {"hostedZoneId": null}});
    inner["dkim"] = json!({"signingKeyLength": null});
    let mut plain = policy(json!({}));
    plain["dns"] = json!({"route53": {}});
    assert_eq!(stored(inner).await?, stored(plain).await?);
    Ok(())
}

#[tokio::test]
async fn defaults_are_written_but_never_into_list_items() -> Result<()> {
    let bare = json!({"domain": "example.com", "adoptionPolicy": "Fail", "deletionPolicy": "Delete", "suspend": false});
    assert_eq!(stored(spec(json!({}))).await?, bare);

    let mut full = bare;
    full["dns"] = json!({"onConflict": "Fail"});
    full["dmarcPolicy"] = json!({"advancement": "Automatic", "stages": [{"name": "a", "policy": "None"}]});
    let asked = spec(json!({"dns": {}, "dmarcPolicy": {"stages": [{"name": "a", "policy": "None"}]}}));
    assert_eq!(stored(asked).await?, full);
    Ok(())
}

/// The spec as the API server would store it.
async fn stored(spec: Value) -> Result<Value> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let created = resources("default").await?.create(&dry_run, &resource("tried", spec)).await?;
    created.data.get("spec").cloned().context("a spec")
}

#[tokio::test]
async fn a_resource_that_nobody_has_seen_is_not_called_current() -> Result<()> {
    super::namespace("unseen").await?;
    let resources = resources("unseen").await?;
    resources.create(&PostParams::default(), &resource("unseen", spec(json!({})))).await?;
    let read = resources.get("unseen").await?;
    assert_eq!(read.data["status"], json!({"observedGeneration": -1}));
    assert_eq!(read.metadata.generation, Some(1));
    Ok(())
}

#[tokio::test]
async fn four_lines_are_a_complete_spec() -> Result<()> {
    let manifest = r"
apiVersion: ses-operator.dev/v1alpha1
kind: SesDomain
metadata: {name: example-com}
spec:
  domain: example.com
  mailFromSubdomain: mail
  mxFailureBehavior: UseDefaultValue
  dmarcPolicy:
    stages:
      - {name: monitor, policy: None, minDuration: 30d}
      - {name: quarantine, policy: Quarantine, minDuration: 30d}
      - {name: reject, policy: Reject}
";
    let plane = crate::cluster::cluster().await?;
    let arguments = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
    let said = plane.kubectl_with_input(arguments, manifest).await?;
    assert_eq!(said, "sesdomain.ses-operator.dev/example-com created (server dry run)\n");

    let mistyped = manifest.replace("mailFromSubdomain", "mailfromSubdomain");
    let said = plane.kubectl_with_input(arguments, &mistyped).await.expect_err("a mistyped field").to_string();
    assert!(said.contains("unknown field \"spec.mailfromSubdomain\""), "{said}");
    Ok(())
}
