//! What the demo plays on: the control plane, AWS, the operator.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;
use ses_operator_rig::aws::{Account, Aws, Settings};
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::operator::Operator;
use ses_operator_rig::wait::until;

use crate::screen::Screen;

/// The domain of the sample.
pub const DOMAIN: &str = "example.com";
/// Its resource.
pub const NAME: &str = "example-com";
/// Its namespace.
pub const NAMESPACE: &str = "mail";
/// The operator's Region.
pub const REGION: &str = "eu-west-1";

/// All that the demo needs, running.
pub struct Stage {
    pub plane: ControlPlane,
    pub account: Account,
    pub zone: String,
    pub domains: Api<DynamicObject>,
    operator: Operator,
    _aws: Aws,
}

impl Stage {
    pub async fn set(screen: &Screen) -> Result<Self> {
        screen.scene("The stage is set");
        let binary = binary()?;

        let started = Instant::now();
        let plane = ControlPlane::start().await?;
        screen.done("Kubernetes", "etcd, kube-apiserver, kube-controller-manager", started.elapsed());

        let started = Instant::now();
        let aws = Aws::start().await?;
        let account = aws.account();
        account.set_rate(60.0).await?;
        account.settings(Settings::default().dkim(60..=150).mail_from(60..=210)).await?;
        let zone = account.create_zone(DOMAIN).await?;
        screen.done("AWS", &format!("account {}, hosted zone {zone} of {DOMAIN}", account.id()), started.elapsed());

        let started = Instant::now();
        let root = project();
        plane.kubectl(["apply", "-f", &path(&root.join("crds"))]).await?;
        plane
            .kubectl(["wait", "--for=condition=Established", "crd/sesdomains.ses-operator.dev", "--timeout=30s"])
            .await?;
        plane.kubectl(["create", "namespace", NAMESPACE]).await?;
        let operator = Operator::builder(&plane, binary)
            .environment(account.environment(REGION))
            .environment([("SES_OPERATOR_SIMULATED_CLOCK", account.clock_url())])
            .environment([("SES_OPERATOR_NAMESERVER", account.name_server().await?.to_string())])
            .arguments(["--leader-elect=false", "--bind-address=127.0.0.1:0"])
            .start()?;
        until("the operator to be ready", Duration::from_secs(20), async || {
            operator.log().contains("serving /livez").then_some(()).with_context(|| operator.log())
        })
        .await?;
        screen.done("ses-operator", &format!("Region {REGION}, CRD installed"), started.elapsed());

        let kind = GroupVersionKind::gvk("ses-operator.dev", "v1alpha1", "SesDomain");
        let client: Client = plane.client().await?;
        let domains = Api::namespaced_with(client, NAMESPACE, &ApiResource::from_gvk(&kind));
        Ok(Self { plane, account, zone, domains, operator, _aws: aws })
    }

    /// The resource as it is now.
    pub async fn resource(&self) -> Result<Value> {
        let found = self.domains.get_opt(NAME).await?.context("the resource does not exist")?;
        Ok(serde_json::to_value(found)?)
    }

    /// The conditions as they are now: type, status, reason, message.
    pub async fn conditions(&self) -> Result<Vec<[String; 4]>> {
        let resource = self.resource().await?;
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        let conditions = resource["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions
            .iter()
            .map(|condition| ["type", "status", "reason", "message"].map(|field| text(condition, field)))
            .collect())
    }

    pub async fn is_ready(&self) -> Result<bool> {
        Ok(self.conditions().await?.iter().any(|[name, status, _, _]| name == "Ready" && status == "True"))
    }

    pub fn last_log_lines(&self) -> String {
        let log = self.operator.log();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn binary() -> Result<PathBuf> {
    let Some(binary) = std::env::var_os("SES_OPERATOR_BINARY").map(PathBuf::from) else {
        bail!("SES_OPERATOR_BINARY is not set: run `make demo`");
    };
    if !binary.exists() {
        bail!("{} does not exist: run `make demo`, which builds it", binary.display());
    }
    Ok(binary)
}

/// The project's root.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn path(path: &Path) -> String {
    path.display().to_string()
}
