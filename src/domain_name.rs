//! A parsed, normalised domain name.

use std::fmt;
use std::sync::Arc;

/// A domain name in lower case, without the trailing dot. Two names are equal when DNS calls them equal. Clones share the
/// text: a name goes through every step of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Arc<str>);

impl DomainName {
    /// Normalises a name: lower case, no trailing dot, and the octal escapes undone that Route 53 answers with
    /// (`\052` is `*`).
    pub fn new(name: &str) -> Self {
        if name.contains('\\') {
            return Self::unescaped(&unescape(name));
        }
        Self::unescaped(name)
    }

    fn unescaped(name: &str) -> Self {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Self(name.to_ascii_lowercase().into());
        }
        Self(name.into())
    }

    /// The name without the trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a text, however it is written, is this name.
    pub fn is(&self, text: &str) -> bool {
        if text.contains('\\') {
            return *self == Self::new(text);
        }
        text.strip_suffix('.').unwrap_or(text).eq_ignore_ascii_case(self.as_str())
    }

    /// The name `labels` below this one.
    #[must_use]
    pub fn child(&self, labels: &str) -> Self {
        Self::new(&[labels, ".", self.as_str()].concat())
    }

    /// The labels by which this name stands below `ancestor`, empty for the ancestor itself; nothing where it is not
    /// within it.
    pub fn below(&self, ancestor: &Self) -> Option<&str> {
        let rest = self.0.strip_suffix(ancestor.as_str())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_suffix('.') }
    }

    /// Whether this name is `ancestor` or stands below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.below(ancestor).is_some()
    }

    /// This name and all those above it, the longest first, the last one a single label.
    pub fn self_and_ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        let above = self.0.match_indices('.').map(|(dot, _)| Self(self.0[dot + 1..].into()));
        std::iter::once(self.clone()).chain(above)
    }

    /// How many labels the name has.
    pub fn label_count(&self) -> usize {
        1 + self.0.bytes().filter(|byte| *byte == b'.').count()
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Undoes `\ooo`; names that are not ASCII cannot be ours, so each escape may become one character.
fn unescape(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let escape = rest.get(at + 1..at + 4).and_then(|octal| u8::from_str_radix(octal, 8).ok());
        match escape {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_dns_calls_equal_are_equal() {
        for same in ["Example.COM", "example.com.", "example\\056com"] {
            assert_eq!(DomainName::new(same), DomainName::new("example.com"), "{same}");
        }
        assert_eq!(DomainName::new("\\052.example.com.").as_str(), "*.example.com");
        assert_ne!(DomainName::new("example.com"), DomainName::new("example.org"));
    }

    #[test]
    fn a_name_is_within_its_ancestors_and_not_within_look_alikes() {
        let name = DomainName::new("mail.example.com");
        for (ancestor, within) in [
            ("mail.example.com", true),
            ("example.com", true),
            ("com", true),
            ("ample.com", false),
            ("x.mail.example.com", false),
        ] {
            assert_eq!(name.is_within(&DomainName::new(ancestor)), within, "{ancestor}");
        }
    }

    #[test]
    fn ancestors_come_longest_first() {
        let name = DomainName::new("a.b.example.com");
        let names: Vec<String> = name.self_and_ancestors().map(|name| name.to_string()).collect();
        assert_eq!(names, ["a.b.example.com", "b.example.com", "example.com", "com"]);
    }
}
