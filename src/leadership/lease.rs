//! Leader election on a Lease.
//!
//! Contract:
//! - every update names the resourceVersion that it is made on, so that of two replicas one is refused;
//! - a lease has expired when nothing about it changed for its duration by *our* monotonic clock, whatever its times say;
//! - the permit to write ends one lease duration after the last renewal was *sent*;
//! - when no renewal succeeds for [`RENEW_DEADLINE`], the lease counts as lost and the process ends: a new process starts
//!   from nothing, which is safer than one that stops half-way;
//! - a lease whose version went down counts as lost, too: etcd was restored to an older snapshot, and all that this process
//!   knows of the cluster is of a time that has not been;
//! - a leader that stops gives the lease back, and the next one starts at once.

use std::time::{Duration, Instant};

use futures::future::{self, Either};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::WritePermit;
use crate::api::FIELD_MANAGER;
use crate::kubernetes;
use crate::start_error::StartError;

/// How long a lease lasts after its renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(30);
/// How long a leader tries to renew before it gives up: shorter than the lease, and long enough for several tries.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(18);
/// How often a leader renews, and a standby looks.
pub const RETRY_PERIOD: Duration = Duration::from_secs(4);
/// How long one request about the lease may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the Lease is.
#[derive(Clone, Debug)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// This replica's name on it.
    pub holder: String,
}

impl LeaseName {
    /// The Lease `ses-operator` in the operator's namespace; this replica by its pod's name, or its host's.
    pub fn find(client: &Client, namespace: Option<String>) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let namespace = namespace.or_else(|| variable("POD_NAMESPACE"));
        let host = variable("POD_NAME").or_else(|| variable("HOSTNAME")).unwrap_or_else(|| "ses-operator".to_owned());
        // A restarted pod keeps its name: it must not believe that the lease of the process before is its own.
        let start = Timestamp::now().as_microsecond();
        Self {
            namespace: namespace.unwrap_or_else(|| client.default_namespace().to_owned()),
            name: "ses-operator".to_owned(),
            holder: format!("{host}_{}_{start:x}", std::process::id()),
        }
    }
}

/// A lease that is held, or waited for.
#[derive(Debug)]
pub struct Lease {
    api: Api<LeaseObject>,
    name: LeaseName,
    permit: WritePermit,
    seen: Option<Seen>,
}

/// The lease as it was when it last changed, and when that was by our clock.
#[derive(Clone, Debug)]
struct Seen {
    version: Option<String>,
    lasts: Duration,
    at: Instant,
}

/// What an attempt came to.
enum Attempt {
    Held { version: Box<LeaseObject>, sent: Instant },
    Others(String),
}

impl Lease {
    /// A lease that is not held yet.
    pub fn new(client: Client, name: LeaseName, permit: WritePermit) -> Self {
        Self { api: Api::namespaced(client, &name.namespace), name, permit, seen: None }
    }

    /// Waits for the lease, then does the work while the lease is kept, and gives it back.
    ///
    /// # Errors
    /// When the lease was lost while working, or can't be used for lack of permission.
    pub async fn lead(
        mut self,
        work: impl Future<Output = ()>,
        stopped: impl Future<Output = ()>,
    ) -> Result<(), StartError> {
        let object = match future::select(Box::pin(self.acquire()), Box::pin(stopped)).await {
            Either::Left((object, _)) => object?,
            Either::Right(((), _)) => return Ok(()),
        };
        let mut object = Some(object);
        let outcome = {
            let keeping = Box::pin(self.keep(&mut object));
            match future::select(Box::pin(work), keeping).await {
                Either::Left(((), _)) => Ok(()),
                Either::Right((lost, _)) => Err(lost),
            }
        };
        self.permit.withdraw();
        if outcome.is_ok()
            && let Some(object) = object
        {
            self.release(object).await;
        }
        outcome
    }

    async fn acquire(&mut self) -> Result<LeaseObject, StartError> {
        let mut told = None;
        loop {
            match self.attempt().await {
                Ok(Attempt::Held { version, sent }) => {
                    self.permit.extend(sent + LEASE_DURATION);
                    tracing::info!(lease = self.name.name, namespace = self.name.namespace, "leading");
                    return Ok(*version);
                }
                Ok(Attempt::Others(holder)) => {
                    if told.as_ref() != Some(&holder) {
                        tracing::info!(lease = self.name.name, namespace = self.name.namespace, holder, "standing by");
                        told = Some(holder);
                    }
                }
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    let words = kubernetes::in_words(&kube::Error::Api(status));
                    return Err(StartError::new(format!("can't use the Lease for leader election: {words}")));
                }
                Err(error) => tracing::warn!("can't read the Lease: {}", kubernetes::in_words(&error)),
            }
            tokio::time::sleep(RETRY_PERIOD).await;
        }
    }

    /// Takes the lease if nobody holds it, or if who held it has not renewed it for its duration.
    async fn attempt(&mut self) -> Result<Attempt, kube::Error> {
        let sent = Instant::now();
        let Some(found) = soon(self.api.get_opt(&self.name.name)).await? else {
            let version = soon(self.api.create(&post(), &self.claimed(None))).await?;
            return Ok(Attempt::Held { version: Box::new(version), sent });
        };
        let spec = found.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if !holder.is_empty() && holder != self.name.holder && !self.has_expired(&found, &spec) {
            return Ok(Attempt::Others(holder));
        }
        let sent = Instant::now();
        let version = soon(self.api.replace(&self.name.name, &post(), &self.claimed(Some(&found)))).await?;
        Ok(Attempt::Held { version: Box::new(version), sent })
    }

    fn has_expired(&mut self, found: &LeaseObject, spec: &LeaseSpec) -> bool {
        let version = found.metadata.resource_version.clone();
        let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = lasts.map_or(LEASE_DURATION, Duration::from_secs);
        match &self.seen {
            Some(seen) if seen.version == version => seen.at.elapsed() > seen.lasts,
            Some(_) | None => {
                self.seen = Some(Seen { version, lasts, at: Instant::now() });
                false
            }
        }
    }

    /// Renews until that fails for too long; the error says so.
    async fn keep(&self, object: &mut Option<LeaseObject>) -> StartError {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RETRY_PERIOD).await;
            let sent = Instant::now();
            let Some(current) = object.as_ref() else { return self.lost("it was not held") };
            let claimed = self.claimed(Some(current));
            let params = post();
            match soon(self.api.replace(&self.name.name, &params, &claimed)).await {
                Ok(version) => {
                    renewed = sent;
                    self.permit.extend(sent + LEASE_DURATION);
                    *object = Some(version);
                }
                Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {
                    // A renewal whose answer was lost changed it as well: look who holds it.
                    match soon(self.api.get_opt(&self.name.name)).await {
                        Ok(Some(found)) if is_older(&found, current) => {
                            return self.lost("it went back to an older version, so etcd was restored");
                        }
                        Ok(Some(found)) if holder_of(&found) == self.name.holder => *object = Some(found),
                        Ok(Some(found)) => return self.lost(&format!("{} holds it now", holder_of(&found))),
                        Ok(None) => return self.lost("it was deleted"),
                        Err(error) => tracing::warn!("can't read the Lease: {}", kubernetes::in_words(&error)),
                    }
                }
                Err(error) => tracing::warn!("can't renew the Lease: {}", kubernetes::in_words(&error)),
            }
            if renewed.elapsed() > RENEW_DEADLINE {
                return self.lost(&format!("it could not be renewed for {} s", RENEW_DEADLINE.as_secs()));
            }
        }
    }

    fn lost(&self, why: &str) -> StartError {
        self.permit.withdraw();
        StartError::new(format!(
            "lost the Lease {}/{}: {why}; the process ends, and another one takes over",
            self.name.namespace, self.name.name
        ))
    }

    async fn release(&self, object: LeaseObject) {
        let mut free = self.claimed(Some(&object));
        if let Some(spec) = free.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let params = post();
        let request = self.api.replace(&self.name.name, &params, &free);
        if !matches!(tokio::time::timeout(Duration::from_secs(1), request).await, Ok(Ok(_))) {
            tracing::warn!("the Lease could not be given back: the next leader waits until it expires");
        }
    }

    /// The lease with us on it.
    fn claimed(&self, found: Option<&LeaseObject>) -> LeaseObject {
        let now = MicroTime(Timestamp::now());
        let before = found.and_then(|found| found.spec.clone()).unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(self.name.holder.as_str());
        let transitions = before.lease_transitions.unwrap_or_default() + i32::from(!ours && found.is_some());
        LeaseObject {
            metadata: ObjectMeta {
                name: Some(self.name.name.clone()),
                namespace: Some(self.name.namespace.clone()),
                resource_version: found.and_then(|found| found.metadata.resource_version.clone()),
                ..found.map(|found| found.metadata.clone()).unwrap_or_default()
            },
            spec: Some(LeaseSpec {
                acquire_time: before.acquire_time.clone().filter(|_| ours).or_else(|| Some(now.clone())),
                holder_identity: Some(self.name.holder.clone()),
                lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
                lease_transitions: Some(transitions),
                renew_time: Some(now),
                ..before
            }),
        }
    }
}

/// A request whose answer is not waited for beyond the deadlines that rest on it.
async fn soon<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let unanswered = || kube::Error::Service(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()).into());
    tokio::time::timeout(REQUEST_TIMEOUT, request).await.map_err(|_| unanswered())?
}

/// Versions rise, unless etcd was restored.
fn is_older(found: &LeaseObject, known: &LeaseObject) -> bool {
    let version = |lease: &LeaseObject| lease.metadata.resource_version.as_ref()?.parse::<u64>().ok();
    version(found) < version(known)
}

fn holder_of(lease: &LeaseObject) -> String {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default()
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_older_by_its_version_as_a_number() {
        let lease = |version: &str| LeaseObject {
            metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
            spec: None,
        };
        for (found, known, older) in [("9", "10", true), ("10", "10", false), ("10", "9", false), ("100", "99", false)]
        {
            assert_eq!(is_older(&lease(found), &lease(known)), older, "{found}, and {known} was known");
        }
    }
}
