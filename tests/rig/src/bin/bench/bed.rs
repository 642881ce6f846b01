//! What is measured on: the control plane, and for each run a namespace, an AWS and an operator of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use ses_operator_rig::aws::{Account, Aws, Clock, Settings};
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::control_plane::audit::{AuditEntry, AuditMark};
use ses_operator_rig::operator::Operator;
use ses_operator_rig::wait::{Hopeless, until};

use crate::metrics::Metrics;

pub const REGION: &str = "eu-west-1";

/// The control plane, which the runs share.
pub struct Bed {
    pub plane: ControlPlane,
    binary: PathBuf,
}

/// A run's place: a namespace in the cluster, and an AWS. That is a process of its own, so that runs side by side don't wait
/// for each other there, and none carries what those before it have left.
pub struct Plot<'a> {
    pub bed: &'a Bed,
    pub account: Account,
    pub namespace: String,
    pub domains: Api<DynamicObject>,
    kubeconfig: PathBuf,
    _aws: Aws,
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
        Ok(Self { plane, binary })
    }

    /// A place of this name, which no other run has.
    pub async fn plot(&self, namespace: &str, settings: Settings) -> Result<Plot<'_>> {
        self.namespace(namespace).await?;
        let subject = format!("--serviceaccount={namespace}:ses-operator");
        let binding = ["create", "clusterrolebinding", namespace, "--clusterrole=cluster-admin", subject.as_str()];
        self.plane.kubectl(["-n", namespace, "create", "serviceaccount", "ses-operator"]).await?;
        self.plane.kubectl(binding).await?;
        let aws = Aws::start().await?;
        let account = aws.account();
        account.settings(settings).await?;
        Ok(Plot {
            bed: self,
            account,
            namespace: namespace.to_owned(),
            domains: self.domains(namespace).await?,
            kubeconfig: self.plane.kubeconfig_for(namespace, "ses-operator").await?,
            _aws: aws,
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
    /// Starts an operator for this namespace.
    pub async fn start(&self, arguments: &[&str]) -> Result<Running> {
        self.start_for_all(&[&[format!("--namespace={}", self.namespace).as_str()], arguments].concat()).await
    }

    /// Starts an operator for all namespaces: no other run may be on the bed.
    pub async fn start_for_all(&self, arguments: &[&str]) -> Result<Running> {
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

    pub async fn metrics(&self) -> Result<Metrics> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Metrics::new(http.get(&self.metrics).send().await?.text().await?))
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

/// An account's clock, followed without asking it again.
#[derive(Clone, Copy, Debug)]
pub struct Following {
    read: Clock,
    taken: Instant,
}

impl Following {
    /// Follows a clock that has just been read, until it is paced anew.
    pub fn new(read: Clock) -> Self {
        Self { read, taken: Instant::now() }
    }

    pub fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from_secs_f64(self.taken.elapsed().as_secs_f64() * self.read.rate);
        self.read.now + passed.unwrap_or_default()
    }
}

/// Waits until so much virtual time has passed.
pub async fn pass(account: &Account, time: Duration) -> Result<()> {
    pass_until(account, account.clock().await?.now + time).await
}

/// Waits for a virtual time.
pub async fn pass_until(account: &Account, end: Timestamp) -> Result<()> {
    let clock = account.clock().await?;
    let left = |now: Timestamp| Duration::try_from(end.duration_since(now)).unwrap_or_default().div_f64(clock.rate);
    until("virtual time to pass", left(clock.now) + Duration::from_secs(30), async || {
        let left = left(account.clock().await?.now);
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left).await;
        anyhow::bail!("{left:?} of the wall's time are left")
    })
    .await
}
