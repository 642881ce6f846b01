//! How strict a domain's DMARC policy is, and that it never becomes weaker by itself.

use std::collections::BTreeMap;

use ses_operator::api::spec::{DmarcPolicy, Policy};
use ses_operator::dns::text;
use ses_operator::domain_name::DomainName;

/// First the policy with its testing mode, then the percentage.
type Strength = (u8, u8);

/// How strict a policy is for the domain, for its subdomains, and for names that do not exist.
pub type Strictness = [Strength; 3];

/// That no policy is in force.
pub const NOTHING: Strictness = [(0, 0); 3];

fn strength(policy: &str, testing: bool, percent: u8) -> Strength {
    match policy {
        "quarantine" => (if testing { 1 } else { 2 }, percent),
        "reject" => (if testing { 3 } else { 4 }, percent),
        _ => (0, 100),
    }
}

/// What receivers make of the values of a TXT set: of several policies they heed none.
pub fn strictness(values: &[String]) -> Strictness {
    let mut policies = values.iter().map(|value| text::unquote(value)).filter(|text| text.starts_with("v=DMARC1"));
    let (Some(policy), None) = (policies.next(), policies.next()) else { return NOTHING };
    let tags: BTreeMap<&str, &str> = policy.split(';').filter_map(|tag| tag.trim().split_once('=')).collect();
    let testing = tags.get("t") == Some(&"y");
    let percent = tags.get("pct").and_then(|percent| percent.parse().ok()).unwrap_or(100);
    let of_domain = tags.get("p").copied().unwrap_or_default();
    let of_subdomains = tags.get("sp").copied().unwrap_or(of_domain);
    let of_others = tags.get("np").copied().unwrap_or(of_subdomains);
    [of_domain, of_subdomains, of_others].map(|policy| strength(policy, testing, percent))
}

/// How strict the policy of each `_dmarc` name must be at least: as strict as what was found there first, or as what was
/// written there last, unless a person asks for less.
#[derive(Clone, Debug, Default)]
pub struct Floors(BTreeMap<DomainName, Floor>);

#[derive(Clone, Debug, Default)]
struct Floor {
    written: Option<Strictness>,
    asked: Option<DmarcPolicy>,
}

impl Floors {
    /// The operator has written there. Tells what it was and must not have fallen below.
    pub fn written(&mut self, name: &DomainName, before: Strictness, after: Strictness) -> Result<(), Strictness> {
        let floor = self.0.entry(name.clone()).or_default();
        let asked = |found| floor.asked.as_ref().map_or(found, |asked| lowered(found, asked));
        let promised = floor.written.unwrap_or_else(|| asked(before));
        floor.written = Some(after);
        let is_weaker = promised.iter().zip(after).any(|(promised, after)| after < *promised);
        if is_weaker { Err(promised) } else { Ok(()) }
    }

    /// A person asks for this policy: the stage that it pins, and what it says of subdomains, may be weaker.
    pub fn ask(&mut self, name: &DomainName, asked: &DmarcPolicy) {
        let floor = self.0.entry(name.clone()).or_default();
        floor.written = floor.written.map(|written| lowered(written, asked));
        floor.asked = Some(asked.clone());
    }

    /// The domain is nobody's any more.
    pub fn forget(&mut self, name: &DomainName) {
        self.0.remove(name);
    }
}

/// What is promised where a person asks for this policy.
fn lowered([domain, subdomains, others]: Strictness, asked: &DmarcPolicy) -> Strictness {
    let pinned = asked.stages.iter().find(|stage| Some(&stage.name) == asked.active_stage.as_ref());
    let (testing, percent) =
        pinned.map_or((false, 100), |stage| (stage.testing.unwrap_or_default(), stage.percent.unwrap_or(100)));
    let of = |policy: Policy| strength(&format!("{policy:?}").to_ascii_lowercase(), testing, percent);
    let domain = pinned.map_or(domain, |stage| of(stage.policy).min(domain));
    let subdomains = asked.subdomain_policy.map_or(domain, of).min(subdomains);
    let others = asked.nonexistent_subdomain_policy.map_or(subdomains, of).min(others);
    [domain, subdomains, others]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(policy: &str) -> Strictness {
        strictness(&[text::quote(policy)])
    }

    #[test]
    fn each_part_of_a_policy_is_compared() {
        let name = DomainName::new("_dmarc.example.com");
        for (before, after, kept) in [
            ("v=DMARC1; p=none", "v=DMARC1; p=reject", true),
            ("v=DMARC1; p=reject", "v=DMARC1; p=quarantine", false),
            ("v=DMARC1; p=reject", "v=DMARC1; p=reject; sp=none", false),
            ("v=DMARC1; p=none; np=reject", "v=DMARC1; p=quarantine", false),
            ("v=DMARC1; p=reject", "v=DMARC1; p=reject; t=y", false),
            ("v=DMARC1; p=quarantine; pct=50", "v=DMARC1; p=quarantine; rua=mailto:a@example.com", true),
            ("v=DMARC1; p=none", "something else", false),
        ] {
            let told = Floors::default().written(&name, of(before), of(after));
            assert_eq!(told.is_ok(), kept, "{before} became {after}");
        }
    }

    #[test]
    fn what_was_written_last_is_the_floor_until_a_person_asks_for_less() {
        let name = DomainName::new("_dmarc.example.com");
        let (none, reject) = (of("v=DMARC1; p=none"), of("v=DMARC1; p=reject"));
        let mut floors = Floors::default();
        assert_eq!(floors.written(&name, NOTHING, reject), Ok(()));
        assert_eq!(floors.clone().written(&name, none, none), Err(reject), "somebody weakened it in between");
        let pinned = serde_json::json!({"stages": [{"name": "monitor", "policy": "None"}], "activeStage": "monitor"});
        let pinned = serde_json::from_value(pinned).expect("a policy");
        floors.ask(&name, &pinned);
        assert_eq!(floors.written(&name, reject, none), Ok(()));
        let mut found = Floors::default();
        found.ask(&name, &pinned);
        assert_eq!(found.written(&name, reject, none), Ok(()), "it was asked for from the beginning");
    }
}
