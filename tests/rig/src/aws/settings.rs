//! How an account behaves.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// What to change in an account's settings; what is not named stays as it is.
///
/// The defaults are what people see of AWS: INSYNC after 20 to 60 s, DKIM after 1 to 10 min, MAIL FROM after 1 to 15 min.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// The seed that delays are drawn from, by domain and kind, whatever the order of calls.
    pub fn seed(self, seed: u64) -> Self {
        self.with("seed", json!(seed))
    }

    /// How long a change takes to reach public DNS.
    pub fn insync(self, seconds: RangeInclusive<u64>) -> Self {
        self.delay("insync", &seconds)
    }

    /// How long SES takes to verify DKIM once the records are right.
    pub fn dkim(self, seconds: RangeInclusive<u64>) -> Self {
        self.delay("dkim", &seconds)
    }

    /// How long SES takes to verify a MAIL FROM domain once its MX is right.
    pub fn mail_from(self, seconds: RangeInclusive<u64>) -> Self {
        self.delay("mail_from", &seconds)
    }

    /// No delays: what is right is verified at the next read.
    pub fn at_once(self) -> Self {
        self.insync(0..=0).dkim(0..=0).mail_from(0..=0)
    }

    /// AWS's request quotas: SES one a second for each operation and Region, Route 53 five a second for the account.
    pub fn quotas_of_aws(self) -> Self {
        self.rate_limits(1.0, 5.0)
    }

    /// Requests a second, in virtual time.
    pub fn rate_limits(self, ses: f64, route53: f64) -> Self {
        self.with("rate_limits", json!({ "ses": ses, "route53": route53 }))
    }

    /// One bucket for all of SES's operations in a Region: nobody has told that they don't share it. To be said after the
    /// rates.
    pub fn one_bucket_for_all_of_ses(mut self) -> Self {
        let rates = self.0.entry("rate_limits").or_insert_with(|| json!({}));
        rates["ses_shared"] = json!(true);
        self
    }

    /// As many requests as one likes (the default).
    pub fn no_rate_limits(self) -> Self {
        self.with("rate_limits", Value::Null)
    }

    /// For how long Route 53 refuses further changes of a zone after it has accepted one, with `PriorRequestNotComplete`. The
    /// default is that it never does.
    pub fn change_takes(self, time: Duration) -> Self {
        self.with("change_takes", json!(time.as_secs_f64()))
    }

    /// SES Gets and Route 53 lists answer the state of that long ago.
    pub fn read_lag(self, lag: Duration) -> Self {
        self.with("read_lag", json!(lag.as_secs_f64()))
    }

    /// Whether a restart of DKIM brings the tokens of before; nobody knows, and the default is that it doesn't.
    pub fn restart_keeps_tokens(self, keeps: bool) -> Self {
        self.with("restart_tokens", json!(if keeps { "same" } else { "new" }))
    }

    /// Whether a failed MAIL FROM domain must be cleared before it can be tried again; nobody knows, and the default is no.
    pub fn mail_from_restart_needs_clear(self, needs: bool) -> Self {
        self.with("mail_from_restart_needs_clear", json!(needs))
    }

    /// Whether SES refuses a MAIL FROM domain before the identity is verified. The default is no.
    pub fn mail_from_needs_verified(self, needs: bool) -> Self {
        self.with("mail_from_needs_verified", json!(needs))
    }

    /// Whether the account is out of the sandbox (the default).
    pub fn production_access(self, has: bool) -> Self {
        self.with("production_access", json!(has))
    }

    fn delay(mut self, kind: &str, seconds: &RangeInclusive<u64>) -> Self {
        let delays = self.0.entry("delays").or_insert_with(|| json!({}));
        delays[kind] = json!([seconds.start(), seconds.end()]);
        self
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }
}
