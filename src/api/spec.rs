//! What a user asks for.

#![expect(clippy::duplicated_attributes, reason = "several printer columns of one type are no mistake")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use super::status::SesDomainStatus;

/// A domain whose mail through Amazon SES passes SPF, DKIM and DMARC.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "ses-operator.dev",
    version = "v1alpha1",
    kind = "SesDomain",
    plural = "sesdomains",
    shortname = "sesd",
    category = "aws",
    namespaced,
    status = "SesDomainStatus",
    derive = "PartialEq",
    doc = "SesDomain asks for one thing: mail sent through Amazon SES as this domain passes SPF, DKIM and DMARC, and stays that way.",
    selectable = ".spec.domain",
    printcolumn(name = "Domain", type_ = "string", json_path = ".spec.domain"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(
        name = "DKIM",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="DkimVerified")].status"#
    ),
    printcolumn(
        name = "Mail-From",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="MailFromVerified")].status"#
    ),
    printcolumn(name = "DMARC", type_ = "string", json_path = ".status.dmarc.stage"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Region", type_ = "string", json_path = ".status.region", priority = 1),
    printcolumn(name = "Zone", type_ = "string", json_path = ".status.hostedZones[0].id", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::region_is_kept(),
    validation = rules::mail_from_stays_short(),
    validation = rules::mail_from_does_not_repeat_the_domain(),
    validation = rules::reject_needs_mail_from()
)]
pub struct SesDomainSpec {
    /// The domain that mail is sent from, such as example.com: lower case, without a trailing dot, an internationalized
    /// name in punycode (xn--...). It can't be changed later.
    #[schemars(length(min = 4, max = 209))]
    #[x_kube(
        validation = rules::domain_has_valid_labels(),
        validation = rules::domain_is_lower_case(),
        validation = rules::domain_has_no_trailing_dot(),
        validation = rules::domain_is_immutable()
    )]
    pub domain: String,

    /// The AWS Region of the SES identity, such as eu-west-1. Default: the operator's own. It can be added once and
    /// then neither changed nor removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 25), regex(pattern = "^[a-z]{2,5}(-[a-z]+)+-[0-9]{1,2}$"))]
    pub region: Option<String>,

    /// The MAIL FROM domain, relative to the domain: `mail` makes it mail.example.com. It must be used for nothing
    /// else. Absent: SES's own MAIL FROM domain, and SPF does not align.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = rules::mail_from_is_relative(), validation = rules::mail_from_has_valid_labels())]
    pub mail_from_subdomain: Option<String>,

    /// What SES does with mail while the MAIL FROM domain's MX record is missing. RejectMessage takes effect once SES
    /// has verified the MAIL FROM domain. Default: UseDefaultValue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mx_failure_behavior: Option<MxFailureBehavior>,

    /// The DMARC policy and its way from monitoring to enforcement. Absent: the operator leaves `_dmarc` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dmarc_policy: Option<DmarcPolicy>,

    /// How SES signs the domain's mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dkim: Option<DkimSpec>,

    /// Where and how the records are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsSpec>,

    /// The SES configuration set that mail of this identity uses by default; it must exist. Absent: not managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub configuration_set_name: Option<String>,

    /// Whether SES forwards bounces and complaints by mail. Absent: not managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback_forwarding: Option<FeedbackForwarding>,

    /// AWS tags of the identity. Other tags that are found there stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MOST_TAGS))]
    #[x_kube(validation = rules::tags_are_not_reserved(), validation = rules::tags_have_valid_lengths())]
    pub tags: BTreeMap<String, TagValue>,

    /// What to do with an SES identity that exists already and is not this resource's. Fail: leave it and say so.
    /// Adopt: manage it from now on, and keep it when the resource is deleted.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,

    /// What becomes of the identity and the records when the resource is deleted. Delete: what the operator created
    /// is removed. Retain: everything stays.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// True stops every change in AWS; the status goes on being true.
    #[serde(default)]
    pub suspend: bool,
}

/// As many tags leave room for those of the operator itself: AWS takes fifty.
pub const MOST_TAGS: usize = 43;

/// A tag's value.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct TagValue(#[schemars(length(max = 256))] pub String);

/// What SES does while a MAIL FROM domain's MX record is missing.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MxFailureBehavior {
    /// Send with a MAIL FROM domain of SES's own: DKIM still aligns, SPF does not.
    #[default]
    UseDefaultValue,
    /// Refuse to send.
    RejectMessage,
}

/// Whether bounces and complaints are forwarded by mail.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackForwarding {
    /// SES forwards them.
    Enabled,
    /// SES does not; read them from a configuration set's event destination.
    Disabled,
}

/// What to do with an identity that is not ours.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdoptionPolicy {
    /// Leave it alone and say so.
    #[default]
    Fail,
    /// Manage it, and keep it at deletion.
    Adopt,
}

/// What deleting the resource removes from AWS.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// What the operator created.
    #[default]
    Delete,
    /// Nothing.
    Retain,
}

/// How SES signs the domain's mail.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DkimSpec {
    /// The length of the DKIM key that SES makes when the identity is created, and when a failed verification is
    /// restarted. The key of a verified identity is never changed for it. Absent: SES's default, 2048 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_length: Option<KeyLength>,
}

/// The length of an RSA key.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLength {
    /// 1024 bits.
    Rsa1024,
    /// 2048 bits.
    Rsa2048,
}

/// Where and how the records are published.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DnsSpec {
    /// Amazon Route 53, the provider of the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route53: Option<Route53Spec>,

    /// The time to live of the records, in seconds: 60 to 86400. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86400))]
    pub ttl: Option<u32>,

    /// What to do with somebody else's record where one of ours must stand. Fail: leave it and report it. Merge: put
    /// include:amazonses.com into an SPF policy at the MAIL FROM name, unless receivers could not evaluate it then, and leave
    /// and report all else. Overwrite: replace it and say so in an event.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// Where in Route 53 the records go.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Route53Spec {
    /// The public hosted zone for the domain's records. Absent: the one with the longest matching name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[A-Z0-9]+$"))]
    pub hosted_zone_id: Option<String>,
}

/// What to do with somebody else's record where one of ours must stand.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Leave it and report it.
    #[default]
    Fail,
    /// Put our term into an SPF policy, and leave and report all else.
    Merge,
    /// Replace it and say so in an event.
    Overwrite,
}

/// The DMARC policy (RFC 9989) and its way to enforcement.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::active_stage_exists(), validation = rules::report_uris_fit_into_a_record())]
pub struct DmarcPolicy {
    /// The stages in their order; each begins when the one before has lasted its minDuration and DKIM and MAIL FROM
    /// are verified.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = rules::stage_names_are_unique(),
        validation = rules::stages_never_weaken(),
        validation = rules::stages_have_durations()
    )]
    pub stages: Vec<DmarcStage>,

    /// Automatic walks through the stages. Manual stays in the stage that is current until activeStage names another.
    #[serde(default)]
    pub advancement: Advancement,

    /// Pins this stage by its name, a weaker one too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub active_stage: Option<String>,

    /// Where receivers send aggregate reports (rua): mailto: URIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = rules::report_uris_are_mailto())]
    pub aggregate_report_uris: Vec<ReportUri>,

    /// Where receivers send failure reports (ruf): mailto: URIs. Few receivers send any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = rules::report_uris_are_mailto())]
    pub failure_report_uris: Vec<ReportUri>,

    /// How closely the DKIM domain must match the From domain (adkim). Absent: Relaxed, by DMARC's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dkim_alignment: Option<Alignment>,

    /// How closely the MAIL FROM domain must match the From domain (aspf). Strict never aligns with a MAIL FROM
    /// subdomain. Absent: Relaxed, by DMARC's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spf_alignment: Option<Alignment>,

    /// The policy for subdomains (sp). Absent: the stage's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain_policy: Option<Policy>,

    /// The policy for subdomains that do not exist (np). Absent: the subdomains' policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonexistent_subdomain_policy: Option<Policy>,
}

/// A mailto: URI that reports go to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct ReportUri(#[schemars(length(min = 10, max = 320))] pub String);

/// How the stages advance.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Advancement {
    /// By themselves, when their time has come and DKIM and MAIL FROM are verified.
    #[default]
    Automatic,
    /// Only when a person sets activeStage.
    Manual,
}

/// How closely two domains must match.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// They share the organizational domain.
    Relaxed,
    /// They are equal.
    Strict,
}

/// What receivers are asked to do with mail that fails DMARC.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Nothing; reports are sent.
    None,
    /// Treat it as suspicious.
    Quarantine,
    /// Refuse it.
    Reject,
}

/// One stage on the way to enforcement.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DmarcStage {
    /// The stage's name, unique among the stages.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// What receivers are asked to do with mail that fails DMARC (p).
    pub policy: Policy,

    /// How long the stage lasts at least, such as 30d, 12h, 90m or 45s. Required on every stage but the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), regex(pattern = "^[1-9][0-9]{0,3}(d|h|m|s)$"))]
    pub min_duration: Option<String>,

    /// True asks receivers to apply one level less (t=y). Receivers of before RFC 9989 ignore it and enforce in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub testing: Option<bool>,

    /// The share of failing mail that the policy is applied to (pct), 1 to 100, for receivers of before RFC 9989;
    /// newer ones ignore it and enforce in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<u8>,
}

impl SesDomainSpec {
    /// The records' time to live, in seconds.
    pub fn ttl(&self) -> u32 {
        self.dns.as_ref().and_then(|dns| dns.ttl).unwrap_or(300)
    }

    /// The hosted zone that the spec names for the domain's records.
    pub fn hosted_zone_id(&self) -> Option<&str> {
        self.dns.as_ref()?.route53.as_ref()?.hosted_zone_id.as_deref()
    }

    /// What to do with somebody else's record.
    pub fn on_conflict(&self) -> OnConflict {
        self.dns.as_ref().map(|dns| dns.on_conflict).unwrap_or_default()
    }
}
