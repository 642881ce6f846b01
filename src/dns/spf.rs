//! What an SPF policy (RFC 7208) says about Amazon SES, and how it comes to say so. What it costs its receivers is counted
//! in [`look_ups`].

use self::look_ups::PermError;

pub mod look_ups;

/// Whether a text is an SPF policy.
pub fn is_spf(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    text == "v=spf1" || text.starts_with("v=spf1 ")
}

/// Whether an SPF policy lets `include`'s senders pass.
pub fn includes(text: &str, include: &str) -> bool {
    is_spf(text) && heeded(text).any(|(_, term)| is_include(term, include) && is_pass(term))
}

/// Why a term can't be merged into a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The policy says the opposite.
    #[error("it says \"{0}\" already, which refuses SES")]
    Contradicts(String),
    /// The policy would be an error to every receiver.
    #[error(transparent)]
    Fails(#[from] PermError),
}

/// The policy with `include` before its `all`: every other term, their order and their spelling stay.
///
/// # Errors
/// When the policy says the opposite. Whether receivers can evaluate it then is not looked at.
pub fn merge(text: &str, include: &str) -> Result<String, MergeError> {
    if let Some((_, term)) = heeded(text).find(|(_, term)| is_include(term, include)) {
        let contradicts = || MergeError::Contradicts(term.to_owned());
        return is_pass(term).then(|| text.to_owned()).ok_or_else(contradicts);
    }
    // A redirect stands last by custom; what follows `all` is never looked at.
    let is_last = |term: &str| mechanism(term) == "all" || mechanism(term) == "redirect";
    let merged = match terms(text).find(|(_, term)| is_last(term)) {
        Some((at, _)) => format!("{}include:{include} {}", &text[..at], &text[at..]),
        None => format!("{} include:{include}", text.trim_end()),
    };
    Ok(merged)
}

/// The policy without the term that [`merge`] put into it.
pub fn without(text: &str, include: &str) -> String {
    let Some((at, term)) = heeded(text).find(|(_, term)| is_include(term, include) && is_pass(term)) else {
        return text.to_owned();
    };
    let (before, after) = (&text[..at], &text[at + term.len()..]);
    match after.trim_start() {
        "" => before.trim_end().to_owned(),
        after => format!("{before}{after}"),
    }
}

/// The terms after the version, each with its place in the text.
fn terms(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_ascii_whitespace().skip(1).map(move |term| (term.as_ptr() as usize - text.as_ptr() as usize, term))
}

/// The terms that a receiver heeds: whatever stands after `all` is ignored (RFC 7208 section 5.1).
fn heeded(text: &str) -> impl Iterator<Item = (usize, &str)> {
    terms(text).take_while(|(_, term)| mechanism(term) != "all")
}

/// A term's name, in lower case: `include` of `?include:example.com`, `redirect` of `redirect=example.com`.
fn mechanism(term: &str) -> String {
    let name = term.strip_prefix(['+', '-', '~', '?']).unwrap_or(term);
    name.split([':', '/', '=']).next().unwrap_or_default().to_ascii_lowercase()
}

fn is_pass(term: &str) -> bool {
    !term.starts_with(['-', '~', '?'])
}

/// Whether a term includes this domain, whatever it says of it.
fn is_include(term: &str, include: &str) -> bool {
    let domain = term.split_once(':').map(|(_, domain)| domain.trim_end_matches('.'));
    mechanism(term) == "include" && domain.is_some_and(|domain| domain.eq_ignore_ascii_case(include))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_includes_ses_in_any_spelling() {
        for (text, expected) in [
            ("v=spf1 include:amazonses.com ~all", true),
            ("V=SPF1 +Include:AmazonSES.com. -all", true),
            ("v=spf1 include:spf.example.com include:amazonses.com -all", true),
            ("v=spf1 -include:amazonses.com ~all", false),
            ("v=spf1 -all include:amazonses.com", false),
            ("v=spf1 include:notamazonses.com ~all", false),
            ("v=spf10 include:amazonses.com", false),
            ("include:amazonses.com", false),
        ] {
            assert_eq!(includes(text, "amazonses.com"), expected, "{text}");
        }
    }

    #[test]
    fn the_include_stands_before_all_and_everything_else_stays() {
        for (text, merged) in [
            ("v=spf1 ~all", "v=spf1 include:amazonses.com ~all"),
            (
                "v=spf1  ip4:192.0.2.1   -ALL exp=x.example",
                "v=spf1  ip4:192.0.2.1   include:amazonses.com -ALL exp=x.example",
            ),
            ("v=spf1 a mx include:a.example ?all", "v=spf1 a mx include:a.example include:amazonses.com ?all"),
            ("v=spf1 a redirect=b.example", "v=spf1 a include:amazonses.com redirect=b.example"),
            ("v=spf1 include:all.example", "v=spf1 include:all.example include:amazonses.com"),
            ("v=spf1", "v=spf1 include:amazonses.com"),
            ("v=spf1 -all include:amazonses.com", "v=spf1 include:amazonses.com -all include:amazonses.com"),
        ] {
            assert_eq!(merge(text, "amazonses.com").as_deref(), Ok(merged), "{text}");
            assert!(includes(merged, "amazonses.com"), "{merged}");
            assert_eq!(without(merged, "amazonses.com"), text);
            assert_eq!(merge(merged, "amazonses.com").as_deref(), Ok(merged), "once is enough");
        }
    }

    #[test]
    fn a_policy_that_refuses_ses_is_not_merged_with() {
        for term in ["-include:amazonses.com", "~include:AmazonSES.com.", "?include:amazonses.com"] {
            let error = merge(&format!("v=spf1 {term} ~all"), "amazonses.com").expect_err("it contradicts");
            assert_eq!(error, MergeError::Contradicts(term.into()));
        }
    }

    #[test]
    fn what_was_not_merged_is_not_taken_out() {
        for text in [
            "v=spf1 ~all",
            "v=spf1 -all include:amazonses.com",
            "v=spf1 -include:amazonses.com ~all",
            "v=spf1 include:notamazonses.com ~all",
        ] {
            assert_eq!(without(text, "amazonses.com"), text);
        }
    }
}
