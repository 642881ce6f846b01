//! What became of the conditions, from one version of the resources to the next.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use ses_operator::api::SesDomain;

use super::NAME;

/// A condition that turned.
#[derive(Clone, Debug)]
struct Turn {
    name: String,
    condition: String,
    status: String,
    said: String,
}

/// Every turn so far, and how far that is.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    turns: Vec<Turn>,
    versions: HashMap<String, u64>,
}

impl History {
    /// Follows all resources until the test's runtime ends.
    pub(super) fn follow(domains: Api<SesDomain>) -> Self {
        let history = Self::default();
        let turns = history.clone();
        tokio::spawn(async move {
            let mut known = HashMap::new();
            let mut versions = pin!(watcher(domains, watcher::Config::default()).default_backoff().applied_objects());
            while let Some(version) = versions.next().await {
                if let Ok(domain) = version {
                    turns.add(&domain, &mut known);
                }
            }
        });
        history
    }

    fn add(&self, domain: &SesDomain, known: &mut HashMap<(String, String), (String, String)>) {
        let name = domain.metadata.name.clone().unwrap_or_default();
        for condition in domain.status.iter().flat_map(|status| &status.conditions) {
            let said = format!("{}: {}", condition.reason, condition.message);
            let place = (name.clone(), condition.type_.clone());
            let now = (condition.status.clone(), said.clone());
            if known.insert(place, now.clone()).as_ref() != Some(&now) {
                let (condition, status) = (condition.type_.clone(), condition.status.clone());
                self.told().turns.push(Turn { name: name.clone(), condition, status, said });
            }
        }
        self.told().versions.insert(name, version(domain));
    }

    /// Whether this version of a resource is told of.
    pub(super) fn knows(&self, domain: &SesDomain) -> bool {
        let name = domain.metadata.name.clone().unwrap_or_default();
        self.told().versions.get(&name).is_some_and(|known| *known >= version(domain))
    }

    pub(super) fn len(&self) -> usize {
        self.told().turns.len()
    }

    /// What a condition said when it had this status first.
    pub(super) fn find(&self, since: usize, condition: &str, status: &str) -> Option<String> {
        let told = self.told();
        let found = told.turns.iter().skip(since).find(|turn| turn.condition == condition && turn.status == status);
        found.map(|turn| turn.said.clone())
    }

    /// The statuses that a condition of the story's resource has had, without repetition.
    pub(super) fn statuses(&self, condition: &str) -> Vec<String> {
        let told = self.told();
        let mine = told.turns.iter().filter(|turn| turn.name == NAME && turn.condition == condition);
        let mut statuses: Vec<String> = mine.map(|turn| turn.status.clone()).collect();
        statuses.dedup();
        statuses
    }

    pub(super) fn tell(&self, since: usize) -> String {
        let told = self.told();
        let turns = told.turns.iter().skip(since);
        turns.map(|turn| format!("  {} {}={} {}\n", turn.name, turn.condition, turn.status, turn.said)).collect()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(domain: &SesDomain) -> u64 {
    domain.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}
