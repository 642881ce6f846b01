//! The CustomResourceDefinition, made from the Rust types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::SesDomain;

/// The CustomResourceDefinition as it is installed.
///
/// # Errors
/// When the schema does not fit Kubernetes' types: a mistake in [`super::spec`], found by the tests.
pub fn custom_resource_definition() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut crd = serde_json::to_value(SesDomain::crd())?;
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tidy(schema);
    let status = &mut schema["properties"]["status"]["properties"];
    // kstatus calls a resource Current whose generation nobody has looked at, unless the field exists and differs.
    status["observedGeneration"]["default"] = json!(-1);
    schema["properties"]["status"]["default"] = json!({"observedGeneration": -1});
    schema["required"] = json!(["spec"]);
    serde_json::from_value(crd)
}

/// Makes the generated schema one that the API server reads as we mean it.
///
/// `nullable` is dropped so that an explicit `null` is pruned, as users of Helm expect; formats that Kubernetes does not
/// know (`uint32`) are dropped since it would warn of them.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("nullable");
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                fields.remove("format");
            }
            if let Some(variants) = fields.get_mut("enum").and_then(Value::as_array_mut) {
                variants.retain(|variant| !variant.is_null());
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
