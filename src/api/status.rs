//! What the operator found and did.
//!
//! Most of it is derived anew at each reconcile. An input is only what no reading of AWS can tell: which records are ours
//! ([`RecordStatus`]), the change that is still on its way ([`PendingChange`]), when a DMARC stage began and how long a
//! verification has been pending. What of the identity's settings is managed stands in its own tags.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::MxFailureBehavior;

/// What the operator found and did.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SesDomainStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What is true now: Ready, DkimVerified, MailFromVerified, DmarcPublished, RecordsPublished; Reconciling and Stalled
    /// only while they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The AWS account of the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,

    /// The Region of the identity, pinned when it was first used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,

    /// The SES identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityStatus>,

    /// The hosted zones that the records stand in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub hosted_zones: Vec<HostedZoneStatus>,

    /// DKIM, as SES sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dkim: Option<DkimState>,

    /// MAIL FROM, as SES sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_from: Option<MailFromState>,

    /// The DMARC stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dmarc: Option<DmarcState>,

    /// The records, and which of them are ours. An entry is written before its record is created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub records: Vec<RecordStatus>,

    /// Changes that Route 53 has accepted and not yet brought to all its servers, as far as is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub pending_changes: Vec<PendingChange>,

    /// While spec.suspend is true: what would be done if it were false, line by line in the style of a diff, as
    /// `ses-operator plan` prints it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_PLAN_LINES), extend("x-kubernetes-list-type" = "atomic"))]
    pub plan: Vec<PlanLine>,

    /// The answer to the annotation ses-operator.dev/reconcile-requested-at: its last value that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// The plan has at most so many lines.
pub const MOST_PLAN_LINES: usize = 64;
/// A line of the plan has at most so many characters.
pub const PLAN_LINE_LENGTH: usize = 512;

/// A line of the plan.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct PlanLine(#[schemars(length(max = PLAN_LINE_LENGTH))] pub String);

/// The SES identity.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IdentityStatus {
    /// Its Amazon Resource Name.
    pub arn: String,
    /// True when the identity existed before and was adopted: it stays when the resource is deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// The keys of the tags that we set for the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub tags: Vec<String>,
    /// The configuration set that we set for the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_set_name: Option<String>,
    /// True when we set feedback forwarding for the spec.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manages_feedback_forwarding: bool,
    /// When attributes that somebody else had changed were put back: the last times, at most three within an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub put_back: Vec<Time>,
}

/// A hosted zone.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct HostedZoneStatus {
    /// The zone's name, without the trailing dot.
    pub name: String,
    /// The zone's ID.
    pub id: String,
}

/// DKIM, as SES sees it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DkimState {
    /// SES's word for the verification: Pending, Success, Failed, TemporaryFailure or NotStarted.
    pub status: String,
    /// Since when the status is what it is.
    pub since: Time,
    /// The tokens that the CNAME records are named for.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub tokens: Vec<String>,
    /// When a failed verification was last restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
}

/// MAIL FROM, as SES sees it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MailFromState {
    /// The MAIL FROM domain.
    pub domain: String,
    /// SES's word for the verification: Pending, Success, Failed or TemporaryFailure; NotStarted when somebody else took the
    /// MAIL FROM domain out of the identity.
    pub status: String,
    /// Since when the status is what it is.
    pub since: Time,
    /// What SES does now while the MX record is missing. RejectMessage is put only once the MAIL FROM domain is verified.
    pub mx_failure_behavior: MxFailureBehavior,
    /// When a failed verification was last restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
}

/// The DMARC stage.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DmarcState {
    /// The name of the current stage.
    pub stage: String,
    /// Since when the stage's record is served; absent while it is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The earliest end of the stage; absent for the last stage, a pinned one, and with advancement Manual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// What a record is for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordPurpose {
    /// A DKIM key, by CNAME.
    Dkim,
    /// The MX of the MAIL FROM domain.
    MailFromMx,
    /// The SPF policy of the MAIL FROM domain.
    MailFromSpf,
    /// The DMARC policy.
    Dmarc,
}

/// How a record of ours came to be.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordOrigin {
    /// We created it, and remove it.
    #[default]
    Created,
    /// It stood there before and said the same: it stays.
    Adopted,
    /// We put our term into somebody else's SPF policy, and take that term out again.
    Merged,
}

impl RecordOrigin {
    fn is_created(&self) -> bool {
        *self == Self::Created
    }
}

/// A record, and whether it is ours.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RecordStatus {
    /// What the record is for.
    pub purpose: RecordPurpose,
    /// The record's absolute name, without the trailing dot.
    #[schemars(length(max = 255))]
    pub name: String,
    /// The record's type: CNAME, MX or TXT.
    #[serde(rename = "type")]
    pub record_type: String,
    /// The value that we want there, in its text form without quotes.
    #[schemars(length(max = 4096))]
    pub value: String,
    /// The time to live, in seconds.
    pub ttl: u32,
    /// The ID of the record's hosted zone.
    pub hosted_zone_id: String,
    /// True when the record is ours to change.
    pub ours: bool,
    /// How a record of ours came to be, and so what becomes of it when the resource goes.
    #[serde(default, skip_serializing_if = "RecordOrigin::is_created")]
    pub origin: RecordOrigin,
    /// True once Route 53 took the record from us, or it was seen in its zone; whether it is served yet is seen in
    /// pendingChanges.
    #[serde(default)]
    pub published: bool,
    /// When the record was claimed or its value last changed.
    pub since: Time,
    /// When the record was put back after somebody else had changed it: the last times, at most three within an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub put_back: Vec<Time>,
}

/// A change that Route 53 has accepted and not yet brought to all its servers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PendingChange {
    /// The ID of the change, as GetChange wants it; empty where the answer with it was lost: then the change is given a
    /// minute from when its record was first seen.
    pub id: String,
    /// The ID of the zone.
    pub hosted_zone_id: String,
    /// When Route 53 accepted it, or when its record was first seen.
    pub since: Time,
}

impl PendingChange {
    /// Whether the answer with the change's ID was lost, so that nobody can be asked how far it has come.
    pub fn is_unanswered(&self) -> bool {
        self.id.is_empty()
    }
}
