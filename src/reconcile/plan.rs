//! Step two: compare what was found with the spec, and say what to do. Pure: no client, no clock, no logger.
//!
//! | module | decides |
//! |---|---|
//! | [`claim`] | whose the identity is, and who has the domain |
//! | [`identity`] | how the SES identity must change |
//! | `conflict` | what is said of what stands in a record's way |
//! | `dmarc` | which DMARC record is wanted |
//! | `mail_from` | whether the MAIL FROM name is used for anything else |
//! | `merge` | how our term comes into somebody else's SPF policy, and out of it |
//! | [`records`] | how the records must change |
//! | `obsolete` | which records go because they are no longer wanted |
//! | [`removal`] | what goes when the resource is deleted |

use std::collections::BTreeMap;

use jiff::Timestamp;

use self::claim::Claim;
use self::records::Ground;
use super::desired::WantedRecord;
use super::observe::Observed;
use super::subject::Subject;
use super::verdict::Verdict;
use crate::api::Reason;
use crate::api::status::{RecordPurpose, RecordStatus};
use crate::cloud::Region;
use crate::dns::{RecordChange, ZoneId};
use crate::ses::ownership::CLUSTER;
use crate::ses::{IdentityChange, NewIdentity, regions};

pub mod claim;
mod conflict;
mod dmarc;
pub mod identity;
mod mail_from;
pub(super) mod merge;
mod obsolete;
pub mod records;
pub mod removal;

/// What to do, in order, and what stands against it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// By which time it was made: what comes due later, though it be before the changes are made, is for the next one.
    pub at: Timestamp,
    /// The changes, in order. The first that fails ends the pass.
    pub changes: Vec<Change>,
    /// What a person must mend.
    pub problems: Vec<Problem>,
    /// What a person should know, though nothing waits for it.
    pub warnings: Vec<String>,
    /// The wanted records, and what was found for each.
    pub findings: Vec<Finding>,
    /// The ledger as it must be written before the changes are made.
    pub ledger: Vec<RecordStatus>,
    /// The zones in which records stay for a while that are wanted, and stand, in another one.
    pub staying: BTreeMap<ZoneId, Stay>,
    /// Where the DMARC walk stands.
    pub dmarc: Option<DmarcStanding>,
    /// The text of the DMARC record that stays behind when `dmarcPolicy` was removed.
    pub released_dmarc: Option<String>,
    /// Whether the resource takes over what its predecessor knows, before anything else.
    pub inherits: bool,
    /// The Region where the identity was found, which is not the one that the status says: that is corrected before anything
    /// else.
    pub region: Option<Region>,
    /// Whether what was read may be older than our last writes: then records wait until that is known.
    pub is_unsure: bool,
    /// Deletion only: what is left alone, and why.
    pub left_behind: Option<String>,
    /// Deletion only: the SesDomain that the identity is handed over to, as `namespace/name`.
    pub heir: Option<String>,
    /// Deletion only: nothing of ours is left, and the finalizer may go.
    pub gone: bool,
}

impl Plan {
    /// Whether the status is set right and nothing else is done: what there is to do is seen by it.
    pub fn corrects_status(&self) -> bool {
        self.inherits || self.region.is_some()
    }

    /// Whether all records of these purposes are served.
    fn serves(&self, purposes: &[RecordPurpose]) -> bool {
        purposes.iter().all(|purpose| {
            let mut findings = self.findings.iter().filter(|finding| finding.wanted.purpose == *purpose).peekable();
            findings.peek().is_some() && findings.all(|finding| finding.in_sync)
        })
    }

    /// Whether something is done, or asked of a person, because of what the identity is. Creating one is refused where it
    /// exists, which tells as much as a look before it.
    pub fn rests_on_identity(&self) -> bool {
        let creates = |change: &Change| matches!(change, Change::CreateIdentity(_));
        !self.changes.iter().all(creates) || !self.problems.is_empty()
    }

    /// Whether something is done, or left, because of what the identity's tags say just now: it is claimed, or a claim of
    /// ours is looked for.
    pub fn rests_on_tags(&self) -> bool {
        let claims = |change: &Change| matches!(change, Change::ChangeIdentity { change: IdentityChange::Tag(tags), .. } if tags.contains_key(CLUSTER));
        self.is_unsure || self.changes.iter().any(claims)
    }

    /// Whether something is done, or asked of a person, because of what stands in the zones. MAIL FROM is set because of
    /// records that were written or verified.
    pub fn rests_on_records(&self) -> bool {
        let mail_from = |change: &Change| {
            matches!(change, Change::ChangeIdentity { change: IdentityChange::MailFrom(Some(_)), .. })
        };
        self.changes.iter().any(|change| !mail_from(change)) || !self.problems.is_empty()
    }
}

/// One change in AWS.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Create the identity.
    CreateIdentity(NewIdentity),
    /// Change the identity.
    ChangeIdentity {
        /// How.
        change: IdentityChange,
        /// Whether this puts back what somebody else had changed.
        puts_back: bool,
    },
    /// Change records: one batch, all or nothing.
    ChangeRecords {
        /// The zone.
        zone: ZoneId,
        /// The batch.
        changes: Vec<RecordChange>,
    },
    /// Delete the identity.
    DeleteIdentity,
}

/// A wanted record, its zone, and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The record.
    pub wanted: WantedRecord,
    /// Its zone.
    pub zone: ZoneId,
    /// What was found.
    pub verdict: Verdict,
    /// Whether it is served: it stands, and no change of its zone is on its way.
    pub in_sync: bool,
}

/// How long records stay in a zone that was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stay {
    /// Until nobody asks there any more, since all have forgotten its name servers.
    Until(Timestamp),
    /// Until it delegates to the other one.
    UntilDelegated,
}

/// Something that a person must mend.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Which kind.
    pub reason: Reason,
    /// The record that it keeps from being published; absent when it concerns the whole domain.
    pub purpose: Option<RecordPurpose>,
    /// The object, the cause and the next step.
    pub message: String,
}

impl Problem {
    pub(super) fn whole(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, purpose: None, message: message.into() }
    }
}

/// Where the DMARC walk stands.
#[derive(Clone, Debug, PartialEq)]
pub struct DmarcStanding {
    /// The stage whose record is wanted; absent while the first one waits for verification.
    pub stage: Option<String>,
    /// The earliest end of the stage.
    pub until: Option<Timestamp>,
    /// Whether a stage is due and waits for verification alone.
    pub held: bool,
}

/// What keeps the resource from being looked at any further.
pub fn refusal(subject: &Subject<'_>) -> Option<Problem> {
    let domain = subject.domain();
    let region = subject.region();
    if !subject.settings.filters.allow(&domain) {
        return Some(Problem::whole(
            Reason::Filtered,
            format!(
                "the domain {domain} is outside of the operator's --domain-filter, or within --exclude-domain: ask the operator's administrator to allow it"
            ),
        ));
    }
    if let Some(holder) = claim::holder_by_status(subject) {
        return Some(claim::taken(subject, holder));
    }
    (!regions::has_ses(&region)).then(|| {
        Problem::whole(
            Reason::RegionUnsupported,
            format!("Amazon SES is not offered in {region}: create the SesDomain anew with another spec.region"),
        )
    })
}

/// That the identity lives in another Region than the spec says.
fn in_another_region(subject: &Subject<'_>) -> Option<Problem> {
    let region = subject.region();
    let asked = subject.spec.region.as_ref().filter(|asked| *asked != region.as_str())?;
    let message = format!(
        "the identity lives in {region}, and spec.region says {asked}: an identity can't move; delete this SesDomain, and create it anew with the Region that is meant"
    );
    Some(Problem::whole(Reason::Rejected, message))
}

/// What to do.
pub fn plan(subject: &Subject<'_>, observed: &Observed, now: Timestamp) -> Plan {
    Plan { at: now, ..decide(subject, observed, now) }
}

fn decide(subject: &Subject<'_>, observed: &Observed, now: Timestamp) -> Plan {
    let kept = Plan { ledger: subject.status.records.clone(), ..Plan::default() };
    if let Some(region) = observed.elsewhere.as_ref().filter(|region| **region != subject.region()) {
        return Plan { region: Some(region.clone()), ..kept };
    }
    if subject.deleting {
        return removal::plan(subject, observed, now);
    }
    if let Some(problem) = in_another_region(subject) {
        return Plan { problems: vec![problem], ..kept };
    }
    let (Ok(found), Ok(zones)) = (&observed.identity, &observed.zones) else {
        return kept;
    };
    let mut plan = Plan { ledger: subject.status.records.clone(), ..Plan::default() };
    match found {
        None => match claim::holder_of_none(subject) {
            Some(holder) => plan.problems.push(claim::taken(subject, holder)),
            None => identity::create(subject, observed, zones, now, &mut plan),
        },
        Some(identity) => match claim::claim(subject, identity) {
            Claim::Inherited => plan.inherits = true,
            Claim::Held => {
                plan.ledger.clear();
                records::keep(Ground { subject, observed, identity, zones, now }, &mut plan);
                identity::keep(subject, identity, now, &mut plan);
            }
            Claim::Open(change) => plan.changes.push(Change::ChangeIdentity { change, puts_back: false }),
            Claim::Refused(problem) => plan.problems.push(problem),
        },
    }
    if subject.spec.suspend {
        plan.changes.clear();
        plan.released_dmarc = None;
        plan.ledger.clone_from(&subject.status.records);
    }
    plan
}
