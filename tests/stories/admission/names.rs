//! Domains, Regions and MAIL FROM subdomains.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Case, FINE, admit, spec};

const LABELS: Option<&str> = Some("domain must be a host name such as example.com: at least two labels");
const CASE: Option<&str> = Some("domain must be written in lower case");
const DOT: Option<&str> = Some("domain must be written without the trailing dot");
const RELATIVE: Option<&str> =
    Some("mailFromSubdomain must be relative to the domain, such as mail for mail.example.com");
const WITHOUT_DOMAIN: Option<&str> =
    Some("mailFromSubdomain must be relative to the domain: write mail for mail.example.com");
const SUB_LABELS: Option<&str> = Some("mailFromSubdomain must be made of labels of 1 to 63 lower-case letters");
const SUB_LENGTH: Option<&str> =
    Some("mailFromSubdomain and domain together must stay within the 253 characters of a DNS name");
const REGION: Option<&str> = Some("spec.region in body should match");

/// A label of that many characters.
fn label(length: usize) -> String {
    "a".repeat(length)
}

/// A domain of that many characters, with labels as long as they may be.
fn domain(length: usize) -> String {
    let mut name = "example.com".to_owned();
    while name.len() + 1 < length {
        name = format!("{}.{name}", label((length - name.len() - 1).min(63)));
        if length - name.len() == 1 {
            name = format!("x{name}").replacen("xa", "a", 1);
        }
    }
    name
}

fn of(domain: &str) -> Value {
    json!({ "domain": domain })
}

#[tokio::test]
async fn a_domain_is_a_normalised_host_name() -> Result<()> {
    let cases: Vec<Case> = vec![
        ("a plain domain", of("example.com"), FINE),
        ("the shortest", of("a.io"), FINE),
        ("a domain of many labels", of("a.b.c.d.e.example.co.uk"), FINE),
        ("digits and hyphens", of("1-2.3com-4.com"), FINE),
        ("an internationalized domain in punycode", of("xn--bcher-kva.example"), FINE),
        ("an internationalized top level domain", of("example.xn--p1ai"), FINE),
        ("a label of 63", of(&format!("{}.com", label(63))), FINE),
        ("209 characters", of(&domain(209)), FINE),
        ("210 characters", of(&domain(210)), Some("spec.domain: Too long: may not be more than 209 bytes")),
        ("three characters", of("a.b"), Some("spec.domain in body should be at least 4 chars long")),
        ("no domain", json!({}), Some("spec.domain: Required value")),
        ("a number", json!({"domain": 7}), Some("spec.domain in body must be of type string")),
        ("a single label", of("example"), LABELS),
        ("a label of 64", of(&format!("{}.com", label(64))), LABELS),
        ("an empty label", of("a..example.com"), LABELS),
        ("a leading dot", of(".example.com"), LABELS),
        ("a leading hyphen", of("-a.example.com"), LABELS),
        ("a trailing hyphen", of("a-.example.com"), LABELS),
        ("an underscore", of("_dmarc.example.com"), LABELS),
        ("a space", of("exa mple.com"), LABELS),
        ("an address", of("dmarc@example.com"), LABELS),
        ("a wildcard", of("*.example.com"), LABELS),
        ("letters beyond ASCII", of("bücher.example"), LABELS),
        ("a top level domain of one letter", of("example.c"), LABELS),
        ("an IP address", of("192.168.100.100"), LABELS),
        ("a capital letter", of("Example.com"), CASE),
        ("a trailing dot", of("example.com."), DOT),
    ];
    admit(cases).await
}

#[tokio::test]
async fn a_region_looks_like_one() -> Result<()> {
    let cases: Vec<Case> = vec![
        ("none", spec(json!({})), FINE),
        ("a plain one", spec(json!({"region": "eu-west-1"})), FINE),
        ("a long one", spec(json!({"region": "ap-southeast-12"})), FINE),
        ("of GovCloud", spec(json!({"region": "us-gov-west-1"})), FINE),
        ("of the European Sovereign Cloud", spec(json!({"region": "eusc-de-east-1"})), FINE),
        ("an availability zone", spec(json!({"region": "eu-west-1a"})), REGION),
        ("capital letters", spec(json!({"region": "EU-WEST-1"})), REGION),
        ("a display name", spec(json!({"region": "Europe (Ireland)"})), REGION),
        ("too short", spec(json!({"region": "eu-we-1"})), Some("spec.region in body should be at least 9 chars long")),
        (
            "too long",
            spec(json!({"region": format!("eu-{}-1", label(22))})),
            Some("spec.region: Too long: may not be more than 25 bytes"),
        ),
    ];
    admit(cases).await
}

#[tokio::test]
async fn a_mail_from_subdomain_is_relative_and_stays_a_valid_name() -> Result<()> {
    let of = |labels: &str| spec(json!({ "mailFromSubdomain": labels }));
    let whole = |name: &str| json!({"domain": "example.com", "mailFromSubdomain": name});
    let long = |sub: usize, length: usize| json!({"domain": domain(length), "mailFromSubdomain": labels(sub)});
    let cases: Vec<Case> = vec![
        ("one label", of("mail"), FINE),
        ("several labels", of("bounce.eu.mail"), FINE),
        ("a label of 63", of(&label(63)), FINE),
        ("one letter", of("m"), FINE),
        ("an internationalized label in punycode", of("xn--bcher-kva"), FINE),
        ("253 characters with the domain", long(43, 209), FINE),
        ("254 characters with the domain", long(44, 209), SUB_LENGTH),
        ("200 characters", long(200, 52), FINE),
        ("201 characters", long(201, 20), Some("spec.mailFromSubdomain: Too long: may not be more than 200 bytes")),
        ("nothing", of(""), Some("spec.mailFromSubdomain in body should be at least 1 chars long")),
        ("the domain repeated", whole("mail.example.com"), WITHOUT_DOMAIN),
        ("the domain itself", whole("example.com"), WITHOUT_DOMAIN),
        ("a look-alike of the domain", whole("mailexample.com"), FINE),
        ("a trailing dot", of("mail."), RELATIVE),
        ("a leading dot", of(".mail"), RELATIVE),
        ("a label of 64", of(&label(64)), SUB_LABELS),
        ("an empty label", of("bounce..mail"), SUB_LABELS),
        ("a capital letter", of("Mail"), SUB_LABELS),
        ("an underscore", of("mail_from"), SUB_LABELS),
        ("a trailing hyphen", of("mail-"), SUB_LABELS),
        ("letters beyond ASCII", of("bücher"), SUB_LABELS),
    ];
    admit(cases).await
}

/// Labels of that many characters in all.
fn labels(length: usize) -> String {
    let all = format!("{}.", label(63)).repeat(4);
    let cut = &all[..length];
    cut.strip_suffix('.').map_or_else(|| cut.to_owned(), |rest| format!("{}b", rest))
}

#[tokio::test]
async fn reject_message_needs_a_mail_from_domain() -> Result<()> {
    let words = Some("mxFailureBehavior RejectMessage needs a mailFromSubdomain");
    let cases: Vec<Case> = vec![
        ("with one", spec(json!({"mxFailureBehavior": "RejectMessage", "mailFromSubdomain": "mail"})), FINE),
        ("without one", spec(json!({"mxFailureBehavior": "RejectMessage"})), words),
        ("the other behavior without one", spec(json!({"mxFailureBehavior": "UseDefaultValue"})), FINE),
    ];
    admit(cases).await
}

#[test]
fn the_names_of_these_cases_are_as_long_as_they_say() {
    for length in [20, 52, 209, 210] {
        assert_eq!(domain(length).len(), length);
    }
    for length in [43, 44, 200, 201] {
        assert_eq!(labels(length).len(), length);
    }
}
