//! The API server, as far as something is asked of it: what is written, and a resource as it is now.

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::events::Events;
use crate::api::{FIELD_MANAGER, SesDomain, SesDomainStatus};
use crate::clock::Clock;
use crate::kubernetes::ANSWER_TIMEOUT;
use crate::reconcile::report::Event;

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The resource does not exist any more.
    #[error("the resource is gone")]
    Gone,
    /// Somebody else changed it: look again.
    #[error("the resource was changed meanwhile")]
    Outdated,
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Refused(Box<kube::Error>),
    /// The API server did not answer. What was asked may have been done.
    #[error("the API server did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Unanswered,
}

impl From<kube::Error> for SaveError {
    fn from(error: kube::Error) -> Self {
        let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
        match code {
            404 => Self::Gone,
            409 => Self::Outdated,
            _ => Self::Refused(Box::new(error)),
        }
    }
}

/// What the journal asks of an API server. Each write is made over one version of a resource, and is refused as
/// [`SaveError::Outdated`] where that is not the latest one.
pub trait ApiServer: Send + Sync {
    /// A resource as it is now: not from a cache that may be older than the request.
    fn get(&self, resource: &SesDomain) -> impl Future<Output = Result<SesDomain, SaveError>> + Send;

    /// Puts finalizers in the place of those of this version, and gives the resource as it is then.
    fn put_finalizers(
        &self,
        resource: &SesDomain,
        finalizers: &[String],
    ) -> impl Future<Output = Result<SesDomain, SaveError>> + Send;

    /// Puts a status in the place of that of a version, whole: nothing of the former one stays. Gives the resource as it is
    /// then.
    fn put_status(
        &self,
        resource: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> impl Future<Output = Result<SesDomain, SaveError>> + Send;

    /// Tells an event about a resource.
    fn tell(&self, resource: &SesDomain, event: &Event) -> impl Future<Output = Result<(), SaveError>> + Send;
}

/// A real API server.
pub struct Connection {
    client: Client,
    events: Events,
}

impl Connection {
    /// The API server that a client is connected to.
    pub fn new(client: Client, clock: Clock) -> Self {
        let events = Events::new(client.clone(), clock);
        Self { client, events }
    }

    fn api(&self, resource: &SesDomain) -> Api<SesDomain> {
        Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default())
    }
}

impl ApiServer for Connection {
    async fn get(&self, resource: &SesDomain) -> Result<SesDomain, SaveError> {
        answered(self.api(resource).get(&resource.name_any())).await
    }

    async fn put_finalizers(&self, resource: &SesDomain, finalizers: &[String]) -> Result<SesDomain, SaveError> {
        let patch = Patch::Merge(json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": resource.metadata.resource_version,
            "uid": resource.metadata.uid,
        }}));
        answered(self.api(resource).patch(&resource.name_any(), &params(), &patch)).await
    }

    /// Not by server-side apply, which takes away only what we have written: what somebody else added to the status would
    /// stay there for ever.
    async fn put_status(
        &self,
        resource: &SesDomain,
        version: Option<&str>,
        status: &SesDomainStatus,
    ) -> Result<SesDomain, SaveError> {
        let patch = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/status", "value": status},
        ]);
        let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).map_err(kube::Error::SerdeError)?);
        answered(self.api(resource).patch_status(&resource.name_any(), &params(), &patch)).await
    }

    async fn tell(&self, resource: &SesDomain, event: &Event) -> Result<(), SaveError> {
        self.events.tell(resource, event).await
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// A request to the API server, which is not waited for without end: it holds a place that others need.
pub(super) async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, SaveError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(SaveError::Unanswered),
    }
}
