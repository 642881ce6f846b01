//! TXT values as DNS writes them: quoted strings of at most 255 bytes, one or several for one value (RFC 1035 section 3.3).

/// The longest character-string of a TXT record, in bytes.
const CHARACTER_STRING_LIMIT: usize = 255;

/// The quoted form of a text: `"s1" "s2"`, with `"` and `\` escaped.
pub fn quote(text: &str) -> String {
    let mut strings = vec![String::new()];
    let mut length = 0;
    for character in text.chars() {
        if length + character.len_utf8() > CHARACTER_STRING_LIMIT {
            strings.push(String::new());
            length = 0;
        }
        length += character.len_utf8();
        let string = strings.last_mut().expect("there is always a last string");
        if matches!(character, '"' | '\\') {
            string.push('\\');
        }
        if character.is_ascii() && !character.is_ascii_control() {
            string.push(character);
        } else {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                string.push_str(&format!("\\{byte:03o}"));
            }
        }
    }
    strings.iter().map(|string| format!("\"{string}\"")).collect::<Vec<_>>().join(" ")
}

/// The text of a quoted form, its strings joined. What is not quoted is taken as it stands.
pub fn unquote(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut characters = value.trim().bytes().peekable();
    let mut quoted = false;
    while let Some(byte) = characters.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' => {
                let digits: Vec<u8> =
                    characters.clone().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).collect();
                if let [a, b, c] = digits[..] {
                    bytes.push((a - b'0').wrapping_mul(64).wrapping_add((b - b'0') * 8).wrapping_add(c - b'0'));
                    characters.nth(2);
                } else if let Some(escaped) = characters.next() {
                    bytes.push(escaped);
                }
            }
            b' ' | b'\t' if !quoted => {}
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_and_escaped() {
        for (text, quoted) in [
            ("v=spf1 include:amazonses.com ~all", r#""v=spf1 include:amazonses.com ~all""#),
            (r#"say "hi" \o/"#, r#""say \"hi\" \\o/""#),
            ("", r#""""#),
            ("ü", r#""\303\274""#),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted), text);
        }
    }

    #[test]
    fn a_text_of_300_characters_is_two_strings_and_comes_back_as_one() {
        let text = "x".repeat(300);
        let quoted = quote(&text);
        assert_eq!(quoted, format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
        assert_eq!(unquote(&quoted), text);
    }

    #[test]
    fn escapes_count_for_what_they_stand_for() {
        let text = "\"".repeat(255);
        assert!(!quote(&text).contains("\" \""), "255 escaped quotes fit into one string");
        assert_eq!(unquote(&quote(&text)), text);
    }
}
