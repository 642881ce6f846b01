//! DNS: record sets, their text forms, and the trait of a provider.
//!
//! | module | holds |
//! |---|---|
//! | [`text`] | TXT values as DNS writes them |
//! | [`spf`] | what an SPF policy says about Amazon SES, and what it costs its receivers |
//! | [`public`] | what anybody may ask of public DNS |
//! | [`zones`] | which hosted zone a name belongs to |
//! | [`view`] | what is known of one zone, and how old it is |
//! | [`batch`], [`writer`] | what leaves together in one change of a zone, and when |
//! | [`snapshot`] | what was read lately, shared by all domains |
//! | [`route53`] | the provider Amazon Route 53 |

use std::fmt;
use std::future::Future;

use crate::cloud::{AsOf, CloudError};
use crate::domain_name::DomainName;

pub mod batch;
pub mod public;
pub mod route53;
pub mod snapshot;
pub mod spf;
pub mod text;
pub mod view;
pub mod writer;
pub mod zones;

/// The ID of a hosted zone, without the `/hostedzone/` prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub String);

impl fmt::Display for ZoneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public hosted zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedZone {
    /// Its ID.
    pub id: ZoneId,
    /// Its name.
    pub name: DomainName,
    /// How many record sets it held when it was listed.
    pub record_sets: usize,
}

/// The type of a record set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordType {
    /// An alias to another name.
    Cname,
    /// A mail exchanger.
    Mx,
    /// Text.
    Txt,
    /// A delegation.
    Ns,
    /// Any other, by its name in DNS.
    Other(String),
}

impl RecordType {
    /// A type by its name in DNS.
    pub fn parse(name: &str) -> Self {
        match name {
            "CNAME" => Self::Cname,
            "MX" => Self::Mx,
            "TXT" => Self::Txt,
            "NS" => Self::Ns,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The type's name in DNS.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Ns => "NS",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All records of one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// The absolute name.
    pub name: DomainName,
    /// The type.
    pub record_type: RecordType,
    /// The time to live in seconds; absent on alias sets.
    pub ttl: Option<u32>,
    /// The values as DNS writes them: TXT quoted, MX with its priority.
    pub values: Vec<String>,
    /// True for a set that is chosen by weight, place or health, or is an alias: such a set is never ours.
    pub routed: bool,
}

impl RecordSet {
    /// A plain set.
    pub fn new(name: DomainName, record_type: RecordType, ttl: u32, values: Vec<String>) -> Self {
        Self { name, record_type, ttl: Some(ttl), values, routed: false }
    }

    /// Whether both speak of the same name and type.
    pub fn is_at(&self, name: &DomainName, record_type: &RecordType) -> bool {
        &self.name == name && &self.record_type == record_type
    }
}

/// One change of a batch. There is no upsert: a write is a compare-and-swap or it is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChange {
    /// Refused where the set exists.
    Create(RecordSet),
    /// Refused where the set is not exactly this one.
    Delete(RecordSet),
}

/// The records found below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// The sets at the name and below it.
    pub record_sets: Vec<RecordSet>,
    /// False when the listing was cut for its length: names that it does not show must be looked up by themselves.
    pub complete: bool,
}

/// A DNS provider: it reads and writes, and decides nothing.
///
/// Each method answers with a [`CloudError`] whose kind says what to do about it. What it reads is as of the time at which the
/// first call was sent.
pub trait DnsProvider: Send + Sync + 'static {
    /// All public hosted zones.
    fn hosted_zones(&self) -> impl Future<Output = Result<AsOf<Vec<HostedZone>>, CloudError>> + Send;

    /// All record sets of a zone: one call for each 300.
    fn listing(&self, zone: &ZoneId) -> impl Future<Output = Result<AsOf<Vec<RecordSet>>, CloudError>> + Send;

    /// The record sets at `root` and below it in one zone: one call, so the answer may be incomplete.
    fn subtree(
        &self,
        zone: &ZoneId,
        root: &DomainName,
    ) -> impl Future<Output = Result<AsOf<Subtree>, CloudError>> + Send;

    /// The record sets of exactly one name.
    fn record_sets(
        &self,
        zone: &ZoneId,
        name: &DomainName,
    ) -> impl Future<Output = Result<AsOf<Vec<RecordSet>>, CloudError>> + Send;

    /// Makes all changes or none, and answers with the change's ID.
    fn change(
        &self,
        zone: &ZoneId,
        changes: &[RecordChange],
    ) -> impl Future<Output = Result<String, CloudError>> + Send;

    /// Whether a change has reached all of the provider's servers.
    fn is_in_sync(&self, change_id: &str) -> impl Future<Output = Result<AsOf<bool>, CloudError>> + Send;
}
