//! Route 53.

use aws_sdk_route53::Client;
use aws_sdk_route53::operation::list_resource_record_sets::ListResourceRecordSetsOutput;
use aws_sdk_route53::types::{ChangeBatch, ChangeInfo, ChangeStatus, RrType};

use self::convert::{record_set, sdk_change};
use super::{DnsProvider, HostedZone, RecordChange, RecordSet, Subtree, ZoneId};
use crate::aws::{Aws, Calls};
use crate::cloud::{AsOf, CloudError, ErrorKind};
use crate::domain_name::DomainName;

mod convert;

/// What Route 53 gives in one page at the most.
const ZONES_PER_PAGE: i32 = 100;
const RECORD_SETS_PER_PAGE: i32 = 300;
/// Ten times what a zone may hold, unless AWS has raised its quota.
const MOST_PAGES: usize = 334;
/// What people find at a change in the zone's history.
const COMMENT: &str = "ses-operator";

const LIST_ZONES: &str = "route53:ListHostedZonesByName";
const LIST_RECORD_SETS: &str = "route53:ListResourceRecordSets";
const CHANGE: &str = "route53:ChangeResourceRecordSets";
const GET_CHANGE: &str = "route53:GetChange";

/// The hosted zones of one account. It is one service for all Regions.
#[derive(Clone, Debug)]
pub struct Route53 {
    client: Client,
    calls: Calls,
}

/// Where a page begins.
struct Start {
    name: String,
    record_type: Option<RrType>,
    identifier: Option<String>,
}

impl Route53 {
    /// The hosted zones of the connection's account.
    pub fn new(aws: &Aws) -> Self {
        Self { client: Client::new(aws.sdk()), calls: aws.calls() }
    }

    async fn page(
        &self,
        zone: &ZoneId,
        object: &str,
        start: Option<Start>,
    ) -> Result<AsOf<ListResourceRecordSetsOutput>, CloudError> {
        let mut list = self.client.list_resource_record_sets().hosted_zone_id(&zone.0).max_items(RECORD_SETS_PER_PAGE);
        if let Some(start) = start {
            list = list
                .start_record_name(start.name)
                .set_start_record_type(start.record_type)
                .set_start_record_identifier(start.identifier);
        }
        self.calls.read(LIST_RECORD_SETS, object, || list.clone().send()).await.transpose()
    }
}

impl DnsProvider for Route53 {
    async fn hosted_zones(&self) -> Result<AsOf<Vec<HostedZone>>, CloudError> {
        let object = "the account's zones";
        let (mut zones, mut asked) = (Vec::new(), None);
        let (mut name, mut id) = (None, None);
        loop {
            let list = self
                .client
                .list_hosted_zones_by_name()
                .set_dns_name(name.take())
                .set_hosted_zone_id(id.take())
                .max_items(ZONES_PER_PAGE);
            let AsOf { time, answer } = self.calls.read(LIST_ZONES, object, || list.clone().send()).await;
            let (page, first) = (answer?, *asked.get_or_insert(time));
            let public =
                page.hosted_zones.iter().filter(|zone| !zone.config.as_ref().is_some_and(|it| it.private_zone));
            zones.extend(public.map(|zone| HostedZone {
                id: ZoneId(without_path(&zone.id).to_owned()),
                name: DomainName::new(&zone.name),
                record_sets: zone.resource_record_set_count.and_then(|count| count.try_into().ok()).unwrap_or_default(),
            }));
            if !page.is_truncated {
                return Ok(AsOf { time: first, answer: zones });
            }
            (name, id) = (page.next_dns_name, page.next_hosted_zone_id);
            // Half a list must not pass for a whole one, nor the first page come again for ever.
            if name.is_none() {
                return Err(cut_off(LIST_ZONES, object));
            }
        }
    }

    async fn listing(&self, zone: &ZoneId) -> Result<AsOf<Vec<RecordSet>>, CloudError> {
        let (mut sets, mut asked) = (Vec::new(), None);
        let mut start = None;
        for _ in 0..MOST_PAGES {
            let AsOf { time, answer: page } = self.page(zone, &zone.0, start.take()).await?;
            let first = *asked.get_or_insert(time);
            sets.extend(page.resource_record_sets.into_iter().map(record_set));
            if !page.is_truncated {
                return Ok(AsOf { time: first, answer: sets });
            }
            // Half a zone must not pass for a whole one, nor the first page come again for ever.
            let Some(name) = page.next_record_name else { return Err(cut_off(LIST_RECORD_SETS, &zone.0)) };
            let (record_type, identifier) = (page.next_record_type, page.next_record_identifier);
            start = Some(Start { name, record_type, identifier });
        }
        Err(cut_off(LIST_RECORD_SETS, &zone.0))
    }

    async fn subtree(&self, zone: &ZoneId, root: &DomainName) -> Result<AsOf<Subtree>, CloudError> {
        let start = Start { name: absolute(root), record_type: None, identifier: None };
        let AsOf { time, answer: page } = self.page(zone, &in_zone(root, zone), Some(start)).await?;
        // Names are sorted by their labels from the right, so those below a name stand together, the name itself first.
        let next = page.next_record_name.as_deref().map(DomainName::new).filter(|_| page.is_truncated);
        let complete = !page.is_truncated || next.as_ref().is_some_and(|next| !next.is_within(root));
        let record_sets = page.resource_record_sets.into_iter().map(record_set);
        // A name that the page ends in is there with some of its sets only: it is left out, to be looked up by itself.
        let whole = |set: &RecordSet| set.name.is_within(root) && next.as_ref() != Some(&set.name);
        let mut record_sets: Vec<RecordSet> = record_sets.filter(whole).collect();
        // Collecting may keep the whole page's allocation for the few sets that are left of it, a hundred times their size.
        record_sets.shrink_to_fit();
        Ok(AsOf { time, answer: Subtree { record_sets, complete } })
    }

    async fn record_sets(&self, zone: &ZoneId, name: &DomainName) -> Result<AsOf<Vec<RecordSet>>, CloudError> {
        let (mut sets, mut asked) = (Vec::new(), None);
        let mut start = Start { name: absolute(name), record_type: None, identifier: None };
        loop {
            let AsOf { time, answer: page } = self.page(zone, &in_zone(name, zone), Some(start)).await?;
            let first = *asked.get_or_insert(time);
            sets.extend(page.resource_record_sets.into_iter().map(record_set).filter(|set| &set.name == name));
            if !page.is_truncated {
                return Ok(AsOf { time: first, answer: sets });
            }
            let Some(next) = page.next_record_name else {
                return Err(cut_off(LIST_RECORD_SETS, &in_zone(name, zone)));
            };
            if &DomainName::new(&next) != name {
                return Ok(AsOf { time: first, answer: sets });
            }
            let (record_type, identifier) = (page.next_record_type, page.next_record_identifier);
            start = Start { name: next, record_type, identifier };
        }
    }

    async fn change(&self, zone: &ZoneId, changes: &[RecordChange]) -> Result<String, CloudError> {
        let changes = changes.iter().map(sdk_change).collect();
        let batch = ChangeBatch::builder().comment(COMMENT).set_changes(Some(changes)).build();
        let batch = batch.expect("changes are set");
        let change = self.client.change_resource_record_sets().hosted_zone_id(&zone.0).change_batch(batch);
        let answer = self.calls.write(CHANGE, &zone.0, || change.clone().send()).await.answer?;
        let change = answer.change_info.ok_or_else(|| cut_off(CHANGE, &zone.0))?;
        Ok(without_path(&change.id).to_owned())
    }

    async fn is_in_sync(&self, change_id: &str) -> Result<AsOf<bool>, CloudError> {
        let get = self.client.get_change().id(change_id);
        let AsOf { time, answer } = self.calls.read(GET_CHANGE, change_id, || get.clone().send()).await;
        let in_sync = |change: ChangeInfo| change.status == ChangeStatus::Insync;
        let answer = answer?.change_info.map(in_sync).ok_or_else(|| cut_off(GET_CHANGE, change_id))?;
        Ok(AsOf { time, answer })
    }
}

/// Names go out with the last dot: nothing can take them for relative ones.
fn absolute(name: &DomainName) -> String {
    format!("{name}.")
}

fn in_zone(name: &DomainName, zone: &ZoneId) -> String {
    format!("{name} in zone {zone}")
}

/// IDs are answered as `/hostedzone/Z1` and `/change/C1`.
fn without_path(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, id)| id)
}

fn cut_off(operation: &'static str, object: &str) -> CloudError {
    let message = "the answer lacks what must be in it".to_owned();
    CloudError { kind: ErrorKind::Unavailable, operation, object: object.to_owned(), message }
}
