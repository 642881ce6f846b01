//! What is true, and the words for it: each message names the object, the cause and the next step, and stays the same
//! while nothing changes. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::spec::MxFailureBehavior;
use crate::api::status::{DkimState, MailFromState, RecordPurpose};
use crate::api::{ConditionType, Reason, SesDomainStatus};
use crate::cloud::{CloudError, ErrorKind};
use crate::reconcile::apply::Applied;
use crate::reconcile::observe::Observed;
use crate::reconcile::plan::{Change, Finding, Plan, Problem};
use crate::reconcile::subject::Subject;
use crate::reconcile::verdict::Verdict;

/// SES looks for records this long before it gives up.
const SES_GIVES_UP: SignedDuration = SignedDuration::from_hours(72);

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

/// All conditions.
pub(super) fn conditions(
    subject: &Subject<'_>,
    observed: &Observed,
    plan: &Plan,
    applied: &Applied,
    status: &SesDomainStatus,
    now: Timestamp,
) -> Vec<Condition> {
    let view = View { subject, observed, plan, applied, status };
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
}

impl View<'_> {
    fn dkim(&self) -> Said {
        let about = ConditionType::DkimVerified;
        let Some(dkim) = &self.status.dkim else { return self.without_identity(about) };
        let domain = self.subject.domain();
        let what = format!("the DKIM records of {domain}");
        match dkim.status.as_str() {
            "Success" => Said::yes(about, Reason::Verified, format!("SES verified {what}")),
            "Failed" => {
                Said::no(about, Reason::VerificationFailed, failed(&what, &dkim.since, dkim.restarted_at.as_ref()))
            }
            "TemporaryFailure" => Said::no(about, Reason::VerificationLost, lost(&what, &dkim.since)),
            _ => Said::no(about, Reason::VerificationPending, self.pending(&what, dkim)),
        }
    }

    fn pending(&self, what: &str, dkim: &DkimState) -> String {
        waiting(what, &dkim.since)
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
        let asked = self.subject.spec.mx_failure_behavior.unwrap_or_default();
        if known.mx_failure_behavior == asked {
            format!("mxFailureBehavior {asked:?} is in force")
        } else {
            let now = known.mx_failure_behavior;
            match asked {
                MxFailureBehavior::RejectMessage => {
                    format!("mxFailureBehavior {now:?} is in force, and RejectMessage follows once SES has verified it")
                }
                MxFailureBehavior::UseDefaultValue => format!("mxFailureBehavior {now:?} is still in force"),
            }
        }
    }

    fn dmarc(&self) -> Option<Said> {
        let about = ConditionType::DmarcPublished;
        self.subject.spec.dmarc_policy.as_ref()?;
        if self.status.dkim.is_none() {
            return Some(self.without_identity(about));
        }
        if let Some(said) = self.problem_of(&[RecordPurpose::Dmarc], about) {
            return Some(said);
        }
        let Some(standing) = &self.plan.dmarc else { return Some(self.unread(about)) };
        if standing.stage.is_none() {
            let message = "the first DMARC stage enforces, and is published once SES has verified DKIM and MAIL FROM";
            return Some(Said::no(about, Reason::StageWaiting, message));
        }
        let finding = self.plan.findings.iter().find(|finding| finding.wanted.purpose == RecordPurpose::Dmarc);
        let Some(finding) = finding else { return Some(self.unread(about)) };
        let record = format!("{} \"{}\"", finding.wanted.name, finding.wanted.value);
        let stage = standing.stage.as_deref().unwrap_or_default();
        Some(if self.is_served(finding) {
            let next = match (&self.status.dmarc, standing.held) {
                (_, true) => "; the next stage is due and waits until SES has verified DKIM and MAIL FROM".to_owned(),
                (Some(dmarc), false) => dmarc
                    .until
                    .as_ref()
                    .map(|until| format!(", which lasts until {} at least", seconds(until.0)))
                    .unwrap_or_default(),
                (None, false) => String::new(),
            };
            Said::yes(about, Reason::Published, format!("{record} is served: stage {stage}{next}"))
        } else if self.is_on_its_way(finding) {
            Said::no(
                about,
                Reason::ChangePending,
                format!("{record} is written, and served once Route 53 has brought it to all its servers"),
            )
        } else {
            Said::no(about, Reason::RecordsMissing, format!("{record} is not in the zone yet"))
        })
    }

    fn records(&self) -> Said {
        let about = ConditionType::RecordsPublished;
        if let Some(problem) = self.plan.problems.iter().find(|problem| problem.purpose.is_some()) {
            return Said::no(
                about,
                problem.reason,
                all_messages(self.plan.problems.iter().filter(|problem| problem.purpose.is_some())),
            );
        }
        if self.status.dkim.is_none() {
            return self.without_identity(about);
        }
        if let Some(error) = self.observed.zones.as_ref().err().or_else(|| self.records_failure()) {
            return self.unreadable(about, error);
        }
        let findings = &self.plan.findings;
        if findings.is_empty() {
            return self.unread(about);
        }
        let drifted: Vec<String> = findings.iter().filter_map(drift).collect();
        let missing: Vec<&Finding> =
            findings.iter().filter(|finding| !self.is_served(finding) && !self.is_on_its_way(finding)).collect();
        if !missing.is_empty() {
            let names: Vec<String> = missing
                .iter()
                .map(|finding| format!("{} {}", finding.wanted.name, finding.wanted.record_type))
                .collect();
            let drift = if drifted.is_empty() { String::new() } else { format!(" ({})", drifted.join("; ")) };
            return Said::no(
                about,
                Reason::RecordsMissing,
                format!("missing or different: {}{drift}", names.join(", ")),
            );
        }
        if findings.iter().all(|finding| self.is_served(finding)) {
            return Said::yes(about, Reason::Published, format!("all {} records are served", findings.len()));
        }
        let since = self.status.pending_changes.iter().map(|change| change.since.0).max();
        let since = since.map(|since| format!(" at {}", seconds(since))).unwrap_or_default();
        let drift = if drifted.is_empty() {
            String::new()
        } else {
            format!("put back what was changed behind our back ({}); ", drifted.join("; "))
        };
        Said::no(
            about,
            Reason::ChangePending,
            format!(
                "{drift}records were written{since}; Route 53 brings them to all its servers, usually within 60 seconds"
            ),
        )
    }

    fn ready(&self, said: &[Said]) -> Said {
        let about = ConditionType::Ready;
        if self.subject.deleting {
            let message = match (self.plan.problems.first(), self.failure()) {
                (Some(problem), _) => problem.message.clone(),
                (None, Some(error)) => describe(error),
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
                && self.applied.failure.is_none();
            return if spared {
                Said::yes(about, Reason::Ready, self.all_is_well())
            } else {
                Said::no(about, reason_of(error.kind), describe(error))
            };
        }
        if let Some(first) = said.iter().find(|said| said.status != "True") {
            let suspended =
                if self.subject.spec.suspend { " (spec.suspend is true: nothing is changed in AWS)" } else { "" };
            return Said {
                about,
                status: first.status,
                reason: first.reason,
                message: format!("{}{suspended}", first.message),
            };
        }
        if self.applied.made.len() < self.plan.changes.len() {
            return Said::no(about, Reason::Progressing, "attributes of the SES identity are being set");
        }
        Said::yes(about, Reason::Ready, self.all_is_well())
    }

    fn all_is_well(&self) -> String {
        let domain = self.subject.domain();
        if self.subject.spec.dmarc_policy.is_some() {
            format!("mail sent through SES as {domain} passes DKIM and DMARC")
        } else {
            format!("mail sent through SES as {domain} passes DKIM")
        }
    }

    /// `Stalled` where a person must act, `Reconciling` where the operator is at work or waits for AWS.
    fn progress(&self, ready: &Said) -> Option<Said> {
        let needs_a_person = !self.plan.problems.is_empty()
            || self.failure().is_some_and(|error| {
                matches!(error.kind, ErrorKind::Denied | ErrorKind::Rejected | ErrorKind::QuotaExceeded)
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

    fn records_failure(&self) -> Option<&CloudError> {
        self.observed
            .records
            .values()
            .filter_map(|records| records.as_ref().err())
            .find(|error| error.kind != ErrorKind::NotFound)
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

    /// What could not be read stays as it was last known, unless AWS denies it.
    fn unreadable(&self, about: ConditionType, error: &CloudError) -> Said {
        let name = about.to_string();
        let before = self.subject.status.conditions.iter().find(|condition| condition.type_ == name);
        match before {
            Some(before) if is_transient(error.kind) && before.status == "True" => Said::yes(
                about,
                if about == ConditionType::DkimVerified { Reason::Verified } else { Reason::Published },
                before.message.clone(),
            ),
            Some(_) | None => Said::unknown(about, reason_of(error.kind), describe(error)),
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

    fn is_served(&self, finding: &Finding) -> bool {
        finding.in_sync && !self.was_written(finding)
    }

    fn is_on_its_way(&self, finding: &Finding) -> bool {
        self.was_written(finding) || (finding.verdict == Verdict::Right && !finding.in_sync)
    }

    fn was_written(&self, finding: &Finding) -> bool {
        self.applied.made.iter().any(|change| match change {
            Change::ChangeRecords { zone, changes } => {
                zone == &finding.zone
                    && changes.iter().any(|change| match change {
                        crate::dns::RecordChange::Create(set) => {
                            set.is_at(&finding.wanted.name, &finding.wanted.record_type)
                        }
                        crate::dns::RecordChange::Delete(_) => false,
                    })
            }
            Change::CreateIdentity(_) | Change::ChangeIdentity { .. } | Change::DeleteIdentity => false,
        })
    }
}

fn drift(finding: &Finding) -> Option<String> {
    let record = format!("{} {}", finding.wanted.name, finding.wanted.record_type);
    match &finding.verdict {
        Verdict::Drifted(Some(found)) => Some(format!("{record} held \"{found}\"")),
        Verdict::Drifted(None) => Some(format!("{record} was removed")),
        Verdict::Right | Verdict::Missing | Verdict::Outdated | Verdict::Foreign(_) | Verdict::Obstructed(_) => None,
    }
}

fn all_messages<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    problems.map(|problem| problem.message.as_str()).collect::<Vec<_>>().join(". Also: ")
}

fn waiting(what: &str, since: &Time) -> String {
    format!(
        "SES looks for {what} since {}, and gives up at {}; nothing is to be done until then",
        seconds(since.0),
        gives_up(since)
    )
}

fn lost(what: &str, since: &Time) -> String {
    format!("SES no longer finds {what}, noticed at {}; it looks until about {}", seconds(since.0), gives_up(since))
}

fn failed(what: &str, since: &Time, restarted: Option<&Time>) -> String {
    let next = match restarted {
        Some(at) => format!("it was asked to look again at {}", seconds(at.0)),
        None => "it is asked to look again once the records are served".to_owned(),
    };
    format!("SES gave up looking for {what}, noticed at {}; {next}", seconds(since.0))
}

fn gives_up(since: &Time) -> String {
    since.0.checked_add(SES_GIVES_UP).map(seconds).unwrap_or_default()
}

/// A time as people read it, to the second.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn is_transient(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Throttled
            | ErrorKind::Unavailable
            | ErrorKind::Conflict
            | ErrorKind::NotFound
            | ErrorKind::NotLeading
    )
}

pub(crate) fn reason_of(kind: ErrorKind) -> Reason {
    match kind {
        ErrorKind::Denied => Reason::AccessDenied,
        ErrorKind::Rejected => Reason::Rejected,
        ErrorKind::QuotaExceeded => Reason::QuotaExceeded,
        ErrorKind::Throttled => Reason::Throttled,
        ErrorKind::Unavailable => Reason::AwsUnavailable,
        ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::NotLeading => Reason::Progressing,
    }
}

/// A failure as the person on call reads it.
pub(crate) fn describe(error: &CloudError) -> String {
    let next = match error.kind {
        ErrorKind::Denied => "allow it to the operator's IAM role",
        ErrorKind::Rejected => "correct what AWS names; it is tried again every few minutes",
        ErrorKind::QuotaExceeded => "ask AWS to raise the quota, or delete identities that are not used",
        ErrorKind::Throttled => "nothing is to be done: it is tried again, less often",
        ErrorKind::Unavailable => "nothing is to be done: it is tried again",
        ErrorKind::NotFound | ErrorKind::Conflict => "it was changed meanwhile and is looked at again",
        ErrorKind::NotLeading => "another replica takes over",
    };
    format!("{error}; {next}")
}
