//! What of a resource asks for a reconcile, and how urgently. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::api::{FINALIZER, RECONCILE_REQUESTED_AT, SesDomain};
use crate::quota::Class;

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
pub fn of(resource: &SesDomain) -> Class {
    let metadata = &resource.metadata;
    let (spoken_of, answered) = resource
        .status
        .as_ref()
        .map_or((None, None), |status| (status.observed_generation, status.last_handled_reconcile_at.as_ref()));
    let requested = metadata.annotations.as_ref().and_then(|all| all.get(RECONCILE_REQUESTED_AT));
    let conditions = resource.status.iter().flat_map(|status| &status.conditions);
    let waits = conditions.into_iter().any(|condition| condition.type_ == "Reconciling" && condition.status == "True");
    if metadata.deletion_timestamp.is_some() {
        Class::Deletion
    } else if spoken_of != metadata.generation || (requested.is_some() && requested != answered) {
        Class::Changed
    } else if waits {
        Class::Pending
    } else {
        Class::Sweep
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
        let reconciling = json!([{
            "type": "Reconciling", "status": "True", "reason": "ChangePending", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]);
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
            (json!({"generation": 1}), json!({"observedGeneration": 1, "conditions": reconciling}), Class::Pending),
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
}
