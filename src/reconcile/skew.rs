//! Times in a status that are yet to come: whoever wrote them had a clock that was fast. Pure.
//!
//! Looks and patience are counted from these times, so that nothing has to be remembered. One that lies hours ahead would
//! keep a domain waiting for hours. A time that lies too far back, of a slow clock, can't be told from a true one: the
//! domain seems to have waited for longer, and is looked at less often.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::SesDomainStatus;

/// The clocks of nodes differ by moments, and that is not worth a write.
const NEGLIGIBLE: SignedDuration = SignedDuration::from_secs(60);

/// Lets what began in the future begin now. But not the DMARC stage: it lasts longer by as much as the clock was wrong, and
/// a walk that waits does no harm.
pub fn correct(status: &mut SesDomainStatus, now: Timestamp) {
    let SesDomainStatus { conditions, identity, dkim, mail_from, records, pending_changes, .. } = status;
    let transitions = conditions.iter_mut().map(|condition| &mut condition.last_transition_time);
    let of_dkim = dkim.iter_mut().flat_map(|dkim| std::iter::once(&mut dkim.since).chain(&mut dkim.restarted_at));
    let of_mail_from =
        mail_from.iter_mut().flat_map(|found| std::iter::once(&mut found.since).chain(&mut found.restarted_at));
    let of_records = records.iter_mut().flat_map(|entry| std::iter::once(&mut entry.since).chain(&mut entry.put_back));
    let all = transitions
        .chain(identity.iter_mut().flat_map(|identity| &mut identity.put_back))
        .chain(of_dkim)
        .chain(of_mail_from)
        .chain(of_records)
        .chain(pending_changes.iter_mut().map(|change| &mut change.since));
    for Time(time) in all.filter(|time| time.0.duration_since(now) > NEGLIGIBLE) {
        *time = now;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    /// A status all of whose times are this one, but for the DMARC stage's.
    fn status(time: Timestamp, stage: Timestamp) -> SesDomainStatus {
        let time = time.to_string();
        let spoken = json!({"status": "Pending", "since": time, "restartedAt": time});
        let with = |fields: Value| {
            let mut all = spoken.clone();
            all.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
            all
        };
        serde_json::from_value(json!({
            "conditions": [{
                "type": "Ready", "status": "False", "reason": "Any", "message": "", "lastTransitionTime": time,
            }],
            "identity": {"arn": "arn", "putBack": [time]},
            "dkim": with(json!({"tokens": []})),
            "mailFrom": with(json!({"domain": "mail.example.com", "mxFailureBehavior": "UseDefaultValue"})),
            "dmarc": {"stage": "monitor", "since": stage.to_string()},
            "records": [{
                "purpose": "Dmarc", "name": "_dmarc.example.com", "type": "TXT", "value": "v=DMARC1; p=none", "ttl": 300,
                "hostedZoneId": "Z", "ours": true, "since": time, "putBack": [time],
            }],
            "pendingChanges": [{"id": "C", "hostedZoneId": "Z", "since": time}],
        }))
        .expect("a status")
    }

    #[test]
    fn what_began_in_the_future_begins_now_and_a_stage_may_wait() {
        for (time, expected) in [(6 * 3_600, 0), (61, 0), (60, 60), (0, 0), (-6 * 3_600, -6 * 3_600)] {
            let mut corrected = status(at(time), at(6 * 3_600));
            correct(&mut corrected, at(0));
            assert_eq!(corrected, status(at(expected), at(6 * 3_600)), "{time} seconds from now");
        }
    }
}
