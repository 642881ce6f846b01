//! Hosted zones as far as a pace depends on them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use ses_operator::clock::simulated::Hand;
use ses_operator::cloud::{AsOf, CloudError, ErrorKind};
use ses_operator::dns::{DnsProvider, HostedZone, RecordChange, RecordSet, RecordType, Subtree, ZoneId};
use ses_operator::domain_name::DomainName;

use crate::cloud::error;

const CHANGE: &str = "route53:ChangeResourceRecordSets";

/// The account. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Account {
    hand: Hand,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
pub struct State {
    /// Every change that was sent, in order.
    pub sent: Vec<Sent>,
    /// Names whose changes are refused, and with them their batch.
    pub poisoned: BTreeSet<DomainName>,
    /// What the next changes are answered with, whatever is in them: `None` lets one pass.
    pub next: VecDeque<Option<ErrorKind>>,
    /// How often a zone was read whole.
    pub listings: usize,
    /// Changes that have reached all servers.
    pub arrived: BTreeSet<String>,
}

/// A change that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Timestamp,
    pub names: Vec<DomainName>,
    pub answer: Result<String, ErrorKind>,
}

impl Account {
    pub fn new(hand: Hand) -> Self {
        Self { hand, state: Arc::default() }
    }

    fn as_of_now<T>(&self, answer: T) -> AsOf<T> {
        AsOf { time: self.hand.now(), answer }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }
}

impl State {
    fn change(&mut self, at: Timestamp, zone: &ZoneId, changes: &[RecordChange]) -> Result<String, CloudError> {
        let names: Vec<DomainName> = changes
            .iter()
            .map(|change| match change {
                RecordChange::Create(set) | RecordChange::Delete(set) => set.name.clone(),
            })
            .collect();
        let culprit = names.iter().find(|name| self.poisoned.contains(*name));
        let answer = match (self.next.pop_front().flatten(), culprit) {
            (Some(kind), _) => Err(error(kind, CHANGE, zone, "as the story asks for")),
            (None, Some(name)) => {
                Err(error(ErrorKind::Rejected, CHANGE, zone, &format!("{name} is protected by somebody")))
            }
            (None, None) => Ok(format!("C{}", self.sent.len() + 1)),
        };
        self.sent.push(Sent { at, names, answer: answer.clone().map_err(|error| error.kind) });
        answer
    }
}

impl DnsProvider for Account {
    async fn hosted_zones(&self) -> Result<AsOf<Vec<HostedZone>>, CloudError> {
        Ok(self.as_of_now(Vec::new()))
    }

    async fn listing(&self, _: &ZoneId) -> Result<AsOf<Vec<RecordSet>>, CloudError> {
        self.state().listings += 1;
        // No zone is empty.
        let name_servers = vec!["ns.example.net".to_owned()];
        Ok(self.as_of_now(vec![RecordSet::new(DomainName::new("example.com"), RecordType::Ns, 300, name_servers)]))
    }

    async fn subtree(&self, _: &ZoneId, _: &DomainName) -> Result<AsOf<Subtree>, CloudError> {
        Ok(self.as_of_now(Subtree { record_sets: Vec::new(), complete: true }))
    }

    async fn record_sets(&self, _: &ZoneId, _: &DomainName) -> Result<AsOf<Vec<RecordSet>>, CloudError> {
        Ok(self.as_of_now(Vec::new()))
    }

    async fn change(&self, zone: &ZoneId, changes: &[RecordChange]) -> Result<String, CloudError> {
        self.state().change(self.hand.now(), zone, changes)
    }

    async fn is_in_sync(&self, change_id: &str) -> Result<AsOf<bool>, CloudError> {
        Ok(self.as_of_now(self.state().arrived.contains(change_id)))
    }
}
