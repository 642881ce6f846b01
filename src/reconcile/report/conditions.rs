//! What is true, and the words for it: each message names the object, the cause and the next step, and stays the same
//! while nothing changes. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::words::{all_messages, describe, failed, lost, waiting};
use crate::api::spec::MxFailureBehavior;
use crate::api::status::{MailFromState, RecordPurpose};
use crate::api::{ConditionType, Reason, SesDomainStatus};
use crate::cloud::{CloudError, ErrorKind};
use crate::dns::public::LOOK_UP;
use crate::reconcile::apply::Applied;
use crate::reconcile::observe::Observed;
use crate::reconcile::plan::{Change, Plan};
use crate::reconcile::subject::Subject;
use crate::ses::IdentityChange;

mod published;

/// One condition, without its times.
struct Said {
    about: ConditionType,
    status: &'static str,
    reason: Reason,
    message: String,
}

impl Said {
    fn yes(about: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { about, status: "True", reason, message: message.into() }
    }

    fn no(about: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { about, status: "False", reason, message: message.into() }
    }

    fn unknown(about: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { about, status: "Unknown", reason, message: message.into() }
    }
}

/// The conditions of a resource that has just been seen.
pub fn at_first_sight(generation: i64, now: Timestamp) -> Vec<Condition> {
    let message = "the resource has just been seen";
    let said = [
        Said::unknown(ConditionType::Ready, Reason::Progressing, message),
        Said::yes(ConditionType::Reconciling, Reason::Progressing, message),
    ];
    said.into_iter().map(|said| dated(said, &[], generation, now)).collect()
}

/// All conditions. `withholds` says whether `spec.suspend` holds changes back.
pub(super) fn conditions(
    subject: &Subject<'_>,
    observed: &Observed,
    plan: &Plan,
    applied: &Applied,
    status: &SesDomainStatus,
    withholds: bool,
    now: Timestamp,
) -> Vec<Condition> {
    let view = View { subject, observed, plan, applied, status, withholds };
    let mut said = vec![view.dkim()];
    said.extend(view.mail_from());
    said.extend(view.dmarc());
    said.push(view.records());
    let ready = view.ready(&said);
    let progress = view.progress(&ready);
    said.insert(0, ready);
    said.extend(progress);
    said.into_iter().map(|said| dated(said, &subject.status.conditions, subject.generation, now)).collect()
}

fn dated(said: Said, before: &[Condition], generation: i64, now: Timestamp) -> Condition {
    let type_ = said.about.to_string();
    let same = before.iter().find(|before| before.type_ == type_ && before.status == said.status);
    Condition {
        last_transition_time: same.map_or(Time(now), |before| before.last_transition_time.clone()),
        message: said.message,
        observed_generation: Some(generation),
        reason: said.reason.to_string(),
        status: said.status.to_owned(),
        type_,
    }
}

struct View<'a> {
    subject: &'a Subject<'a>,
    observed: &'a Observed,
    plan: &'a Plan,
    applied: &'a Applied,
    status: &'a SesDomainStatus,
    withholds: bool,
}

impl View<'_> {
    fn dkim(&self) -> Said {
        let about = ConditionType::DkimVerified;
        let Some(dkim) = &self.status.dkim else { return self.without_identity(about) };
        let domain = self.subject.domain();
        let what = format!("the DKIM records of {domain}");
        match dkim.status.as_str() {
            "Success" if self.is_unsigned() => {
                let message = format!("SES does not sign mail of {domain}: its DKIM signing was switched off");
                Said::no(about, Reason::SigningDisabled, message)
            }
            "Success" => Said::yes(about, Reason::Verified, format!("SES verified {what}")),
            "Failed" => {
                Said::no(about, Reason::VerificationFailed, failed(&what, &dkim.since, dkim.restarted_at.as_ref()))
            }
            "TemporaryFailure" => {
                Said::no(about, Reason::VerificationLost, lost(&what, &dkim.since) + &self.what_ses_found())
            }
            _ => Said::no(about, Reason::VerificationPending, waiting(&what, &dkim.since) + &self.what_ses_found()),
        }
    }

    /// What SES found in DNS instead of the records, in its own word.
    fn what_ses_found(&self) -> String {
        let found = self.observed.identity.as_ref().ok().and_then(Option::as_ref);
        let error = found.and_then(|found| found.dkim.error.as_ref());
        error.map(|error| format!("; its last look found {error}")).unwrap_or_default()
    }

    /// Whether signing was found switched off, and is not switched on yet.
    fn is_unsigned(&self) -> bool {
        let found = self.observed.identity.as_ref().ok().and_then(Option::as_ref);
        let mended = self
            .applied
            .made
            .iter()
            .any(|change| matches!(change, Change::ChangeIdentity { change: IdentityChange::Signing(true), .. }));
        found.is_some_and(|found| !found.dkim.signing_enabled) && !mended
    }

    fn mail_from(&self) -> Option<Said> {
        let about = ConditionType::MailFromVerified;
        let domain = self.subject.mail_from()?;
        let what = format!("the MX record of the MAIL FROM domain {domain}");
        let set = |known: &&MailFromState| known.domain == domain.as_str() && known.status != "NotStarted";
        let known = self.status.mail_from.as_ref().filter(set);
        Some(match (known, &self.status.dkim) {
            (None, None) => self.without_identity(about),
            (None, Some(_)) if super::is_too_early(self.observed, self.plan, self.applied) => {
                let message =
                    format!("SES takes the MAIL FROM domain {domain} once it has verified DKIM: it is asked again");
                Said::no(about, Reason::VerificationPending, message)
            }
            (None, Some(_)) => {
                let message = format!("the MAIL FROM domain {domain} is set once its MX and SPF records are served");
                self.problem_of(&[RecordPurpose::MailFromMx, RecordPurpose::MailFromSpf], about)
                    .unwrap_or_else(|| Said::no(about, Reason::RecordsMissing, message))
            }
            (Some(known), _) => match known.status.as_str() {
                "Success" => {
                    Said::yes(about, Reason::Verified, format!("SES verified {what}; {}", self.in_force(known)))
                }
                "Failed" => {
                    let message = failed(&what, &known.since, known.restarted_at.as_ref());
                    Said::no(about, Reason::VerificationFailed, format!("{message}; {}", self.in_force(known)))
                }
                "TemporaryFailure" => Said::no(
                    about,
                    Reason::VerificationLost,
                    format!("{}; {}", lost(&what, &known.since), self.in_force(known)),
                ),
                _ => Said::no(
                    about,
                    Reason::VerificationPending,
                    format!("{}; {}", waiting(&what, &known.since), self.in_force(known)),
                ),
            },
        })
    }

    fn in_force(&self, known: &MailFromState) -> String {
        let now = known.mx_failure_behavior;
        match self.subject.spec.mx_failure_behavior.filter(|asked| *asked != now) {
            None => format!("mxFailureBehavior {now:?} is in force"),
            Some(MxFailureBehavior::RejectMessage) => {
                format!("mxFailureBehavior {now:?} is in force, and RejectMessage follows once SES has verified it")
            }
            Some(MxFailureBehavior::UseDefaultValue) => format!("mxFailureBehavior {now:?} is still in force"),
        }
    }

    fn ready(&self, said: &[Said]) -> Said {
        let about = ConditionType::Ready;
        if self.subject.deleting {
            let message = match (self.plan.problems.first(), self.failure()) {
                (Some(problem), _) => problem.message.clone(),
                (None, Some(error)) => describe(error),
                (None, None) if self.plan.heir.is_some() => format!(
                    "the resource is being deleted: it goes once the SesDomain {} has taken over the SES identity {}",
                    self.plan.heir.as_deref().unwrap_or_default(),
                    self.subject.domain()
                ),
                (None, None) => "the resource is being deleted: its records go first, then the identity".to_owned(),
            };
            return Said::no(
                about,
                self.plan.problems.first().map_or(Reason::Deleting, |problem| problem.reason),
                message,
            );
        }
        if let Some(problem) = self.plan.problems.first() {
            return Said::no(about, problem.reason, all_messages(self.plan.problems.iter()));
        }
        let was_ready = self
            .subject
            .status
            .conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        if let Some(error) = self.failure() {
            // A domain that works does not stop working because AWS could not be asked for a while.
            let spared = is_transient(error.kind)
                && was_ready
                && !self.subject.is_new_generation()
                && self.applied.failure.is_none()
                && said.iter().all(|said| said.status == "True");
            return if spared {
                Said::yes(about, Reason::Ready, self.all_is_well())
            } else {
                Said::no(about, reason_of(error), describe(error))
            };
        }
        if let Some(first) = said.iter().find(|said| said.status != "True") {
            let suspended = if self.subject.spec.suspend {
                " (spec.suspend is true: nothing is changed in AWS, and status.plan lists what would be)"
            } else {
                ""
            };
            return Said {
                about,
                status: first.status,
                reason: first.reason,
                message: format!("{}{suspended}", first.message),
            };
        }
        if self.withholds {
            let message = "spec.suspend is true and holds back changes that the spec asks for: status.plan lists them; set suspend to false to have them made";
            return Said::no(about, Reason::Suspended, message);
        }
        if self.applied.made.len() < self.plan.changes.len() {
            return Said::no(about, Reason::Progressing, "attributes of the SES identity are being set");
        }
        Said::yes(about, Reason::Ready, self.all_is_well())
    }

    fn all_is_well(&self) -> String {
        let spec = &self.subject.spec;
        let passed = match (spec.mail_from_subdomain.is_some(), spec.dmarc_policy.is_some()) {
            (true, true) => "SPF, DKIM and DMARC",
            (true, false) => "SPF and DKIM",
            (false, true) => "DKIM and DMARC",
            (false, false) => "DKIM",
        };
        let suspended = if spec.suspend { "; spec.suspend is true, so nothing is changed in AWS" } else { "" };
        format!("mail sent through SES as {} passes {passed}{suspended}", self.subject.domain())
    }

    /// `Stalled` where a person must act, `Reconciling` where the operator is at work or waits for AWS.
    fn progress(&self, ready: &Said) -> Option<Said> {
        let needs_a_person = !self.plan.problems.is_empty()
            || self.failure().is_some_and(|error| {
                matches!(
                    error.kind,
                    ErrorKind::Denied | ErrorKind::Unauthenticated | ErrorKind::Rejected | ErrorKind::QuotaExceeded
                )
            });
        if needs_a_person {
            Some(Said {
                about: ConditionType::Stalled,
                status: "True",
                reason: ready.reason,
                message: ready.message.clone(),
            })
        } else if ready.status == "True" || (self.subject.spec.suspend && !self.subject.deleting) {
            None
        } else {
            Some(Said {
                about: ConditionType::Reconciling,
                status: "True",
                reason: ready.reason,
                message: ready.message.clone(),
            })
        }
    }

    fn failure(&self) -> Option<&CloudError> {
        super::failure(self.observed, self.plan, self.applied)
    }

    /// What is said of anything while there is no identity.
    fn without_identity(&self, about: ConditionType) -> Said {
        if let Err(error) = &self.observed.identity {
            return self.unreadable(about, error);
        }
        match self.plan.problems.iter().find(|problem| problem.purpose.is_none()) {
            Some(problem) => Said::no(about, problem.reason, problem.message.clone()),
            None => {
                let domain = self.subject.domain();
                Said::no(about, Reason::IdentityMissing, format!("the SES identity {domain} does not exist yet"))
            }
        }
    }

    /// What could not be read stays as it was last known, unless AWS denies it, or it was said of another spec, or we are
    /// about to remove it.
    fn unreadable(&self, about: ConditionType, error: &CloudError) -> Said {
        let name = about.to_string();
        let before = self.subject.status.conditions.iter().find(|condition| condition.type_ == name);
        let holds_of_any_spec = about == ConditionType::DkimVerified;
        let is_of_this_spec = |before: &&Condition| before.observed_generation == Some(self.subject.generation);
        match before.filter(|before| !self.subject.deleting && (holds_of_any_spec || is_of_this_spec(before))) {
            Some(before) if is_transient(error.kind) && before.status == "True" => Said::yes(
                about,
                if about == ConditionType::DkimVerified { Reason::Verified } else { Reason::Published },
                before.message.clone(),
            ),
            Some(_) | None => Said::unknown(about, reason_of(error), describe(error)),
        }
    }

    fn unread(&self, about: ConditionType) -> Said {
        match self.failure() {
            Some(error) => self.unreadable(about, error),
            None => Said::unknown(about, Reason::Progressing, "not looked at yet"),
        }
    }

    fn problem_of(&self, purposes: &[RecordPurpose], about: ConditionType) -> Option<Said> {
        let problem = self
            .plan
            .problems
            .iter()
            .find(|problem| problem.purpose.is_some_and(|purpose| purposes.contains(&purpose)))?;
        Some(Said::no(about, problem.reason, problem.message.clone()))
    }
}

fn is_transient(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Throttled
            | ErrorKind::Busy
            | ErrorKind::Unavailable
            | ErrorKind::Conflict
            | ErrorKind::NotFound
            | ErrorKind::NotLeading
    )
}

fn reason_of(error: &CloudError) -> Reason {
    match error.kind {
        ErrorKind::Denied | ErrorKind::Unauthenticated => Reason::AccessDenied,
        ErrorKind::Rejected => Reason::Rejected,
        ErrorKind::QuotaExceeded => Reason::QuotaExceeded,
        ErrorKind::Throttled => Reason::Throttled,
        ErrorKind::Unavailable if error.operation == LOOK_UP => Reason::DnsUnavailable,
        ErrorKind::Unavailable => Reason::AwsUnavailable,
        ErrorKind::Busy | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::NotLeading => Reason::Progressing,
    }
}
