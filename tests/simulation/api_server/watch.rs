//! What a watch shows of the API server, and how the operator's store keeps it.

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::watcher::Event;
use ses_operator::api::SesDomain;
use ses_operator::controller::store::Form;

use super::{Api, Kept, Written};

/// A watch, with the listing that it begins with: that is never old, and what comes after it is late by the lag.
#[derive(Debug)]
pub struct Watch {
    api: Api,
    /// After how many writes it listed; none: it has yet to.
    listed: Option<u64>,
    /// How many writes it has shown.
    shown: u64,
    interruptions: u32,
}

impl Watch {
    pub fn new(api: Api) -> Self {
        Self { api, listed: None, shown: 0, interruptions: 0 }
    }

    /// Lists anew.
    pub fn begin_anew(&mut self) {
        self.listed = None;
    }

    /// When it shows something next.
    pub fn next(&self) -> Option<Timestamp> {
        let kept = self.api.kept();
        if self.lists(&kept) {
            return Some(kept.interrupted_until.unwrap_or_default().max(self.api.hand.now()));
        }
        kept.log.get(self.place(&kept)).map(|next| next.at + kept.watch_lag)
    }

    /// What it shows now.
    pub fn shows(&mut self) -> Vec<Event<SesDomain>> {
        let api = self.api.clone();
        let (now, kept) = (api.hand.now(), api.kept());
        if self.lists(&kept) {
            if kept.interrupted_until.is_some_and(|until| now < until) {
                return Vec::new();
            }
            (self.interruptions, self.shown) = (kept.interruptions, kept.written());
            self.listed = Some(self.shown);
            let listed = kept.resources.values().map(|resource| Event::InitApply(resource.as_ref().clone()));
            return std::iter::once(Event::Init).chain(listed).chain([Event::InitDone]).collect();
        }
        let due = kept.log.iter().skip(self.place(&kept)).take_while(|next| next.at + kept.watch_lag <= now);
        let due: Vec<&Written> = due.collect();
        self.shown += due.len() as u64;
        let unnoticed = kept.restored.filter(|(when, _)| self.listed.is_some_and(|listed| listed <= *when));
        let shown = due.into_iter().filter(|written| unnoticed.is_none_or(|(_, version)| version < written.version));
        let shown = shown.map(|Written { resource, gone, .. }| {
            let resource = resource.as_ref().clone();
            if *gone { Event::Delete(resource) } else { Event::Apply(resource) }
        });
        shown.collect()
    }

    fn lists(&self, kept: &Kept) -> bool {
        self.listed.is_none() || self.interruptions != kept.interruptions || self.shown < kept.forgotten
    }

    fn place(&self, kept: &Kept) -> usize {
        usize::try_from(self.shown - kept.forgotten).expect("small")
    }
}

/// How the simulation's store keeps a resource: as it is, since packing takes as long as a reconcile.
#[derive(Clone, Debug)]
pub struct Plain(Arc<SesDomain>);

impl PartialEq for Plain {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Form for Plain {
    fn of(resource: &Arc<SesDomain>) -> Self {
        Self(Arc::clone(resource))
    }

    fn resource(&self) -> Option<Arc<SesDomain>> {
        Some(Arc::clone(&self.0))
    }
}
