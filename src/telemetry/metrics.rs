//! Metrics in OpenMetrics' text format, under `ses_operator_…`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::quota::Class;
use crate::quota::limiters::Limiters;

/// The labels of an AWS call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AwsCall {
    service: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Waiting {
    service: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByClass {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct ByCondition {
    condition: String,
    status: String,
}

/// The series of one domain: they exist only while a condition is not True, so that thousands of settled domains cost none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Unmet {
    namespace: String,
    name: String,
    condition: String,
    reason: String,
}

fn waits() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 4.0, 9))
}

/// How the SesDomains are, at a scrape.
#[derive(Debug, Default)]
pub struct Census {
    counts: BTreeMap<ByCondition, i64>,
    unmet: Vec<Unmet>,
}

impl Census {
    /// Counts SesDomains whose condition has this status.
    pub fn count(&mut self, condition: &str, status: &str, count: i64) {
        let place = ByCondition { condition: condition.to_owned(), status: status.to_owned() };
        *self.counts.entry(place).or_default() += count;
    }

    /// Notes a condition of a SesDomain, if it is one that should be True and is not.
    pub fn unmet(&mut self, namespace: &str, name: &str, condition: &str, status: &str, reason: &str) {
        // Reconciling and Stalled are good news when they are not True, and absent then.
        if status != "True" && !matches!(condition, "Reconciling" | "Stalled") {
            self.unmet.push(Unmet {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                condition: condition.to_owned(),
                reason: reason.to_owned(),
            });
        }
    }
}

/// What there is to do, at a scrape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many SesDomains wait for their reconcile, by how urgent it is.
    pub waiting: Vec<(Class, usize)>,
    /// How many are being reconciled.
    pub running: usize,
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    reconciles: Family<Reconcile, Counter>,
    durations: Histogram,
    aws_calls: Family<AwsCall, Counter>,
    aws_durations: Histogram,
    aws_waiting: Family<Waiting, Gauge>,
    aws_waits: Family<ByClass, Histogram, fn() -> Histogram>,
    limiters: Mutex<Option<Limiters>>,
    domains: Family<ByCondition, Gauge>,
    unmet: Family<Unmet, Gauge>,
    waiting: Family<ByClass, Gauge>,
    running: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ses_operator");
        let reconciles = Family::default();
        let durations = Histogram::new(exponential_buckets(0.001, 4.0, 8));
        let aws_calls = Family::default();
        let aws_durations = Histogram::new(exponential_buckets(0.005, 2.5, 9));
        let aws_waiting = Family::default();
        let aws_waits = Family::new_with_constructor(waits as fn() -> Histogram);
        let domains = Family::default();
        let unmet = Family::default();
        let waiting = Family::default();
        let running = Gauge::default();
        registry.register("reconciles", "Reconciles, by outcome", reconciles.clone());
        registry.register("reconcile_duration_seconds", "How long reconciles took", durations.clone());
        registry.register("aws_calls", "Calls to AWS, by service, operation and outcome", aws_calls.clone());
        registry.register("aws_call_duration_seconds", "How long calls to AWS took", aws_durations.clone());
        registry.register(
            "aws_calls_waiting",
            "Calls that wait for their turn under AWS's quotas, by service and class",
            aws_waiting.clone(),
        );
        registry.register(
            "aws_call_wait_seconds",
            "How long calls waited for their turn under AWS's quotas, by class",
            aws_waits.clone(),
        );
        registry.register("domains", "SesDomains, by condition and its status", domains.clone());
        registry.register(
            "domain_condition_unmet",
            "1 for each condition of a SesDomain that is not True",
            unmet.clone(),
        );
        registry.register("queue_waiting", "SesDomains that wait for their reconcile, by class", waiting.clone());
        registry.register("reconciles_running", "SesDomains that are being reconciled", running.clone());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The operator's build", build);
        Self {
            registry: Mutex::new(registry),
            reconciles,
            durations,
            aws_calls,
            aws_durations,
            aws_waiting,
            aws_waits,
            limiters: Mutex::default(),
            domains,
            unmet,
            waiting,
            running,
        }
    }
}

impl Metrics {
    /// Counts a call to AWS: the service (`ses`, `route53`, `sts`), the operation by AWS's name, the outcome (`ok` or an
    /// [`ErrorKind`](crate::cloud::ErrorKind)'s label) and how long it took.
    pub fn aws_call(&self, service: &'static str, operation: &'static str, outcome: &'static str, took: Duration) {
        self.aws_calls.get_or_create(&AwsCall { service, operation, outcome }).inc();
        self.aws_durations.observe(took.as_secs_f64());
    }

    /// Counts how long a call waited for its turn.
    pub fn waited(&self, class: Class, time: Duration) {
        self.aws_waits.get_or_create(&ByClass { class: class.as_label() }).observe(time.as_secs_f64());
    }

    /// From now on shows how many calls wait in these limiters.
    pub fn show(&self, limiters: Limiters) {
        *self.limiters.lock().unwrap_or_else(PoisonError::into_inner) = Some(limiters);
    }

    /// Counts a reconcile.
    pub fn reconcile(&self, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Reconcile { outcome }).inc();
        self.durations.observe(took.as_secs_f64());
    }

    /// The metrics as text, with the domains and the work as they are now.
    pub fn render(&self, census: Census, load: &Load) -> String {
        let mut text = String::new();
        // Before counting: of two scrapes at once neither sees the other's half.
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.count_waiting();
        self.domains.clear();
        self.unmet.clear();
        for (place, count) in census.counts {
            self.domains.get_or_create(&place).set(count);
        }
        for unmet in census.unmet {
            self.unmet.get_or_create(&unmet).set(1);
        }
        for (class, waiting) in &load.waiting {
            let class = ByClass { class: class.as_label() };
            self.waiting.get_or_create(&class).set(i64::try_from(*waiting).unwrap_or(i64::MAX));
        }
        self.running.set(i64::try_from(load.running).unwrap_or(i64::MAX));
        if encode(&mut text, &registry).is_err() {
            let _ = text.write_str("# EOF\n");
        }
        text
    }

    fn count_waiting(&self) {
        let Some(limiters) = self.limiters.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
        for class in Class::ALL {
            for (service, count) in limiters.waiting(class) {
                let waiting = Waiting { service, class: class.as_label() };
                self.aws_waiting.get_or_create(&waiting).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }
}
