//! The DMARC record: how it is written, read and compared.

use std::collections::BTreeMap;

use crate::api::spec::{Alignment, DmarcPolicy, DmarcStage, Policy};

/// The text of the record for a stage: `v` first and `p` second, as receivers of before RFC 9989 want it.
pub fn render(policy: &DmarcPolicy, stage: &DmarcStage) -> String {
    let mut tags = vec![("v", "DMARC1".to_owned()), ("p", policy_word(stage.policy).to_owned())];
    let mut add = |tag, value: Option<String>| tags.extend(value.map(|value| (tag, value)));
    add("sp", policy.subdomain_policy.map(|policy| policy_word(policy).to_owned()));
    add("np", policy.nonexistent_subdomain_policy.map(|policy| policy_word(policy).to_owned()));
    add("t", stage.testing.filter(|testing| *testing).map(|_| "y".to_owned()));
    add("pct", stage.percent.map(|percent| percent.to_string()));
    add("adkim", policy.dkim_alignment.map(alignment_letter));
    add("aspf", policy.spf_alignment.map(alignment_letter));
    add("rua", uri_list(&policy.aggregate_report_uris));
    add("ruf", uri_list(&policy.failure_report_uris));
    tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect::<Vec<_>>().join("; ")
}

/// Whether a text has the form that [`render`] writes: which one of them is not told. What is rendered otherwise one day
/// must be known here as well, since records that were written before have the form of today.
pub fn is_rendered(text: &str) -> bool {
    const ORDER: [&str; 10] = ["v", "p", "sp", "np", "t", "pct", "adkim", "aspf", "rua", "ruf"];
    let mut left = ORDER.iter();
    let in_order = text.split("; ").all(|part| {
        let (tag, value) = part.split_once('=').unwrap_or((part, ""));
        let is_policy = || matches!(value, "none" | "quarantine" | "reject");
        let has_value = match tag {
            "v" => value == "DMARC1",
            "p" | "sp" | "np" => is_policy(),
            "t" => value == "y",
            "pct" => value.parse::<u8>().is_ok_and(|percent| percent.to_string() == value),
            "adkim" | "aspf" => matches!(value, "r" | "s"),
            _ => value.starts_with("mailto:") && !value.contains(';'),
        };
        has_value && left.any(|next| *next == tag)
    });
    in_order && text.starts_with("v=DMARC1; p=")
}

fn uri_list(uris: &[crate::api::spec::ReportUri]) -> Option<String> {
    (!uris.is_empty()).then(|| uris.iter().map(|uri| uri.0.as_str()).collect::<Vec<_>>().join(","))
}

fn policy_word(policy: Policy) -> &'static str {
    match policy {
        Policy::None => "none",
        Policy::Quarantine => "quarantine",
        Policy::Reject => "reject",
    }
}

fn alignment_letter(alignment: Alignment) -> String {
    match alignment {
        Alignment::Relaxed => "r".to_owned(),
        Alignment::Strict => "s".to_owned(),
    }
}

/// A record as its tags, for comparing by meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    tags: BTreeMap<String, String>,
}

/// How strict a policy is: first the policy and its testing mode, then the percentage.
pub type Strength = (u8, u8);

/// The tags of a text with their values, as they stand: `v = DMARC1` may have spaces (RFC 9989).
fn tags(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(|part| {
        let (tag, value) = part.split_once('=').unwrap_or((part, ""));
        (tag.trim().to_ascii_lowercase(), value.trim())
    })
}

/// Whether a text is a DMARC record, or is meant to be one: whatever receivers make of it, ours must not stand beside it.
pub fn is_dmarc(text: &str) -> bool {
    tags(text).next().is_some_and(|(tag, value)| tag == "v" && value.to_ascii_uppercase().starts_with("DMARC1"))
}

impl Record {
    /// Reads a record; `None` when the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = tags(text).map(|(tag, value)| {
            // Tag values of the policy are words; only URIs may have a case of their own.
            let value = if matches!(tag.as_str(), "rua" | "ruf" | "v") {
                value.split(',').map(str::trim).collect::<Vec<_>>().join(",")
            } else {
                value.to_ascii_lowercase()
            };
            (tag, value)
        });
        let version = parts.next()?;
        (version.0 == "v" && version.1 == "DMARC1")
            .then(|| Self { tags: std::iter::once(version).chain(parts).collect() })
    }

    /// Whether receivers act alike on both: tags that state a default are as good as absent.
    pub fn means_the_same_as(&self, other: &Self) -> bool {
        self.effective() == other.effective()
    }

    /// Whether it differs from another one by nothing but that it asks for no reports, or for fewer kinds of them.
    pub fn lacks_only_reports_of(&self, other: &Self) -> bool {
        const REPORTS: [&str; 3] = ["rua", "ruf", "fo"];
        let (own, mut others) = (self.effective(), other.effective());
        others.retain(|tag, _| !REPORTS.contains(tag) || own.contains_key(tag));
        own == others
    }

    fn effective(&self) -> BTreeMap<&str, &str> {
        let default = |tag: &str| match tag {
            "adkim" | "aspf" => Some("r"),
            "pct" => Some("100"),
            "t" => Some("n"),
            "fo" => Some("0"),
            "psd" => Some("u"),
            _ => None,
        };
        let policy = self.tags.get("p").map(String::as_str);
        let subdomains = self.tags.get("sp").map(String::as_str).or(policy);
        self.tags
            .iter()
            .map(|(tag, value)| (tag.as_str(), value.as_str()))
            .filter(|(tag, value)| {
                default(tag) != Some(*value)
                    && !(*tag == "sp" && Some(*value) == policy)
                    && !(*tag == "np" && Some(*value) == subdomains)
            })
            .collect()
    }

    /// How strict the record is. A policy that can't be read counts as none, as receivers do.
    pub fn strength(&self) -> Strength {
        let testing = self.tags.get("t").is_some_and(|value| value == "y");
        let percent = self.tags.get("pct").and_then(|value| value.parse().ok()).unwrap_or(100).min(100);
        match self.tags.get("p").map(String::as_str) {
            Some("quarantine") => (if testing { 1 } else { 2 }, percent),
            Some("reject") => (if testing { 3 } else { 4 }, percent),
            Some(_) | None => (0, 100),
        }
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |tag: &str| self.tags.get(tag).map(|value| format!("{tag}={value}"));
        let first = ["v", "p"].into_iter().filter_map(text);
        let others = self.tags.keys().filter(|tag| !matches!(tag.as_str(), "v" | "p")).filter_map(|tag| text(tag));
        f.write_str(&first.chain(others).collect::<Vec<_>>().join("; "))
    }
}

/// How strict a stage is.
pub fn stage_strength(stage: &DmarcStage) -> Strength {
    let testing = stage.testing.unwrap_or(false);
    let percent = stage.percent.unwrap_or(100);
    match stage.policy {
        Policy::None => (0, 100),
        Policy::Quarantine => (if testing { 1 } else { 2 }, percent),
        Policy::Reject => (if testing { 3 } else { 4 }, percent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::spec::ReportUri;

    fn stage(policy: Policy, testing: Option<bool>, percent: Option<u8>) -> DmarcStage {
        DmarcStage { name: "stage".into(), policy, min_duration: None, testing, percent }
    }

    fn policy() -> DmarcPolicy {
        DmarcPolicy {
            stages: vec![],
            advancement: Default::default(),
            active_stage: None,
            aggregate_report_uris: vec![],
            failure_report_uris: vec![],
            dkim_alignment: None,
            spf_alignment: None,
            subdomain_policy: None,
            nonexistent_subdomain_policy: None,
        }
    }

    #[test]
    fn the_smallest_record() {
        assert_eq!(render(&policy(), &stage(Policy::None, None, None)), "v=DMARC1; p=none");
    }

    #[test]
    fn every_tag_in_its_place() {
        let policy = DmarcPolicy {
            aggregate_report_uris: vec![
                ReportUri("mailto:a@example.com".into()),
                ReportUri("mailto:b@example.com".into()),
            ],
            failure_report_uris: vec![ReportUri("mailto:f@example.com".into())],
            dkim_alignment: Some(Alignment::Strict),
            spf_alignment: Some(Alignment::Relaxed),
            subdomain_policy: Some(Policy::Quarantine),
            nonexistent_subdomain_policy: Some(Policy::Reject),
            ..policy()
        };
        let rendered = render(&policy, &stage(Policy::Reject, Some(true), Some(25)));
        assert_eq!(
            rendered,
            "v=DMARC1; p=reject; sp=quarantine; np=reject; t=y; pct=25; adkim=s; aspf=r; \
             rua=mailto:a@example.com,mailto:b@example.com; ruf=mailto:f@example.com"
        );
        assert!(is_rendered(&rendered));
    }

    #[test]
    fn a_record_of_the_form_that_is_written_is_told_from_others() {
        for (text, expected) in [
            ("v=DMARC1; p=none", true),
            (
                "v=DMARC1; p=reject; sp=quarantine; np=reject; t=y; pct=25; adkim=s; aspf=r; rua=mailto:a@b.c,mailto:d@e.f; ruf=mailto:f@b.c",
                true,
            ),
            ("v=DMARC1; p=none; rua=https://example.com", false),
            ("v=DMARC1; p=none; rua=mailto:a@b.c; adkim=s", false),
            ("v=DMARC1; p=none; fo=1", false),
            ("v=DMARC1; p=NONE", false),
            ("v=DMARC1; p=none;", false),
            ("v=DMARC1;p=none", false),
            ("v=DMARC1; p=none; pct=025", false),
            ("v=DMARC1", false),
            ("p=none; v=DMARC1", false),
        ] {
            assert_eq!(is_rendered(text), expected, "{text}");
        }
    }

    #[test]
    fn records_are_compared_by_meaning() {
        for (one, other, same) in [
            ("v=DMARC1; p=none", "v=DMARC1;p=none;", true),
            ("v=DMARC1; p=none", "v=DMARC1; p=NONE; pct=100; adkim=r; t=n; sp=none", true),
            ("v=DMARC1; p=none; rua=mailto:a@b.c", "v=DMARC1; rua = mailto:a@b.c ; p=none", true),
            ("v=DMARC1; p=none; rua=mailto:a@b.c", "v=DMARC1; p=none", false),
            ("v=DMARC1; p=reject", "v=DMARC1; p=reject; t=y", false),
            ("v=DMARC1; p=reject", "v=DMARC1; p=reject; sp=none", false),
        ] {
            let parse = |text| Record::parse(text).expect("a record");
            assert_eq!(parse(one).means_the_same_as(&parse(other)), same, "{one} | {other}");
        }
    }

    #[test]
    fn a_record_that_lacks_only_reports_is_told_from_one_that_asks_for_something_else() {
        let wanted = "v=DMARC1; p=none; rua=mailto:a@b.c; ruf=mailto:f@b.c";
        for (found, lacks_only_reports) in [
            ("v=DMARC1; p=none;", true),
            ("v=DMARC1;p=none;pct=100;rua=mailto:a@b.c", true),
            (wanted, true),
            ("v=DMARC1; p=none; rua=mailto:they@b.c", false),
            ("v=DMARC1; p=none; fo=1", false),
            ("v=DMARC1; p=none; adkim=s", false),
            ("v=DMARC1; p=quarantine", false),
        ] {
            let parse = |text| Record::parse(text).expect("a record");
            assert_eq!(parse(found).lacks_only_reports_of(&parse(wanted)), lacks_only_reports, "{found}");
        }
    }

    #[test]
    fn what_is_not_a_record_is_not_read_as_one() {
        for text in ["", "p=none; v=DMARC1", "v=DMARC2; p=none", "v=spf1 -all", "v=dmarc1; p=none"] {
            assert_eq!(Record::parse(text), None, "{text}");
        }
    }

    #[test]
    fn whatever_is_read_or_meant_as_a_record_is_one_that_ours_must_not_stand_beside() {
        for (text, expected) in [
            ("v=DMARC1; p=none", true),
            (" v = DMARC1 ; p=reject", true),
            ("; V=DMARC1; p=none", true),
            ("v=dmarc1; p=none", true),
            ("v=DMARC1 p=none", true),
            ("v=DMARC2; p=none", false),
            ("p=none; v=DMARC1", false),
            ("v=spf1 -all", false),
            ("", false),
        ] {
            assert_eq!(is_dmarc(text), expected, "{text}");
            assert!(is_dmarc(text) || Record::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn strength_rises_along_the_ladder() {
        let ladder = [
            stage(Policy::None, None, None),
            stage(Policy::Quarantine, Some(true), None),
            stage(Policy::Quarantine, None, Some(10)),
            stage(Policy::Quarantine, None, None),
            stage(Policy::Reject, Some(true), None),
            stage(Policy::Reject, None, None),
        ];
        assert!(ladder.windows(2).all(|pair| stage_strength(&pair[0]) < stage_strength(&pair[1])));
        for stage in &ladder {
            let record = Record::parse(&render(&policy(), stage)).expect("our own record");
            assert_eq!(record.strength(), stage_strength(stage));
        }
    }
}
