//! Public DNS, as any receiver of mail may ask it.
//!
//! | module | holds |
//! |---|---|
//! | [`resolver`] | the one that asks name servers |
//! | [`snapshot`] | what was answered lately, and what SPF policies come to by it |

use std::fmt;
use std::time::Instant;

use futures::future::BoxFuture;

use crate::cloud::CloudError;
use crate::domain_name::DomainName;

pub mod resolver;
pub mod snapshot;

/// The operation that errors name.
pub const LOOK_UP: &str = "a look-up in public DNS";

/// What can be asked of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    /// Its texts.
    Txt,
    /// Its mail exchangers.
    Mx,
    /// Its IPv4 addresses.
    A,
}

impl Asked {
    /// The type's name in DNS.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Txt => "TXT",
            Self::Mx => "MX",
            Self::A => "A",
        }
    }
}

/// A question to public DNS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// About which name.
    pub name: DomainName,
    /// What of it.
    pub asked: Asked,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.asked.as_str())
    }
}

/// The values found: texts with their strings joined, the names of exchangers, addresses. None where the name does not
/// exist, or has nothing of that type.
pub type Answer = Vec<String>;

/// Public DNS. It answers, and decides nothing.
pub trait PublicDns: Send + Sync + fmt::Debug + 'static {
    /// Asks one question; no answer by `deadline` is an error of kind `Unavailable` in [`LOOK_UP`], as is everything
    /// else that leaves it open what the answer is.
    fn ask<'a>(&'a self, question: &'a Question, deadline: Instant) -> BoxFuture<'a, Result<Answer, CloudError>>;
}
