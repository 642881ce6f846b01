//! What the API server accepts and refuses, and with which words: one accepting and one refusing case for every rule and
//! every bound of the schema.

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::cluster::cluster;

mod bounds;
mod definition;
mod dmarc;
mod names;
mod stays;

/// A case: its name, what is asked for, and the words of the refusal, if it shall be refused.
type Case = (&'static str, Value, Option<&'static str>);

/// The whole case is fine.
const FINE: Option<&str> = None;

/// A spec of `example.com` with these fields besides.
fn spec(fields: Value) -> Value {
    let mut spec = json!({"domain": "example.com"});
    merge(&mut spec, fields);
    spec
}

fn merge(spec: &mut Value, fields: Value) {
    if let (Value::Object(spec), Value::Object(fields)) = (spec, fields) {
        spec.extend(fields);
    }
}

/// Tries every case against the API server and tells of all that went wrong, each by its name.
async fn admit(cases: impl IntoIterator<Item = Case>) -> Result<()> {
    let resources = resources("default").await?;
    let mut wrong = Vec::new();
    for (name, spec, refusal) in cases {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let answer = resources.create(&dry_run, &resource("tried", spec)).await;
        if let Err(error) = judge(answer, refusal) {
            wrong.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Compares an answer with what was expected.
fn judge<T>(answer: Result<T, kube::Error>, refusal: Option<&str>) -> Result<()> {
    match (answer, refusal) {
        (Ok(_), None) => Ok(()),
        (Err(kube::Error::Api(status)), Some(words)) => {
            ensure!(status.code == 422, "refused with the code {}: {}", status.code, status.message);
            ensure!(status.message.contains(words), "refused with other words than {words:?}: {}", status.message);
            // A rule of ours speaks of the mistake that was made, and of no other.
            let causes = status.details.map(|details| details.causes).unwrap_or_default();
            let others: Vec<_> = causes.iter().map(|cause| &cause.message).filter(|one| !one.contains(words)).collect();
            let of_the_schema = words.contains("in body ") || words.contains(": ");
            ensure!(of_the_schema || others.is_empty(), "refused with more words than {words:?}: {others:?}");
            Ok(())
        }
        (Ok(_), Some(words)) => bail!("accepted, and should be refused with {words:?}"),
        (Err(error), _) => bail!("refused: {error}"),
    }
}

/// SesDomains as the API server sees them, so that a wrong one can be sent.
async fn resources(namespace: &str) -> Result<Api<DynamicObject>> {
    let client = cluster().await?.client().await?;
    Ok(Api::namespaced_with(client, namespace, &kind()))
}

fn kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("ses-operator.dev", "v1alpha1", "SesDomain"), "sesdomains")
}

fn resource(name: &str, spec: Value) -> DynamicObject {
    let mut resource = DynamicObject::new(name, &kind());
    resource.data = json!({ "spec": spec });
    resource
}

/// A namespace of its own for a case that leaves something behind.
async fn namespace(name: &str) -> Result<()> {
    let client: Client = cluster().await?.client().await?;
    let patch = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    Api::<Namespace>::all(client).patch(name, &PatchParams::apply("stories"), &Patch::Apply(patch)).await?;
    Ok(())
}
