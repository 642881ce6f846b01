//! Which requests reached the API server: what "it writes nothing when nothing changed" is counted by.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

use super::ControlPlane;

pub(super) const LOG: &str = "audit.log";

/// The requests that an operator of ours could make in excess: on its own resources, for events and for leases. Logged
/// when answered, with its result; a watch is logged when it ends.
pub(super) const POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  resources:
  - group: ses-operator.dev
  - {group: "", resources: [events]}
  - {group: events.k8s.io, resources: [events]}
  - {group: coordination.k8s.io, resources: [leases]}
- level: None
"#;

/// A place in the audit log.
#[derive(Clone, Copy, Debug)]
pub struct AuditMark(u64);

/// One answered request.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// When it was answered, by this machine's clock.
    pub at: Timestamp,
    /// `create`, `update`, `patch`, `delete`, `get`, `list`, `watch` or `deletecollection`.
    pub verb: String,
    /// Who asked, such as `system:serviceaccount:mail:ses-operator`.
    pub user: String,
    /// The program that the client says it is.
    pub user_agent: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural of the kind.
    pub resource: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
    /// Empty where the request was for the whole cluster.
    pub namespace: String,
    /// Empty where the request was for a list.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

impl AuditEntry {
    /// Whether it could change something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl ControlPlane {
    /// The end of the audit log as it is now.
    pub fn audit_mark(&self) -> Result<AuditMark> {
        Ok(AuditMark(std::fs::metadata(self.folder().join(LOG)).context("no audit log")?.len()))
    }

    /// The requests on SesDomains, events and leases that were answered since `mark`, in the order of their answers.
    ///
    /// An entry is written as its request ends, which may be a moment after the client has its answer: a story that waits
    /// for one entry looks for it with [`crate::wait::until`].
    pub fn audit_since(&self, mark: AuditMark) -> Result<Vec<AuditEntry>> {
        let mut log = File::open(self.folder().join(LOG)).context("no audit log")?;
        log.seek(SeekFrom::Start(mark.0))?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        // What follows the last line's end is still being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(parse).collect()
    }
}

fn parse(line: &str) -> Result<AuditEntry> {
    let line: Line = serde_json::from_str(line).with_context(|| format!("not an audit entry: {line}"))?;
    let object = line.object_ref.unwrap_or_default();
    Ok(AuditEntry {
        at: line.stage_timestamp,
        verb: line.verb,
        user: line.user.username,
        user_agent: line.user_agent,
        group: object.api_group,
        resource: object.resource,
        subresource: object.subresource,
        namespace: object.namespace,
        name: object.name,
        code: line.response_status.unwrap_or_default().code,
    })
}

/// `audit.k8s.io/v1` Event, as far as it is read here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage_timestamp: Timestamp,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}
