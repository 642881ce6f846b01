use aws_sdk_route53::config::http::HttpResponse;
use aws_sdk_route53::error::{BoxError, ConnectorError};
use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsError as ChangeError;

use super::*;

#[test]
fn codes_become_kinds() {
    use ErrorKind::*;
    for (status, code, message, expected) in [
        (404, "NotFoundException", "Email identity example.com does not exist.", NotFound),
        (404, "NotFoundException", "Configuration set <main> does not exist.", Rejected),
        (404, "NoSuchHostedZone", "No hosted zone found with ID: Z1", NotFound),
        (404, "NoSuchChange", "Could not find resource with ID: C1", NotFound),
        (400, "AlreadyExistsException", "Email identity example.com already exist.", Conflict),
        (400, "PriorRequestNotComplete", "The request was rejected because …", Busy),
        (400, "Throttling", "Rate exceeded", Throttled),
        (400, "ThrottlingException", "Rate exceeded", Throttled),
        (429, "TooManyRequestsException", "Too many requests", Throttled),
        (500, "ConcurrentModificationException", "being modified", Busy),
        (400, "LimitExceededException", "Too many identities", QuotaExceeded),
        (403, "AccessDeniedException", "User: … is not authorized", Denied),
        (403, "AccessDenied", "User: … is not authorized", Denied),
        (403, "UnrecognizedClientException", "The security token is invalid.", Unauthenticated),
        (403, "InvalidClientTokenId", "The security token is invalid.", Unauthenticated),
        (403, "ExpiredToken", "The security token is expired", Unauthenticated),
        (403, "ExpiredTokenException", "The security token is expired", Unauthenticated),
        (403, "SignatureDoesNotMatch", "The signature does not match", Unauthenticated),
        (400, "BadRequestException", "Missing required tag", Rejected),
        (400, "MailFromDomainNotVerifiedException", "not verified", Rejected),
        (400, "AccountSuspendedException", "suspended", Rejected),
        (400, "InvalidInput", "invalid", Rejected),
        (400, "SomethingNew", "news", Rejected),
        (500, "InternalServiceErrorException", "", Unavailable),
        (503, "ServiceUnavailable", "", Unavailable),
    ] {
        assert_eq!(refusal(status, Some(code), message).0, expected, "{code}");
    }
}

#[test]
fn an_answer_that_is_not_of_aws_says_nothing_about_what_exists() {
    for (status, expected) in [
        (404, ErrorKind::Unavailable),
        (400, ErrorKind::Unavailable),
        (502, ErrorKind::Unavailable),
        (403, ErrorKind::Denied),
    ] {
        let (kind, message) = refusal(status, None, "");
        assert_eq!(kind, expected, "{status}");
        assert_eq!(message, format!("HTTP {status} without an error of AWS: does a proxy stand in between?"));
    }
}

#[test]
fn a_batch_is_a_conflict_only_where_the_zone_changed_under_us() {
    let set = "resource record set [name='a.example.com.', type='TXT']";
    for (message, kind) in [
        (format!("[Tried to create {set} but it already exists]"), ErrorKind::Conflict),
        (format!("[Tried to delete {set} but it was not found]"), ErrorKind::Conflict),
        (
            format!("[Tried to delete {set} but the values provided do not match the current values]"),
            ErrorKind::Conflict,
        ),
        (
            "[RRSet of type CNAME with DNS name a.example.com. is not permitted as it conflicts with other records with \
             the same DNS name in zone example.com.]"
                .to_owned(),
            ErrorKind::Conflict,
        ),
        (
            format!(
                "[Tried to create {set} because a conflicting RRSet of type CNAME with the same DNS name already exists]"
            ),
            ErrorKind::Conflict,
        ),
        (
            format!("[Tried to create {set} but it already exists, Duplicate Resource Record: 'x']"),
            ErrorKind::Rejected,
        ),
        (
            "[Invalid Resource Record: 'FATAL problem: InvalidCharacterString (Value should be enclosed in quotation \
             marks) encountered with 'x'']"
                .to_owned(),
            ErrorKind::Rejected,
        ),
        (format!("[The request contains an invalid set of changes for a {set}]"), ErrorKind::Rejected),
        ("[RRSet with DNS name b.org. is not permitted in zone example.com.]".to_owned(), ErrorKind::Rejected),
        ("protected by the platform team".to_owned(), ErrorKind::Rejected),
    ] {
        assert_eq!(refusal(400, Some("InvalidChangeBatch"), &message).0, kind, "{message}");
    }
}

#[test]
fn a_message_is_awss_own_with_the_code() {
    assert_eq!(refusal(400, Some("Throttling"), "Rate exceeded").1, "Rate exceeded (Throttling)");
    assert_eq!(refusal(500, Some("InternalFailure"), "").1, "InternalFailure");
    assert_eq!(
        refusal(403, Some("InvalidClientTokenId"), "The security token is invalid.").1,
        "AWS does not accept the credentials: The security token is invalid. (InvalidClientTokenId)"
    );
    assert_eq!(
        refusal(403, Some("SignatureDoesNotMatch"), "Signature expired: 20260101T000000Z is now earlier than …").1,
        "AWS does not accept the credentials: the request's time is off (SignatureDoesNotMatch)"
    );
}

#[test]
fn the_other_form_of_a_refused_batch_is_read_too() {
    let body = "<?xml version=\"1.0\"?><InvalidChangeBatch xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
                <Messages><Message>Tried to create resource record set [name=&apos;a.example.com.&apos;, type=&apos;TXT&apos;] \
                but it already exists</Message></Messages><RequestId>r</RequestId></InvalidChangeBatch>";
    let response = HttpResponse::new(400.try_into().expect("a status"), body.into());
    let error = cloud_error(
        "route53:ChangeResourceRecordSets",
        "Z1",
        &SdkError::service_error(ChangeError::unhandled("no code"), response),
    );
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(
        error.message,
        "Tried to create resource record set [name='a.example.com.', type='TXT'] but it already exists \
         (InvalidChangeBatch)"
    );
}

#[test]
fn without_an_answer_it_is_unavailable() {
    let silent: SdkError<ChangeError> = SdkError::timeout_error("timed out");
    assert_eq!(failure(&silent), (ErrorKind::Unavailable, "no answer within 10 s".to_owned()));
    let refused: SdkError<ChangeError> = SdkError::dispatch_failure(ConnectorError::io("connection refused".into()));
    let (kind, message) = failure(&refused);
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(message.ends_with("connection refused"), "{message}");
    let unbuilt: SdkError<ChangeError> = SdkError::construction_failure("no such endpoint");
    assert_eq!(failure(&unbuilt), (ErrorKind::Rejected, "no such endpoint".to_owned()));
}

#[test]
fn missing_credentials_are_told_as_such() {
    let missing = CredentialsError::not_loaded("no providers in chain provided credentials");
    let told = "the AWS credentials cannot be loaded: there are none, neither in the environment nor by a role";
    assert_eq!(failure(&without(missing)), (ErrorKind::Unauthenticated, told.to_owned()));
    let unread = CredentialsError::provider_error(std::io::Error::other("no such file"));
    let (kind, message) = failure(&without(unread));
    assert_eq!(kind, ErrorKind::Unauthenticated);
    assert!(message.contains("AWS_WEB_IDENTITY_TOKEN_FILE") && message.ends_with("no such file"), "{message}");
    for passing in [
        CredentialsError::provider_timed_out(CALL_TIMEOUT),
        CredentialsError::provider_error(ConnectorError::io("connection refused".into())),
    ] {
        assert_eq!(failure(&without(passing)).0, ErrorKind::Unavailable);
    }
}

#[test]
fn a_role_that_cannot_be_assumed_is_told_in_the_words_of_sts() {
    for (status, code, message, kind, told) in [
        (
            403,
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            ErrorKind::Unauthenticated,
            "Not auth",
        ),
        (
            400,
            "InvalidIdentityToken",
            "No OpenIDConnect provider found",
            ErrorKind::Unauthenticated,
            "No OpenIDConnect",
        ),
        (503, "ServiceUnavailable", "", ErrorKind::Unavailable, "ServiceUnavailable"),
    ] {
        let meta = aws_sdk_sts::error::ErrorMetadata::builder().code(code).message(message).build();
        let refused = SdkError::service_error(
            AssumeRoleWithWebIdentityError::generic(meta),
            HttpResponse::new(u16::try_into(status).expect("a status"), "".into()),
        );
        let (got, text) = failure(&without(CredentialsError::provider_error(refused)));
        assert_eq!(got, kind, "{code}");
        assert!(text.contains("the role cannot be assumed: "), "{text}");
        assert!(text.contains(told), "{text}");
    }
}

/// A call that ended for want of credentials, as the SDK tells it.
fn without(error: CredentialsError) -> SdkError<ChangeError> {
    SdkError::dispatch_failure(ConnectorError::other(BoxError::from(error), None))
}
