//! Calls, counted.

use std::collections::BTreeMap;

use ses_operator_rig::aws::{Request, Service};
use ses_operator_rig::control_plane::audit::AuditEntry;

/// How often what was called: `route53 GetChange`, `kubernetes patch sesdomains/status`.
pub type Calls = BTreeMap<String, u64>;

/// What the other client asks for, so that its calls can be told from the operator's.
pub const OTHER_CLIENT: &str = "other-client.example";

/// The operator's calls to SES and Route 53: what the other client asked is left out.
pub fn of_operator(requests: Vec<Request>) -> Vec<Request> {
    let others = |request: &Request| request.target.as_deref() == Some(OTHER_CLIENT);
    requests.into_iter().filter(|request| request.service != Service::Sts && !others(request)).collect()
}

pub fn tally(aws: &[Request], kubernetes: &[AuditEntry]) -> Calls {
    let mut calls = Calls::new();
    for request in aws {
        let service = if request.service == Service::Ses { "ses" } else { "route53" };
        *calls.entry(format!("{service} {}", request.operation)).or_default() += 1;
    }
    for entry in kubernetes {
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
