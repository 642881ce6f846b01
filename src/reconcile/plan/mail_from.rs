//! Whether the MAIL FROM name is used for anything else: AWS wants it used for nothing else. Pure.

use super::records::{Ground, add_once};
use super::{Plan, Problem};
use crate::api::Reason;
use crate::api::status::RecordPurpose;
use crate::dns::RecordType;
use crate::domain_name::DomainName;
use crate::reconcile::desired::WantedRecord;
use crate::reconcile::subject::{MailFromUse, Subject};

/// What keeps a record of a MAIL FROM domain from being written: an older SesDomain has the name.
pub(super) fn taken(subject: &Subject<'_>, wanted: &WantedRecord) -> Option<Problem> {
    let user = subject.neighbors.mail_from.iter().find(|user| user.goes_first)?;
    let is_concerned = matches!(wanted.purpose, RecordPurpose::MailFromMx | RecordPurpose::MailFromSpf);
    is_concerned.then(|| conflict(&wanted.name, user))
}

fn conflict(name: &DomainName, user: &MailFromUse) -> Problem {
    let message = format!(
        "the MAIL FROM domain {name} is {user}, and must be used for nothing else: set another spec.mailFromSubdomain"
    );
    Problem { reason: Reason::RecordConflict, purpose: Some(RecordPurpose::MailFromMx), message }
}

/// What a person should know of a MAIL FROM name that works nevertheless.
pub(super) fn look(ground: Ground<'_>, plan: &mut Plan) {
    let Some(name) = ground.subject.mail_from() else { return };
    let is_address = |record_type: &RecordType| matches!(record_type.as_str(), "A" | "AAAA");
    let sets = ground.observed.records.values().filter_map(|records| records.as_ref().ok()).flatten();
    for set in sets.filter(|set| set.name == name && is_address(&set.record_type)) {
        plan.warnings.push(format!(
            "{name} holds {} {} besides, and AWS wants a MAIL FROM domain to be used for nothing else",
            set.record_type,
            set.values.join(", ")
        ));
    }
    for user in &ground.subject.neighbors.mail_from {
        if user.goes_first {
            add_once(&mut plan.problems, conflict(&name, user));
        } else {
            plan.warnings
                .push(format!("the MAIL FROM domain {name} is {user} as well: one of the two must use another"));
        }
    }
    plan.warnings.sort();
    plan.warnings.dedup();
}
