//! One run: so many domains applied at once, until all are Ready.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use ses_operator_rig::aws::{Account, Request, Service, Settings, VerifiedIdentity};

use crate::bed::{Bed, Following, Plot, REGION, Running};
use crate::bound::{Bound, buckets, polls_allowed};
use crate::domains::{Layout, apply};
use crate::metrics::Metrics;
use crate::process::{Memory, memory};
use crate::tally::{Calls, OTHER_CLIENT, Ready, is_others, is_refused, of_aws, of_kubernetes, of_operator};
use crate::watch::{End, Newcomer, watch};

/// Delays are drawn from it, by domain.
const SEED: u64 = 4;
/// The operator's metric of how long AWS takes to answer.
const TOOK: &str = "ses_operator_aws_call_duration_seconds";

/// How much of AWS's quotas the operator may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// 90% of SES's and 60% of Route 53's.
    Default,
    /// All of both.
    Whole,
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its own among all: the namespace, and where its calls are noted.
    pub name: String,
    pub layout: Layout,
    pub count: usize,
    /// Virtual seconds in one of the wall's.
    pub scale: f64,
    pub share: Share,
    /// Whether SES has one bucket for all of its operations, and the operator is told so.
    pub one_bucket: bool,
    /// Whether another client calls Route 53 twice a second.
    pub other_client: bool,
    /// Every run makes the same calls: the delays are the same for all, and far from the time of any poll, and no call is
    /// refused because a busy machine sent it late. Else the delays are those that people see, and the quotas AWS's.
    pub repeatable: bool,
    pub end: End,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many became Ready.
    pub ready: usize,
    /// Virtual seconds until the last one was seen to be; of one that never was, until the run ended.
    pub took: f64,
    pub bound: Bound,
    /// The calls to AWS before what each was for was Ready.
    pub until_ready: Calls,
    /// All calls, to AWS and to the API server.
    pub calls: Calls,
    pub refused: usize,
    /// How many calls of the other client were refused, of how many.
    pub others_refused: (usize, usize),
    pub polls: Polls,
    pub newcomer: Newcomer,
    pub memory: Memory,
    pub latency: Latency,
}

/// How long the AWS of the rig took to answer, as the operator saw it, in virtual seconds: what scaling distorts.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub mean: f64,
    /// Nineteen of twenty took at most this.
    pub most: f64,
}

/// SES calls of each domain until it was Ready, against 3 + polls.
#[derive(Clone, Copy, Debug)]
pub struct Polls {
    /// The mean of what the domains' delays allow.
    pub allowed: f64,
    /// Domains that took more.
    pub over: usize,
    /// The most that a domain took beyond what its delay allows.
    pub worst: i64,
}

impl Latency {
    /// Of the calls since `before`: at its start an operator asks who it is, which the rig's AWS answers slowly the first time.
    fn between(before: &Metrics, after: &Metrics, scale: f64) -> Self {
        let took = after.histogram(TOOK).since(&before.histogram(TOOK));
        Self { mean: took.mean() * scale, most: took.quantile(0.95) * scale }
    }
}

impl Share {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::Whole => &["--ses-rate=1", "--route53-rate=5"],
        }
    }

    /// Calls a second: of SES, of Route 53.
    pub fn rates(self) -> (f64, f64) {
        match self {
            Self::Default => (0.9, 3.0),
            Self::Whole => (1.0, 5.0),
        }
    }
}

impl Run {
    pub fn new(name: impl Into<String>, layout: Layout, count: usize, scale: f64) -> Self {
        Self {
            name: name.into(),
            layout,
            count,
            scale,
            share: Share::Default,
            one_bucket: false,
            other_client: false,
            repeatable: false,
            end: End::AllReady,
        }
    }

    fn settings(&self) -> Settings {
        let settings = Settings::default().seed(SEED);
        if self.repeatable {
            return settings.insync(40..=40).dkim(300..=300).mail_from(300..=300);
        }
        // As the real one, which refuses changes of a zone that overlap.
        let settings = settings.quotas_of_aws().change_takes(Duration::from_secs(1));
        if self.one_bucket { settings.one_bucket_for_all_of_ses() } else { settings }
    }

    fn arguments(&self) -> Vec<&'static str> {
        let one_bucket: &[&str] = if self.one_bucket { &["--ses-shared-limit"] } else { &[] };
        [self.share.arguments(), one_bucket].concat()
    }

    /// Runs it, and leaves the operator running.
    pub async fn on<'a>(&self, bed: &'a Bed) -> Result<(Outcome, Plot<'a>, Running)> {
        let plot = bed.plot(&self.name, self.settings()).await?;
        let domains = self.layout.domains(self.count);
        let mut zones = self.layout.zones(&domains);
        let arguments = self.arguments();
        let has_newcomer = self.end == End::NewcomerReady;
        if has_newcomer {
            Newcomer::prepare(&plot).await?;
            zones.extend(Layout::Own.zones(&[Newcomer::domain()]));
        }
        let zones = plot.account.import(REGION, Duration::from_secs(86_400), &zones, &[]).await?;
        let mut running =
            if has_newcomer { plot.start_for_all(&arguments).await? } else { plot.start(&arguments).await? };

        // Time stands still while they are applied: the API server's part in that does not scale.
        plot.account.set_rate(0.0).await?;
        let mark = bed.plane.audit_mark()?;
        let metrics = running.metrics().await?;
        let before = plot.account.requests().await?.len() as u64;
        apply(&plot.domains, &domains).await?;
        let clock = Following::new(plot.account.set_rate(self.scale).await?);
        let started = clock.now();
        let other_client =
            self.other_client.then(|| tokio::spawn(call_twice_a_second(plot.account.clone(), self.scale)));
        // Three times what it should take is a result too.
        let patience = 3.0 * (buckets(self) + 1_000.0);
        let seen = watch(&plot, &mut running, self.count, clock, self.end, patience).await?;
        if let Some(other_client) = other_client {
            other_client.abort();
        }

        let requests = plot.account.requests_since(before).await?;
        let others: Vec<&Request> = requests.iter().filter(|request| is_others(request)).collect();
        let others_refused = (others.iter().filter(|request| is_refused(request)).count(), others.len());
        let requests = of_operator(requests);
        let identities = plot.account.identities().await?;
        let ready = Ready::new(&seen.ready, &domains, self.layout, &zones);
        let mut calls = of_aws(&requests);
        calls.extend(of_kubernetes(&plot.kubernetes_requests(mark)?));
        let last = seen.ready.values().max().filter(|_| seen.ready.len() == self.count);
        let outcome = Outcome {
            ready: seen.ready.len(),
            took: last.map_or(seen.took, |last| last.duration_since(started).as_secs_f64()),
            bound: Bound::of(self, &identities),
            until_ready: of_aws(requests.iter().filter(|request| ready.counts(request))),
            calls,
            refused: requests.iter().filter(|request| is_refused(request)).count(),
            others_refused,
            polls: polls(&requests, &identities, &seen.ready),
            newcomer: seen.newcomer,
            memory: memory(running.id())?,
            latency: Latency::between(&metrics, &running.metrics().await?, self.scale),
        };
        Ok((outcome, plot, running))
    }
}

/// Somebody else in the account, such as external-dns.
async fn call_twice_a_second(account: Account, scale: f64) {
    let client = account.route53();
    let mut due = tokio::time::interval(Duration::from_secs_f64(0.5 / scale));
    // One that is late is no reason for a burst.
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        due.tick().await;
        // It may be refused: so would the real one be.
        let _ = client.list_hosted_zones_by_name().dns_name(OTHER_CLIENT).max_items(1).send().await;
    }
}

fn polls(requests: &[Request], identities: &[VerifiedIdentity], ready: &BTreeMap<String, Timestamp>) -> Polls {
    let mut calls: BTreeMap<&str, i64> = BTreeMap::new();
    for request in requests.iter().filter(|request| request.service == Service::Ses) {
        if let Some(domain) = request.target.as_deref()
            && ready.get(domain).is_none_or(|at| request.at <= *at)
        {
            *calls.entry(domain).or_default() += 1;
        }
    }
    let allowed = |identity: &VerifiedIdentity| {
        3 + polls_allowed(identity.mail_from.map_or(0.0, |mail_from| mail_from.delay).max(identity.dkim.delay))
    };
    let beyond = |identity: &VerifiedIdentity| {
        calls.get(identity.name.as_str()).copied().unwrap_or_default() - allowed(identity)
    };
    Polls {
        allowed: identities.iter().map(allowed).sum::<i64>() as f64 / identities.len().max(1) as f64,
        over: identities.iter().filter(|identity| beyond(identity) > 0).count(),
        worst: identities.iter().map(beyond).max().unwrap_or_default(),
    }
}
