//! What can't be changed later.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{judge, resource, resources, spec};

/// A case: its name, the spec, the merge patch, and the words of the refusal.
type Change = (&'static str, Value, Value, Option<&'static str>);

#[tokio::test]
async fn domain_and_region_stay_what_they_are() -> Result<()> {
    let domain = Some("domain can't be changed: create another SesDomain for the other domain");
    let region = Some("region can be added once, and then neither changed nor removed: create another SesDomain");
    let ireland = || spec(json!({"region": "eu-west-1"}));
    let cases: Vec<Change> = vec![
        ("another domain", spec(json!({})), json!({"domain": "example.org"}), domain),
        ("the same domain", spec(json!({})), json!({"domain": "example.com"}), None),
        ("a Region is added", spec(json!({})), json!({"region": "eu-west-1"}), None),
        ("a Region is changed", ireland(), json!({"region": "eu-west-2"}), region),
        ("a Region is removed", ireland(), json!({"region": null}), region),
        ("the Region stays", ireland(), json!({"region": "eu-west-1", "suspend": true}), None),
        ("everything else is added", ireland(), json!({"mailFromSubdomain": "mail", "tags": {"a": "b"}}), None),
        (
            "everything else is changed",
            spec(json!({"mailFromSubdomain": "mail"})),
            json!({"mailFromSubdomain": "m"}),
            None,
        ),
        (
            "everything else is removed",
            spec(json!({"mailFromSubdomain": "mail"})),
            json!({"mailFromSubdomain": null}),
            None,
        ),
    ];
    super::namespace("stays").await?;
    let resources = resources("stays").await?;
    let mut wrong = Vec::new();
    for (index, (name, before, change, refusal)) in cases.into_iter().enumerate() {
        let id = format!("case-{index}");
        resources.create(&PostParams::default(), &resource(&id, before)).await?;
        let answer = resources.patch(&id, &PatchParams::default(), &Patch::Merge(json!({ "spec": change }))).await;
        if let Err(error) = judge(answer, refusal) {
            wrong.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
