//! Which resources are at rest, and when they are looked at all the same. Pure.
//!
//! A restarted operator believes a status that says that all is well: otherwise ten thousand settled domains would cost as
//! many calls at each start. What has happened meanwhile is found by the rounds, and by the daily look.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use super::{ledger, schedule};
use crate::api::spec::SesDomainSpec;
use crate::api::{FINALIZER, RECONCILE_REQUESTED_AT, SesDomain, SesDomainStatus};
use crate::domain_name::DomainName;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Whether a resource's own status says that there is nothing to do, and nothing to wait for.
pub fn at_rest(resource: &SesDomain, now: Timestamp) -> bool {
    resource.status.as_ref().is_some_and(|status| at_rest_as(resource, status, now))
}

/// The same of a resource whose status is another one by now.
pub fn at_rest_as(resource: &SesDomain, status: &SesDomainStatus, now: Timestamp) -> bool {
    let metadata = &resource.metadata;
    let held = metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    let undeleted = metadata.deletion_timestamp.is_none();
    let is_true = |name: &str| status.conditions.iter().any(|it| it.type_ == name && it.status == "True");
    // Whoever is suspended need not be ready.
    let well = is_true("Ready") || (resource.spec.suspend && !status.conditions.is_empty());
    let quiet = !is_true("Reconciling") && !is_true("Stalled") && status.pending_changes.is_empty();
    let repaired = schedule::next_after_repair(status, now).is_some();
    let due = stage_end(status).is_some_and(|end| end <= now);
    held && undeleted && is_answered_by(resource, status) && well && quiet && is_verified(status) && !repaired && !due
}

/// When a resource that is at rest is looked at again: where its DMARC stage ends, where records may go from a zone that
/// they have moved from, and once a day.
pub fn next_look(resource: &SesDomain, now: Timestamp) -> Timestamp {
    let daily = daily(resource.metadata.uid.as_deref().unwrap_or_default(), now);
    let status = resource.status.as_ref();
    let stage = status.and_then(stage_end);
    let leaving = status
        .into_iter()
        .flat_map(|status| status.records.iter().filter_map(|entry| ledger::leaves_at(entry, &status.records)));
    stage.into_iter().chain(leaving).filter(|time| *time > now).chain([daily]).min().unwrap_or(daily)
}

/// The next time of the day at which this resource is read whole: one of its own, so that all are spread over the day, and
/// always the same, so that nothing is remembered and a restart moves none.
pub fn daily(uid: &str, now: Timestamp) -> Timestamp {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    let day = DAY.as_secs();
    let place = i64::try_from(hasher.finish() % day.unsigned_abs()).unwrap_or_default();
    let left = (place - now.as_second()).rem_euclid(day);
    let wait = if left == 0 { DAY } else { SignedDuration::from_secs(left) };
    let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
    schedule::after(whole, wait)
}

/// Whether the status speaks of what was asked for last.
pub fn is_answered(resource: &SesDomain) -> bool {
    resource.status.as_ref().is_some_and(|status| is_answered_by(resource, status))
}

fn is_answered_by(resource: &SesDomain, status: &SesDomainStatus) -> bool {
    let metadata = &resource.metadata;
    let requested = metadata.annotations.as_ref().and_then(|annotations| annotations.get(RECONCILE_REQUESTED_AT));
    let answered = requested.is_none() || requested == status.last_handled_reconcile_at.as_ref();
    status.observed_generation == metadata.generation && answered
}

/// Whether all that the spec asks for is written and served, as far as the status knows: what is left is SES's to do.
pub fn is_set_up(spec: &SesDomainSpec, status: &SesDomainStatus) -> bool {
    let served = status.pending_changes.is_empty() && status.records.iter().all(|entry| entry.published || !entry.ours);
    let asked = spec.mail_from_subdomain.as_ref().map(|labels| DomainName::new(&spec.domain).child(labels));
    let is_set = asked.is_none_or(|asked| {
        let known = status.mail_from.as_ref().filter(|known| known.status != "NotStarted");
        known.is_some_and(|known| known.domain == asked.as_str())
    });
    served && status.dkim.is_some() && is_set
}

/// Whether what is not served yet was put back after somebody else had changed it.
pub fn is_put_back(status: &SesDomainStatus) -> bool {
    status.records.iter().any(|entry| !entry.published && !entry.put_back.is_empty())
}

/// Whether SES has verified what it was asked to verify, as far as the status knows.
fn is_verified(status: &SesDomainStatus) -> bool {
    let words = status.dkim.iter().map(|dkim| &dkim.status).chain(status.mail_from.iter().map(|found| &found.status));
    words.into_iter().all(|word| word == "Success")
}

fn stage_end(status: &SesDomainStatus) -> Option<Timestamp> {
    status.dmarc.as_ref().and_then(|dmarc| dmarc.until.as_ref()).map(|until| until.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn condition(name: &str, status: &str) -> Value {
        json!({"type": name, "status": status, "reason": "Any", "message": "", "lastTransitionTime": at(-9_000).to_string()})
    }

    fn settled() -> Value {
        json!({
            "apiVersion": "ses-operator.dev/v1alpha1",
            "kind": "SesDomain",
            "metadata": {
                "name": "domain", "namespace": "mail", "uid": "u", "generation": 2, "finalizers": [FINALIZER],
                "annotations": {RECONCILE_REQUESTED_AT: "now"},
            },
            "spec": {"domain": "example.com"},
            "status": {
                "observedGeneration": 2,
                "lastHandledReconcileAt": "now",
                "conditions": [condition("Ready", "True"), condition("DkimVerified", "True")],
                "identity": {"arn": "arn"},
                "dkim": {"status": "Success", "since": at(-9_000).to_string(), "tokens": []},
                "dmarc": {"stage": "none", "since": at(-9_000).to_string(), "until": at(60).to_string()},
            },
        })
    }

    fn with(place: &str, value: Value) -> SesDomain {
        let mut resource = settled();
        let (above, name) = place.rsplit_once('/').expect("a place");
        resource.pointer_mut(above).expect("what it is in")[name] = value;
        serde_json::from_value(resource).expect("a SesDomain")
    }

    #[test]
    fn a_settled_resource_is_at_rest() {
        assert!(at_rest(&with("/spec/suspend", json!(false)), at(0)));
    }

    #[test]
    fn whatever_is_to_be_done_or_waited_for_is_no_rest() {
        let verified = |status: &str| json!({"status": status, "since": at(-9_000).to_string(), "tokens": []});
        let mail_from = json!({
            "domain": "mail.example.com", "status": "Pending", "since": at(-9_000).to_string(),
            "mxFailureBehavior": "UseDefaultValue",
        });
        let change = json!([{"id": "C", "hostedZoneId": "Z", "since": at(-9_000).to_string()}]);
        let busy = json!([condition("Ready", "True"), condition("Reconciling", "True")]);
        let stalled = json!([condition("Ready", "True"), condition("Stalled", "True")]);
        for (place, value) in [
            ("/metadata/generation", json!(3)),
            ("/metadata/finalizers", json!(["somebody.else/finalizer"])),
            ("/metadata/deletionTimestamp", json!(at(-5).to_string())),
            ("/metadata/annotations", json!({RECONCILE_REQUESTED_AT: "again"})),
            ("/status/conditions", json!([])),
            ("/status/conditions", json!([condition("Ready", "False")])),
            ("/status/conditions", json!([condition("Ready", "Unknown")])),
            ("/status/conditions", busy),
            ("/status/conditions", stalled),
            ("/status/pendingChanges", change),
            ("/status/dkim", verified("TemporaryFailure")),
            ("/status/dkim", verified("Pending")),
            ("/status/mailFrom", mail_from),
            ("/status/identity", json!({"arn": "arn", "putBack": [at(-1_800).to_string()]})),
            ("/status/dmarc/until", json!(at(0).to_string())),
        ] {
            assert!(!at_rest(&with(place, value.clone()), at(0)), "{place} is {value}");
        }
        let mut new = with("/spec/suspend", json!(false));
        new.status = None;
        assert!(!at_rest(&new, at(0)));
    }

    #[test]
    fn a_repair_of_long_ago_and_a_suspended_resource_are_at_rest() {
        let repaired = json!({"arn": "arn", "putBack": [at(-2 * 3_600).to_string()]});
        assert!(at_rest(&with("/status/identity", repaired), at(0)));
        let mut suspended = with("/status/conditions", json!([condition("Ready", "False")]));
        assert!(!at_rest(&suspended, at(0)));
        suspended.spec.suspend = true;
        assert!(at_rest(&suspended, at(0)));
    }

    #[test]
    fn the_next_look_is_where_the_stage_ends_or_once_a_day() {
        let resource = with("/spec/suspend", json!(false));
        let place = daily("u", at(0));
        assert_eq!(next_look(&resource, at(0)), place.min(at(60)));
        assert_eq!(next_look(&resource, at(60)), daily("u", at(60)));
        let record = |zone: &str, since: i64| {
            json!({
                "purpose": "Dmarc", "name": "_dmarc.example.com", "type": "TXT", "value": "v=DMARC1; p=none", "ttl": 300,
                "hostedZoneId": zone, "ours": true, "since": at(since).to_string(),
            })
        };
        let moved = with("/status/records", json!([record("Z1", -900_000), record("Z2", -2 * 86_400)]));
        assert_eq!(next_look(&moved, at(0)), at(60), "the zone that was left may be emptied");
        let stays = with("/status/records", json!([record("Z1", -900_000)]));
        assert_eq!(next_look(&stays, at(60)), daily("u", at(60)));
        let endless = with("/status/dmarc", json!({"stage": "none"}));
        assert_eq!(next_look(&endless, at(0)), place);
    }

    #[test]
    fn each_is_looked_at_once_a_day_at_the_same_time() {
        let first = daily("u", at(0));
        assert!(first > at(0) && first <= at(0) + DAY);
        assert_eq!(daily("u", first), first + DAY);
        assert_eq!(daily("u", first - SignedDuration::from_secs(1)), first);
        assert_eq!(daily("u", first - SignedDuration::from_millis(1)), first);
    }

    #[test]
    fn the_looks_at_all_are_spread_evenly_over_the_day() {
        let mut hours = [0; 24];
        for number in 0..2_400 {
            let wait = daily(&format!("uid-{number}"), at(0)).duration_since(at(0));
            hours[usize::try_from((wait.as_secs() - 1) / 3_600).expect("an hour of the day")] += 1;
        }
        assert!(hours.iter().all(|looks| (60..140).contains(looks)), "{hours:?}");
    }
}
