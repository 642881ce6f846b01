//! What Helm and kubectl make of the files, without a cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use ses_operator_rig::binaries::{self, Binaries};

/// A file of the repository.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(file(path)).with_context(|| format!("can't read {path}"))
}

/// The documents of a YAML text.
pub(crate) fn documents(yaml: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(yaml).map(Value::deserialize);
    let documents: Vec<Value> = documents.collect::<Result<_, _>>()?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The chart as Helm renders it into the namespace `ops`, as a release of the chart's name.
pub(crate) async fn chart(arguments: &[&str]) -> Result<Vec<Value>> {
    let chart = file("charts/ses-operator").display().to_string();
    let fixed = ["template", "ses-operator", &chart, "--namespace", "ops"];
    documents(&helm(&[&fixed, arguments].concat()).await?)
}

/// A folder as kubectl's kustomize renders it.
pub(crate) async fn kustomize(path: &str) -> Result<Vec<Value>> {
    let kubectl = tokio::task::spawn_blocking(Binaries::find).await??.kubectl;
    documents(&run(Command::new(kubectl).arg("kustomize").arg(file(path)))?)
}

/// Runs Helm. It finds no configuration of whoever runs the tests.
pub(crate) async fn helm(arguments: &[&str]) -> Result<String> {
    let helm = tokio::task::spawn_blocking(binaries::helm).await??;
    let nowhere = "/nonexistent";
    let mut command = Command::new(helm);
    command.args(arguments).env("HELM_CACHE_HOME", nowhere).env("HELM_CONFIG_HOME", nowhere);
    run(command.env("HELM_DATA_HOME", nowhere).env("KUBECONFIG", nowhere))
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// The one object of a kind and name.
pub(crate) fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.with_context(|| format!("no {kind} {name} among {:?}", names(objects)))
}

/// Kind and name of each object, in order.
pub(crate) fn names(objects: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut names: Vec<String> = objects
        .iter()
        .map(|object| format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"])))
        .collect();
    names.sort();
    names
}
