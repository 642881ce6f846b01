//! The SDK's errors, mapped once.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;

use self::words::plain;
use super::CALL_TIMEOUT;
use crate::cloud::{CloudError, ErrorKind};

mod words;

/// What became of a call.
pub(super) fn cloud_error<E>(operation: &'static str, object: &str, error: &SdkError<E>) -> CloudError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (kind, message) = failure(error);
    CloudError { kind, operation, object: object.to_owned(), message }
}

/// Why there are no credentials: whether that may pass by itself, and in words.
pub(super) fn credentials_failure(error: &CredentialsError) -> (ErrorKind, String) {
    if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        // It lists all providers, none of which is set up.
        tracing::debug!(reason = causes(error), "no credentials");
        return (ErrorKind::Unauthenticated, "there are none, neither in the environment nor by a role".to_owned());
    }
    let assumed = failure_within::<AssumeRoleWithWebIdentityError>(error)
        .or_else(|| failure_within::<AssumeRoleError>(error))
        .map(|(kind, message)| (kind, format!("the role cannot be assumed: {message}")));
    let unreached = || source::<ConnectorError>(error).map(|_| (ErrorKind::Unavailable, plain(&causes(error))));
    // It does not say which file.
    let unread = || {
        let reason = source::<std::io::Error>(error)?;
        let variables = "AWS_WEB_IDENTITY_TOKEN_FILE or AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        Some((ErrorKind::Unauthenticated, format!("the token of {variables} cannot be read: {reason}")))
    };
    let otherwise = || (ErrorKind::Unauthenticated, plain(&causes(error)));
    let (kind, message) = assumed.or_else(unreached).or_else(unread).unwrap_or_else(otherwise);
    let passing = matches!(kind, ErrorKind::Throttled | ErrorKind::Busy | ErrorKind::Unavailable)
        || matches!(error, CredentialsError::ProviderTimedOut(_));
    (if passing { ErrorKind::Unavailable } else { ErrorKind::Unauthenticated }, message)
}

fn failure<E>(error: &SdkError<E>) -> (ErrorKind, String)
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(answer) = error {
        let status = answer.raw().status().as_u16();
        let (code, message) = (answer.err().code(), answer.err().message());
        if let (Some(code), Some(message)) = (code, message) {
            return refusal(status, Some(code), message);
        }
        let body = answer.raw().body().bytes().unwrap_or_default();
        let (other_code, other_message) = batch_refusal(&String::from_utf8_lossy(body));
        return refusal(status, code.or(other_code), &other_message);
    }
    if let Some(error) = source::<CredentialsError>(error) {
        let (kind, message) = credentials_failure(error);
        return (kind, format!("the AWS credentials cannot be loaded: {message}"));
    }
    if matches!(error, SdkError::TimeoutError(_)) {
        return (ErrorKind::Unavailable, format!("no answer within {} s", CALL_TIMEOUT.as_secs()));
    }
    // What could not be built never left, and cannot be built another time either.
    let unbuilt = matches!(error, SdkError::ConstructionFailure(_));
    (if unbuilt { ErrorKind::Rejected } else { ErrorKind::Unavailable }, plain(&causes(error)))
}

/// What to make of an answer that is not 2xx.
fn refusal(status: u16, code: Option<&str>, message: &str) -> (ErrorKind, String) {
    let kind = kind(status, code, message);
    let told = plain(message);
    let told = match code {
        // Its text holds two times of day, and so is another one at each try.
        Some(code) if kind == ErrorKind::Unauthenticated && says_clock_is_wrong(message) => {
            format!("the request's time is off ({code})")
        }
        Some(code) if told.is_empty() => code.to_owned(),
        Some(code) => format!("{told} ({code})"),
        None => format!("HTTP {status} without an error of AWS: does a proxy stand in between?"),
    };
    match code {
        Some(_) if kind == ErrorKind::Unauthenticated => (kind, format!("AWS does not accept the credentials: {told}")),
        _ => (kind, told),
    }
}

fn kind(status: u16, code: Option<&str>, message: &str) -> ErrorKind {
    // Without a code it was not AWS that answered: a proxy's 404 must not mean that something is gone.
    let Some(code) = code else {
        return if matches!(status, 401 | 403) { ErrorKind::Denied } else { ErrorKind::Unavailable };
    };
    match code {
        // Not the identity is missing but what the request would have it use: only a person can mend that.
        "NotFoundException" if message.to_ascii_lowercase().contains("configuration set") => ErrorKind::Rejected,
        "NotFoundException" | "NoSuchHostedZone" | "NoSuchChange" => ErrorKind::NotFound,
        "AlreadyExistsException" => ErrorKind::Conflict,
        "InvalidChangeBatch" if is_lost_race(message) => ErrorKind::Conflict,
        "PriorRequestNotComplete" | "ConcurrentModificationException" | "ConcurrentModification" => ErrorKind::Busy,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded" => ErrorKind::Throttled,
        "LimitExceededException" | "LimitsExceeded" => ErrorKind::QuotaExceeded,
        _ if is_about_credentials(code) => ErrorKind::Unauthenticated,
        _ if code.starts_with("AccessDenied") => ErrorKind::Denied,
        _ => match status {
            401 | 403 => ErrorKind::Denied,
            408 | 500.. => ErrorKind::Unavailable,
            429 => ErrorKind::Throttled,
            _ => ErrorKind::Rejected,
        },
    }
}

fn is_about_credentials(code: &str) -> bool {
    matches!(
        code.trim_end_matches("Exception"),
        "UnrecognizedClient"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "ExpiredToken"
            | "InvalidToken"
            | "SignatureDoesNotMatch"
            | "InvalidSignature"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
    )
}

fn says_clock_is_wrong(message: &str) -> bool {
    message.contains("Signature expired") || message.contains("Signature not yet current")
}

/// Whether a batch was refused for what stands in the zone now, so that a look at it would have told. One answer can name
/// several faults; looking again helps only where each of them is of this sort.
fn is_lost_race(message: &str) -> bool {
    const LOST: [&str; 5] = [
        "already exist",
        "not found",
        "do not match the current values",
        "conflicts with other records",
        "conflicting rrset",
    ];
    const WRONG: [&str; 5] = [
        "invalidcharacterstring",
        "characterstringtoolong",
        "duplicate resource record",
        "invalid set of changes",
        "is not permitted in zone",
    ];
    let message = message.to_lowercase();
    LOST.iter().any(|text| message.contains(text)) && !WRONG.iter().any(|text| message.contains(text))
}

/// Route 53 has a second form for this one error, which the SDK does not read.
fn batch_refusal(body: &str) -> (Option<&'static str>, String) {
    let code = body.contains("<InvalidChangeBatch").then_some("InvalidChangeBatch");
    let messages: Vec<String> = body
        .split("<Message>")
        .skip(1)
        .filter_map(|rest| rest.split_once("</Message>"))
        .map(|(message, _)| unescape_xml(message))
        .collect();
    (code, messages.join(", "))
}

fn unescape_xml(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

/// The failure of a call that an error stems from.
fn failure_within<E>(error: &CredentialsError) -> Option<(ErrorKind, String)>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    source::<SdkError<E>>(error).map(failure)
}

fn source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// All that is said below an error, whose own text says no more than its kind.
fn causes(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), chain)
}

fn chain(error: &(dyn Error + 'static)) -> String {
    // They only sort what comes after them.
    const BARE: [&str; 5] = ["dispatch failure", "io error", "other", "client error (Connect)", "service error"];
    let mut texts: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        let text = error.to_string();
        // One of them shows the whole request.
        let text = text.split(" to request `").next().unwrap_or_default();
        // Some repeat what they stem from.
        if !BARE.contains(&text) && !texts.iter().any(|said| said.contains(text)) {
            texts.push(text.to_owned());
        }
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

#[cfg(test)]
mod tests;
