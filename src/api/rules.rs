//! What the API server refuses, and with which words.
//!
//! Each rule is a CEL expression with a message that says what to do. Their cost is limited by the API server, which is
//! why every string and list in [`super::spec`] is bounded.

use kube::core::cel::Rule;

/// One DNS label: letters, digits and inner hyphens, at most 63.
const LABEL: &str = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
/// The longest name that the resource may lead to: RFC 1035's 253 characters.
const NAME_LIMIT: usize = 253;

fn rule(expression: impl Into<String>, message: &str) -> Rule {
    Rule::new(expression).message(message)
}

pub(super) fn domain_has_valid_labels() -> Rule {
    rule(
        format!("self.lowerAscii().matches(r'^({LABEL}\\.)+[a-z][-a-z0-9]{{0,61}}[a-z0-9]\\.?$')"),
        "domain must be a host name such as example.com: at least two labels, each of 1 to 63 letters, digits or inner \
         hyphens; write an internationalized name in punycode (xn--...)",
    )
}

pub(super) fn domain_is_lower_case() -> Rule {
    rule("self == self.lowerAscii()", "domain must be written in lower case")
}

pub(super) fn domain_has_no_trailing_dot() -> Rule {
    rule("!self.endsWith('.')", "domain must be written without the trailing dot")
}

pub(super) fn domain_is_immutable() -> Rule {
    rule("self == oldSelf", "domain can't be changed: create another SesDomain for the other domain")
}

pub(super) fn region_is_kept() -> Rule {
    rule(
        "!has(oldSelf.region) || (has(self.region) && self.region == oldSelf.region)",
        "region can be added once, and then neither changed nor removed: create another SesDomain for another Region",
    )
}

pub(super) fn mail_from_is_relative() -> Rule {
    rule(
        "!self.endsWith('.') && !self.startsWith('.')",
        "mailFromSubdomain must be relative to the domain, such as mail for mail.example.com, without a dot at either end",
    )
}

pub(super) fn mail_from_has_valid_labels() -> Rule {
    rule(
        format!("self.matches(r'^\\.?{LABEL}(\\.{LABEL})*\\.?$')"),
        "mailFromSubdomain must be made of labels of 1 to 63 lower-case letters, digits or inner hyphens, such as mail \
         or bounce.mail",
    )
}

pub(super) fn mail_from_stays_short() -> Rule {
    rule(
        format!("!has(self.mailFromSubdomain) || size(self.mailFromSubdomain) + size(self.domain) < {NAME_LIMIT}"),
        "mailFromSubdomain and domain together must stay within the 253 characters of a DNS name",
    )
}

pub(super) fn mail_from_does_not_repeat_the_domain() -> Rule {
    rule(
        "!has(self.mailFromSubdomain) || !(self.mailFromSubdomain == self.domain \
         || self.mailFromSubdomain.endsWith('.' + self.domain))",
        "mailFromSubdomain must be relative to the domain: write mail for mail.example.com, without the domain itself",
    )
}

pub(super) fn reject_needs_mail_from() -> Rule {
    rule(
        "!has(self.mxFailureBehavior) || self.mxFailureBehavior != 'RejectMessage' || has(self.mailFromSubdomain)",
        "mxFailureBehavior RejectMessage needs a mailFromSubdomain: without a MAIL FROM domain there is no MX that could fail",
    )
}

pub(super) fn tags_are_not_reserved() -> Rule {
    rule(
        "self.all(key, !key.lowerAscii().startsWith('aws:') && !key.startsWith('ses-operator.dev/'))",
        "tag keys under aws: and ses-operator.dev/ are reserved: choose another key",
    )
}

pub(super) fn tags_have_valid_lengths() -> Rule {
    rule("self.all(key, size(key) >= 1 && size(key) <= 128)", "tag keys must have 1 to 128 characters")
}

pub(super) fn report_uris_are_mailto() -> Rule {
    rule(
        r"self.all(uri, uri.matches(r'^mailto:[^@\s,;!]+@[^@\s,;!]+\.[^@\s,;!]+$'))",
        "report URIs must be mailto: URIs of one address, such as mailto:dmarc@example.com, with no space, comma, \
         semicolon or exclamation mark",
    )
}

/// Route 53 takes 4,000 characters of a TXT value.
pub(super) fn report_uris_fit_into_a_record() -> Rule {
    rule(
        "(has(self.aggregateReportUris) ? self.aggregateReportUris.map(uri, size(uri)).sum() : 0) \
         + (has(self.failureReportUris) ? self.failureReportUris.map(uri, size(uri)).sum() : 0) <= 3500",
        "aggregateReportUris and failureReportUris together must stay within 3500 characters: one DMARC record holds them",
    )
}

pub(super) fn active_stage_exists() -> Rule {
    rule(
        "!has(self.activeStage) || self.stages.exists(stage, stage.name == self.activeStage)",
        "activeStage must be the name of one of the stages",
    )
}

pub(super) fn stage_names_are_unique() -> Rule {
    rule(
        "self.all(stage, self.exists_one(other, other.name == stage.name))",
        "stage names must be unique: rename one of the two",
    )
}

/// A stage's strength as a number: the policy and its testing mode first, then the percentage, which says nothing of None.
fn strength(stage: &str) -> String {
    format!(
        "({stage}.policy == 'None' ? 0 : ({stage}.policy == 'Quarantine' ? 1000 : 3000) \
         + (has({stage}.testing) && {stage}.testing ? 0 : 1000) + (has({stage}.percent) ? {stage}.percent : 100))"
    )
}

pub(super) fn stages_never_weaken() -> Rule {
    rule(
        format!(
            "[1, 2, 3, 4, 5, 6, 7].all(i, i >= size(self) || {} >= {})",
            strength("self[i]"),
            strength("self[i - 1]")
        ),
        "a stage must not be weaker than the one before: None, then Quarantine with testing, Quarantine, Reject with \
         testing, Reject, and within one of these a rising percent; to go back, set activeStage",
    )
}

pub(super) fn stages_have_durations() -> Rule {
    rule(
        "[0, 1, 2, 3, 4, 5, 6].all(i, i >= size(self) - 1 || has(self[i].minDuration))",
        "every stage but the last needs a minDuration, such as 30d",
    )
}
