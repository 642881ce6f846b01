//! A figure, its target, and its line in the table.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domains::Layout;

/// One figure. Every target is an "at most".
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The part of the benchmark that measured it.
    pub part: String,
    pub figure: String,
    /// In which zones the domains were, where that makes a difference.
    pub zones: Option<Layout>,
    /// How many domains.
    pub n: usize,
    /// How many virtual seconds passed in one of the wall's.
    pub scale: f64,
    pub measured: f64,
    pub unit: String,
    pub target: Option<f64>,
    /// Why it misses its target, if it does.
    pub reason: Option<String>,
    /// What it is made of.
    pub note: String,
}

impl Figure {
    /// A figure of `n` domains, measured at `scale`.
    pub fn new(figure: impl Into<String>, n: usize, scale: f64, measured: f64) -> Self {
        Self {
            part: String::new(),
            figure: figure.into(),
            zones: None,
            n,
            scale,
            // More digits would only make the file hard to read; and the sum of nothing is -0.
            measured: (measured * 1_000.0).round() / 1_000.0 + 0.0,
            unit: String::new(),
            target: None,
            reason: None,
            note: String::new(),
        }
    }

    pub fn zones(self, layout: Layout) -> Self {
        Self { zones: Some(layout), ..self }
    }

    pub fn unit(self, unit: &str) -> Self {
        Self { unit: unit.to_owned(), ..self }
    }

    pub fn at_most(self, target: impl Into<Option<f64>>) -> Self {
        Self { target: target.into(), ..self }
    }

    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    pub fn is_missed(&self) -> bool {
        self.target.is_some_and(|target| self.measured > target)
    }

    /// The head of the table.
    pub fn head() -> String {
        format!(
            "{:<66} {:<6} {:>6} {:>5} {:>12} {:>8}      note",
            "figure", "zones", "N", "scale", "measured", "at most"
        )
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zones = self.zones.map_or("", Layout::label);
        let measured = format!("{} {}", short(self.measured), self.unit);
        let target = self.target.map_or_else(|| "-".to_owned(), short);
        let verdict = if self.is_missed() { "MISS" } else { "" };
        write!(
            f,
            "{:<66} {zones:<6} {:>6} {:>5} {:>12} {target:>8} {verdict:<4} ",
            self.figure,
            self.n,
            short(self.scale),
            measured.trim_end(),
        )?;
        let told = [self.reason.as_deref().unwrap_or_default(), &self.note];
        write!(f, "{}", told.into_iter().filter(|told| !told.is_empty()).collect::<Vec<_>>().join(" | "))
    }
}

/// Three digits are enough to read.
fn short(number: f64) -> String {
    if number.abs() >= 100.0 {
        return format!("{number:.0}");
    }
    format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_a_miss_with_its_reason_and_nothing_of_what_is_well() {
        let figure = Figure::new("calls", 100, 40.0, 3.24).zones(Layout::Own).at_most(3.1).note("324 in all");
        let missed = Figure { reason: Some("it is young".to_owned()), ..figure.clone() };
        assert!(
            missed.to_string().ends_with("100    40         3.24      3.1 MISS it is young | 324 in all"),
            "{missed}"
        );
        let well = Figure { measured: 3.1, ..figure };
        assert!(well.to_string().ends_with("3.1      3.1      324 in all"), "{well}");
    }

    #[test]
    fn numbers_are_as_long_as_they_must_be() {
        assert_eq!([0.0, 0.004, 2.5, 60.0, 99.999, 1_234.5].map(short), ["0", "0", "2.5", "60", "100", "1234"]);
    }
}
