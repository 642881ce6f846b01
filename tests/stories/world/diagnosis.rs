//! What a story that failed prints.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::control_plane::audit::{AuditEntry, AuditMark};
use ses_operator_rig::leash::tail;

use super::World;

impl World {
    /// The events so far, as `reason: note`.
    pub(crate) async fn events(&self) -> Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let told = |event: Event| format!("{}: {}", event.reason.unwrap_or_default(), event.note.unwrap_or_default());
        Ok(events.list(&ListParams::default()).await?.into_iter().map(told).collect())
    }

    /// Waits for an event of that reason that says that.
    pub(crate) async fn event(&mut self, reason: &str, words: &str) -> Result<()> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        self.awaits(&format!("an event {reason} about {words:?}"), async || {
            let mut seen = Vec::new();
            for event in events.list(&ListParams::default()).await? {
                let (found, note) = (event.reason.unwrap_or_default(), event.note.unwrap_or_default());
                if found == reason && note.contains(words) {
                    return Ok(());
                }
                seen.push(format!("{found}: {note}"));
            }
            bail!("{seen:#?}")
        })
        .await
    }

    /// Everything that helps to understand what went wrong.
    pub(super) async fn diagnosis(&self) -> String {
        let all = ["-n", &self.namespace, "get", "sesdomains", "-o", "yaml", "--show-managed-fields=false"];
        let resources = self.plane.kubectl(all).await.unwrap_or_else(|error| format!("{error:#}"));
        let events = self.events().await.map(|events| events.join("\n  "));
        let calls = self.account.requests().await.context("the AWS calls");
        let calls = calls.map(|calls| {
            let first = calls.len().saturating_sub(120);
            calls[first..].iter().map(|call| format!("  {call}\n")).collect::<String>()
        });
        let records = self.account.zone_records(&self.zone).await.unwrap_or_default();
        let logs: String = self.logs.iter().map(|log| format!("{}\n\n", tail(log, 150))).collect();
        format!(
            "\n===== {}: the resources\n{resources}\n----- what became of the conditions\n{}\n----- events\n  {}\n\
             ----- the zone\n  {}\n----- AWS calls\n{}\n----- the operator's log\n{logs}\n===== end of {}\n",
            self.namespace,
            self.history.tell(0),
            events.unwrap_or_else(|error| format!("{error:#}")),
            records.join("\n  "),
            calls.unwrap_or_else(|error| format!("{error:#}")),
            self.namespace,
        )
    }
}

/// What was written to the API server since then, of one namespace: `verb resource/subresource`.
pub(crate) fn api_writes(plane: &ControlPlane, mark: AuditMark, namespace: &str) -> Result<Vec<String>> {
    let entries = plane.audit_since(mark)?.into_iter().filter(|entry| entry.writes() && entry.namespace == namespace);
    let told = |entry: AuditEntry| {
        let place = [entry.resource, entry.subresource].join("/");
        format!("{} {}", entry.verb, place.trim_end_matches('/'))
    };
    Ok(entries.map(told).collect())
}

impl World {
    /// Waits until there is nothing more to do, and all that was done is in the audit log.
    pub(crate) async fn settles(&mut self) -> Result<()> {
        let (plane, mark, namespace) = (self.plane, self.plane.audit_mark()?, self.namespace.clone());
        self.reconciles("settled").await?;
        self.awaits("the answer to be logged", async || {
            let writes = api_writes(plane, mark, &namespace)?;
            // What was under way when it was asked for may be written between.
            let asked = writes.iter().position(|write| write == "patch sesdomains");
            let answers = asked.map(|at| &writes[at + 1..]).unwrap_or_default();
            ensure!(!answers.is_empty() && answers.iter().all(|it| it == "patch sesdomains/status"), "{writes:?}");
            Ok(())
        })
        .await
    }

    /// What was written to the API server since then: the story's own writes too.
    pub(crate) fn api_writes_since(&self, mark: AuditMark) -> Result<Vec<String>> {
        api_writes(self.plane, mark, &self.namespace)
    }
}
