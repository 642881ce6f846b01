//! The way to AWS: configuration and credentials as every AWS tool finds them, one HTTP client, and one place through
//! which each call goes.
//!
//! | module | holds |
//! |---|---|
//! | `connect` | the SDK's configuration, and what may be missing from it |
//! | `calls` | what every call has in common: its turn, permission to write, metrics, a line in the log |
//! | `errors` | the SDK's errors, mapped once |
//!
//! The SDK's types stay in here and in the two adapters, [`SesV2`](crate::ses::sesv2::SesV2) and
//! [`Route53`](crate::dns::route53::Route53), which are made of a connection.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use tokio::sync::OnceCell;

pub(crate) use self::calls::Calls;
pub use self::connect::ConnectError;
use crate::cloud::{ErrorKind, Region};
use crate::leadership::WritePermit;
use crate::quota::limiters::Limiters;
use crate::telemetry::metrics::Metrics;

mod calls;
mod connect;
mod errors;

/// No call lasts longer, the loading of credentials included: it is what a lease must outlast.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection to AWS.
#[derive(Clone, Debug)]
pub struct Aws {
    sdk: SdkConfig,
    region: Region,
    calls: Calls,
    account: Arc<OnceCell<String>>,
}

impl Aws {
    /// Finds Region and credentials as the SDK does (environment, profile, IRSA, EKS Pod Identity, instance metadata) and
    /// proves that there are some. `region_override` goes before all others.
    pub async fn connect(
        region_override: Option<&str>,
        permit: WritePermit,
        metrics: Arc<Metrics>,
        limiters: Limiters,
    ) -> Result<Self, ConnectError> {
        let sdk = connect::load(region_override).await?;
        let aws = Self::from_config(&sdk, permit, metrics, limiters)?;
        connect::prove_credentials(&sdk).await?;
        Ok(aws)
    }

    /// With a configuration that is ready. The rules for calls hold all the same: no retries, and the timeout.
    pub fn from_config(
        sdk: &SdkConfig,
        permit: WritePermit,
        metrics: Arc<Metrics>,
        limiters: Limiters,
    ) -> Result<Self, ConnectError> {
        let region = sdk.region().ok_or(ConnectError::NoRegion)?;
        let region = Region::new(region.as_ref());
        // Retries of the SDK's own would pass by the limits on our rate, and by leadership.
        let sdk = sdk.to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts()).build();
        Ok(Self { sdk, region, calls: Calls::new(permit, metrics, limiters), account: Arc::default() })
    }

    /// The Region of this configuration.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The number of the account, asked for once.
    pub async fn account(&self) -> Result<String, ConnectError> {
        self.account.get_or_try_init(|| self.ask_for_account()).await.cloned()
    }

    /// The SDK's configuration, for the adapters.
    pub(crate) fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// The way by which the adapters send their calls.
    pub(crate) fn calls(&self) -> Calls {
        self.calls.clone()
    }

    async fn ask_for_account(&self) -> Result<String, ConnectError> {
        let sts = aws_sdk_sts::Client::new(&self.sdk);
        let ask = || sts.get_caller_identity().send();
        let caller = match self.calls.read("sts:GetCallerIdentity", "the account", ask).await.answer {
            Ok(caller) => caller,
            Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Unauthenticated) => {
                return Err(ConnectError::Refused(error.message));
            }
            Err(error) => {
                return Err(ConnectError::StsUnreachable { region: self.region.clone(), reason: error.message });
            }
        };
        caller.account.ok_or_else(|| {
            let reason = "the answer names no account".to_owned();
            ConnectError::StsUnreachable { region: self.region.clone(), reason }
        })
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).build()
}
