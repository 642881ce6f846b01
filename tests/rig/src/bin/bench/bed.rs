//! What is measured on: the control plane, AWS, and an operator for each figure.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use ses_operator_rig::aws::{Account, Aws, Request, Service, Settings};
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::operator::Operator;
use ses_operator_rig::wait::until;

const REGION: &str = "eu-west-1";

/// The control plane and AWS.
pub struct Bed {
    pub plane: ControlPlane,
    aws: Aws,
    binary: PathBuf,
}

/// A namespace, an account and an operator of their own.
pub struct Plot {
    pub account: Account,
    pub operator: Option<Operator>,
    pub domains: Api<DynamicObject>,
    namespace: String,
}

impl Bed {
    pub async fn make() -> Result<Self> {
        let binary = std::env::var_os("SES_OPERATOR_BINARY").map(PathBuf::from);
        let binary = binary.context("SES_OPERATOR_BINARY is not set: run `make bench`")?;
        let plane = ControlPlane::start().await?;
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
        plane.kubectl(["apply", "-f", &crds.display().to_string()]).await?;
        let established = ["wait", "--for=condition=Established", "crd/sesdomains.ses-operator.dev", "--timeout=30s"];
        plane.kubectl(established).await?;
        Ok(Self { plane, aws: Aws::start().await?, binary })
    }

    /// A namespace with a zone and a running operator; `rate` virtual seconds pass in one of the wall's.
    pub async fn plot(&self, namespace: &str, settings: Settings, rate: f64) -> Result<Plot> {
        self.plane.kubectl(["create", "namespace", namespace]).await?;
        let account = self.aws.account();
        account.settings(settings).await?;
        account.set_rate(rate).await?;
        account.create_zone("example.com").await?;
        let kind = GroupVersionKind::gvk("ses-operator.dev", "v1alpha1", "SesDomain");
        let domains = Api::namespaced_with(self.plane.client().await?, namespace, &ApiResource::from_gvk(&kind));
        let mut plot = Plot { account, operator: None, domains, namespace: namespace.to_owned() };
        self.start(&mut plot).await?;
        Ok(plot)
    }

    /// Starts the plot's operator, and gives the time until it was ready.
    pub async fn start(&self, plot: &mut Plot) -> Result<Duration> {
        let started = Instant::now();
        let operator = Operator::builder(&self.plane, &self.binary)
            .environment(plot.account.environment(REGION))
            .environment([("SES_OPERATOR_SIMULATED_CLOCK", plot.account.clock_url())])
            .arguments(["--leader-elect=false", "--bind-address=127.0.0.1:0", "--namespace", &plot.namespace])
            .start()?;
        until("the operator to be ready", Duration::from_secs(20), async || {
            operator.log().contains("serving /livez").then_some(()).with_context(|| operator.log())
        })
        .await?;
        plot.operator = Some(operator);
        Ok(started.elapsed())
    }
}

impl Plot {
    /// Applies a SesDomain.
    pub async fn apply(&self, domain: &str) -> Result<()> {
        let resource: DynamicObject = serde_json::from_value(serde_json::json!({
            "apiVersion": "ses-operator.dev/v1alpha1",
            "kind": "SesDomain",
            "metadata": {"name": domain.replace('.', "-")},
            "spec": {
                "domain": domain,
                "mailFromSubdomain": "mail",
                "mxFailureBehavior": "UseDefaultValue",
                "dmarcPolicy": {"stages": [
                    {"name": "monitor", "policy": "None", "minDuration": "30d"},
                    {"name": "reject", "policy": "Reject"},
                ]},
            },
        }))?;
        self.domains.create(&PostParams::default(), &resource).await?;
        Ok(())
    }

    /// Waits until so many SesDomains are Ready.
    pub async fn wait_ready(&self, count: usize, timeout: Duration) -> Result<()> {
        until("the domains to be Ready", timeout, async || {
            let found = self.domains.list(&ListParams::default()).await?;
            let ready = found.items.iter().filter(|domain| is_ready(domain)).count();
            (ready == count).then_some(()).with_context(|| format!("{ready} of {count}"))
        })
        .await
    }

    /// The operator's calls to a service.
    pub async fn calls(&self, service: Service) -> Result<Vec<Request>> {
        let requests = self.account.requests().await?;
        let of_operator = |request: &Request| request.service == service && request.operation != "CreateHostedZone";
        Ok(requests.into_iter().filter(of_operator).collect())
    }

    /// The operator's resident memory, in MiB.
    pub fn memory(&self) -> Result<f64> {
        let id = self.operator.as_ref().context("no operator runs")?.id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1024.0)
    }
}

fn is_ready(domain: &DynamicObject) -> bool {
    let conditions = domain.data["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}
