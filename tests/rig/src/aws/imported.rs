//! Zones and identities by the thousand, and what was drawn for each.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Account;

/// A zone to import.
#[derive(Clone, Debug, Serialize)]
pub struct ImportedZone {
    /// Its name.
    pub name: String,
    /// Its record sets, beside its own NS and SOA.
    pub records: Vec<ImportedRecord>,
}

/// A record set to import.
#[derive(Clone, Debug, Serialize)]
pub struct ImportedRecord {
    /// The absolute name.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The time to live, in seconds.
    pub ttl: u32,
    /// The values, as Route 53 has them.
    pub values: Vec<String>,
}

/// An identity to import.
#[derive(Clone, Debug, Serialize)]
pub struct ImportedIdentity {
    /// The domain.
    pub name: String,
    /// The three DKIM tokens.
    pub tokens: Vec<String>,
    /// The MAIL FROM domain.
    pub mail_from: Option<String>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// An identity, and the delays that were drawn for it.
#[derive(Clone, Debug, Deserialize)]
pub struct VerifiedIdentity {
    /// The Region.
    pub region: String,
    /// The domain.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// How many seconds the change took to be served that made DKIM right.
    pub insync: Option<f64>,
    /// DKIM.
    pub dkim: Verified,
    /// The MAIL FROM domain, if it has one.
    pub mail_from: Option<Verified>,
}

/// One verification.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Verified {
    /// How many seconds SES takes once the records are right.
    pub delay: f64,
    /// Since when it has been verified.
    pub verified: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Imported {
    zones: BTreeMap<String, String>,
}

impl Account {
    /// Puts zones and identities there as if they had been made that long ago; answers the zones' IDs by name. An identity is
    /// verified where its zone has served the right records since.
    pub async fn import(
        &self,
        region: &str,
        age: Duration,
        zones: &[ImportedZone],
        identities: &[ImportedIdentity],
    ) -> Result<BTreeMap<String, String>> {
        let wanted = json!({ "region": region, "age": age.as_secs_f64(), "zones": zones, "identities": identities });
        let imported: Imported = self.control.post("import", &wanted).await?;
        Ok(imported.zones)
    }

    /// The identities that exist, with the delays that were drawn for each and when it was verified.
    pub async fn identities(&self) -> Result<Vec<VerifiedIdentity>> {
        self.control.get("identities").await
    }
}
