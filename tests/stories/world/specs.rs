//! What the stories ask for.

use serde_json::{Value, json};

/// Everything, in four lines.
pub(crate) fn full() -> Value {
    json!({"mailFromSubdomain": "mail", "mxFailureBehavior": "UseDefaultValue", "dmarcPolicy": walk()})
}

/// Everything that can be asked for.
pub(crate) fn everything() -> Value {
    let more =
        json!({"mxFailureBehavior": "RejectMessage", "feedbackForwarding": "Disabled", "tags": {"team": "mail"}});
    with(full(), more)
}

/// From monitoring to enforcement in sixty days.
pub(crate) fn walk() -> Value {
    json!({
        "aggregateReportUris": ["mailto:dmarc@example.com"],
        "stages": [
            {"name": "monitor", "policy": "None", "minDuration": "30d"},
            {"name": "quarantine", "policy": "Quarantine", "minDuration": "30d"},
            {"name": "reject", "policy": "Reject"},
        ],
    })
}

/// A spec with these fields besides.
pub(crate) fn with(mut spec: Value, fields: Value) -> Value {
    if let (Value::Object(spec), Value::Object(fields)) = (&mut spec, fields) {
        spec.extend(fields);
    }
    spec
}
