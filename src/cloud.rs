//! What a call to a cloud service is answered with: as of when it is true, and what can go wrong, told apart by what to do
//! about it.

use std::fmt;

use jiff::Timestamp;

/// An answer, and when it was asked for: once the call's turn had come, and not when somebody began to wait for it. What it
/// tells was true then or later. Of an answer in several pages it is the time of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsOf<T> {
    /// When the call was sent.
    pub time: Timestamp,
    /// The answer.
    pub answer: T,
}

impl<T> AsOf<T> {
    /// Something made of the answer, as old as that.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> AsOf<U> {
        AsOf { time: self.time, answer: make(self.answer) }
    }
}

impl<T, E> AsOf<Result<T, E>> {
    /// The answer, if it is one.
    ///
    /// # Errors
    /// When the answer is one.
    pub fn transpose(self) -> Result<AsOf<T>, E> {
        Ok(AsOf { time: self.time, answer: self.answer? })
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} for {object}: {message}")]
pub struct CloudError {
    /// What kind of failure it is: it decides how the call is retried.
    pub kind: ErrorKind,
    /// The operation, such as `ses:CreateEmailIdentity`.
    pub operation: &'static str,
    /// What the operation was for: a domain, a zone's ID, a change's ID.
    pub object: String,
    /// The service's words, without request IDs, so that a message stays the same from one try to the next.
    pub message: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What the call names does not exist.
    NotFound,
    /// Somebody else changed it, or created it first: look again.
    Conflict,
    /// Too many requests.
    Throttled,
    /// Another request for the same zone or identity is under way: ask again in a moment.
    Busy,
    /// A quota of the account is used up.
    QuotaExceeded,
    /// Missing permission.
    Denied,
    /// The service does not accept who asks: no credentials, expired ones, or a clock that is wrong. It refuses every call.
    Unauthenticated,
    /// The service refuses what was asked; asking again changes nothing.
    Rejected,
    /// No answer, or an error of the service's own. The call may have been carried out.
    Unavailable,
    /// This process may no longer write: it does not hold the lease for long enough.
    NotLeading,
}

impl ErrorKind {
    /// The value of the `outcome` label in metrics.
    pub fn as_label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Busy => "busy",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Denied | Self::Unauthenticated => "denied",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::NotLeading => "not_leading",
        }
    }
}

/// An AWS Region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

impl Region {
    /// A Region by its code, such as `eu-west-1`.
    pub fn new(code: impl Into<String>) -> Self {
        Self(code.into())
    }

    /// The Region's code.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition that the Region belongs to, as ARNs name it.
    pub fn partition(&self) -> &'static str {
        if self.0.starts_with("us-gov-") {
            "aws-us-gov"
        } else if self.0.starts_with("cn-") {
            "aws-cn"
        } else {
            "aws"
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
