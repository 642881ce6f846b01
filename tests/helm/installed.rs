//! The operator works with what the chart gives it, and nothing else: the Deployment's arguments and environment, the
//! service account's token, the roles.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar, Namespace};
use kube::Api;
use serde_json::{Value, json};
use ses_operator::api::SesDomain;
use ses_operator_rig::aws::{Account, Aws, Settings};
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::leash::Leashed;
use ses_operator_rig::wait::{Hopeless, until};

use crate::render;

/// Verification takes minutes in AWS, and seconds here; the machine may be compiling as well.
const SOON: Duration = Duration::from_secs(120);
/// Virtual seconds in a second.
const RATE: f64 = 60.0;
const REGION: &str = "eu-west-1";

#[tokio::test]
async fn an_installed_operator_makes_a_domain_ready_and_needs_no_more_than_its_roles() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let account = Aws::shared().await?.account();
    account.settings(Settings::default().seed(3)).await?;
    account.set_rate(RATE).await?;
    let zone = account.create_zone("example.com").await?;
    let before = account.zone_records(&zone).await?;
    let domains: Api<SesDomain> = Api::namespaced(plane.client().await?, "mail");
    plane.kubectl(["create", "namespace", "mail"]).await?;
    let mark = plane.audit_mark()?;

    // For all namespaces, with its cluster ID read from the cluster.
    helm(&plane, &account, "install", json!({"region": REGION})).await?;
    let mut operator = Installed::start(&plane).await?;
    let samples = render::file("config/samples").display().to_string();
    until("the sample to be applied", SOON, async || plane.kubectl(["apply", "-k", &samples]).await).await?;
    operator.until(&plane, "Ready", async || is_ready(&domains).await).await?;
    let events = plane.kubectl("-n mail get events.events.k8s.io -o jsonpath={.items[*].reason}".split(' ')).await?;
    assert!(events.contains("IdentityCreated"), "events: {events}");
    operator.stop().await?;

    // For one namespace, with its cluster ID given: the same identity is known again.
    let namespaces: Api<Namespace> = Api::all(plane.client().await?);
    let cluster_id = namespaces.get("kube-system").await?.metadata.uid.context("a UID")?;
    let one_namespace = json!({"watchNamespace": "mail", "clusterId": cluster_id, "replicas": 2});
    helm(&plane, &account, "upgrade", one_namespace).await?;
    let elsewhere = plane
        .kubectl_command()
        .args(["auth", "can-i", "list", "sesdomains.ses-operator.dev", "--namespace=default"])
        .arg("--as=system:serviceaccount:ops:ses-operator")
        .output()
        .await?;
    assert_eq!(String::from_utf8_lossy(&elsewhere.stdout).trim(), "no");
    let mut operator = Installed::start(&plane).await?;
    plane
        .kubectl("-n mail annotate sesdomain example-com ses-operator.dev/reconcile-requested-at=now".split(' '))
        .await?;
    operator
        .until(&plane, "the request to be answered", async || {
            let domain = is_ready(&domains).await?;
            let answered = domain.status.and_then(|status| status.last_handled_reconcile_at);
            ensure!(answered.as_deref() == Some("now"), "answered: {answered:?}");
            Ok(())
        })
        .await?;
    plane.kubectl("-n mail delete sesdomain example-com --wait=false".split(' ')).await?;
    operator
        .until(&plane, "the removal", async || {
            let left = domains.get_opt("example-com").await?;
            ensure!(left.is_none(), "{left:?}");
            Ok(())
        })
        .await?;
    assert_eq!(account.zone_records(&zone).await?, before);
    operator.stop().await?;

    let refused: Vec<_> = plane
        .audit_since(mark)?
        .into_iter()
        .filter(|entry| entry.user == "system:serviceaccount:ops:ses-operator" && entry.code == 403)
        .collect();
    assert!(refused.is_empty(), "the roles lack something: {refused:#?}");
    Ok(())
}

/// Installs or upgrades the release `ses-operator` in the namespace `ops`; what leads to the rig's AWS and its clock comes by
/// way of `extraEnv`, as anybody's settings would.
async fn helm(plane: &ControlPlane, account: &Account, verb: &str, values: Value) -> Result<()> {
    let mut values = values;
    let mut variables = account.environment(REGION);
    variables.push(("SES_OPERATOR_SIMULATED_CLOCK".to_owned(), account.clock_url()));
    // All pods of the rig share this machine.
    variables.push(("SES_OPERATOR_BIND_ADDRESS".to_owned(), "127.0.0.1:0".to_owned()));
    values["nameservers"] = json!([account.name_server().await?]);
    values["extraEnv"] = variables.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let file = plane.folder().join("values.json");
    std::fs::write(&file, values.to_string())?;
    let (chart, file) = (render::file("charts/ses-operator").display().to_string(), file.display().to_string());
    let mut arguments = vec![verb, "ses-operator", &chart, "--namespace", "ops", "--values", &file];
    if verb == "install" {
        arguments.push("--create-namespace");
    }
    let said = plane.helm(arguments).await?;
    ensure!(said.contains("kubectl -n ops rollout status deployment/ses-operator"), "the notes say: {said}");
    Ok(())
}

async fn is_ready(domains: &Api<SesDomain>) -> Result<SesDomain> {
    let domain = domains.get("example-com").await?;
    let conditions = domain.status.iter().flat_map(|status| &status.conditions);
    let ready = conditions.clone().any(|one| one.type_ == "Ready" && one.status == "True");
    ensure!(
        ready,
        "{}",
        conditions.map(|one| format!("{}={} ({})", one.type_, one.status, one.message)).collect::<Vec<_>>().join("; ")
    );
    Ok(domain)
}

/// The operator's program as a kubelet would start it.
struct Installed(Leashed);

impl Installed {
    async fn start(plane: &ControlPlane) -> Result<Self> {
        let deployments: Api<Deployment> = Api::namespaced(plane.client().await?, "ops");
        let pod = deployments.get("ses-operator").await?.spec.context("a spec")?.template.spec.context("a pod")?;
        let account = pod.service_account_name.context("a service account")?;
        let [container] = pod.containers.try_into().map_err(|_| anyhow::anyhow!("one container"))?;
        let kubeconfig = plane.kubeconfig_for("ops", &account).await?;
        // `env -i`: a container has nothing of whoever runs the tests.
        let mut command = Command::new("env");
        command.arg("-i").arg(format!("KUBECONFIG={}", kubeconfig.display()));
        command.args(environment(&container)?.into_iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(env!("CARGO_BIN_EXE_ses-operator")).args(container.args.unwrap_or_default());
        Ok(Self(Leashed::spawn(&command, &plane.folder().join("operator.log"))?))
    }

    /// Waits for what the operator should bring about; it ending is the end of the wait.
    async fn until<T>(
        &mut self,
        plane: &ControlPlane,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let process = &mut self.0;
        let outcome = until(what, SOON, async || {
            if let Some(status) = process.try_wait()? {
                return Err(Hopeless(format!("the operator ended ({status})")).into());
            }
            look().await
        })
        .await;
        if outcome.is_err() {
            eprintln!("{}", plane.kubectl("-n mail describe sesdomains".split(' ')).await.unwrap_or_default());
            eprintln!("{}", std::fs::read_to_string(process.log()).unwrap_or_default());
        }
        outcome
    }

    /// As the kubelet stops a pod.
    async fn stop(mut self) -> Result<()> {
        self.0.signal("TERM")?;
        let status = until("the operator to stop", Duration::from_secs(10), async || {
            self.0.try_wait()?.context("it still runs")
        })
        .await?;
        ensure!(status.success(), "the operator ended with {status}: {}", self.0.tail());
        Ok(())
    }
}

/// The container's environment, with the fields that the kubelet would fill in.
fn environment(container: &Container) -> Result<BTreeMap<String, String>> {
    let value = |variable: &EnvVar| {
        let source = variable.value_from.as_ref().and_then(|source| source.field_ref.as_ref());
        match source.map(|field| field.field_path.as_str()) {
            None => variable.value.clone(),
            Some("metadata.name") => Some("ses-operator-0".to_owned()),
            Some("metadata.namespace") => Some("ops".to_owned()),
            Some(_) => None,
        }
    };
    let mut environment = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let value = value(variable).with_context(|| format!("no value for {}", variable.name))?;
        environment.insert(variable.name.clone(), value);
    }
    Ok(environment)
}
