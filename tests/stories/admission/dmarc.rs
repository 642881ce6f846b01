//! The DMARC policy and its stages.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Case, FINE, admit, spec};

const WEAKER: Option<&str> = Some("a stage must not be weaker than the one before");
const DURATION: Option<&str> = Some("every stage but the last needs a minDuration, such as 30d");
const PATTERN: Option<&str> = Some("minDuration in body should match '^[1-9][0-9]{0,3}(d|h|m|s)$'");
const UNIQUE: Option<&str> = Some("stage names must be unique: rename one of the two");
const MAILTO: Option<&str> = Some("report URIs must be mailto: URIs of one address, such as mailto:dmarc@example.com");

/// A spec with a DMARC policy of these fields.
fn policy(fields: Value) -> Value {
    spec(json!({ "dmarcPolicy": fields }))
}

fn stages(stages: &[Value]) -> Value {
    policy(json!({ "stages": stages }))
}

/// Stages that last a day each, of these policies: `Quarantine t` is testing, `Quarantine 25` has a percentage.
fn ladder(steps: &[&str]) -> Value {
    let stage = |(index, step): (usize, &&str)| {
        let (policy, modifier) = step.split_once(' ').unwrap_or((step, ""));
        let mut stage = json!({"name": format!("s{index}"), "policy": policy, "minDuration": "1d"});
        match modifier.parse::<u8>() {
            Ok(percent) => stage["percent"] = json!(percent),
            Err(_) if modifier == "t" => stage["testing"] = json!(true),
            Err(_) => {}
        }
        stage
    };
    stages(&steps.iter().enumerate().map(stage).collect::<Vec<_>>())
}

/// A first stage that lasts so long.
fn lasting(duration: Value) -> Value {
    stages(&[
        json!({"name": "monitor", "policy": "None", "minDuration": duration}),
        json!({"name": "end", "policy": "Reject"}),
    ])
}

#[tokio::test]
async fn a_dmarc_policy_has_stages_with_names_of_their_own() -> Result<()> {
    let named = |names: &[&str]| {
        let stage = |name: &&str| json!({"name": name, "policy": "None", "minDuration": "1d"});
        stages(&names.iter().map(stage).collect::<Vec<_>>())
    };
    let name = |name: &str| stages(&[json!({"name": name, "policy": "None"})]);
    let cases: Vec<Case> = vec![
        ("one stage", name("monitor"), FINE),
        ("eight stages", named(&["a", "b", "c", "d", "e", "f", "g", "h"]), FINE),
        (
            "nine stages",
            named(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]),
            Some("spec.dmarcPolicy.stages: Too many: 9: must have at most 8 items"),
        ),
        ("no stage", stages(&[]), Some("spec.dmarcPolicy.stages in body should have at least 1 items")),
        ("no stages", policy(json!({})), Some("spec.dmarcPolicy.stages: Required value")),
        ("two of one name", named(&["a", "b", "a"]), UNIQUE),
        ("no name", stages(&[json!({"policy": "None"})]), Some("spec.dmarcPolicy.stages[0].name: Required value")),
        ("no policy", stages(&[json!({"name": "a"})]), Some("spec.dmarcPolicy.stages[0].policy: Required value")),
        ("a name of 63", name(&"a".repeat(63)), FINE),
        ("a name of 64", name(&"a".repeat(64)), Some("name: Too long: may not be more than 63 bytes")),
        ("an empty name", name(""), Some("name in body should be at least 1 chars long")),
        ("a name with a capital letter", name("Monitor"), Some("name in body should match")),
        ("a name with a hyphen at its end", name("monitor-"), Some("name in body should match")),
    ];
    admit(cases).await
}

#[tokio::test]
async fn stages_never_become_weaker() -> Result<()> {
    let cases: Vec<Case> = vec![
        (
            "the whole ladder",
            ladder(&[
                "None",
                "Quarantine t",
                "Quarantine 10",
                "Quarantine",
                "Reject t",
                "Reject 5",
                "Reject 50",
                "Reject",
            ]),
            FINE,
        ),
        ("the same again", ladder(&["Quarantine", "Quarantine"]), FINE),
        ("a step left out", ladder(&["None", "Reject"]), FINE),
        ("quarantine, then none", ladder(&["Quarantine", "None"]), WEAKER),
        ("reject, then quarantine", ladder(&["None", "Reject", "Quarantine"]), WEAKER),
        ("quarantine, then testing it", ladder(&["Quarantine", "Quarantine t"]), WEAKER),
        ("testing reject, then quarantine", ladder(&["Reject t", "Quarantine"]), WEAKER),
        ("quarantine, then testing reject", ladder(&["Quarantine", "Reject t"]), FINE),
        ("testing quarantine, then a tenth of it", ladder(&["Quarantine t", "Quarantine 10"]), FINE),
        ("a tenth of it, then testing quarantine", ladder(&["Quarantine 10", "Quarantine t"]), WEAKER),
        ("a falling percentage", ladder(&["Quarantine 50", "Quarantine 49"]), WEAKER),
        ("a percentage after all", ladder(&["Reject", "Reject 99"]), WEAKER),
        ("a percentage of a stricter policy", ladder(&["Quarantine", "Reject 1"]), FINE),
        ("the last of eight", ladder(&["None", "None", "None", "None", "None", "None", "Quarantine", "None"]), WEAKER),
        ("none, with a percentage that says nothing there", ladder(&["None", "None 10"]), FINE),
    ];
    admit(cases).await
}

#[tokio::test]
async fn a_stage_lasts_a_time_that_can_be_read() -> Result<()> {
    let without = |last: bool| {
        let timed = json!({"name": "a", "policy": "None", "minDuration": "30d"});
        let untimed = json!({"name": "b", "policy": "None"});
        if last { stages(&[timed, untimed]) } else { stages(&[untimed, timed]) }
    };
    let mut cases: Vec<Case> = vec![
        ("none on the last stage", without(true), FINE),
        ("none on the first stage", without(false), DURATION),
        ("more characters than a time has", lasting(json!("10000d")), Some("Too long: may not be more than 5 bytes")),
        ("a number", lasting(json!(30)), Some("minDuration in body must be of type string")),
    ];
    for time in ["1d", "30d", "9999d", "12h", "90m", "45s"] {
        cases.push((time, lasting(json!(time)), FINE));
    }
    for time in ["-30d", "x1d", "0d", "030d", "30", "d", "30D", "1w", "1.5d", "30 d", "1d2h", "30dx", ""] {
        cases.push((time, lasting(json!(time)), PATTERN));
    }
    admit(cases).await
}

#[tokio::test]
async fn percent_is_from_1_to_100() -> Result<()> {
    let percent = |percent: Value| stages(&[json!({"name": "a", "policy": "Reject", "percent": percent})]);
    let cases: Vec<Case> = vec![
        ("1", percent(json!(1)), FINE),
        ("100", percent(json!(100)), FINE),
        ("0", percent(json!(0)), Some("percent in body should be greater than or equal to 1")),
        ("101", percent(json!(101)), Some("percent in body should be less than or equal to 100")),
        ("a text", percent(json!("50%")), Some("percent in body must be of type integer")),
    ];
    admit(cases).await
}

#[tokio::test]
async fn reports_go_to_mailto_uris() -> Result<()> {
    let many = |count: usize| -> Vec<String> { (0..count).map(|n| format!("mailto:r{n}@example.com")).collect() };
    let longest = |length: usize| format!("mailto:{}@example.com", "a".repeat(length - "mailto:@example.com".len()));
    for field in ["aggregateReportUris", "failureReportUris"] {
        let to = |uris: Value| policy(json!({"stages": [{"name": "a", "policy": "None"}], field: uris}));
        let one = |uri: &str| to(json!([uri]));
        let cases: Vec<Case> = vec![
            ("an address", one("mailto:dmarc@example.com"), FINE),
            ("an address with a plus", one("mailto:dmarc+eu@reports.example.com"), FINE),
            ("ten", to(json!(many(10))), FINE),
            ("eleven", to(json!(many(11))), Some("Too many: 11: must have at most 10 items")),
            ("320 characters", one(&longest(320)), FINE),
            ("321 characters", one(&longest(321)), Some("Too long: may not be more than 320 bytes")),
            ("an address without mailto:", one("dmarc@example.com"), MAILTO),
            ("a web address", one("https://example.com/dmarc"), MAILTO),
            ("two addresses in one", one("mailto:a@example.com,mailto:b@example.com"), MAILTO),
            ("the size that RFC 9989 took away", one("mailto:a@example.com!10m"), MAILTO),
            ("a semicolon, which would end the tag", one("mailto:a@example.com;p=none"), MAILTO),
            ("a space", one("mailto:a b@example.com"), MAILTO),
            ("no host", one("mailto:dmarc@localhost"), MAILTO),
            ("hardly anything", one("mailto:a"), Some("in body should be at least 10 chars long")),
        ];
        admit(cases).await?;
    }
    Ok(())
}

#[tokio::test]
async fn report_uris_fit_into_one_record() -> Result<()> {
    let many = |count: usize, length: usize| -> Vec<String> {
        (0..count).map(|n| format!("mailto:{n}{}@example.com", "a".repeat(length - 20))).collect()
    };
    let to = |aggregate: Vec<String>, failure: Vec<String>| {
        let stages = json!([{"name": "a", "policy": "None"}]);
        policy(json!({"stages": stages, "aggregateReportUris": aggregate, "failureReportUris": failure}))
    };
    let words = Some("aggregateReportUris and failureReportUris together must stay within 3500 characters");
    let cases: Vec<Case> = vec![
        ("3,500 characters", to(many(10, 175), many(10, 175)), FINE),
        ("3,510 characters", to(many(10, 175), many(10, 176)), words),
        ("3,200 for one and 320 for the other", to(many(10, 320), many(1, 320)), words),
    ];
    admit(cases).await
}

#[tokio::test]
async fn the_active_stage_is_one_of_the_stages() -> Result<()> {
    let active = |name: &str| policy(json!({"stages": [{"name": "a", "policy": "None"}], "activeStage": name}));
    let cases: Vec<Case> = vec![
        ("one of them", active("a"), FINE),
        ("none of them", active("b"), Some("activeStage must be the name of one of the stages")),
        ("nothing", active(""), Some("activeStage in body should be at least 1 chars long")),
        ("64 characters", active(&"a".repeat(64)), Some("activeStage: Too long: may not be more than 63 bytes")),
    ];
    admit(cases).await
}
