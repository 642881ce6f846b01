//! A value against the CustomResourceDefinition's schema. Pure.
//!
//! Of OpenAPI it knows what our schema is made of, but for patterns.

use serde_json::Value;

/// What is wrong with a value: each with the field and the words for it.
pub(super) fn faults(field: &str, value: &Value, schema: &Value) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    check(field, value, schema, &mut faults);
    faults
}

fn check(field: &str, value: &Value, schema: &Value, faults: &mut Vec<(String, String)>) {
    let wanted = schema["type"].as_str().unwrap_or_default();
    if !has_type(value, wanted) {
        return faults.push((field.to_owned(), format!("{value} is not of the type {wanted}: write one of that type")));
    }
    if let Some(words) = beyond_bounds(value, schema) {
        faults.push((field.to_owned(), words));
    }
    match value {
        Value::Object(fields) => {
            let (known, others) = (schema["properties"].as_object(), &schema["additionalProperties"]);
            for (name, value) in fields {
                let inner = format!("{field}.{name}");
                match known.and_then(|known| known.get(name)) {
                    Some(schema) => check(&inner, value, schema, faults),
                    None if others.is_object() => check(&inner, value, others, faults),
                    None => {
                        let known: Vec<&str> =
                            known.into_iter().flat_map(|known| known.keys()).map(String::as_str).collect();
                        let words = format!(
                            "there is no such field: correct its name or remove it; known are {}",
                            known.join(", ")
                        );
                        faults.push((inner, words));
                    }
                }
            }
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            for name in required.filter(|name| !fields.contains_key(*name)) {
                faults.push((format!("{field}.{name}"), "it is missing: add it".to_owned()));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check(&format!("{field}[{index}]"), item, &schema["items"], faults);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn has_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn beyond_bounds(value: &Value, schema: &Value) -> Option<String> {
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        let words: Vec<String> = words.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect();
        return Some(format!("{value} is not known: write one of {}", words.join(", ")));
    }
    let (number, what, least, most) = match value {
        Value::String(text) => (text.chars().count().try_into().ok()?, "characters", "minLength", "maxLength"),
        Value::Array(items) => (items.len().try_into().ok()?, "items", "minItems", "maxItems"),
        Value::Object(fields) => (fields.len().try_into().ok()?, "entries", "minProperties", "maxProperties"),
        Value::Number(number) => (number.as_i64()?, "", "minimum", "maximum"),
        Value::Null | Value::Bool(_) => return None,
    };
    // The schema's own numbers are small and whole, and may be written as 60.0.
    let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
    bounds(number, what, bound(least), bound(most))
}

fn bounds(number: i64, what: &str, least: Option<i64>, most: Option<i64>) -> Option<String> {
    if least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most) {
        return None;
    }
    let bounds = match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => return None,
    };
    let unit = if what.is_empty() { String::new() } else { format!(" {what}") };
    Some(format!("{number}{unit} can't be: write {bounds}{unit}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::crd::custom_resource_definition;

    #[test]
    fn what_the_schema_refuses_is_told_with_its_field() {
        let definition = serde_json::to_value(custom_resource_definition().expect("a definition")).expect("JSON");
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        for (spec, told) in [
            (json!({"domain": "example.com"}), vec![]),
            (json!({}), vec!["spec.domain: it is missing: add it"]),
            (json!({"domain": 5}), vec!["spec.domain: 5 is not of the type string: write one of that type"]),
            (json!({"domain": "a.b"}), vec!["spec.domain: 3 characters can't be: write 4 to 209 characters"]),
            (
                json!({"domain": "example.com", "adoptionPolicy": "Take"}),
                vec!["spec.adoptionPolicy: \"Take\" is not known: write one of Fail, Adopt"],
            ),
            (
                json!({"domain": "example.com", "dns": {"ttl": 5, "TTL": 300}}),
                vec![
                    "spec.dns.TTL: there is no such field: correct its name",
                    "spec.dns.ttl: 5 can't be: write 60 to 86400",
                ],
            ),
            (
                json!({"domain": "example.com", "dmarcPolicy": {"stages": [{"name": "a", "policy": "Refuse"}]}}),
                vec![
                    "spec.dmarcPolicy.stages[0].policy: \"Refuse\" is not known: write one of None, Quarantine, Reject",
                ],
            ),
            (
                json!({"domain": "example.com", "dmarcPolicy": {"stages": []}}),
                vec!["spec.dmarcPolicy.stages: 0 items can't be: write 1 to 8 items"],
            ),
            (
                json!({"domain": "example.com", "tags": {"team": 1}}),
                vec!["spec.tags.team: 1 is not of the type string"],
            ),
        ] {
            let found: Vec<String> =
                faults("spec", &spec, schema).iter().map(|(field, words)| format!("{field}: {words}")).collect();
            assert_eq!(found.len(), told.len(), "{spec}: {found:#?}");
            for (found, told) in found.iter().zip(told) {
                assert!(found.starts_with(told), "{spec}: {found}");
            }
        }
    }
}
