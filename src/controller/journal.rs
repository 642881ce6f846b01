//! Status patches and events, and the latest version of each resource.
//!
//! After a patch its answer is used until the watch has caught up: a stale store must not say "not ours".

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event as KubeEvent, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};

use super::keep_what_we_use;
use crate::api::{FIELD_MANAGER, SesDomain, SesDomainStatus};
use crate::kubernetes::ANSWER_TIMEOUT;
use crate::reconcile::Journal;
use crate::reconcile::report::Event;

/// Why a status was not written.
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

/// A request to the API server, which is not waited for without end: it holds a place that others need.
pub(super) async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, SaveError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(SaveError::Unanswered),
    }
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

/// The journal of a real API server.
pub struct ApiJournal {
    client: Client,
    reporter: Reporter,
    /// By UID, so that a resource made anew under the same name starts from nothing.
    latest: Mutex<HashMap<String, SesDomain>>,
}

impl ApiJournal {
    /// A journal that nothing was written to yet.
    pub fn new(client: Client) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: std::env::var("POD_NAME").ok() };
        Self { client, reporter, latest: Mutex::default() }
    }

    /// The latest version of a resource: the one of the store, or the answer to our last patch.
    pub fn latest(&self, seen: &Arc<SesDomain>) -> SesDomain {
        let mut latest = self.known();
        match latest.get(&uid(seen)) {
            Some(ours) if version(ours) > version(seen) => ours.clone(),
            Some(_) => {
                latest.remove(&uid(seen));
                seen.as_ref().clone()
            }
            None => seen.as_ref().clone(),
        }
    }

    /// Remembers the answer to a patch.
    pub fn remember(&self, answer: SesDomain) {
        self.known().insert(uid(&answer), answer);
    }

    /// Forgets a resource.
    pub fn forget(&self, resource: &SesDomain) {
        self.known().remove(&uid(resource));
    }

    async fn patch(
        &self,
        resource: &SesDomain,
        version: Option<String>,
        status: &SesDomainStatus,
    ) -> Result<(), SaveError> {
        let patch = serde_json::json!({
            "apiVersion": SesDomain::api_version(&()),
            "kind": SesDomain::kind(&()),
            "metadata": {
                "name": resource.name_any(),
                "namespace": resource.namespace(),
                "uid": resource.metadata.uid,
                "resourceVersion": version,
            },
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let mut answer =
            answered(self.api(resource).patch_status(&resource.name_any(), &params, &Patch::Apply(&patch))).await?;
        keep_what_we_use(&mut answer);
        self.remember(answer);
        Ok(())
    }

    fn api(&self, resource: &SesDomain) -> Api<SesDomain> {
        Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, SesDomain>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for ApiJournal {
    type Error = SaveError;

    /// Writes the status over the version that it was made from. Where only the spec changed meanwhile it is written all
    /// the same, since what was done must not be forgotten; where somebody wrote the status, we look again.
    async fn save(&self, resource: &SesDomain, status: &SesDomainStatus) -> Result<(), SaveError> {
        let base = self.latest(&Arc::new(resource.clone()));
        match self.patch(resource, base.metadata.resource_version.clone(), status).await {
            Err(SaveError::Outdated) => {
                let found = answered(self.api(resource).get(&resource.name_any())).await?;
                let same = found.metadata.uid == base.metadata.uid && found.status == base.status;
                if !same {
                    self.forget(resource);
                    return Err(SaveError::Outdated);
                }
                self.patch(resource, found.metadata.resource_version.clone(), status).await
            }
            outcome => outcome,
        }
    }

    async fn tell(&self, resource: &SesDomain, event: &Event) {
        if event.warning {
            tracing::warn!(reason = event.reason, "{}", event.note);
        } else {
            tracing::info!(reason = event.reason, "{}", event.note);
        }
        let event = KubeEvent {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason.clone(),
            note: Some(shortened(&event.note)),
            action: event.action.to_owned(),
            secondary: None,
        };
        // A recorder tells events apart by their reason, and would keep the first one's note: each is told by its own.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        if let Err(error) = answered(recorder.publish(&event, &resource.object_ref(&()))).await {
            tracing::debug!("an event could not be told: {error}");
        }
    }
}

/// The API server refuses events whose note is longer than 1,024 bytes.
fn shortened(note: &str) -> String {
    const LIMIT: usize = 1024;
    if note.len() <= LIMIT {
        return note.to_owned();
    }
    let end = (0..=LIMIT - '…'.len_utf8()).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &note[..end])
}

fn uid(resource: &SesDomain) -> String {
    resource.metadata.uid.clone().unwrap_or_default()
}

/// Versions of one resource grow: so says Kubernetes since 1.35, and so it has been with etcd ever since.
fn version(resource: &SesDomain) -> u64 {
    resource.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"é".repeat(2000));
        assert!(cut.len() <= 1024 && cut.ends_with('…'), "{} bytes", cut.len());
    }
}
