//! The CustomResourceDefinition as people meet it: through kubectl.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use ses_operator::api::crd::custom_resource_definition;

use super::{namespace, resource, resources, spec};
use crate::cluster::cluster;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/ses-operator.dev_sesdomains.yaml");

#[test]
fn the_file_is_what_the_code_says() -> Result<()> {
    let printed = Command::new(env!("CARGO_BIN_EXE_ses-operator")).arg("crd").output()?;
    ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let printed = String::from_utf8(printed.stdout)?;
    let file = std::fs::read_to_string(FILE).context(FILE)?;
    assert!(
        printed == file,
        "crds/ is not what the code says: cargo run -- crd > crds/ses-operator.dev_sesdomains.yaml"
    );
    let read: Value = serde_yaml::from_str(&file)?;
    assert_eq!(read, serde_json::to_value(custom_resource_definition()?)?);
    Ok(())
}

/// The schema of the whole resource.
fn schema() -> Result<Value> {
    let definition = serde_json::to_value(custom_resource_definition()?)?;
    Ok(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
}

/// Every field below a schema: its path as `kubectl explain` takes it, and its schema.
fn fields(path: &str, schema: &Value) -> Vec<(String, Value)> {
    let inner = if schema["items"].is_object() { &schema["items"] } else { schema };
    let own = inner["properties"].as_object().into_iter().flatten();
    own.flat_map(|(name, field)| {
        let path = format!("{path}.{name}");
        let below = fields(&path, field);
        std::iter::once((path, field.clone())).chain(below)
    })
    .collect()
}

#[tokio::test]
async fn kubectl_explains_every_field() -> Result<()> {
    let schema = schema()?;
    let mut objects = vec![("sesdomain".to_owned(), schema.clone())];
    for part in ["spec", "status"] {
        let all = fields(&format!("sesdomain.{part}"), &schema["properties"][part]);
        let silent: Vec<_> = all.iter().filter(|(_, field)| !field["description"].is_string()).collect();
        assert!(silent.is_empty(), "without a description: {silent:?}");
        objects.push((format!("sesdomain.{part}"), schema["properties"][part].clone()));
        objects.extend(all.into_iter().filter(|(_, field)| !fields("", field).is_empty()));
    }
    assert!(objects.len() > 10, "{objects:?}");
    let plane = cluster().await?;
    for (path, object) in objects.iter().filter(|(path, _)| path.starts_with("sesdomain.spec")) {
        let words: Vec<String> =
            plane.kubectl(["explain", path]).await?.split_whitespace().map(str::to_owned).collect();
        let said = words.join(" ");
        for (field, schema) in fields("", object).iter().filter(|(field, _)| field.matches('.').count() == 1) {
            let description = schema["description"].as_str().context("a description")?;
            let description: Vec<&str> = description.split_whitespace().collect();
            assert!(said.contains(&description.join(" ")), "{path}{field} is not explained by: {said}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_finds_and_lists_the_resource() -> Result<()> {
    namespace("listed").await?;
    let resources = resources("listed").await?;
    for (name, domain) in [("one", "one.example.com"), ("other", "other.example.com")] {
        let mut spec = spec(json!({}));
        spec["domain"] = json!(domain);
        resources.create(&PostParams::default(), &resource(name, spec)).await?;
    }
    let condition = |about: &str, status: &str, reason: &str| json!({"type": about, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"status": {
        "observedGeneration": 1, "region": "eu-west-1", "dmarc": {"stage": "monitor"},
        "hostedZones": [{"name": "example.com", "id": "Z1"}],
        "conditions": [
            condition("Ready", "False", "VerificationPending"),
            condition("DkimVerified", "True", "Verified"),
            condition("MailFromVerified", "Unknown", "Progressing"),
        ],
    }});
    resources.patch_status("one", &PatchParams::default(), &Patch::Merge(&status)).await?;

    let plane = cluster().await?;
    let get = async |arguments: &str| -> Result<Vec<Vec<String>>> {
        let table = plane.kubectl(["-n", "listed", "get"].into_iter().chain(arguments.split(' '))).await?;
        Ok(table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
    };
    let table = get("sesd").await?;
    assert_eq!(table[0], ["NAME", "DOMAIN", "READY", "DKIM", "MAIL-FROM", "DMARC", "AGE"]);
    assert_eq!(table[1][..6], ["one", "one.example.com", "False", "True", "Unknown", "monitor"]);
    let wide = get("sesdomains -o wide").await?;
    assert_eq!(wide[0][7..], ["REGION", "ZONE", "REASON"]);
    assert_eq!(wide[1][7..], ["eu-west-1", "Z1", "VerificationPending"]);
    assert!(get("aws").await?.iter().flatten().any(|word| word.contains("one.example.com")), "the category aws");

    let found = get("sesd --field-selector spec.domain=other.example.com -o name").await?;
    assert_eq!(found, [["sesdomain.ses-operator.dev/other"]]);
    assert_eq!(get("sesd -o name").await?.len(), 2);
    Ok(())
}
