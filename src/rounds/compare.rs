//! What a status says against what was listed. Pure.

use crate::api::SesDomainStatus;
use crate::api::status::RecordStatus;
use crate::dns::{RecordSet, ZoneId};
use crate::domain_name::DomainName;
use crate::reconcile::desired::WantedRecord;
use crate::reconcile::ledger;
use crate::reconcile::verdict::{self, Verdict};
use crate::ses::VerificationStatus;
use crate::ses::listing::Shown;

/// Whether the list shows another identity than the status does: one that is gone, or whose verification was lost or has
/// come to its end. One that is verified by now is looked at in its own rhythm while MAIL FROM, which the list does not show,
/// is waited for.
pub fn identity_differs(status: &SesDomainStatus, shown: Shown) -> bool {
    let Some(dkim) = status.dkim.as_ref().filter(|_| status.identity.is_some()) else { return false };
    let shown = match shown {
        Shown::Unknown => return false,
        Shown::Absent => return true,
        Shown::As(shown) => shown,
    };
    let mail_from_waits = status.mail_from.as_ref().is_some_and(|mail_from| mail_from.status == "Pending");
    match shown {
        VerificationStatus::NotStarted | VerificationStatus::Pending => {
            !matches!(dkim.status.as_str(), "NotStarted" | "Pending")
        }
        VerificationStatus::Success => dkim.status != "Success" && !mail_from_waits,
        VerificationStatus::Failed | VerificationStatus::TemporaryFailure => dkim.status != shown.to_string(),
    }
}

/// Whether a record that the status speaks of does not stand in its zone as it should. Where all is well otherwise, one of
/// ours that is not published is on its way out, and may be gone.
pub fn records_differ(
    status: &SesDomainStatus,
    domain: &DomainName,
    zone: &ZoneId,
    zone_name: &DomainName,
    around: &[RecordSet],
) -> bool {
    let is_ready = status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let is_asked = |entry: &&RecordStatus| entry.published || (entry.ours && is_ready);
    let of_zone = ledger::entries(status, domain).filter(|entry| entry.hosted_zone_id == zone.0).filter(is_asked);
    of_zone.into_iter().any(|entry| {
        let (name, record_type) = ledger::place(entry);
        let value = entry.value.clone();
        let wanted = WantedRecord { purpose: entry.purpose, name, record_type, value, ttl: entry.ttl };
        verdict::judge(&wanted, around, zone_name, Some(entry)) != Verdict::Right
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dns::RecordType;

    fn status(dkim: &str, mail_from: Option<&str>) -> SesDomainStatus {
        let since = "2027-01-15T08:00:00Z";
        let mail_from = mail_from.map(|status| {
            json!({"domain": "mail.example.com", "status": status, "since": since, "mxFailureBehavior": "UseDefaultValue"})
        });
        let record = json!({
            "purpose": "MailFromMx", "name": "mail.example.com", "type": "MX", "ttl": 300, "hostedZoneId": "Z1",
            "value": "10 feedback-smtp.eu-west-1.amazonses.com", "ours": true, "published": true, "since": since,
        });
        serde_json::from_value(json!({
            "identity": {"arn": "arn"},
            "dkim": {"status": dkim, "since": since, "tokens": []},
            "mailFrom": mail_from,
            "records": [record],
        }))
        .expect("a status")
    }

    #[test]
    fn an_identity_differs_where_something_was_lost_or_has_ended() {
        use VerificationStatus::{Failed, NotStarted, Pending, Success, TemporaryFailure};
        for (dkim, mail_from, shown, differs) in [
            ("Success", Some("Success"), Shown::As(Success), false),
            ("Success", Some("Success"), Shown::As(TemporaryFailure), true),
            ("Success", Some("Success"), Shown::As(Failed), true),
            ("Success", Some("Success"), Shown::As(Pending), true),
            ("Success", Some("Success"), Shown::Absent, true),
            ("Success", Some("Success"), Shown::Unknown, false),
            ("Pending", None, Shown::As(NotStarted), false),
            ("Pending", None, Shown::As(Success), true),
            ("Pending", Some("Pending"), Shown::As(Success), false),
            ("TemporaryFailure", None, Shown::As(TemporaryFailure), false),
            ("TemporaryFailure", None, Shown::As(Failed), true),
        ] {
            let found = identity_differs(&status(dkim, mail_from), shown);
            assert_eq!(found, differs, "{dkim}, MAIL FROM {mail_from:?}, shown {shown:?}");
        }
        assert!(!identity_differs(&SesDomainStatus::default(), Shown::Absent), "there was never one");
    }

    #[test]
    fn a_record_differs_where_it_is_gone_changed_or_hidden() {
        let domain = DomainName::new("example.com");
        let set = |name: &str, record_type, value: &str| {
            RecordSet::new(DomainName::new(name), record_type, 300, vec![value.to_owned()])
        };
        let right = set("mail.example.com", RecordType::Mx, "10 Feedback-SMTP.eu-west-1.amazonses.com.");
        let other = set("mail.example.com", RecordType::Mx, "10 mx.example.net");
        let hidden = set("mail.example.com", RecordType::Ns, "ns.example.net");
        for (around, differs) in
            [(vec![right.clone()], false), (vec![], true), (vec![other], true), (vec![right, hidden], true)]
        {
            let zone = ZoneId("Z1".into());
            let found = records_differ(&status("Success", None), &domain, &zone, &domain, &around);
            assert_eq!(found, differs, "{around:?}");
        }
        let elsewhere = records_differ(&status("Success", None), &domain, &ZoneId("Z2".into()), &domain, &[]);
        assert!(!elsewhere, "it stands in another zone");
    }

    #[test]
    fn a_record_that_is_on_its_way_out_differs_once_all_else_is_well() {
        let domain = DomainName::new("example.com");
        let ready = json!([{
            "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2027-01-15T08:00:00Z",
        }]);
        for (conditions, differs) in [(ready, true), (json!([]), false)] {
            let mut status = status("Success", None);
            status.records[0].published = false;
            status.conditions = serde_json::from_value(conditions).expect("conditions");
            assert_eq!(records_differ(&status, &domain, &ZoneId("Z1".into()), &domain, &[]), differs);
        }
    }
}
