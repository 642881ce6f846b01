//! What happened in an account.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use super::Service;

/// One request.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// Its number, from 1.
    pub seq: u64,
    /// When it arrived, in virtual time.
    pub at: Timestamp,
    /// When it arrived, by this machine's clock.
    pub arrived: Timestamp,
    /// When it had been acted upon, by this machine's clock, whether or not the answer was heard; absent until then.
    pub done: Option<Timestamp>,
    /// The program that sent it, where `AWS_SDK_UA_APP_ID` told it its name.
    pub sender: Option<String>,
    /// The service.
    pub service: Service,
    /// The operation, such as `GetEmailIdentity`.
    pub operation: String,
    /// The Region it was signed for.
    pub region: String,
    /// The domain, zone or change it was about.
    pub target: Option<String>,
    /// The ID of the zone that it was about, or whose change it was about.
    pub zone: Option<String>,
    /// The HTTP status; 0 when no answer has been sent.
    pub status: u16,
    /// The error's code.
    pub error: Option<String>,
    /// The fault that was played on it.
    pub fault: Option<String>,
    /// Whether it would change something.
    pub mutation: bool,
    /// One line for people.
    pub summary: String,
    /// The batch of a `ChangeResourceRecordSets`.
    #[serde(default)]
    pub changes: Vec<Change>,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sender = self.sender.as_deref().unwrap_or("-");
        write!(f, "{} {sender} {} {} {}", self.at, self.region, self.status, self.summary)?;
        for told in [&self.error, &self.fault].into_iter().flatten() {
            write!(f, " ({told})")?;
        }
        Ok(())
    }
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// `CREATE`, `UPSERT` or `DELETE`.
    pub action: String,
    /// The name, in lower case and without the last dot.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The values.
    pub values: Vec<String>,
}

/// A period in which SES would have refused to send mail as the domain.
#[derive(Clone, Debug, Deserialize)]
pub struct Refusal {
    /// The Region.
    pub region: String,
    /// The identity.
    pub identity: String,
    /// When it began.
    pub from: Timestamp,
    /// When it ended, or now.
    pub until: Timestamp,
}
