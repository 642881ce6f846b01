//! When each domain was seen to be Ready: by a watcher, in virtual time, as a user's `kubectl wait` would.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use jiff::Timestamp;
use kube::api::{DynamicObject, PostParams};
use kube::runtime::watcher;
use kube::{Api, ResourceExt};

use crate::bed::{Following, Plot, Running};
use crate::domains::{Layout, domain_of, is_ready, manifest};

/// When the newcomer is applied, in virtual seconds after the crowd: its identities are being created.
const AFTER: f64 = 300.0;
/// The newcomer's namespace.
const NAMESPACE: &str = "newcomer";

/// When a watch is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// All are Ready.
    AllReady,
    /// The newcomer is.
    NewcomerReady,
    /// So many virtual seconds have passed.
    After(f64),
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When each domain was first seen to be Ready.
    pub ready: BTreeMap<String, Timestamp>,
    pub newcomer: Newcomer,
    /// How long the watch was, in virtual seconds.
    pub took: f64,
}

/// A domain of another namespace, that comes when the others have begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct Newcomer {
    applied: Option<Timestamp>,
    ready: Option<Timestamp>,
}

impl Newcomer {
    /// The delays that are drawn for this domain are the same alone and in a crowd.
    pub fn domain() -> String {
        Layout::Own.domain("newcomer")
    }

    /// Makes room for it.
    pub async fn prepare(plot: &Plot<'_>) -> Result<()> {
        plot.bed.namespace(NAMESPACE).await
    }

    /// Its virtual seconds until Ready.
    pub fn took(&self) -> Option<f64> {
        Some(self.ready?.duration_since(self.applied?).as_secs_f64())
    }

    async fn apply(&mut self, plot: &Plot<'_>, now: Timestamp) -> Result<()> {
        self.applied = Some(now);
        plot.bed.domains(NAMESPACE).await?.create(&PostParams::default(), &manifest(&Self::domain())?).await?;
        Ok(())
    }
}

/// Watches `count` domains from `clock`'s time on until the end, or until `patience` virtual seconds have passed.
pub async fn watch(
    plot: &Plot<'_>,
    running: &mut Running,
    count: usize,
    clock: Following,
    end: End,
    patience: f64,
) -> Result<Seen> {
    let api: Api<DynamicObject> =
        if end == End::NewcomerReady { plot.bed.all_domains().await? } else { plot.domains.clone() };
    let mut changes = pin!(watcher(api, watcher::Config::default()));
    let mut seen = Seen::default();
    let started = clock.now();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let mut told = Instant::now();
    loop {
        tokio::select! {
            change = changes.try_next() => {
                let now = clock.now();
                let object = match change?.context("the watch ended")? {
                    watcher::Event::Apply(object) | watcher::Event::InitApply(object) => object,
                    watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone => continue,
                };
                if !is_ready(&object) {
                    continue;
                }
                if object.namespace().as_deref() == Some(NAMESPACE) {
                    seen.newcomer.ready.get_or_insert(now);
                } else {
                    seen.ready.entry(domain_of(&object)).or_insert(now);
                }
            }
            _ = tick.tick() => running.must_run()?,
        }
        let now = clock.now();
        seen.took = now.duration_since(started).as_secs_f64();
        if told.elapsed() > Duration::from_secs(120) {
            told = Instant::now();
            let namespace = &plot.namespace;
            eprintln!("bench:   {namespace}: {} of {count} are Ready after {:.0} s", seen.ready.len(), seen.took);
        }
        if end == End::NewcomerReady && seen.newcomer.applied.is_none() && seen.took >= AFTER {
            seen.newcomer.apply(plot, now).await?;
        }
        let over = match end {
            End::AllReady => seen.ready.len() == count,
            End::NewcomerReady => seen.newcomer.ready.is_some(),
            End::After(seconds) => seen.took >= seconds,
        };
        if over {
            return Ok(seen);
        }
        if seen.took > patience {
            eprintln!("bench:   {}: gave up after {:.0} s", plot.namespace, seen.took);
            return Ok(seen);
        }
    }
}
