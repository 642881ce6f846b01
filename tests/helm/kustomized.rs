//! `config/default` is the operator that the chart installs, and the samples are accepted.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::wait::until;

use crate::render;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn kustomize_and_the_chart_install_the_same_operator() -> Result<()> {
    let chart = render::chart(&[]).await?;
    let config = render::kustomize("config/default").await?;
    let mut expected = render::names(&chart);
    expected.push("Namespace ses-operator".to_owned());
    expected.sort();
    assert_eq!(render::names(&config), expected);

    for (kind, name) in [
        ("ClusterRole", "ses-operator"),
        ("ClusterRole", "ses-operator-view"),
        ("ClusterRole", "ses-operator-edit"),
        ("Role", "ses-operator-leader"),
    ] {
        let rules = |objects: &[Value]| Ok::<_, anyhow::Error>(render::object(objects, kind, name)?["rules"].clone());
        assert_eq!(rules(&config)?, rules(&chart)?, "{kind} {name}");
    }
    let pod = |objects: &[Value]| {
        let deployment = render::object(objects, "Deployment", "ses-operator")?;
        Ok::<_, anyhow::Error>(deployment["spec"]["template"]["spec"].clone())
    };
    assert_eq!(pod(&config)?, pod(&chart)?);
    Ok(())
}

#[tokio::test]
async fn it_applies_where_pods_must_be_restricted() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let default = render::file("config/default").display().to_string();
    plane.kubectl(["apply", "-k", &default]).await?;
    let again = plane.kubectl(["apply", "-k", &default]).await?;
    assert!(!again.contains("configured"), "a second time nothing changes:\n{again}");

    // There is no node; that a pod of the Deployment would be let in is the API server's to say.
    let deployment = plane.kubectl("-n ses-operator get deployment ses-operator -o json".split(' ')).await?;
    let deployment: Value = serde_json::from_str(&deployment)?;
    let template = &deployment["spec"]["template"];
    let pod = |spec: &Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried", "namespace": "ses-operator"}, "spec": spec});
    let try_it = "create --dry-run=server -f -";
    plane.kubectl_with_input(try_it.split(' '), &pod(&template["spec"]).to_string()).await?;
    let mut lax = template["spec"].clone();
    lax["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refusal = plane.kubectl_with_input(try_it.split(' '), &pod(&lax).to_string()).await;
    let refusal = refusal.err().context("a lax pod was let in")?.to_string();
    assert!(refusal.contains("violates PodSecurity"), "{refusal}");

    the_samples_are_accepted(&plane).await
}

async fn the_samples_are_accepted(plane: &ControlPlane) -> Result<()> {
    plane.kubectl(["create", "namespace", "mail"]).await?;
    let samples = render::file("config/samples").display().to_string();
    until("the samples to be applied", SOON, async || plane.kubectl(["apply", "-k", &samples]).await).await?;
    let domain = "-n mail get sesdomain example-com -o jsonpath={.spec.domain}";
    assert_eq!(plane.kubectl(domain.split(' ')).await?, "example.com");
    let more = format!("{samples}/more");
    let accepted = plane.kubectl(["create", "--dry-run=server", "--validate=strict", "-f", &more]).await?;
    assert_eq!(accepted.lines().count(), std::fs::read_dir(&more)?.count(), "{accepted}");
    Ok(())
}
