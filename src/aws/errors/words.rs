//! AWS's own words, without what differs from one try to the next: they stand in a status.

/// Enough for the longest refusal by IAM.
const LIMIT: usize = 500;

/// One line of at most 500 characters, without request IDs and names of sessions.
pub(super) fn plain(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = without_session(&without_request_id(&text));
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Cuts `(… Request ID: 0f1e…)`, in whatever spelling.
fn without_request_id(text: &str) -> String {
    let mut text = text.to_owned();
    // Only bytes of ASCII change, so places in both are the same.
    while let Some((start, end)) = find_request_id(&text.to_ascii_lowercase()) {
        text.replace_range(start..end, "");
    }
    text.trim_end().to_owned()
}

fn find_request_id(text: &str) -> Option<(usize, usize)> {
    let label = ["request id:", "requestid:", "request_id:", "request id =", "requestid="];
    let (start, label) = label.iter().filter_map(|label| Some((text.find(label)?, label))).min()?;
    let value = start + label.len();
    let value = value + (text[value..].len() - text[value..].trim_start().len());
    let end = text[value..].find([' ', ',', ';', ')', ']']).map_or(text.len(), |length| value + length);
    // What led up to it goes as well, and the bracket that then holds nothing.
    let before = text[..start].trim_end_matches([' ', ',', ';']).len();
    match (text[..before].ends_with('('), text[end..].starts_with(')')) {
        (true, true) => Some((text[..before - 1].trim_end().len(), end + 1)),
        _ => Some((before, end)),
    }
}

/// `assumed-role/ROLE/SESSION` is another one after each load of credentials.
fn without_session(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(":assumed-role/") {
        let role = at + ":assumed-role/".len();
        let word = rest[role..].find([' ', ',', '\'', '"']).map_or(rest.len(), |length| role + length);
        let end = rest[role..word].find('/').map_or(word, |length| role + length);
        plain.push_str(&rest[..end]);
        rest = &rest[word..];
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_try_to_try_is_left_out() {
        for (text, stable) in [
            ("Rate exceeded", "Rate exceeded"),
            ("Service failed (Request ID: 0f1e-22)", "Service failed"),
            ("failed (Service: Ses; Status Code: 500; Request ID: 0f1e-22)", "failed (Service: Ses; Status Code: 500)"),
            ("failed, RequestId: 0f1e-22, sorry", "failed, sorry"),
            (
                "User: arn:aws:sts::123456789012:assumed-role/ses/web-identity-token-1760 is not authorized",
                "User: arn:aws:sts::123456789012:assumed-role/ses is not authorized",
            ),
            ("two\n  lines", "two lines"),
        ] {
            assert_eq!(plain(text), stable);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = plain(&"ü".repeat(600));
        assert_eq!(text.chars().count(), LIMIT + 1);
        assert!(text.ends_with("ü…"));
    }
}
