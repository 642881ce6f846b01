//! Zones, as the account's owner and as the public sees them.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet as RecordSet, RrType,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Account;

/// The record sets of a zone: `NAME TYPE TTL VALUE …`, names without the last dot, in Route 53's order.
pub type Records = Vec<String>;

/// What public DNS answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// `NOERROR`, `NXDOMAIN`, `SERVFAIL` or `SILENCE`.
    pub code: String,
    /// The values; none when the name has other types only.
    pub values: Vec<String>,
}

/// A question that was asked of the account's name server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Query {
    /// The name.
    pub name: String,
    /// The type, such as `TXT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How it was answered: `NOERROR`, `NXDOMAIN`, `SERVFAIL` or `SILENCE`.
    pub code: String,
}

/// Where a program asks public DNS over UDP and TCP.
#[derive(Clone, Copy, Debug, Deserialize)]
struct NameServer {
    address: SocketAddr,
}

impl Account {
    /// Makes a public zone and returns its ID. Public DNS knows it when that is in sync.
    pub async fn create_zone(&self, name: &str) -> Result<String> {
        let create = self.route53().create_hosted_zone().name(name).caller_reference(self.unique());
        let zone = create.send().await?.hosted_zone.context("Route 53 answers a zone")?;
        Ok(zone.id.trim_start_matches("/hostedzone/").to_owned())
    }

    /// All record sets of a zone, the zone's own NS and SOA included.
    pub async fn zone_records(&self, zone: &str) -> Result<Records> {
        let told = |set: &RecordSet| {
            let name = set.name.trim_end_matches('.').replace("\\052", "*");
            let values = set.resource_records().iter().map(|record| record.value.as_str());
            let ttl = set.ttl.map(|ttl| ttl.to_string()).unwrap_or_default();
            [name.as_str(), set.r#type.as_str(), &ttl].into_iter().chain(values).collect::<Vec<_>>().join(" ")
        };
        Ok(self.record_sets(zone).await?.iter().map(told).collect())
    }

    /// Writes a record set over whatever is there, as somebody at the console would.
    pub async fn write_record(&self, zone: &str, name: &str, kind: &str, values: &[&str]) -> Result<()> {
        let mut set = RecordSet::builder().name(name).r#type(RrType::from(kind)).ttl(300);
        for value in values {
            set = set.resource_records(ResourceRecord::builder().value(*value).build()?);
        }
        self.change_record(zone, ChangeAction::Upsert, set.build()?).await
    }

    /// Deletes a record set, whatever its values, as somebody at the console would.
    pub async fn delete_record(&self, zone: &str, name: &str, kind: &str) -> Result<()> {
        let sets = self.record_sets(zone).await?;
        let wanted = |set: &&RecordSet| {
            let found = set.name.trim_end_matches('.').replace("\\052", "*");
            found.eq_ignore_ascii_case(name.trim_end_matches('.')) && set.r#type.as_str() == kind
        };
        let set = sets.iter().find(wanted).with_context(|| format!("{zone} has no {kind} at {name}"))?;
        self.change_record(zone, ChangeAction::Delete, set.clone()).await
    }

    /// What public DNS answers now, as a receiver of mail would ask it.
    pub async fn resolve(&self, name: &str, kind: &str) -> Result<Answer> {
        self.control.get(&format!("dns?name={name}&type={kind}")).await
    }

    /// Where public DNS answers queries, over UDP and TCP, as a resolver does.
    pub async fn name_server(&self) -> Result<SocketAddr> {
        let told: NameServer = self.control.get("nameserver").await?;
        Ok(told.address)
    }

    /// What was asked there so far.
    pub async fn queries(&self) -> Result<Vec<Query>> {
        self.control.get("queries").await
    }

    /// Publishes values at a name that is in no zone of this account's, as other people do in theirs; none take away what
    /// is there of that type.
    pub async fn publish_elsewhere(&self, name: &str, kind: &str, values: &[&str]) -> Result<()> {
        let _: Value = self.control.put(&format!("names/{name}"), &json!({ "type": kind, "values": values })).await?;
        Ok(())
    }

    /// Lets every question about a name be answered with `SERVFAIL`, or with `SILENCE`; `None` ends it.
    pub async fn fail_to_resolve(&self, name: &str, code: Option<&str>) -> Result<()> {
        let _: Value = self.control.put(&format!("names/{name}"), &json!({ "code": code })).await?;
        Ok(())
    }

    async fn change_record(&self, zone: &str, action: ChangeAction, set: RecordSet) -> Result<()> {
        let change = Change::builder().action(action).resource_record_set(set).build()?;
        let batch = ChangeBatch::builder().changes(change).build()?;
        self.route53().change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await?;
        Ok(())
    }

    async fn record_sets(&self, zone: &str) -> Result<Vec<RecordSet>> {
        let (mut sets, mut next) = (Vec::new(), (None, None, None));
        // A zone in a test that needs more pages than that is a mistake of the test's.
        for _ in 0..100 {
            let list = self.route53().list_resource_record_sets().hosted_zone_id(zone);
            let list = list.set_start_record_name(next.0).set_start_record_type(next.1);
            let page = list.set_start_record_identifier(next.2).send().await?;
            sets.extend(page.resource_record_sets);
            if !page.is_truncated {
                return Ok(sets);
            }
            next = (page.next_record_name, page.next_record_type, page.next_record_identifier);
        }
        bail!("{zone} has too many pages")
    }
}
