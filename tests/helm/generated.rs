//! What is generated is what the code says.

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use ses_operator::api::crd::custom_resource_definition;

use crate::render;

const CRD: &str = "sesdomains.ses-operator.dev";

#[test]
fn the_chart_and_config_carry_the_definition_of_crds() -> Result<()> {
    let original = render::read("crds/ses-operator.dev_sesdomains.yaml")?;
    let mut made = Vec::new();
    ses_operator::cli::crd::print(&mut made)?;
    assert!(original.as_bytes() == made, "crds/ differs from the Rust types: run config/generate");
    for copy in ["charts/ses-operator/files", "config/crd"] {
        let path = format!("{copy}/ses-operator.dev_sesdomains.yaml");
        assert!(render::read(&path)? == original, "{path} differs from crds/: run config/generate");
    }
    Ok(())
}

#[tokio::test]
async fn the_chart_renders_the_definition_unchanged() -> Result<()> {
    let rendered = render::chart(&[]).await?;
    let rendered = render::object(&rendered, "CustomResourceDefinition", CRD)?;
    let installed: CustomResourceDefinition = serde_json::from_value(rendered.clone())?;
    assert!(installed.spec == custom_resource_definition()?.spec, "the chart renders another one: run config/generate");
    assert_eq!(rendered["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");

    let removable = render::chart(&["--set", "crds.keep=false"]).await?;
    let removable = render::object(&removable, "CustomResourceDefinition", CRD)?;
    assert_eq!(removable["metadata"]["annotations"]["helm.sh/resource-policy"], Value::Null);
    let without = render::chart(&["--set", "crds.enabled=false"]).await?;
    assert!(render::object(&without, "CustomResourceDefinition", CRD).is_err());
    Ok(())
}

#[tokio::test]
async fn helm_finds_no_fault_with_the_chart() -> Result<()> {
    let chart = render::file("charts/ses-operator").display().to_string();
    render::helm(&["lint", "--strict", &chart]).await?;
    Ok(())
}

#[tokio::test]
async fn a_value_that_does_not_exist_is_refused() -> Result<()> {
    for wrong in ["replicaCount=2", "region=Frankfurt", "logging.format=xml", "image.digest=sha256:12"] {
        let refusal = render::chart(&["--set", wrong]).await.err().with_context(|| format!("{wrong} was accepted"))?;
        assert!(refusal.to_string().contains("schema"), "{refusal:#}");
    }
    Ok(())
}

#[test]
fn the_charts_readme_and_schema_speak_of_every_value() -> Result<()> {
    let values = render::documents(&render::read("charts/ses-operator/values.yaml")?)?;
    let schema: Value = serde_json::from_str(&render::read("charts/ses-operator/values.schema.json")?)?;
    let readme = render::read("charts/ses-operator/README.md")?;
    let paths = leaves(&values[0], "");
    assert!(paths.len() > 20, "{paths:?}");
    for path in &paths {
        assert!(readme.contains(&format!("| `{path}` |")), "README.md says nothing of {path}: run config/generate");
        let pointer = format!("/properties/{}", path.replace('.', "/properties/"));
        assert!(schema.pointer(&pointer).is_some(), "values.schema.json says nothing of {path}");
    }
    let told = readme.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(told, paths.len(), "README.md speaks of a value that does not exist");
    Ok(())
}

/// The paths of all values that are not groups of others.
fn leaves(value: &Value, path: &str) -> Vec<String> {
    const WHOLE: [&str; 1] = ["resources"];
    match value.as_object().filter(|fields| !fields.is_empty() && !WHOLE.contains(&path)) {
        Some(fields) => fields
            .iter()
            .flat_map(|(name, value)| {
                leaves(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") })
            })
            .collect(),
        None => vec![path.to_owned()],
    }
}
