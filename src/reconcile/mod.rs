//! One reconcile: observe → plan → apply → report.
//!
//! Read the SES identity and the zone's record sets; compare them with the spec; carry out the changes, stopping at the
//! first failure; turn success or failure alike into status, events and the time of the next look. Only `observe` and
//! `apply` do I/O; deletion is the same pipeline with nothing wanted.
//!
//! | module | step |
//! |---|---|
//! | [`subject`] | what a reconcile is told |
//! | [`schedule`] | when to look again, and how old an answer may be |
//! | [`skew`] | what a wrong clock left in the status |
//! | [`observe`], `known` | 1: read |
//! | [`desired`], [`verdict`], [`ledger`], [`claims`], [`managed`], [`plan`] | 2: decide |
//! | [`apply`] | 3: change |
//! | [`report`] | 4: tell |
//! | [`preview`] | what would be done, told beforehand |

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::future::Future;

use jiff::{Timestamp, Unit};

use crate::api::status::RecordStatus;
use crate::api::{SesDomain, SesDomainStatus};
use crate::clock::Clock;
use crate::dns::public::snapshot::PublicNames;
use crate::dns::snapshot::Dns;
use crate::dns::{DnsProvider, ZoneId};
use crate::domain_name::DomainName;
use crate::quota::{Caller, Class};
use crate::ses::IdentityService;
use crate::ses::ownership::Owner;
use crate::ses::snapshot::Identities;

pub mod apply;
pub mod claims;
pub mod desired;
mod known;
pub mod ledger;
pub mod managed;
pub mod observe;
pub mod plan;
pub mod preview;
pub mod report;
pub mod rest;
pub mod schedule;
pub mod skew;
pub mod subject;
pub mod verdict;

use observe::Observed;
use plan::{Change, Plan};
use preview::Preview;
use report::{Event, Next, Report};
use schedule::Freshness;
use subject::{Names, Neighbors, Settings, Subject};

/// A reconcile that does not come to rest within so many passes goes on in the next one.
const MOST_PASSES: usize = 8;

/// Where the status and the events go.
pub trait Journal: Send + Sync {
    /// Why something could not be written.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Writes the status. What was claimed by it must be readable by whoever takes over.
    fn save(
        &self,
        resource: &SesDomain,
        status: &SesDomainStatus,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Tells an event. That it could not be told is no reason to stop.
    fn tell(&self, resource: &SesDomain, event: &Event) -> impl Future<Output = ()> + Send;
}

/// What reconciles: the services, the clock, and what holds for every resource.
#[derive(Debug)]
pub struct Reconciler<S, D> {
    /// SES.
    pub identities: Identities<S>,
    /// Route 53.
    pub dns: Dns<D>,
    /// What public DNS answers to anybody.
    pub public: PublicNames,
    /// Time.
    pub clock: Clock,
    /// What holds for every resource.
    pub settings: Settings,
}

/// What a reconcile came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// When to look again.
    pub next: Next,
    /// The failure that ended it, if one did.
    pub failure: Option<crate::cloud::CloudError>,
    /// Deletion only: nothing of ours is left.
    pub gone: bool,
    /// The status as it was written last.
    pub status: SesDomainStatus,
}

impl<S: IdentityService, D: DnsProvider> Reconciler<S, D> {
    /// Reconciles a resource among its neighbors.
    ///
    /// # Errors
    /// When the status could not be written: then nothing was changed that it does not claim.
    pub async fn reconcile<J: Journal>(
        &self,
        resource: &SesDomain,
        neighbors: Neighbors,
        journal: &J,
    ) -> Result<Outcome, J::Error> {
        let nothing = SesDomainStatus::default();
        let mut written = Cow::Borrowed(resource.status.as_ref().unwrap_or(&nothing));
        let mut status = written.clone().into_owned();
        skew::correct(&mut status, self.now());
        let mut made = Vec::new();
        for pass in 1.. {
            let subject = self.subject(resource, &status, &neighbors);
            let is_new = made.iter().any(|change| matches!(change, Change::CreateIdentity(_)));
            let (observed, plan) = self.decide(&subject, is_new).await;
            if !plan.changes.is_empty() {
                let ahead = report::write_ahead(&subject, &observed, &plan, self.now());
                // What the ledger lets go of must not come back once there are no tags to ask.
                let is_last = plan.changes.contains(&Change::DeleteIdentity) && ahead.records != written.records;
                if claims_more(&ahead, &written) || is_last {
                    journal.save(resource, &ahead).await?;
                    written = Cow::Owned(ahead);
                }
            }
            // A write goes before the looks that wait, whatever led to it.
            let caller = Caller::current();
            let caller = Caller { class: caller.class.min(Class::Repair), ..caller };
            // Boxed, here and below: whoever waits for AWS holds little, and there are many.
            let changing = Box::pin(apply::apply(&subject, &plan.changes, &made, &self.identities, &self.dns));
            let applied = caller.scope(changing).await;
            let Report { status: after, events, next, failure, gone } =
                report::report(&subject, &observed, &plan, &applied, self.now());
            for event in &events {
                journal.tell(resource, event).await;
            }
            status = after;
            made.extend(applied.made);
            if next == Next::Now && !gone && pass < MOST_PASSES {
                continue;
            }
            if status != *written && !gone {
                journal.save(resource, &status).await?;
            }
            if gone || self.comes_to_rest(resource, &status) {
                self.leave(resource, &status).await;
            }
            return Ok(Outcome { next, failure, gone, status });
        }
        unreachable!("the loop returns")
    }

    /// The first words about a resource that has just been seen and has to wait. They pin its Region, so that its first
    /// reconcile need not write it ahead.
    pub fn greeting(&self, resource: &SesDomain) -> SesDomainStatus {
        let status = resource.status.clone().unwrap_or_default();
        let region = self.subject(resource, &status, &Neighbors::default()).region();
        let generation = resource.metadata.generation.unwrap_or_default();
        let conditions = report::conditions::at_first_sight(generation, self.now());
        SesDomainStatus { conditions, region: Some(region.as_str().to_owned()), ..status }
    }

    /// What a reconcile would do. Nothing is written, neither to AWS nor to the API server.
    pub async fn preview(&self, resource: &SesDomain, neighbors: Neighbors) -> Preview {
        let mut status = resource.status.clone().unwrap_or_default();
        skew::correct(&mut status, self.now());
        let subject = self.subject(resource, &status, &neighbors);
        let (observed, plan) = self.decide(&subject, false).await;
        preview::preview(&subject, &observed, &plan, plan.at)
    }

    /// Whether a resource need not be reconciled before somebody asks for it or its time has come: its status says so, and
    /// was not written under other settings that let the domain be looked after.
    pub fn is_at_rest(&self, resource: &SesDomain, now: Timestamp) -> bool {
        let status = resource.status.clone().unwrap_or_default();
        rest::at_rest(resource, now) && plan::refusal(&self.subject(resource, &status, &Neighbors::default())).is_none()
    }

    /// Forgets what was read of a resource's identity.
    pub fn forget(&self, resource: &SesDomain) {
        let status = resource.status.clone().unwrap_or_default();
        self.identities.forget(&self.subject(resource, &status, &Neighbors::default()).key());
    }

    /// Whether a resource was not at rest before, and is by this status. One that is looked at while it rests shares what
    /// the rounds have read with others.
    fn comes_to_rest(&self, resource: &SesDomain, status: &SesDomainStatus) -> bool {
        let now = self.now();
        rest::at_rest_as(resource, status, now) && !rest::at_rest(resource, now)
    }

    /// Forgets what was read for a resource that won't ask again soon: thousands of them take no room.
    async fn leave(&self, resource: &SesDomain, status: &SesDomainStatus) {
        self.identities.forget(&self.subject(resource, status, &Neighbors::default()).key());
        let records = resource.status.iter().chain([status]).flat_map(|status| &status.records);
        let zones: BTreeSet<ZoneId> = records.map(|entry| ZoneId(entry.hosted_zone_id.clone())).collect();
        for zone in &zones {
            self.dns.leave(zone, &DomainName::new(&resource.spec.domain)).await;
        }
    }

    /// Steps one and two. A plan that writes, or that names a problem, is made on what was read just now. `is_new`: this
    /// reconcile made the identity.
    async fn decide(&self, subject: &Subject<'_>, is_new: bool) -> (Observed, Plan) {
        let now = self.now();
        if let Some(problem) = plan::refusal(subject).filter(|_| !subject.deleting || subject.has_made_nothing()) {
            let refused = Plan { at: now, problems: vec![problem], gone: subject.deleting, ..Plan::default() };
            let ledger = subject.status.records.clone();
            return (Observed::nothing(now), Plan { ledger, ..refused });
        }
        let freshness = schedule::freshness(subject, now);
        let observed = Box::pin(self.observe(subject, is_new, freshness, now)).await;
        let plan = plan::plan(subject, &observed, self.now());
        let needed = schedule::fresh_enough(&plan, freshness, now);
        // What was asked for was answered, as well as it could be: only who asks for more is told more.
        let falls_short = |read_at, asked, needed| needed > asked && read_at < needed;
        let is_stale = falls_short(observed.identity_read_at, freshness.identity, needed.identity)
            || falls_short(observed.zones_read_at, freshness.zones, needed.zones)
            || falls_short(observed.records_read_at, freshness.records, needed.records)
            || falls_short(observed.public_read_at, freshness.public, needed.public);
        if !is_stale {
            return (observed, plan);
        }
        let observed = Box::pin(self.observe(subject, is_new, needed, now)).await;
        let plan = plan::plan(subject, &observed, self.now());
        (observed, plan)
    }

    async fn observe(&self, subject: &Subject<'_>, is_new: bool, freshness: Freshness, now: Timestamp) -> Observed {
        observe::observe(subject, is_new, &self.identities, &self.dns, &self.public, freshness, now).await
    }

    fn subject<'a>(
        &'a self,
        resource: &'a SesDomain,
        status: &'a SesDomainStatus,
        neighbors: &'a Neighbors,
    ) -> Subject<'a> {
        let metadata = &resource.metadata;
        Subject {
            spec: &resource.spec,
            status,
            generation: metadata.generation.unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            reconcile_requested: metadata
                .annotations
                .as_ref()
                .and_then(|annotations| annotations.get(crate::api::RECONCILE_REQUESTED_AT))
                .map(String::as_str),
            owner: Owner {
                cluster: self.settings.cluster_id.clone(),
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
            },
            uid: metadata.uid.as_deref().unwrap_or_default(),
            names: Names::of(&resource.spec),
            neighbors,
            settings: &self.settings,
        }
    }

    /// The time to the second, as the status holds it.
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        now.round(jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor)).unwrap_or(now)
    }
}

/// Whether a status claims what the written one does not: the Region, or a record.
fn claims_more(ahead: &SesDomainStatus, written: &SesDomainStatus) -> bool {
    let of_records = ahead.records.iter().filter(|entry| entry.ours).any(|entry| {
        let same =
            |known: &RecordStatus| known.ours && known.origin == entry.origin && ledger::same_place(known, entry);
        !written.records.iter().any(same)
    });
    ahead.region != written.region || of_records
}
