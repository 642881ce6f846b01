//! What of a resource asks for a reconcile, and how urgently. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::api::{FINALIZER, RECONCILE_REQUESTED_AT, SesDomain};
use crate::quota::Class;
use crate::reconcile::rest;

/// What of a resource asks for a reconcile when it changes. Our own patches change nothing of it, but that they set the
/// finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    generation: i64,
    deleting: bool,
    held: bool,
    /// The annotation's value, as a hash.
    requested: Option<u64>,
}

impl Asked {
    /// What a resource asks for.
    pub fn of(resource: &SesDomain) -> Self {
        let metadata = &resource.metadata;
        let hash = |value: &String| {
            let mut hasher = DefaultHasher::new();
            value.hash(&mut hasher);
            hasher.finish()
        };
        Self {
            generation: metadata.generation.unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            held: metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER),
            requested: metadata.annotations.as_ref().and_then(|all| all.get(RECONCILE_REQUESTED_AT)).map(hash),
        }
    }

    /// How urgently a reconcile is asked for since then, if it is.
    pub fn since(&self, before: &Self) -> Option<Class> {
        if self.deleting && !before.deleting {
            Some(Class::Deletion)
        } else if self.generation != before.generation
            || (self.requested != before.requested && self.requested.is_some())
        {
            Some(if self.deleting { Class::Deletion } else { Class::Changed })
        } else if before.held && !self.held {
            Some(Class::Repair)
        } else {
            None
        }
    }
}

/// How urgent a reconcile is that nobody has just asked for: its time has come, or the operator has just started.
///
/// What a user changed is as urgent as at first until all of it is written and served; then SES is waited for.
pub fn of(resource: &SesDomain) -> Class {
    let is_true = |name: &str| {
        let mut conditions = resource.status.iter().flat_map(|status| &status.conditions);
        conditions.any(|condition| condition.type_ == name && condition.status == "True")
    };
    match &resource.status {
        _ if resource.metadata.deletion_timestamp.is_some() => Class::Deletion,
        Some(_) if rest::is_answered(resource) && !is_true("Reconciling") => Class::Sweep,
        Some(status) if rest::is_answered(resource) && rest::is_set_up(&resource.spec, status) => Class::Pending,
        Some(status) if rest::is_answered(resource) && rest::is_put_back(status) => Class::Repair,
        Some(_) | None => Class::Changed,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resource(metadata: Value, status: Value) -> SesDomain {
        serde_json::from_value(json!({
            "apiVersion": "ses-operator.dev/v1alpha1",
            "kind": "SesDomain",
            "metadata": metadata,
            "spec": {"domain": "example.com"},
            "status": status,
        }))
        .expect("a SesDomain")
    }

    fn asked(generation: i64, finalizers: &[&str], requested: Option<&str>, deleting: bool) -> Asked {
        let annotations = requested.map(|value| json!({RECONCILE_REQUESTED_AT: value}));
        let deleted = deleting.then_some("2026-01-01T00:00:00Z");
        let metadata = json!({
            "generation": generation, "finalizers": finalizers, "annotations": annotations, "deletionTimestamp": deleted,
        });
        Asked::of(&resource(metadata, json!({"account": "1"})))
    }

    #[test]
    fn what_users_do_asks_and_what_we_do_does_not() {
        let ours = &[FINALIZER][..];
        let before = asked(1, ours, Some("a"), false);
        for (now, expected) in [
            (asked(1, ours, Some("a"), false), None),
            (asked(2, ours, Some("a"), false), Some(Class::Changed)),
            (asked(1, ours, Some("b"), false), Some(Class::Changed)),
            (asked(1, ours, None, false), None),
            (asked(1, ours, Some("a"), true), Some(Class::Deletion)),
            (asked(2, ours, Some("a"), true), Some(Class::Deletion)),
            (asked(1, &[], Some("a"), false), Some(Class::Repair)),
            (asked(1, &[FINALIZER, "another/finalizer"], Some("a"), false), None),
        ] {
            assert_eq!(now.since(&before), expected, "{now:?}");
        }
        assert_eq!(before.since(&asked(1, &[], Some("a"), false)), None, "we set the finalizer");
    }

    #[test]
    fn what_is_asked_goes_before_what_waits_and_that_before_what_is_well() {
        let requested = json!({RECONCILE_REQUESTED_AT: "b"});
        for (metadata, status, expected) in [
            (json!({"generation": 1}), Value::Null, Class::Changed),
            (json!({"generation": 2}), json!({"observedGeneration": 1}), Class::Changed),
            (json!({"generation": 1, "annotations": requested}), json!({"observedGeneration": 1}), Class::Changed),
            (
                json!({"generation": 1, "annotations": requested}),
                json!({"observedGeneration": 1, "lastHandledReconcileAt": "b"}),
                Class::Sweep,
            ),
            (json!({"generation": 1}), json!({"observedGeneration": 1}), Class::Sweep),
            (
                json!({"generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z"}),
                json!({"observedGeneration": 1}),
                Class::Deletion,
            ),
        ] {
            assert_eq!(of(&resource(metadata.clone(), status.clone())), expected, "{metadata} {status}");
        }
    }

    /// A resource at work, whose spec asks for MAIL FROM, and that has come as far as these parts of its status.
    fn at_work(parts: &Value) -> SesDomain {
        let time = "2026-01-01T00:00:00Z";
        let mut status = json!({"observedGeneration": 1, "conditions": [{
            "type": "Reconciling", "status": "True", "reason": "Any", "message": "", "lastTransitionTime": time,
        }]});
        let record = |published: bool, put_back: &[&str]| {
            json!([{
                "purpose": "Dmarc", "name": "_dmarc.example.com", "type": "TXT", "value": "v=DMARC1; p=none", "ttl": 300,
                "hostedZoneId": "Z1", "ours": true, "published": published, "since": time, "putBack": put_back,
            }])
        };
        for part in parts.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let (place, value) = match part {
                "created" => ("dkim", json!({"status": "Pending", "since": time, "tokens": []})),
                "written" => ("records", record(false, &[])),
                "put back" => ("records", record(false, &[time])),
                "served" => ("records", record(true, &[])),
                "on its way" => ("pendingChanges", json!([{"id": "C1", "hostedZoneId": "Z1", "since": time}])),
                other => {
                    let mail_from = json!({
                        "domain": "mail.example.com", "status": other, "since": time, "mxFailureBehavior": "UseDefaultValue",
                    });
                    ("mailFrom", mail_from)
                }
            };
            status[place] = value;
        }
        let mut resource = resource(json!({"generation": 1}), status);
        resource.spec.mail_from_subdomain = Some("mail".to_owned());
        resource
    }

    #[test]
    fn what_a_user_changed_is_as_urgent_as_at_first_until_only_ses_is_waited_for() {
        for (parts, expected) in [
            (json!([]), Class::Changed),
            (json!(["created"]), Class::Changed),
            (json!(["created", "written"]), Class::Changed),
            (json!(["created", "written", "on its way"]), Class::Changed),
            (json!(["created", "served"]), Class::Changed),
            (json!(["created", "served", "NotStarted"]), Class::Changed),
            (json!(["created", "served", "Pending"]), Class::Pending),
            (json!(["created", "served", "Success"]), Class::Pending),
            (json!(["created", "put back", "on its way", "Success"]), Class::Repair),
        ] {
            assert_eq!(of(&at_work(&parts)), expected, "{parts}");
        }
    }
}
