//! Amazon SES: domain identities, and the trait of the service that keeps them.
//!
//! | module | holds |
//! |---|---|
//! | [`regions`] | what differs from Region to Region |
//! | [`ownership`] | the tags that say whose an identity is |
//! | [`listing`] | the list of a Region, and when it is worth its calls |
//! | [`snapshot`] | what was read lately, with its age |
//! | [`sesv2`] | the service itself |

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use crate::api::spec::{KeyLength, MxFailureBehavior};
use crate::cloud::{AsOf, CloudError, Region};
use crate::domain_name::DomainName;

pub mod listing;
pub mod ownership;
pub mod regions;
pub mod sesv2;
pub mod snapshot;

/// The name of an identity: identities of one domain in two Regions are two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey {
    /// The Region.
    pub region: Region,
    /// The domain.
    pub domain: DomainName,
}

impl IdentityKey {
    /// The identity's Amazon Resource Name. SES does not return it.
    pub fn arn(&self, account: &str) -> String {
        format!("arn:{}:ses:{}:{account}:identity/{}", self.region.partition(), self.region, self.domain)
    }
}

/// How far a verification has come. MAIL FROM is never `NotStarted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerificationStatus {
    /// SES has not looked yet.
    NotStarted,
    /// SES looks for the records.
    Pending,
    /// SES found them.
    Success,
    /// SES found none within 72 hours and has stopped looking.
    Failed,
    /// SES had found them and no longer does; it looks for 72 hours more.
    TemporaryFailure,
}

impl VerificationStatus {
    /// Whether SES still looks for the records.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::NotStarted | Self::Pending | Self::TemporaryFailure)
    }
}

impl fmt::Display for VerificationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Who holds the DKIM key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningOrigin {
    /// SES, for this identity: Easy DKIM.
    AwsSes,
    /// The user: BYODKIM, or a replica of another Region's key. Named as SES names it.
    Other(String),
}

/// The DKIM side of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dkim {
    /// How far the verification has come.
    pub status: VerificationStatus,
    /// Whether SES signs: it can be switched off apart from the verification.
    pub signing_enabled: bool,
    /// The three tokens.
    pub tokens: Vec<String>,
    /// What the CNAMEs point to, below the token; absent from some answers.
    pub signing_hosted_zone: Option<DomainName>,
    /// Who holds the key.
    pub origin: SigningOrigin,
    /// The length of the key that SES makes next.
    pub next_key_length: Option<KeyLength>,
    /// What SES found instead of the records, while the status is not a success.
    pub error: Option<String>,
}

/// The MAIL FROM side of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom {
    /// The MAIL FROM domain.
    pub domain: DomainName,
    /// How far the verification has come.
    pub status: VerificationStatus,
    /// What SES does while the MX record is missing.
    pub behavior: MxFailureBehavior,
}

/// An SES domain identity, as SES describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// DKIM.
    pub dkim: Dkim,
    /// MAIL FROM; absent when SES's own is used.
    pub mail_from: Option<MailFrom>,
    /// Whether bounces and complaints are forwarded by mail.
    pub feedback_forwarding: bool,
    /// The default configuration set.
    pub configuration_set: Option<String>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// An identity as the list of a Region shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedIdentity {
    /// The domain.
    pub domain: DomainName,
    /// How far the verification of the domain has come: with Easy DKIM, that of DKIM. MAIL FROM is not shown.
    pub status: VerificationStatus,
}

/// What a new identity is created with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIdentity {
    /// The key length; absent: SES's default.
    pub key_length: Option<KeyLength>,
    /// The default configuration set.
    pub configuration_set: Option<String>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// One change of an identity that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityChange {
    /// Set the MAIL FROM domain, or with `None` go back to SES's own. On a failed one this starts the verification anew.
    MailFrom(Option<(DomainName, MxFailureBehavior)>),
    /// Sign, or not.
    Signing(bool),
    /// Have SES make a new key of this length, or of its default one: starts a failed DKIM verification anew.
    DkimKey(Option<KeyLength>),
    /// Forward bounces and complaints, or not.
    FeedbackForwarding(bool),
    /// Set the default configuration set, or none.
    ConfigurationSet(Option<String>),
    /// Add or change these tags.
    Tag(BTreeMap<String, String>),
    /// Remove the tags of these keys.
    Untag(Vec<String>),
}

/// The identity service: it reads and writes, and decides nothing.
///
/// Each method answers with a [`CloudError`] whose kind says what to do about it. What it reads is as of the time at which the
/// first call was sent.
pub trait IdentityService: Send + Sync + 'static {
    /// All domain identities of a Region: one call for each thousand.
    fn list(&self, region: &Region) -> impl Future<Output = Result<AsOf<Vec<ListedIdentity>>, CloudError>> + Send;

    /// The identity, or `None` where there is none.
    fn get(&self, key: &IdentityKey) -> impl Future<Output = Result<AsOf<Option<Identity>>, CloudError>> + Send;

    /// Creates the identity; a conflict when there is one. The answer holds the DKIM tokens.
    fn create(
        &self,
        key: &IdentityKey,
        new: &NewIdentity,
    ) -> impl Future<Output = Result<AsOf<Identity>, CloudError>> + Send;

    /// Changes the identity.
    fn change(&self, key: &IdentityKey, change: &IdentityChange)
    -> impl Future<Output = Result<(), CloudError>> + Send;

    /// Deletes the identity; one that is gone already is no error.
    fn delete(&self, key: &IdentityKey) -> impl Future<Output = Result<(), CloudError>> + Send;
}
