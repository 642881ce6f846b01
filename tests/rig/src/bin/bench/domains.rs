//! Which domains are applied, and in which zones they are.

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde::{Deserialize, Serialize};
use ses_operator_rig::aws::ImportedZone;

/// As many requests to the API server at once as a GitOps tool would send.
pub const AT_ONCE: usize = 16;
/// The name of the zone that is shared.
const SHARED: &str = "example.com";

/// Where the domains' records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Each domain has a zone.
    Own,
    /// All are subdomains in one zone.
    Shared,
}

impl Layout {
    pub const BOTH: [Self; 2] = [Self::Own, Self::Shared];

    pub fn label(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
        }
    }

    pub fn domain(self, name: &str) -> String {
        match self {
            Self::Own => format!("{name}.example"),
            Self::Shared => format!("{name}.{SHARED}"),
        }
    }

    /// The zone of a domain.
    pub fn zone(self, domain: &str) -> String {
        match self {
            Self::Own => domain.to_owned(),
            Self::Shared => SHARED.to_owned(),
        }
    }

    /// So many domains.
    pub fn domains(self, count: usize) -> Vec<String> {
        (1..=count).map(|number| self.domain(&format!("d{number}"))).collect()
    }

    /// The empty zones of some domains, each once.
    pub fn zones(self, domains: &[String]) -> Vec<ImportedZone> {
        let mut names: Vec<String> = domains.iter().map(|domain| self.zone(domain)).collect();
        names.dedup();
        names.into_iter().map(|name| ImportedZone { name, records: Vec::new() }).collect()
    }
}

/// The name of a domain's resource.
pub fn resource_name(domain: &str) -> String {
    domain.replace('.', "-")
}

/// A SesDomain as most people would write it.
pub fn manifest(domain: &str) -> Result<DynamicObject> {
    Ok(serde_json::from_value(serde_json::json!({
        "apiVersion": "ses-operator.dev/v1alpha1",
        "kind": "SesDomain",
        "metadata": {"name": resource_name(domain)},
        "spec": {
            "domain": domain,
            "mailFromSubdomain": "mail",
            "mxFailureBehavior": "UseDefaultValue",
            "dmarcPolicy": {"stages": [
                {"name": "monitor", "policy": "None", "minDuration": "30d"},
                {"name": "reject", "policy": "Reject"},
            ]},
        },
    }))?)
}

/// The domain that a resource is about.
pub fn domain_of(resource: &DynamicObject) -> String {
    resource.data["spec"]["domain"].as_str().unwrap_or_default().to_owned()
}

/// Whether a resource says that its domain is Ready.
pub fn is_ready(resource: &DynamicObject) -> bool {
    let conditions = resource.data["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

/// Applies the domains, several at once.
pub async fn apply(api: &Api<DynamicObject>, domains: &[String]) -> Result<()> {
    stream::iter(domains)
        .map(async |domain| {
            api.create(&PostParams::default(), &manifest(domain)?).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}
