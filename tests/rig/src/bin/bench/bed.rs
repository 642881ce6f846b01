//! What is measured on: the control plane, AWS, and an operator for each run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use ses_operator_rig::aws::{Account, Aws, Settings};
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::control_plane::audit::{AuditEntry, AuditMark};
use ses_operator_rig::operator::Operator;
use ses_operator_rig::wait::{Hopeless, until};

pub const REGION: &str = "eu-west-1";

/// The control plane and AWS.
pub struct Bed {
    pub plane: ControlPlane,
    aws: Aws,
    binary: PathBuf,
}

/// A namespace and an account of their own.
pub struct Plot<'a> {
    pub bed: &'a Bed,
    pub account: Account,
    pub namespace: String,
    pub domains: Api<DynamicObject>,
    kubeconfig: PathBuf,
}

/// A running operator.
pub struct Running {
    operator: Operator,
    metrics: String,
    /// How long it took from its start to the first answer of `/readyz`.
    pub ready_after: Duration,
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

    /// A namespace with an account for the operator, in the cluster and in AWS.
    pub async fn plot(&self, namespace: &str, settings: Settings) -> Result<Plot<'_>> {
        self.namespace(namespace).await?;
        let subject = format!("--serviceaccount={namespace}:ses-operator");
        let binding = ["create", "clusterrolebinding", namespace, "--clusterrole=cluster-admin", subject.as_str()];
        self.plane.kubectl(["-n", namespace, "create", "serviceaccount", "ses-operator"]).await?;
        self.plane.kubectl(binding).await?;
        let account = self.aws.account();
        account.settings(settings).await?;
        Ok(Plot {
            bed: self,
            account,
            namespace: namespace.to_owned(),
            domains: self.domains(namespace).await?,
            kubeconfig: self.plane.kubeconfig_for(namespace, "ses-operator").await?,
        })
    }

    pub async fn namespace(&self, namespace: &str) -> Result<()> {
        self.plane.kubectl(["create", "namespace", namespace]).await?;
        Ok(())
    }

    /// The SesDomains of a namespace.
    pub async fn domains(&self, namespace: &str) -> Result<Api<DynamicObject>> {
        Ok(Api::namespaced_with(self.plane.client().await?, namespace, &kind()))
    }

    /// The SesDomains of all namespaces.
    pub async fn all_domains(&self) -> Result<Api<DynamicObject>> {
        Ok(Api::all_with(self.plane.client().await?, &kind()))
    }
}

impl Plot<'_> {
    /// Starts an operator for all namespaces: there is one plot with domains on a bed at a time, or `arguments` say which.
    pub async fn start(&self, arguments: &[&str]) -> Result<Running> {
        let started = Instant::now();
        let operator = Operator::builder(&self.bed.plane, &self.bed.binary)
            .kubeconfig(&self.kubeconfig)
            .environment(self.account.environment(REGION))
            .environment([("SES_OPERATOR_SIMULATED_CLOCK", self.account.clock_url())])
            .environment([("SES_OPERATOR_NAMESERVER", self.account.name_server().await?.to_string())])
            .arguments(["--leader-elect=false", "--bind-address=127.0.0.1:0"])
            .arguments(arguments.iter().copied())
            .start()?;
        let address = ready_at(&operator).await?;
        Ok(Running { operator, metrics: format!("http://{address}/metrics"), ready_after: started.elapsed() })
    }

    /// What the operator asked of the API server since `mark`, about SesDomains and events.
    pub fn kubernetes_requests(&self, mark: AuditMark) -> Result<Vec<AuditEntry>> {
        let user = format!("system:serviceaccount:{}:ses-operator", self.namespace);
        Ok(self.bed.plane.audit_since(mark)?.into_iter().filter(|entry| entry.user == user).collect())
    }
}

impl Running {
    pub fn id(&self) -> u32 {
        self.operator.id()
    }

    /// Fails when it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.operator.ended()? {
            None => Ok(()),
            Some(status) => Err(Hopeless(format!("the operator ended ({status}):\n{}", self.operator.log())).into()),
        }
    }

    /// The sum of a metric's series, of those whose labels hold `labels`.
    pub async fn metric(&self, name: &str, labels: &str) -> Result<f64> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let text = http.get(&self.metrics).send().await?.text().await?;
        let series = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        Ok(series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    pub async fn stop(self) -> Result<()> {
        self.operator.stop(Duration::from_secs(20)).await?;
        Ok(())
    }
}

/// Waits until it is ready, and gives where it serves its probes, since the system chose the port. It looks more often than
/// `until` does: the time is a figure.
async fn ready_at(operator: &Operator) -> Result<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let http = reqwest::Client::builder().no_proxy().build()?;
    loop {
        let log = operator.log();
        let line = log.lines().find(|line| line.contains("serving /livez"));
        let told = line.and_then(|line| line.split_once("address=")).and_then(|(_, rest)| rest.split(' ').next());
        if let Some(address) = told.map(str::trim)
            && http
                .get(format!("http://{address}/readyz"))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        {
            return Ok(address.to_owned());
        }
        anyhow::ensure!(Instant::now() < deadline, "the operator does not become ready:\n{log}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn kind() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("ses-operator.dev", "v1alpha1", "SesDomain"))
}

/// Waits until so much virtual time has passed.
pub async fn pass(account: &Account, time: Duration) -> Result<()> {
    let clock = account.clock().await?;
    let end = clock.now + time;
    until("virtual time to pass", time.div_f64(clock.rate) + Duration::from_secs(30), async || {
        let left = Duration::try_from(end.duration_since(account.clock().await?.now)).unwrap_or_default();
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.div_f64(clock.rate)).await;
        anyhow::bail!("{left:?} are left")
    })
    .await
}
