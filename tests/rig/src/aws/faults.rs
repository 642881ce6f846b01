//! Faults that a test plays.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A service of this AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// SES v2.
    Ses,
    /// Route 53.
    Route53,
    /// STS.
    Sts,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// "Too many requests", in the service's own words. Nothing is done.
    Throttle,
    /// A 500. Nothing is done.
    ServerError,
    /// A missing IAM permission.
    Denied,
    /// The credentials have expired.
    TokenExpired,
    /// The caller's clock is wrong; AWS's words hold the times of day.
    SignatureExpired,
    /// Route 53 still works on another change of the zone.
    PriorRequestNotComplete,
    /// It is done, late.
    Latency,
    /// It is done, and the caller never hears of it.
    LostAnswer,
    /// The connection is closed. Nothing is done.
    Drop,
    /// The connection stays open without an answer, and is then closed. Nothing is done.
    Hang,
}

/// A fault, and which requests it hits: all of a service, unless told otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    service: Service,
    kind: FaultKind,
    operation: String,
    #[serde(rename = "match")]
    matching: Option<String>,
    count: Option<u64>,
    probability: f64,
    seconds: f64,
}

impl Fault {
    /// Hits every request of a service, until it is removed.
    pub fn new(service: Service, kind: FaultKind) -> Self {
        let operation = "*".to_owned();
        Self { service, kind, operation, matching: None, count: None, probability: 1.0, seconds: 5.0 }
    }

    /// Only that operation, such as `CreateEmailIdentity`.
    pub fn operation(mut self, operation: &str) -> Self {
        operation.clone_into(&mut self.operation);
        self
    }

    /// Only requests with that text in them, such as a domain or a zone's ID.
    pub fn matching(mut self, text: &str) -> Self {
        self.matching = Some(text.to_owned());
        self
    }

    /// Only that many requests.
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Each request with that probability, drawn from the account's seed.
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// How long latency and hanging last, on the wall's clock.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.seconds = time.as_secs_f64();
        self
    }
}

/// A fault in force.
#[derive(Clone, Debug, Deserialize)]
pub struct FaultId {
    pub(super) id: String,
}
