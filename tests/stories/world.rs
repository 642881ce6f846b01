//! What each story has to itself: a namespace, an AWS account with a clock of its own, a domain, and an operator.
//!
//! ```ignore
//! story("ready", async |world| {
//!     world.apply(json!({"mailFromSubdomain": "mail"})).await?;
//!     world.sees("Ready", "True").await?;
//!     Ok(())
//! })
//! .await
//! ```
//!
//! A story that fails prints the resource, what became of its conditions, its events, the operator's log and the AWS calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use ses_operator::api::{SesDomain, SesDomainStatus};
use ses_operator_rig::aws::{Account, Aws, Settings};
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::operator::{Builder, Operator};
use ses_operator_rig::wait::{Hopeless, until};

use crate::cluster::{SOON, cluster};

mod aws;
mod diagnosis;
mod ends;
mod history;
pub(crate) mod probes;
mod specs;

pub(crate) use diagnosis::api_writes;
pub(crate) use ends::undisturbed_and_with;
use history::History;
pub(crate) use specs::*;

/// The program under test, with the clock that follows the rig's.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ses-operator");
/// The operator's name in the log of AWS requests.
pub(crate) const OPERATOR: &str = "operator";
/// The operator's default Region.
pub(crate) const REGION: &str = "eu-west-1";
/// The name of the one resource that most stories are about.
pub(crate) const NAME: &str = "domain";
/// Virtual seconds in a second.
const PACE: f64 = 60.0;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer than the rounds leave a zone or a list of identities unread.
pub(crate) const SWEEP: Duration = Duration::from_secs(62 * 60);

/// All that a story has to itself.
pub(crate) struct World {
    pub(crate) plane: &'static ControlPlane,
    pub(crate) client: Client,
    pub(crate) account: Account,
    pub(crate) namespace: String,
    /// A domain that no other story has.
    pub(crate) domain: String,
    /// The domain's hosted zone.
    pub(crate) zone: String,
    /// Where public DNS answers queries.
    pub(crate) name_server: SocketAddr,
    /// The operator, while it runs.
    pub(crate) operator: Option<Operator>,
    /// Somebody else's records in the zone.
    pub(crate) strangers: Vec<String>,
    history: History,
    logs: Vec<PathBuf>,
}

/// Tells a story in a world with a hosted zone and a running operator.
pub(crate) async fn story(name: &str, tell: impl AsyncFnOnce(&mut World) -> Result<()>) -> Result<()> {
    bare_story(name, async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        world.start([])?;
        tell(world).await
    })
    .await
}

/// Tells a story in a world that has neither yet.
pub(crate) async fn bare_story(name: &str, tell: impl AsyncFnOnce(&mut World) -> Result<()>) -> Result<()> {
    story_in(cluster().await?, name, tell).await
}

/// Tells a story in a world of this control plane.
pub(crate) async fn story_in(
    plane: &'static ControlPlane,
    name: &str,
    tell: impl AsyncFnOnce(&mut World) -> Result<()>,
) -> Result<()> {
    let mut world = World::create(plane, name).await?;
    let outcome = AssertUnwindSafe(tell(&mut world)).catch_unwind().await;
    if !matches!(outcome, Ok(Ok(()))) {
        eprintln!("{}", world.diagnosis().await);
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

impl World {
    async fn create(plane: &'static ControlPlane, name: &str) -> Result<Self> {
        let client = plane.client().await?;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.patch(name, &PatchParams::apply("stories"), &Patch::Apply(namespace)).await?;
        let account = Aws::shared().await?.account();
        account.set_rate(PACE).await?;
        // As AWS has them, but for the longest: a story has not got a quarter of an hour.
        account.settings(Settings::default().insync(20..=60).dkim(60..=120).mail_from(60..=120)).await?;
        let name_server = account.name_server().await?;
        let history = History::follow(Api::namespaced(client.clone(), name));
        Ok(Self {
            plane,
            client,
            account,
            namespace: name.to_owned(),
            domain: format!("{name}.example"),
            zone: String::new(),
            name_server,
            operator: None,
            strangers: Vec::new(),
            history,
            logs: Vec::new(),
        })
    }

    /// The operator of this story, not yet started.
    pub(crate) fn builder<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Builder {
        Operator::builder(self.plane, PROGRAM)
            .arguments(["--namespace", &self.namespace, "--bind-address=127.0.0.1:0"])
            .arguments(["--log-level=info,ses_operator=debug", &format!("--nameserver={}", self.name_server)])
            .arguments(more)
            .environment(self.account.environment(REGION))
            .environment([("AWS_SDK_UA_APP_ID", OPERATOR)])
            .environment([("SES_OPERATOR_SIMULATED_CLOCK", self.account.clock_url())])
    }

    /// Starts the operator as the only replica, with more arguments.
    pub(crate) fn start<'a>(&mut self, more: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let builder = self.builder(more).arguments(["--leader-elect=false"]);
        self.start_as(builder)
    }

    /// Starts this operator.
    pub(crate) fn start_as(&mut self, builder: Builder) -> Result<()> {
        let operator = builder.start()?;
        self.logs.push(operator.log_file().to_owned());
        self.operator = Some(operator);
        Ok(())
    }

    /// Kills the operator, as a lost node would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.operator.take().context("an operator runs")?.kill()
    }

    /// Kills the operator and starts it again.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.start([])
    }

    /// The SesDomains of this story.
    pub(crate) fn domains(&self) -> Api<SesDomain> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies the story's one resource: its domain, and these fields of the spec.
    pub(crate) async fn apply(&self, fields: Value) -> Result<()> {
        let mut spec = fields;
        spec["domain"] = json!(self.domain);
        self.apply_as(NAME, spec).await
    }

    /// Applies a resource as a user's tool would: what the last apply had and this one has not is removed.
    pub(crate) async fn apply_as(&self, name: &str, spec: Value) -> Result<()> {
        let resource = json!({
            "apiVersion": "ses-operator.dev/v1alpha1", "kind": "SesDomain", "metadata": {"name": name}, "spec": spec,
        });
        self.domains().patch(name, &PatchParams::apply("user").force(), &Patch::Apply(resource)).await?;
        Ok(())
    }

    /// The story's resource.
    pub(crate) async fn resource(&self) -> Result<SesDomain> {
        Ok(self.domains().get(NAME).await?)
    }

    /// Its status.
    pub(crate) async fn status(&self) -> Result<SesDomainStatus> {
        self.resource().await?.status.context("a status")
    }

    /// Waits until a condition of the story's resource has a status, for the spec as it is now.
    pub(crate) async fn sees(&mut self, condition: &str, status: &str) -> Result<Condition> {
        self.sees_of(NAME, condition, status).await
    }

    /// Waits until a condition has a status for a reason, and returns its message.
    pub(crate) async fn sees_because(&mut self, condition: &str, status: &str, reason: &str) -> Result<String> {
        let what = format!("{condition}={status} because of {reason}");
        let found = self.sees_that(NAME, condition, &what, |it| it.status == status && it.reason == reason).await?;
        Ok(found.message)
    }

    /// The same of a resource by its name.
    pub(crate) async fn sees_of(&mut self, name: &str, condition: &str, status: &str) -> Result<Condition> {
        self.sees_that(name, condition, &format!("{condition}={status} of {name}"), |it| it.status == status).await
    }

    /// Waits until a condition is as it should be, for the spec as it is now.
    pub(crate) async fn sees_that(
        &mut self,
        name: &str,
        condition: &str,
        what: &str,
        fits: impl Fn(&Condition) -> bool,
    ) -> Result<Condition> {
        let domains = self.domains();
        self.awaits(what, async || {
            let domain = domains.get(name).await?;
            let generation = domain.metadata.generation;
            let conditions = domain.status.map(|status| status.conditions).unwrap_or_default();
            let found = conditions.iter().find(|found| found.type_ == condition);
            let fits = |found: &&Condition| fits(found) && found.observed_generation == generation;
            found.filter(fits).cloned().with_context(|| told(&conditions))
        })
        .await
    }

    /// Waits, and gives up at once when the operator has ended.
    pub(crate) async fn awaits<T>(&mut self, what: &str, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let operator = &mut self.operator;
        until(what, SOON, async || {
            if let Some(ended) = operator.as_mut().map(Operator::ended).transpose()?.flatten() {
                return Err(Hopeless(format!("the operator ended ({ended})")).into());
            }
            look().await
        })
        .await
    }

    /// Waits until the resource is gone.
    pub(crate) async fn is_gone(&mut self) -> Result<()> {
        let domains = self.domains();
        self.awaits("the resource to be gone", async || {
            let left = domains.get_opt(NAME).await?;
            ensure!(left.is_none(), "it is there: {}", told(&conditions_of(left)));
            Ok(())
        })
        .await
    }

    /// Asks for a reconcile now, and waits for the answer.
    pub(crate) async fn reconciles(&mut self, token: &str) -> Result<()> {
        self.asks(token).await?;
        self.is_answered(token).await
    }

    /// Asks for a reconcile now.
    pub(crate) async fn asks(&self, token: &str) -> Result<()> {
        let ask = json!({"metadata": {"annotations": {"ses-operator.dev/reconcile-requested-at": token}}});
        self.domains().patch(NAME, &PatchParams::default(), &Patch::Merge(ask)).await?;
        Ok(())
    }

    /// Waits until a reconcile that was asked for has been made.
    pub(crate) async fn is_answered(&mut self, token: &str) -> Result<()> {
        let domains = self.domains();
        self.awaits("the request to be answered", async || {
            let status = domains.get(NAME).await?.status.unwrap_or_default();
            ensure!(status.last_handled_reconcile_at.as_deref() == Some(token), "{}", told(&status.conditions));
            Ok(())
        })
        .await
    }

    /// The place in the history of conditions that we are at now.
    pub(crate) async fn now(&mut self) -> Result<usize> {
        if let Some(resource) = self.domains().get_opt(NAME).await? {
            let history = self.history.clone();
            self.awaits("the history to be written", async || {
                ensure!(history.knows(&resource), "it is behind");
                Ok(())
            })
            .await?;
        }
        Ok(self.history.len())
    }

    /// Waits until a condition has had a status at any time since then, were it for a moment.
    pub(crate) async fn saw_since(&mut self, since: usize, condition: &str, status: &str) -> Result<String> {
        let history = self.history.clone();
        self.awaits(&format!("{condition} to have been {status}"), async || {
            let found = history.find(since, condition, status);
            found.with_context(|| history.tell(since))
        })
        .await
    }

    /// Waits until any condition has turned since then.
    pub(crate) async fn turns_after(&mut self, since: usize) -> Result<()> {
        let history = self.history.clone();
        self.awaits("a condition to turn", async || {
            ensure!(history.len() > since, "none has");
            Ok(())
        })
        .await
    }

    /// The statuses that a condition has had, in their order.
    pub(crate) async fn statuses(&mut self, condition: &str) -> Result<Vec<String>> {
        self.now().await?;
        Ok(self.history.statuses(condition))
    }
}

fn conditions_of(domain: Option<SesDomain>) -> Vec<Condition> {
    domain.and_then(|domain| domain.status).map(|status| status.conditions).unwrap_or_default()
}

/// Conditions in a few lines.
fn told(conditions: &[Condition]) -> String {
    let told: BTreeMap<&str, String> = conditions
        .iter()
        .map(|it| (it.type_.as_str(), format!("{}={} {}: {}", it.type_, it.status, it.reason, it.message)))
        .collect();
    if told.is_empty() { "no conditions".to_owned() } else { told.into_values().collect::<Vec<_>>().join("\n  ") }
}
