//! From the SDK's types to ours and back.

use std::collections::BTreeMap;

use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityOutput;
use aws_sdk_sesv2::types::{
    BehaviorOnMxFailure, DkimAttributes, DkimSigningAttributesOrigin, DkimSigningKeyLength, IdentityInfo, IdentityType,
    MailFromAttributes, Tag, VerificationInfo,
};

use crate::api::spec::{KeyLength, MxFailureBehavior};
use crate::domain_name::DomainName;
use crate::ses::{Dkim, Identity, ListedIdentity, MailFrom, SigningOrigin, VerificationStatus};

pub(super) fn identity(answer: GetEmailIdentityOutput) -> Identity {
    Identity {
        dkim: dkim(answer.dkim_attributes, answer.verification_info),
        mail_from: answer.mail_from_attributes.and_then(mail_from),
        feedback_forwarding: answer.feedback_forwarding_status,
        configuration_set: answer.configuration_set_name.filter(|name| !name.is_empty()),
        tags: answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect(),
    }
}

/// One line of the list; addresses are none of ours.
pub(super) fn listed(info: IdentityInfo) -> Option<ListedIdentity> {
    let domain = info.identity_name.filter(|_| info.identity_type == Some(IdentityType::Domain))?;
    let status =
        info.verification_status.map_or(VerificationStatus::NotStarted, |status| verification(status.as_str()));
    Some(ListedIdentity { domain: DomainName::new(&domain), status })
}

pub(super) fn dkim(attributes: Option<DkimAttributes>, found: Option<VerificationInfo>) -> Dkim {
    let attributes = attributes.unwrap_or_else(|| DkimAttributes::builder().build());
    let status = attributes.status.map_or(VerificationStatus::NotStarted, |status| verification(status.as_str()));
    Dkim {
        status,
        signing_enabled: attributes.signing_enabled,
        tokens: sorted(attributes.tokens.unwrap_or_default()),
        signing_hosted_zone: attributes
            .signing_hosted_zone
            .filter(|zone| !zone.is_empty())
            .map(|z| DomainName::new(&z)),
        origin: match attributes.signing_attributes_origin {
            None | Some(DkimSigningAttributesOrigin::AwsSes) => SigningOrigin::AwsSes,
            Some(other) => SigningOrigin::Other(other.as_str().to_owned()),
        },
        next_key_length: attributes.next_signing_key_length.and_then(|length| match length.as_str() {
            "RSA_1024_BIT" => Some(KeyLength::Rsa1024),
            "RSA_2048_BIT" => Some(KeyLength::Rsa2048),
            _ => None,
        }),
        // It can stay behind when all is well again.
        error: found
            .and_then(|found| found.error_type)
            .filter(|_| status != VerificationStatus::Success)
            .map(|error| error.as_str().to_owned()),
    }
}

/// SES promises no order: another one must not look like a change.
fn sorted(mut tokens: Vec<String>) -> Vec<String> {
    tokens.sort();
    tokens
}

/// Where there is no MAIL FROM domain SES sends the behaviour alone, and the SDK makes the name empty.
fn mail_from(attributes: MailFromAttributes) -> Option<MailFrom> {
    (!attributes.mail_from_domain.is_empty()).then(|| MailFrom {
        domain: DomainName::new(&attributes.mail_from_domain),
        status: verification(attributes.mail_from_domain_status.as_str()),
        behavior: match attributes.behavior_on_mx_failure.as_str() {
            "REJECT_MESSAGE" => MxFailureBehavior::RejectMessage,
            _ => MxFailureBehavior::UseDefaultValue,
        },
    })
}

/// A status that is new to us is neither a success nor a failure: we go on waiting.
fn verification(status: &str) -> VerificationStatus {
    match status {
        "NOT_STARTED" => VerificationStatus::NotStarted,
        "SUCCESS" => VerificationStatus::Success,
        "FAILED" => VerificationStatus::Failed,
        "TEMPORARY_FAILURE" => VerificationStatus::TemporaryFailure,
        _ => VerificationStatus::Pending,
    }
}

pub(super) fn key_length(length: KeyLength) -> DkimSigningKeyLength {
    match length {
        KeyLength::Rsa1024 => DkimSigningKeyLength::Rsa1024Bit,
        KeyLength::Rsa2048 => DkimSigningKeyLength::Rsa2048Bit,
    }
}

pub(super) fn mx_failure_behavior(behavior: MxFailureBehavior) -> BehaviorOnMxFailure {
    match behavior {
        MxFailureBehavior::UseDefaultValue => BehaviorOnMxFailure::UseDefaultValue,
        MxFailureBehavior::RejectMessage => BehaviorOnMxFailure::RejectMessage,
    }
}

pub(super) fn sdk_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).map(|tag| tag.expect("key and value are set")).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_sesv2::types::{DkimStatus, MailFromDomainStatus, VerificationError};

    use super::*;

    #[test]
    fn an_error_left_behind_by_a_success_is_not_told() {
        for (status, told) in [(DkimStatus::Success, None), (DkimStatus::Pending, Some("HOST_NOT_FOUND".to_owned()))] {
            let found = VerificationInfo::builder().error_type(VerificationError::HostNotFound).build();
            let attributes = DkimAttributes::builder().status(status).build();
            assert_eq!(dkim(Some(attributes), Some(found)).error, told);
        }
    }

    #[test]
    fn a_replica_of_another_regions_key_is_not_ses_own() {
        for (origin, ours) in [
            (DkimSigningAttributesOrigin::AwsSes, SigningOrigin::AwsSes),
            (DkimSigningAttributesOrigin::External, SigningOrigin::Other("EXTERNAL".to_owned())),
            (DkimSigningAttributesOrigin::AwsSesUsEast1, SigningOrigin::Other("AWS_SES_US_EAST_1".to_owned())),
        ] {
            let attributes = DkimAttributes::builder().signing_attributes_origin(origin).build();
            assert_eq!(dkim(Some(attributes), None).origin, ours);
        }
    }

    #[test]
    fn a_mail_from_domain_without_a_name_is_none() {
        let named = |name: &str| {
            MailFromAttributes::builder()
                .mail_from_domain(name)
                .mail_from_domain_status(MailFromDomainStatus::Pending)
                .behavior_on_mx_failure(BehaviorOnMxFailure::RejectMessage)
                .build()
                .expect("all is set")
        };
        assert_eq!(mail_from(named("")), None);
        let expected = MailFrom {
            domain: DomainName::new("mail.example.com"),
            status: VerificationStatus::Pending,
            behavior: MxFailureBehavior::RejectMessage,
        };
        assert_eq!(mail_from(named("mail.example.com")), Some(expected));
    }

    #[test]
    fn tokens_in_another_order_are_the_same_tokens() {
        let with = |tokens: [&str; 3]| {
            let attributes = DkimAttributes::builder().set_tokens(Some(tokens.map(str::to_owned).to_vec())).build();
            dkim(Some(attributes), None)
        };
        assert_eq!(with(["b", "a", "c"]), with(["c", "b", "a"]));
    }

    #[test]
    fn a_status_of_the_future_means_waiting() {
        assert_eq!(verification("REVIEWING"), VerificationStatus::Pending);
    }
}
