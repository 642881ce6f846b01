//! What a reconcile would do, told before it is done. Pure.
//!
//! The reconcile's own steps are played forward on what was found: each change is taken for made and each wait for over,
//! until nothing is left. So a preview holds what `plan` and `report` decide, and no second opinion.
//!
//! | module | holds |
//! |---|---|
//! | `play` | what follows what, in an AWS that does as it is asked |
//! | [`difference`] | how two states of AWS differ |
//! | [`words`] | the lines that people read |

use jiff::Timestamp;

use super::observe::Observed;
use super::plan::{Plan, Problem};
use super::subject::Subject;
use crate::api::SesDomainSpec;
use crate::cloud::CloudError;
use crate::domain_name::DomainName;
use crate::ses::IdentityKey;

pub mod difference;
mod play;
pub mod words;

use difference::Difference;

/// What a reconcile would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The identity that it is about.
    pub identity: IdentityKey,
    /// What would be done at once.
    pub now: Step,
    /// What would follow by itself, each step after its wait.
    pub later: Vec<Step>,
    /// Whether `spec.suspend` holds all of it back: then nobody knows when it begins.
    pub suspended: bool,
    /// Why it could not be found out, or not wholly.
    pub failure: Option<CloudError>,
}

/// What would be done without any wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// What must have come to pass before; nothing for what would be done at once.
    pub awaits: Option<Await>,
    /// How AWS would differ afterwards.
    pub difference: Difference,
    /// What a person must mend.
    pub problems: Vec<Problem>,
    /// What is worth knowing besides.
    pub notes: Vec<String>,
}

impl Step {
    /// Whether nothing is done in it.
    pub fn is_empty(&self) -> bool {
        self.difference.is_empty() && self.problems.is_empty() && self.notes.is_empty()
    }
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Await {
    /// Route 53 serves what was written.
    Served,
    /// SES has verified this.
    Verified {
        /// Whether DKIM is verified only then.
        dkim: bool,
        /// The MAIL FROM domain, if that is.
        mail_from: Option<DomainName>,
    },
    /// A DMARC stage has lasted long enough.
    Stage {
        /// The stage that ends.
        ends: String,
        /// How long it lasts at least, in the spec's words.
        lasts: String,
        /// The stage that begins.
        begins: String,
        /// The earliest time.
        at: Timestamp,
        /// Whether the stage has begun already, so that the time is certain.
        begun: bool,
    },
}

/// What a reconcile would do about what was found. `plan` is what the reconcile decided, where it did not even look.
pub fn preview(subject: &Subject<'_>, observed: &Observed, plan: &Plan, now: Timestamp) -> Preview {
    let (identity, suspended) = (subject.key(), subject.spec.suspend);
    let failure = observed.failure().cloned();
    if !observed.looked {
        let refused = Step { problems: plan.problems.clone(), ..Step::default() };
        return Preview { identity, now: refused, later: Vec::new(), suspended, failure };
    }
    // As if it were resumed: what is held back is what is asked for.
    let spec = SesDomainSpec { suspend: false, ..subject.spec.clone() };
    let (now, later) = play::play(&Subject { spec: &spec, ..subject.clone() }, observed, now);
    Preview { identity, now, later, suspended, failure }
}

#[cfg(test)]
mod tests;
