//! The SDK's configuration, and what may be missing from it.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};

use super::{errors, timeouts};
use crate::cloud::Region;

/// The whole chain of credential providers may be asked, and the last of them, instance metadata, is slow to give up.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no connection to AWS: one line that says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nothing names a Region.
    #[error("no AWS Region is configured: set --region, or AWS_REGION in the environment")]
    NoRegion,
    /// Nothing provides credentials.
    #[error(
        "no AWS credentials found: give the operator's service account a role (EKS Pod Identity or IRSA), or set \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoCredentials,
    /// Something should provide credentials, and fails to.
    #[error(
        "the AWS credentials cannot be loaded: {0}; check the role of the operator's service account, its trust policy \
         and the network"
    )]
    BrokenCredentials(String),
    /// AWS does not take the credentials.
    #[error("AWS refuses sts:GetCallerIdentity: {0}; check the operator's credentials")]
    Refused(String),
    /// There is no answer from STS.
    #[error(
        "AWS STS in {region} cannot be reached: {reason}; check the Region's name, the network, HTTPS_PROXY and NO_PROXY"
    )]
    StsUnreachable {
        /// The Region whose STS was asked.
        region: Region,
        /// What happened.
        reason: String,
    },
}

/// The configuration as the SDK finds it.
pub(super) async fn load(region_override: Option<&str>) -> Result<SdkConfig, ConnectError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(timeouts())
        // For the credential providers, whose calls may well be repeated, within the timeout of the call that needs them.
        .retry_config(RetryConfig::standard());
    if let Some(region) = region_override {
        loader = loader.region(aws_config::Region::new(region.to_owned()));
    }
    let sdk = loader.load().await;
    if sdk.region().is_none_or(|region| region.as_ref().is_empty()) { Err(ConnectError::NoRegion) } else { Ok(sdk) }
}

/// Loads credentials once, before anything else needs them: only here can be told what is wrong with which.
pub(super) async fn prove_credentials(sdk: &SdkConfig) -> Result<(), ConnectError> {
    let Some(provider) = sdk.credentials_provider() else {
        return Err(ConnectError::NoCredentials);
    };
    match tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => Err(ConnectError::NoCredentials),
        Ok(Err(error)) => Err(ConnectError::BrokenCredentials(errors::credentials_failure(&error).1)),
        Err(_) => {
            let limit = CREDENTIALS_TIMEOUT.as_secs();
            Err(ConnectError::BrokenCredentials(format!("their provider gave no answer within {limit} s")))
        }
    }
}

/// One client for all: rustls with ring, and the proxy that the environment names. Plain HTTP works too: the endpoints of
/// Pod Identity and instance metadata are such.
fn http_client() -> SharedHttpClient {
    // Only by way of the connector can a proxy be set.
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
    })
}
