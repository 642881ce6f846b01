//! One run: so many domains applied at once, until all are Ready.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{DynamicObject, PostParams};
use kube::runtime::watcher;
use ses_operator_rig::aws::{Account, Request, Service, Settings, VerifiedIdentity};

use crate::bed::{Bed, Plot, REGION, Running};
use crate::domains::{Layout, apply, manifest, ready_since};
use crate::process::{Memory, memory};
use crate::tally::{Calls, OTHER_CLIENT, is_refused, of_operator, tally};

/// Delays are drawn from it, by domain.
const SEED: u64 = 4;
/// When the newcomer is applied, in virtual seconds after the crowd: its identities are being created.
const NEWCOMER_AFTER: f64 = 300.0;
/// The newcomer's namespace.
const NEWCOMER: &str = "newcomer";

/// How much of AWS's quotas the operator may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// 90% of SES's and 60% of Route 53's.
    Default,
    /// All of both.
    Whole,
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub layout: Layout,
    pub count: usize,
    /// Virtual seconds in one of the wall's.
    pub scale: f64,
    pub share: Share,
    /// Whether SES has one bucket for all of its operations, and the operator is told so.
    pub one_bucket: bool,
    /// Whether another client calls Route 53 twice a second.
    pub other_client: bool,
    /// Whether a domain of another namespace comes when the others have begun.
    pub newcomer: bool,
    /// The same delays for all, far from the time of any poll, so that every run makes the same calls; else those that
    /// people see.
    pub fixed_delays: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many became Ready before patience ended.
    pub ready: usize,
    /// Virtual seconds until the last one was.
    pub took: f64,
    pub bound: Bound,
    pub calls: Calls,
    pub refused: usize,
    /// How many calls of the other client were refused, of how many.
    pub others_refused: (usize, usize),
    pub polls: Polls,
    /// The newcomer's virtual seconds until Ready.
    pub newcomer: Option<f64>,
    pub memory: Memory,
    /// How long the AWS of the rig took to answer, at the 95th percentile, in virtual seconds: what scaling distorts.
    pub latency: f64,
}

/// The least time that AWS leaves.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The bucket that takes longest.
    pub buckets: f64,
    /// Until the change of the domain that was verified last was served.
    pub insync: f64,
    /// That domain's verification.
    pub delay: f64,
}

impl Bound {
    pub fn seconds(&self) -> f64 {
        self.buckets + self.insync + self.delay
    }
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

impl Share {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::Whole => &["--ses-rate=1", "--route53-rate=5"],
        }
    }

    fn rates(self) -> (f64, f64) {
        match self {
            Self::Default => (0.9, 3.0),
            Self::Whole => (1.0, 5.0),
        }
    }
}

impl Run {
    pub fn new(layout: Layout, count: usize, scale: f64) -> Self {
        let share = Share::Default;
        Self {
            layout,
            count,
            scale,
            share,
            one_bucket: false,
            other_client: false,
            newcomer: false,
            fixed_delays: false,
        }
    }

    fn settings(&self) -> Settings {
        let settings = Settings::default().seed(SEED).quotas_of_aws();
        let settings = if self.one_bucket { settings.one_bucket_for_all_of_ses() } else { settings };
        if !self.fixed_delays {
            return settings;
        }
        settings.insync(40..=40).dkim(300..=300).mail_from(300..=300)
    }

    fn arguments(&self) -> Vec<&'static str> {
        let one_bucket: &[&str] = if self.one_bucket { &["--ses-shared-limit"] } else { &[] };
        self.share.arguments().iter().chain(one_bucket).copied().collect()
    }

    /// N × fewest calls ÷ rate of the bucket that takes longest: one create, one MAIL FROM put, one get; for a zone of its own
    /// a list, a change and its look.
    fn buckets(&self) -> f64 {
        let (ses, route53) = self.share.rates();
        let count = self.count as f64;
        let of_ses = if self.one_bucket { 3.0 * count / ses } else { count / ses };
        let of_route53 = if self.layout == Layout::Own { 3.0 * count / route53 } else { 0.0 };
        of_ses.max(of_route53)
    }

    /// Runs it on a bed that has nothing else on it, and leaves the operator running.
    pub async fn on<'a>(&self, bed: &'a Bed) -> Result<(Outcome, Plot<'a>, Running)> {
        let plot = bed.plot("mail", self.settings()).await?;
        let domains = self.layout.domains(self.count);
        let mut zones = self.layout.zones(&domains);
        if self.newcomer {
            bed.namespace(NEWCOMER).await?;
            zones.extend(Layout::Own.zones(&[newcomer()]));
        }
        plot.account.import(REGION, Duration::from_secs(86_400), &zones, &[]).await?;
        let mut running = plot.start(&self.arguments()).await?;

        // Time stands still while they are applied: the API server's part in that does not scale.
        plot.account.set_rate(0.0).await?;
        let mark = bed.plane.audit_mark()?;
        let before = plot.account.requests().await?.len() as u64;
        apply(&plot.domains, &domains).await?;
        let started = plot.account.set_rate(self.scale).await?.now;
        let other_client =
            self.other_client.then(|| tokio::spawn(call_twice_a_second(plot.account.clone(), self.scale)));
        let seen = self.until_ready(&plot, &mut running, started).await?;
        if let Some(other_client) = other_client {
            other_client.abort();
        }

        let requests = plot.account.requests_since(before).await?;
        let others: Vec<&Request> =
            requests.iter().filter(|request| request.target.as_deref() == Some(OTHER_CLIENT)).collect();
        let others_refused = (others.iter().filter(|request| is_refused(request)).count(), others.len());
        let requests = of_operator(requests);
        let identities = plot.account.identities().await?;
        let last = seen.ready.values().max().copied().unwrap_or(started);
        let outcome = Outcome {
            ready: seen.ready.len(),
            took: last.duration_since(started).as_secs_f64(),
            bound: bound(self.buckets(), &identities),
            calls: tally(&requests, &plot.kubernetes_requests(mark)?),
            refused: requests.iter().filter(|request| is_refused(request)).count(),
            others_refused,
            polls: polls(&requests, &identities, &seen.ready),
            newcomer: seen.newcomer,
            memory: memory(running.id())?,
            latency: seen.latency,
        };
        Ok((outcome, plot, running))
    }

    async fn until_ready(&self, plot: &Plot<'_>, running: &mut Running, started: Timestamp) -> Result<Seen> {
        let mut changes = pin!(watcher(plot.bed.all_domains().await?, watcher::Config::default()));
        let mut ready = BTreeMap::new();
        let mut newcomer = Newcomer::default();
        let mut latencies = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        let mut told = Instant::now();
        let patience = 6.0 * self.buckets() + 7_200.0;
        loop {
            tokio::select! {
                change = changes.try_next() => {
                    let object = match change?.context("the watch ended")? {
                        watcher::Event::Apply(object) | watcher::Event::InitApply(object) => object,
                        watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone => continue,
                    };
                    let Some(since) = ready_since(&object) else { continue };
                    if object.namespace().as_deref() == Some(NEWCOMER) {
                        newcomer.ready.get_or_insert(since);
                    } else {
                        ready.entry(domain_of(&object)).or_insert(since);
                    }
                }
                _ = tick.tick() => {
                    running.must_run()?;
                    let asked = Instant::now();
                    plot.account.requests_since(u64::from(u32::MAX)).await?;
                    latencies.push(asked.elapsed().as_secs_f64() * self.scale);
                    let now = plot.account.clock().await?.now;
                    let passed = now.duration_since(started).as_secs_f64();
                    if told.elapsed() > Duration::from_secs(30) {
                        told = Instant::now();
                        eprintln!("bench:   {} of {} are Ready after {passed:.0} s", ready.len(), self.count);
                    }
                    if self.newcomer && newcomer.applied.is_none() && passed >= NEWCOMER_AFTER {
                        let api = plot.bed.domains(NEWCOMER).await?;
                        api.create(&PostParams::default(), &manifest(&self::newcomer())?).await?;
                        newcomer.applied = Some(now);
                    }
                    if passed > patience {
                        eprintln!("bench:   gave up after {passed:.0} s");
                        break;
                    }
                }
            }
            if ready.len() == self.count && (!self.newcomer || newcomer.ready.is_some()) {
                break;
            }
        }
        latencies.sort_by(f64::total_cmp);
        let latency = latencies.get(latencies.len() * 95 / 100).copied().unwrap_or_default();
        Ok(Seen { ready, newcomer: newcomer.took(), latency })
    }
}

/// What was seen until the end.
struct Seen {
    /// Since when each domain has been Ready.
    ready: BTreeMap<String, Timestamp>,
    newcomer: Option<f64>,
    latency: f64,
}

#[derive(Default)]
struct Newcomer {
    applied: Option<Timestamp>,
    ready: Option<Timestamp>,
}

impl Newcomer {
    fn took(&self) -> Option<f64> {
        Some(self.ready?.duration_since(self.applied?).as_secs_f64())
    }
}

/// The domain of the newcomer: the delays that are drawn for it are the same alone and in a crowd.
pub fn newcomer() -> String {
    Layout::Own.domain("newcomer")
}

/// Somebody else in the account, such as external-dns.
async fn call_twice_a_second(account: Account, scale: f64) {
    let client = account.route53();
    let mut due = tokio::time::interval(Duration::from_secs_f64(0.5 / scale));
    loop {
        due.tick().await;
        // It may be refused: so would the real one be.
        let _ = client.list_hosted_zones_by_name().dns_name(OTHER_CLIENT).max_items(1).send().await;
    }
}

fn bound(buckets: f64, identities: &[VerifiedIdentity]) -> Bound {
    let last = |identity: &&VerifiedIdentity| verified(identity).map(|(at, _)| at);
    let Some(identity) = identities.iter().max_by_key(last) else {
        return Bound { buckets, insync: 0.0, delay: 0.0 };
    };
    let delay = verified(identity).map_or(0.0, |(_, delay)| delay);
    Bound { buckets, insync: identity.insync.unwrap_or_default(), delay }
}

/// When the later of the two verifications succeeded, and the delay that was drawn for it.
fn verified(identity: &VerifiedIdentity) -> Option<(Timestamp, f64)> {
    let both = [Some(identity.dkim), identity.mail_from];
    let done = both.into_iter().flatten().filter_map(|one| Some((one.verified?, one.delay)));
    done.max_by_key(|(at, _)| *at)
}

/// At most 1 + ⌈log2(D / 60 s)⌉ for a verification that takes D.
pub fn polls_allowed(delay: f64) -> i64 {
    1 + (delay / 60.0).log2().ceil().max(0.0) as i64
}

fn polls(requests: &[Request], identities: &[VerifiedIdentity], ready: &BTreeMap<String, Timestamp>) -> Polls {
    let (mut allowed, mut over, mut worst) = (0, 0, i64::MIN);
    for identity in identities {
        let end = ready.get(&identity.name).map_or(Timestamp::MAX, |at| *at + SignedDuration::from_secs(1));
        let until_ready = |request: &&Request| {
            request.service == Service::Ses && request.target.as_deref() == Some(&identity.name) && request.at <= end
        };
        let calls = requests.iter().filter(until_ready).count() as i64;
        let delay = identity.mail_from.map_or(0.0, |mail_from| mail_from.delay).max(identity.dkim.delay);
        let most = 3 + polls_allowed(delay);
        allowed += most;
        over += usize::from(calls > most);
        worst = worst.max(calls - most);
    }
    Polls { allowed: allowed as f64 / identities.len().max(1) as f64, over, worst }
}

fn domain_of(object: &DynamicObject) -> String {
    object.data["spec"]["domain"].as_str().unwrap_or_default().to_owned()
}
