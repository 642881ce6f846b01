//! Calls, counted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ses_operator_rig::aws::{Request, Service};
use ses_operator_rig::control_plane::audit::AuditEntry;

use crate::domains::Layout;

/// How often what was called: `route53 GetChange`, `kubernetes patch sesdomains/status`.
pub type Calls = BTreeMap<String, u64>;

/// What the other client asks for, so that its calls can be told from the operator's.
pub const OTHER_CLIENT: &str = "other-client.example";

/// Whether the other client asked.
pub fn is_others(request: &Request) -> bool {
    request.target.as_deref() == Some(OTHER_CLIENT)
}

/// The operator's calls to SES and Route 53.
pub fn of_operator(requests: Vec<Request>) -> Vec<Request> {
    requests.into_iter().filter(|request| request.service != Service::Sts && !is_others(request)).collect()
}

pub fn of_aws<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Calls {
    let mut calls = Calls::new();
    for request in requests {
        let service = if request.service == Service::Ses { "ses" } else { "route53" };
        *calls.entry(format!("{service} {}", request.operation)).or_default() += 1;
    }
    calls
}

pub fn of_kubernetes<'a>(requests: impl IntoIterator<Item = &'a AuditEntry>) -> Calls {
    let mut calls = Calls::new();
    for entry in requests {
        let part = if entry.subresource.is_empty() { String::new() } else { format!("/{}", entry.subresource) };
        *calls.entry(format!("kubernetes {} {}{part}", entry.verb, entry.resource)).or_default() += 1;
    }
    calls
}

/// The calls whose name begins so.
pub fn sum(calls: &Calls, prefix: &str) -> f64 {
    calls.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| *count as f64).sum()
}

/// Whether AWS refused for its quota.
pub fn is_refused(request: &Request) -> bool {
    matches!(request.error.as_deref(), Some("TooManyRequestsException" | "Throttling"))
}

/// The calls as a note tells them, the most frequent first.
pub fn told(calls: &Calls, prefix: &str) -> String {
    let mut of_service: Vec<_> = calls.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
    of_service.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let told = of_service.iter().map(|(name, count)| format!("{count} {}", name.trim_start_matches(prefix).trim()));
    told.collect::<Vec<_>>().join(", ")
}

/// When each domain was Ready, and which zone it is in: what a call may have been for.
#[derive(Clone, Debug)]
pub struct Ready<'a> {
    /// When each domain was.
    domains: &'a BTreeMap<String, Timestamp>,
    /// When the last domain of each zone was, by the zone's ID.
    zones: BTreeMap<&'a str, Timestamp>,
    /// When the last of all was.
    last: Timestamp,
}

impl<'a> Ready<'a> {
    /// `zones` are the IDs of the zones by their names. A domain that was never Ready has all calls until the end.
    pub fn new(
        domains: &'a BTreeMap<String, Timestamp>,
        all: &[String],
        layout: Layout,
        zones: &'a BTreeMap<String, String>,
    ) -> Self {
        let ready = |domain: &String| domains.get(domain).copied().unwrap_or(Timestamp::MAX);
        let mut last_of: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for domain in all {
            let Some(zone) = zones.get(&layout.zone(domain)) else { continue };
            let last = last_of.entry(zone).or_insert(Timestamp::MIN);
            *last = ready(domain).max(*last);
        }
        let last = all.iter().map(ready).max().unwrap_or(Timestamp::MAX);
        Self { domains, zones: last_of, last }
    }

    /// Whether a call was made before what it was for was Ready: a domain; all domains of a zone; all of the run, for a list
    /// that they share. What comes later are the rounds over settled domains.
    pub fn counts(&self, request: &Request) -> bool {
        let zone = request.zone.as_deref().and_then(|zone| self.zones.get(zone));
        let domain = request.target.as_ref().and_then(|target| self.domains.get(target));
        request.at <= zone.or(domain).copied().unwrap_or(self.last)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn request(service: &str, operation: &str, target: Option<&str>, zone: Option<&str>, second: i64) -> Request {
        serde_json::from_value(json!({
            "seq": 1, "at": at(second), "arrived": at(second), "service": service, "operation": operation,
            "region": "eu-west-1", "target": target, "zone": zone, "status": 200, "error": null, "fault": null,
            "mutation": false, "summary": "",
        }))
        .expect("a request")
    }

    #[test]
    fn a_call_counts_until_what_it_was_for_is_ready() {
        let domains = ["a.example", "b.example"].map(str::to_owned).to_vec();
        let ready = BTreeMap::from([(domains[0].clone(), at(100)), (domains[1].clone(), at(200))]);
        let own =
            BTreeMap::from([("a.example".to_owned(), "ZA".to_owned()), ("b.example".to_owned(), "ZB".to_owned())]);
        let known = Ready::new(&ready, &domains, Layout::Own, &own);
        for (call, last) in [
            (("ses", "GetEmailIdentity", Some("a.example"), None), 100),
            (("ses", "ListEmailIdentities", None, None), 200),
            (("route53", "ListHostedZonesByName", None, None), 200),
            (("route53", "ListResourceRecordSets", Some("ZA"), Some("ZA")), 100),
            (("route53", "GetChange", Some("C1"), Some("ZB")), 200),
        ] {
            let (service, operation, target, zone) = call;
            let counts = |second| known.counts(&request(service, operation, target, zone, second));
            assert_eq!((counts(last), counts(last + 1)), (true, false), "{call:?}");
        }
    }

    #[test]
    fn a_shared_zone_is_ready_with_its_last_domain_and_a_domain_that_never_was_counts_to_the_end() {
        let domains = ["a.example.com", "b.example.com"].map(str::to_owned).to_vec();
        let zones = BTreeMap::from([("example.com".to_owned(), "Z".to_owned())]);
        let all = BTreeMap::from([(domains[0].clone(), at(100)), (domains[1].clone(), at(200))]);
        let one = BTreeMap::from([(domains[0].clone(), at(100))]);
        let list = |second| request("route53", "ListResourceRecordSets", Some("Z"), Some("Z"), second);
        let of_all = Ready::new(&all, &domains, Layout::Shared, &zones);
        assert_eq!((of_all.counts(&list(200)), of_all.counts(&list(201))), (true, false));
        let of_one = Ready::new(&one, &domains, Layout::Shared, &zones);
        assert!(of_one.counts(&list(9_000)));
        assert!(of_one.counts(&request("ses", "GetEmailIdentity", Some("b.example.com"), None, 9_000)));
    }
}
