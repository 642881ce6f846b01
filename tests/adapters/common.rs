//! What the stories of this folder share.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use ses_operator::aws::Aws;
use ses_operator::clock::Clock;
use ses_operator::cloud::{CloudError, ErrorKind, Region};
use ses_operator::dns::route53::Route53;
use ses_operator::domain_name::DomainName;
use ses_operator::leadership::WritePermit;
use ses_operator::quota::limiters::{Limiters, Rates};
use ses_operator::ses::sesv2::SesV2;
use ses_operator::ses::{IdentityKey, NewIdentity};
use ses_operator::telemetry::metrics::Metrics;
use ses_operator_rig::aws::{Account, Request, Settings};

pub(crate) const REGION: &str = "eu-west-1";

/// The adapters in an account of their own, in which time stands still and nothing is delayed.
pub(crate) struct Cloud {
    pub(crate) account: Account,
    pub(crate) aws: Aws,
    pub(crate) ses: SesV2,
    pub(crate) route53: Route53,
    pub(crate) permit: WritePermit,
    pub(crate) metrics: Arc<Metrics>,
}

impl Cloud {
    pub(crate) async fn new() -> Result<Self> {
        let account = ses_operator_rig::aws::Aws::shared().await?.account();
        account.set_rate(0.0).await?;
        account.settings(Settings::default().at_once()).await?;
        let (permit, metrics) = (WritePermit::alone(), Arc::new(Metrics::default()));
        let aws = Aws::from_config(&sdk(&account), permit.clone(), Arc::clone(&metrics), unlimited())?;
        let (ses, route53) = (SesV2::new(&aws, account.id()), Route53::new(&aws));
        Ok(Self { account, aws, ses, route53, permit, metrics })
    }

    /// The requests of one operation.
    pub(crate) async fn requests(&self, operation: &str) -> Result<Vec<Request>> {
        let requests = self.account.requests().await?;
        Ok(requests.into_iter().filter(|request| request.operation == operation).collect())
    }
}

/// Paces that nobody reaches.
pub(crate) fn unlimited() -> Limiters {
    Limiters::new(Rates { ses: 1_000.0, ses_is_shared: false, route53: 1_000.0 }, Clock::system())
}

/// What the SDK would make of the account's environment, without this process having it.
fn sdk(account: &Account) -> SdkConfig {
    let environment: BTreeMap<String, String> = account.environment(REGION).into_iter().collect();
    let keys =
        Credentials::new(&environment["AWS_ACCESS_KEY_ID"], &environment["AWS_SECRET_ACCESS_KEY"], None, None, "rig");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(aws_config::Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .endpoint_url(&environment["AWS_ENDPOINT_URL"])
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

pub(crate) fn name(name: &str) -> DomainName {
    DomainName::new(name)
}

pub(crate) fn key(domain: &str) -> IdentityKey {
    IdentityKey { region: Region::new(REGION), domain: name(domain) }
}

pub(crate) fn plain_identity() -> NewIdentity {
    NewIdentity { key_length: None, configuration_set: None, tags: tags(&[("team", "mail")]) }
}

pub(crate) fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The error of what must have failed.
pub(crate) fn failure<T>(result: Result<T, CloudError>) -> Result<CloudError> {
    match result {
        Ok(_) => anyhow::bail!("it did not fail"),
        Err(error) => Ok(error),
    }
}

pub(crate) fn kind<T>(result: Result<T, CloudError>) -> Result<ErrorKind> {
    Ok(failure(result)?.kind)
}
