//! What of the records is published. Pure.

use super::{Said, View, reason_of};
use crate::api::status::{RecordPurpose, RecordStatus};
use crate::api::{ConditionType, Reason};
use crate::cloud::{CloudError, ErrorKind};
use crate::dns::RecordChange;
use crate::reconcile::ledger;
use crate::reconcile::plan::{Change, Finding};
use crate::reconcile::report::words::{all_messages, describe, seconds, staying};
use crate::reconcile::verdict::Verdict;

impl View<'_> {
    pub(super) fn dmarc(&self) -> Option<Said> {
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
        let Some(finding) = finding else {
            // A record that we know of no more is not believed to stand: its zone is another one by now.
            let is_known = |entry: &RecordStatus| entry.purpose == RecordPurpose::Dmarc && entry.published;
            let error = self.failure().filter(|_| !self.plan.ledger.iter().any(is_known));
            return Some(match error {
                Some(error) => Said::unknown(about, reason_of(error), describe(error)),
                None => self.unread(about),
            });
        };
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
            let next = next + self.unless_it_is_adopted(finding);
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

    /// Somebody else's record is as good as ours until another stage follows: that is said before it stands in the way.
    fn unless_it_is_adopted(&self, finding: &Finding) -> &'static str {
        let entry = self.plan.ledger.iter().find(|entry| ledger::is_for(entry, &finding.wanted, &finding.zone));
        let is_used = entry.is_some_and(|entry| !entry.ours);
        let follows = self.status.dmarc.as_ref().is_some_and(|dmarc| dmarc.until.is_some());
        if is_used && follows {
            "; the record is not this resource's, and the next stage needs another one: set spec.adoptionPolicy to Adopt before then to have it changed, or remove it"
        } else {
            ""
        }
    }

    pub(super) fn records(&self) -> Said {
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
        let findings = &self.plan.findings;
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
            // Of those that could be read.
            if let Some(error) = self.observed.zones.as_ref().err().or_else(|| self.records_failure()) {
                // Those of a new identity, or in a new zone, were never seen.
                let domain = self.subject.domain();
                let tokens = self.status.dkim.iter().flat_map(|dkim| &dkim.tokens);
                let of_dkim = tokens.map(|token| (RecordPurpose::Dkim, domain.child("_domainkey").child(token)));
                let of_mail_from = self.subject.mail_from().into_iter().flat_map(|name| {
                    [RecordPurpose::MailFromMx, RecordPurpose::MailFromSpf].map(|purpose| (purpose, name.clone()))
                });
                let are_known = of_dkim.chain(of_mail_from).all(|(purpose, name)| {
                    let is_it = |entry: &RecordStatus| entry.purpose == purpose && name.is(&entry.name);
                    self.plan.ledger.iter().any(|entry| entry.published && is_it(entry))
                });
                return if are_known {
                    self.unreadable(about, error)
                } else {
                    Said::unknown(about, reason_of(error), describe(error))
                };
            }
            if findings.is_empty() {
                return self.unread(about);
            }
            let besides: String =
                staying(self.plan).chain(self.plan.warnings.clone()).map(|besides| format!("; {besides}")).collect();
            return Said::yes(about, Reason::Published, format!("all {} records are served{besides}", findings.len()));
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

    fn records_failure(&self) -> Option<&CloudError> {
        self.observed
            .records
            .values()
            .filter_map(|records| records.as_ref().err())
            .find(|error| error.kind != ErrorKind::NotFound)
    }

    fn is_served(&self, finding: &Finding) -> bool {
        finding.in_sync && !self.was_written(finding)
    }

    fn is_on_its_way(&self, finding: &Finding) -> bool {
        let stands = matches!(finding.verdict, Verdict::Right | Verdict::Unshown);
        self.was_written(finding) || (stands && !finding.in_sync)
    }

    fn was_written(&self, finding: &Finding) -> bool {
        self.applied.made.iter().any(|change| match change {
            Change::ChangeRecords { zone, changes } => {
                zone == &finding.zone
                    && changes.iter().any(|change| match change {
                        RecordChange::Create(set) => set.is_at(&finding.wanted.name, &finding.wanted.record_type),
                        RecordChange::Delete(_) => false,
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
        Verdict::Right
        | Verdict::Missing
        | Verdict::Outdated
        | Verdict::Unshown
        | Verdict::Foreign(_)
        | Verdict::Obstructed(_) => None,
    }
}
