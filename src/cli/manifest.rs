//! Manifests as `kubectl apply` takes them: YAML of several documents, of which ours are read. Pure.
//!
//! What the resource's schema says is checked against that schema, and of the API server's CEL rules those whose breach
//! would lead to a plan of something else. The rest is the API server's: `kubectl apply --dry-run=server`.

use serde::Deserialize;
use serde_json::Value;

use crate::api::crd::custom_resource_definition;
use crate::api::{SesDomain, SesDomainSpec};
use crate::dmarc::stages::parse_duration;
use crate::domain_name::DomainName;

mod schema;

const GROUP: &str = "ses-operator.dev/";
const API_VERSION: &str = "ses-operator.dev/v1alpha1";

/// What was found in some manifests.
#[derive(Debug, Default)]
pub struct Manifests {
    /// The SesDomains, with name, and namespace where one is given.
    pub domains: Vec<SesDomain>,
    /// What is of another kind, in words.
    pub skipped: Vec<String>,
    /// What is wrong: file, document, field, cause, remedy.
    pub faults: Vec<String>,
}

impl Manifests {
    /// Reads a file's text. `file` is how messages name it.
    pub fn read(&mut self, file: &str, text: &str) {
        for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
            let place = format!("{file}, document {}", index + 1);
            let value = serde_yaml::Value::deserialize(document).map_err(|error| error.to_string());
            match value.and_then(|value| serde_json::to_value(value).map_err(|error| error.to_string())) {
                Ok(value) => self.document(&place, value),
                Err(error) => {
                    // Where the next document begins is not known any more.
                    return self.faults.push(format!("{place}: it can't be read as YAML ({error}): correct it there"));
                }
            }
        }
    }

    fn document(&mut self, place: &str, mut value: Value) {
        prune(&mut value);
        if value.is_null() {
            return;
        }
        let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (version, kind) = (text(&value, "/apiVersion"), text(&value, "/kind"));
        match (version.as_deref(), kind.as_deref()) {
            (Some("v1"), Some("List")) => {
                let items = value["items"].as_array().cloned().unwrap_or_default();
                for (index, item) in items.into_iter().enumerate() {
                    self.document(&format!("{place}, items[{index}]"), item);
                }
            }
            (Some(API_VERSION), Some("SesDomain")) => match domain(place, &value) {
                Ok(domain) => self.domains.push(domain),
                Err(faults) => self.faults.extend(faults),
            },
            (Some(version), Some("SesDomain")) if version.starts_with(GROUP) => self.faults.push(format!(
                "{place}, apiVersion: {version} is not known here: write {API_VERSION}, or take the version of ses-operator that knows it"
            )),
            (Some(_), Some(kind)) => {
                let name = text(&value, "/metadata/name").unwrap_or_else(|| "without a name".to_owned());
                self.skipped.push(format!("{place}: {kind} {name} is no SesDomain, and is skipped"));
            }
            (None, _) | (_, None) => self.faults.push(format!(
                "{place}: it is no manifest, since it has no apiVersion or no kind: write apiVersion: {API_VERSION} and kind: SesDomain, or take it out"
            )),
        }
    }
}

fn domain(place: &str, value: &Value) -> Result<SesDomain, Vec<String>> {
    let fault = |(field, words): (String, String)| format!("{place}, {field}: {words}");
    let mut faults = Vec::new();
    for (field, value) in value.as_object().into_iter().flatten() {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&field.as_str()) {
            faults.push((field.clone(), format!("there is no such field ({value}): move it into spec, or remove it")));
        }
    }
    let metadata = |field: &str| value.pointer(&format!("/metadata/{field}")).and_then(Value::as_str);
    if metadata("name").is_none_or(str::is_empty) {
        faults.push(("metadata.name".to_owned(), "a name is missing: add one".to_owned()));
    }
    let definition = custom_resource_definition().and_then(serde_json::to_value);
    let definition = definition.map_err(|error| vec![format!("the schema of SesDomain is broken: {error}")])?;
    let of_spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    match value.get("spec") {
        None => faults.push(("spec".to_owned(), "it is missing: add it, with the domain at least".to_owned())),
        Some(spec) => faults.extend(schema::faults("spec", spec, of_spec)),
    }
    if !faults.is_empty() {
        return Err(faults.into_iter().map(fault).collect());
    }
    let spec: SesDomainSpec = serde_json::from_value(value["spec"].clone())
        .map_err(|error| vec![fault(("spec".to_owned(), format!("{error}: correct it")))])?;
    let broken = broken_rules(&spec);
    if !broken.is_empty() {
        return Err(broken.into_iter().map(fault).collect());
    }
    let mut domain = SesDomain::new(metadata("name").unwrap_or_default(), spec);
    domain.metadata.namespace = metadata("namespace").map(str::to_owned);
    Ok(domain)
}

/// Fields that are `null` are as good as absent, to the API server too.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The rules beyond the schema whose breach would make the plan one of another domain or another walk.
fn broken_rules(spec: &SesDomainSpec) -> Vec<(String, String)> {
    let mut broken = Vec::new();
    let mut say = |field: &str, words: String| broken.push((format!("spec.{field}"), words));
    let is_name = |name: &str| name == DomainName::new(name).as_str() && name.split('.').all(is_label);
    if !is_name(&spec.domain) || !spec.domain.contains('.') {
        say(
            "domain",
            format!(
                "\"{}\" is no host name in lower case without a trailing dot: write one such as example.com, an internationalized name in punycode (xn--...)",
                spec.domain
            ),
        );
    }
    if let Some(label) = &spec.mail_from_subdomain {
        let repeats = label == &spec.domain || label.ends_with(&format!(".{}", spec.domain));
        if !is_name(label) || repeats {
            say(
                "mailFromSubdomain",
                format!("\"{label}\" is not relative to the domain: write mail for mail.{}", spec.domain),
            );
        }
    }
    let Some(policy) = &spec.dmarc_policy else { return broken };
    let mut say = |field: String, words: String| broken.push((format!("spec.dmarcPolicy.{field}"), words));
    for (index, stage) in policy.stages.iter().enumerate() {
        let is_last = index + 1 == policy.stages.len();
        match &stage.min_duration {
            None if is_last => {}
            None => say(
                format!("stages[{index}].minDuration"),
                "it is missing, and every stage but the last needs one: add it, such as 30d".to_owned(),
            ),
            Some(text) if parse_duration(text).is_none_or(|duration| !duration.is_positive()) => say(
                format!("stages[{index}].minDuration"),
                format!("\"{text}\" is no duration: write it as 30d, 12h, 90m or 45s"),
            ),
            Some(_) => {}
        }
        if policy.stages[..index].iter().any(|before| before.name == stage.name) {
            say(format!("stages[{index}].name"), format!("\"{}\" stands twice: rename one of the two", stage.name));
        }
    }
    if let Some(active) = policy.active_stage.as_ref().filter(|name| !policy.stages.iter().any(|s| &s.name == *name)) {
        say("activeStage".to_owned(), format!("no stage is named \"{active}\": write the name of one"));
    }
    broken
}

fn is_label(label: &str) -> bool {
    let inner = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    (1..=63).contains(&label.len()) && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Manifests {
        let mut manifests = Manifests::default();
        manifests.read("a.yaml", text);
        manifests
    }

    fn with_spec(spec: &str) -> String {
        format!("{{apiVersion: {API_VERSION}, kind: SesDomain, metadata: {{name: a}}, spec: {spec}}}")
    }

    #[test]
    fn ours_are_read_and_others_are_skipped_with_a_word() {
        let ours = with_spec("{domain: example.com, mailFromSubdomain: null}");
        let list = format!("{{apiVersion: v1, kind: List, items: [{}]}}", with_spec("{domain: example.org}"));
        let config = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}";
        let found = read(&format!("---\n# nothing\n---\n{ours}\n---\n{config}\n---\n{list}\n"));
        assert_eq!(found.faults, [""; 0]);
        let domains: Vec<&str> = found.domains.iter().map(|domain| domain.spec.domain.as_str()).collect();
        assert_eq!(domains, ["example.com", "example.org"]);
        assert_eq!(found.skipped, ["a.yaml, document 3: ConfigMap settings is no SesDomain, and is skipped"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_its_remedy() {
        for (text, fault) in [
            ("a: [", "a.yaml, document 1: it can't be read as YAML"),
            ("hello: world", "a.yaml, document 1: it is no manifest, since it has no apiVersion or no kind: write"),
            (
                "{apiVersion: ses-operator.dev/v9, kind: SesDomain}",
                "a.yaml, document 1, apiVersion: ses-operator.dev/v9 is not known here: write ses-operator.dev/v1alpha1",
            ),
            (
                &format!("{{apiVersion: {API_VERSION}, kind: SesDomain, metadata: {{name: a}}}}"),
                "a.yaml, document 1, spec: it is missing: add it",
            ),
            (
                &format!("{{apiVersion: {API_VERSION}, kind: SesDomain, spec: {{domain: example.com}}}}"),
                "a.yaml, document 1, metadata.name: a name is missing",
            ),
            (
                &format!("a: b\n---\n{}", with_spec("{domain: Example.com.}")),
                "a.yaml, document 2, spec.domain: \"Example.com.\" is no host name in lower case without a trailing dot",
            ),
            (
                &with_spec("{domain: example.com, mailFromSubdomain: mail.example.com}"),
                "spec.mailFromSubdomain: \"mail.example.com\" is not relative to the domain: write mail for",
            ),
            (
                &with_spec(
                    "{domain: example.com, dmarcPolicy: {stages: [{name: a, policy: None}, {name: b, policy: None}]}}",
                ),
                "spec.dmarcPolicy.stages[0].minDuration: it is missing",
            ),
            (
                &with_spec("{domain: example.com, dmarcPolicy: {stages: [{name: a, policy: None, minDuration: 5w}]}}"),
                "spec.dmarcPolicy.stages[0].minDuration: \"5w\" is no duration: write it as 30d",
            ),
            (
                &with_spec("{domain: example.com, dmarcPolicy: {activeStage: b, stages: [{name: a, policy: None}]}}"),
                "spec.dmarcPolicy.activeStage: no stage is named \"b\"",
            ),
        ] {
            let found = read(text);
            assert!(found.faults.iter().any(|told| told.contains(fault)), "{fault}\n{:#?}", found.faults);
            assert!(found.domains.is_empty(), "{text}");
        }
    }

    #[test]
    fn every_sample_is_read() {
        let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples");
        let mut read = 0;
        for folder in [samples.clone(), samples.join("more")] {
            for file in std::fs::read_dir(folder).expect("samples") {
                let path = file.expect("a file").path();
                if path.extension().is_some_and(|extension| extension == "yaml") {
                    let mut found = Manifests::default();
                    found.read("sample", &std::fs::read_to_string(&path).expect("text"));
                    assert_eq!(found.faults, [""; 0], "{}", path.display());
                    read += found.domains.len();
                }
            }
        }
        assert!(read >= 4, "{read} samples");
    }
}
