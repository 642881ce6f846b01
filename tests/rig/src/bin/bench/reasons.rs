//! Why a figure misses its target, as far as that is understood. Whoever mends one deletes its line.

use crate::figure::Figure;

/// The beginning of a figure's name, of how many domains (none: of any number), and why.
const KNOWN: &[(&str, Option<usize>, &str)] = &[(
    "time until all are Ready ÷ bound",
    Some(1),
    "the polls that are allowed mean looks after 1, 2, 4, 8 … minutes, so seeing it may take up to twice the delay",
)];

/// The reason of a figure that misses its target.
pub fn of(figure: &Figure) -> &'static str {
    let fits = |name: &str, n: Option<usize>| figure.figure.starts_with(name) && n.is_none_or(|n| n == figure.n);
    KNOWN.iter().find(|(name, n, _)| fits(name, *n)).map_or("NOT UNDERSTOOD YET", |(_, _, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_of_a_figure_and_a_number_of_domains() {
        let figure = |n| Figure::new("time until all are Ready ÷ bound, one SES bucket for all", n, 60.0, 1.5);
        assert!(of(&figure(1)).contains("twice the delay"));
        assert_eq!(of(&figure(100)), "NOT UNDERSTOOD YET");
    }
}
