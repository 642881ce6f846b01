//! One account: its clients, its clock and everything else that a test does to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Builder as HttpBuilder;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::Control;
use super::{Fault, FaultId, Refusal, Request, Settings};

/// An account of the rig's AWS. Clones are the same account.
///
/// Make it in the test that uses it: its connections end with the test's runtime.
#[derive(Clone, Debug)]
pub struct Account {
    id: String,
    endpoint: String,
    pub(super) control: Control,
    sdk: SdkConfig,
    used: Arc<AtomicU64>,
}

/// An account's clock.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Clock {
    /// The time.
    pub now: Timestamp,
    /// Virtual seconds in a second of the wall's clock.
    pub rate: f64,
    /// Changes whenever the clock is moved or paced anew, and never else.
    pub version: u64,
}

impl Account {
    pub(super) fn new(endpoint: &str, number: u64) -> Self {
        let id = format!("{number:012}");
        let control = Control::new(endpoint, &id);
        let keys = Credentials::new(access_key(&id), "secret", None, None, "rig");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .endpoint_url(endpoint)
            // A test wants to see what was answered, not what came of trying again.
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .http_client(HttpBuilder::new().build_http())
            .build();
        Self { id, endpoint: endpoint.to_owned(), control, sdk, used: Arc::default() }
    }

    /// The account's number.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What a program needs in its environment to be in this account and in no other.
    pub fn environment(&self, region: &str) -> Vec<(String, String)> {
        let none = "/dev/null";
        [
            ("AWS_ACCESS_KEY_ID", access_key(&self.id).as_str()),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", region),
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            // Not the profile of whoever runs the tests.
            ("AWS_CONFIG_FILE", none),
            ("AWS_SHARED_CREDENTIALS_FILE", none),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Where the clock is, for a program that follows it: `?after=<version>&wait=<seconds>` answers when it changes.
    pub fn clock_url(&self) -> String {
        self.control.url("clock")
    }

    /// The same clock for a program whose own is wrong: ahead by so much, or behind.
    pub fn wrong_clock_url(&self, ahead: SignedDuration) -> String {
        self.control.url(&format!("clock/{}", ahead.as_secs()))
    }

    /// A client for SES.
    pub fn sesv2(&self, region: &str) -> aws_sdk_sesv2::Client {
        aws_sdk_sesv2::Client::new(&self.sdk_in(region))
    }

    /// A client for Route 53.
    pub fn route53(&self) -> aws_sdk_route53::Client {
        aws_sdk_route53::Client::new(&self.sdk_in("us-east-1"))
    }

    /// A client for STS.
    pub fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.sdk_in("us-east-1"))
    }

    /// The clock.
    pub async fn clock(&self) -> Result<Clock> {
        self.control.get("clock").await
    }

    /// Jumps forward.
    pub async fn advance(&self, time: Duration) -> Result<Clock> {
        self.control.post("clock", &json!({ "advance": time.as_secs_f64() })).await
    }

    /// Lets time run faster, or stand still at 0.
    pub async fn set_rate(&self, rate: f64) -> Result<Clock> {
        self.control.post("clock", &json!({ "rate": rate })).await
    }

    /// Changes how the account behaves from now on.
    pub async fn settings(&self, settings: Settings) -> Result<()> {
        let _: Value = self.control.put("settings", &settings).await?;
        Ok(())
    }

    /// Plays a fault, until it has hit as often as it should or is removed.
    pub async fn fault(&self, fault: Fault) -> Result<FaultId> {
        self.control.post("faults", &fault).await
    }

    /// Ends a fault.
    pub async fn remove_fault(&self, fault: &FaultId) -> Result<()> {
        let _: Value = self.control.delete(&format!("faults/{}", fault.id)).await?;
        Ok(())
    }

    /// Ends all faults.
    pub async fn clear_faults(&self) -> Result<()> {
        let _: Value = self.control.delete("faults").await?;
        Ok(())
    }

    /// All requests so far.
    pub async fn requests(&self) -> Result<Vec<Request>> {
        self.requests_since(0).await
    }

    /// The requests after the one of that number.
    pub async fn requests_since(&self, seq: u64) -> Result<Vec<Request>> {
        self.control.get(&format!("requests?since={seq}")).await
    }

    /// When SES would have refused to send as a verified domain of this account: it had been told to, should the MAIL
    /// FROM domain not be right, and it was not.
    pub async fn refusals(&self) -> Result<Vec<Refusal>> {
        self.control.get("refusals").await
    }

    /// Shows a DKIM status whatever the DNS says, until a Put starts anew; `None` shows the truth again.
    pub async fn force_dkim(&self, region: &str, domain: &str, status: Option<&str>) -> Result<()> {
        self.force(region, domain, json!({ "dkim": status })).await
    }

    /// Shows a MAIL FROM status whatever the DNS says, until a Put starts anew; `None` shows the truth again.
    pub async fn force_mail_from(&self, region: &str, domain: &str, status: Option<&str>) -> Result<()> {
        self.force(region, domain, json!({ "mail_from": status })).await
    }

    /// Makes the account as if it were new.
    pub async fn reset(&self) -> Result<()> {
        let _: Value = self.control.post("reset", &json!({})).await?;
        Ok(())
    }

    pub(super) fn unique(&self) -> String {
        format!("{}-{}", self.id, self.used.fetch_add(1, Ordering::Relaxed))
    }

    async fn force(&self, region: &str, domain: &str, wanted: Value) -> Result<()> {
        let _: Value = self.control.post(&format!("identities/{region}/{domain}"), &wanted).await?;
        Ok(())
    }

    fn sdk_in(&self, region: &str) -> SdkConfig {
        self.sdk.to_builder().region(Region::new(region.to_owned())).build()
    }
}

/// The account is in the key: see `incoming.py`.
fn access_key(id: &str) -> String {
    format!("AKIA{id}RIG0")
}
