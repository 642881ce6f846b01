//! Events of the API server, the same one told once.
//!
//! What happens again, in the same words, makes no new Event: the count of the former one rises.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::{Event as KubeEvent, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};

use super::api_server::{SaveError, answered};
use crate::api::{FIELD_MANAGER, SesDomain};
use crate::clock::Clock;
use crate::reconcile::report::Event;

/// The API server forgets an event after an hour, unless it was told to do otherwise.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// So many events are remembered: the oldest is forgotten first, and is told anew if it happens again.
const MOST: usize = 512;

/// Tells events.
pub struct Events {
    client: Client,
    clock: Clock,
    instance: String,
    told: Mutex<Told>,
}

/// The events told within the hour, by what they said of whom.
#[derive(Debug, Default)]
struct Told(HashMap<u64, Series>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Series {
    name: String,
    count: i32,
    last: Timestamp,
}

impl Told {
    /// The event that said the same, if one did within the hour.
    fn again(&self, what: u64, now: Timestamp) -> Option<Series> {
        let known = self.0.get(&what).filter(|known| now.duration_since(known.last) < KEPT)?;
        Some(Series { count: known.count.saturating_add(1), last: now, ..known.clone() })
    }

    fn remember(&mut self, what: u64, series: Series) {
        let oldest = self.0.iter().min_by_key(|(_, known)| known.last).map(|(what, _)| *what);
        if let Some(oldest) = oldest.filter(|_| self.0.len() >= MOST && !self.0.contains_key(&what)) {
            self.0.remove(&oldest);
        }
        self.0.insert(what, series);
    }
}

impl Events {
    /// Events of this process, none told yet.
    pub fn new(client: Client, clock: Clock) -> Self {
        let instance = std::env::var("POD_NAME").unwrap_or_else(|_| FIELD_MANAGER.to_owned());
        Self { client, clock, instance, told: Mutex::default() }
    }

    /// Tells an event.
    ///
    /// # Errors
    /// When the API server did not take it.
    pub async fn tell(&self, resource: &SesDomain, event: &Event) -> Result<(), SaveError> {
        let (what, now) = (identity(resource, event), self.clock.now());
        let api: Api<KubeEvent> = Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default());
        let again = self.told().again(what, now);
        if let Some(series) = again {
            let count = EventSeries { count: series.count, last_observed_time: MicroTime(now) };
            let patch = Patch::Merge(serde_json::json!({"series": count}));
            match answered(api.patch(&series.name, &PatchParams::default(), &patch)).await {
                Ok(_) => {
                    self.told().remember(what, series);
                    return Ok(());
                }
                // The API server has forgotten it earlier.
                Err(SaveError::Gone) => {}
                Err(error) => return Err(error),
            }
        }
        let name = name(&resource.name_any(), what, now);
        answered(api.create(&PostParams::default(), &self.event(resource, event, &name, now))).await?;
        self.told().remember(what, Series { name, count: 1, last: now });
        Ok(())
    }

    fn event(&self, resource: &SesDomain, event: &Event, name: &str, now: Timestamp) -> KubeEvent {
        KubeEvent {
            action: Some(event.action.to_owned()),
            event_time: Some(MicroTime(now)),
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: resource.namespace(),
                ..ObjectMeta::default()
            },
            note: Some(shortened(&event.note, 1024, "…")),
            reason: Some(event.reason.clone()),
            regarding: Some(resource.object_ref(&())),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
            ..KubeEvent::default()
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an event says of whom.
fn identity(resource: &SesDomain, event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    resource.metadata.uid.hash(&mut hasher);
    (event.warning, &event.reason, event.action, &event.note).hash(&mut hasher);
    hasher.finish()
}

/// A name that no other event has. It must be a DNS subdomain, and the resource's own may be as long as one can be.
fn name(resource: &str, what: u64, now: Timestamp) -> String {
    let mut start = shortened(resource, 200, "");
    start.truncate(start.trim_end_matches(['.', '-']).len());
    format!("{start}.{what:x}{:x}", now.as_microsecond())
}

/// A text of at most so many bytes. The API server refuses events whose note is longer than 1,024 bytes.
fn shortened(text: &str, limit: usize, mark: &str) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit - mark.len()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{mark}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn series(count: i32, last: i64) -> Series {
        Series { name: "event".into(), count, last: at(last) }
    }

    #[test]
    fn what_happens_again_within_the_hour_is_counted() {
        let mut told = Told::default();
        assert_eq!(told.again(1, at(0)), None);
        told.remember(1, series(1, 0));
        assert_eq!(told.again(1, at(3_599)), Some(series(2, 3_599)));
        assert_eq!(told.again(2, at(0)), None, "it says something else");
        assert_eq!(told.again(1, at(3_600)), None, "the API server has forgotten it");
    }

    #[test]
    fn of_many_the_oldest_is_forgotten() {
        let mut told = Told::default();
        for number in 0..=MOST {
            told.remember(number as u64, series(1, number as i64));
        }
        assert_eq!(told.0.len(), MOST);
        assert_eq!(told.again(0, at(10)), None);
        assert!(told.again(1, at(10)).is_some());
        told.remember(1, series(2, 1_000));
        assert_eq!(told.0.len(), MOST);
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(shortened("short", 1024, "…"), "short");
        let cut = shortened(&"é".repeat(2000), 1024, "…");
        assert!(cut.len() <= 1024 && cut.ends_with('…'), "{} bytes", cut.len());
    }

    #[test]
    fn the_name_of_an_event_is_a_dns_subdomain_however_long_the_resource_is_called() {
        let long = format!("{}.{}", "a".repeat(199), "b".repeat(53));
        assert_eq!(name(&long, 255, at(0)), format!("{}.ff{:x}", "a".repeat(199), at(0).as_microsecond()));
        assert!(name(&"a".repeat(253), u64::MAX, at(0)).len() <= 253);
    }
}
