//! What an SPF policy (RFC 7208) says about Amazon SES.

/// Whether a text is an SPF policy.
pub fn is_spf(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    text == "v=spf1" || text.starts_with("v=spf1 ")
}

/// Whether an SPF policy lets `include`'s senders pass.
pub fn includes(text: &str, include: &str) -> bool {
    let wanted = format!("include:{include}");
    is_spf(text)
        && text.split_ascii_whitespace().any(|term| {
            let term = term.to_ascii_lowercase();
            term.strip_prefix('+').unwrap_or(&term).trim_end_matches('.') == wanted
        })
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
            ("v=spf1 include:notamazonses.com ~all", false),
            ("v=spf10 include:amazonses.com", false),
            ("include:amazonses.com", false),
        ] {
            assert_eq!(includes(text, "amazonses.com"), expected, "{text}");
        }
    }
}
