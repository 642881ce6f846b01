//! Why a figure misses its target, as far as that is understood. Whoever mends one deletes its line.

use crate::figure::Figure;

/// The beginning of a figure's name, of how many domains (none: of any number), and why.
const KNOWN: &[(&str, Option<usize>, &str)] = &[
    (
        "time until all are Ready ÷ bound",
        Some(1),
        "the polls that are allowed mean looks after 1, 2, 4, 8 … minutes, so seeing it may take up to twice the delay",
    ),
    (
        "time until all are Ready ÷ bound",
        Some(100),
        "the same for the last one: its look may come minutes after its verification, and the bound is short",
    ),
    (
        "API-server requests for each domain until Ready",
        None,
        "what is waited for comes one by one where few share it: each is a status of its own",
    ),
    (
        "memory over idle for each settled domain",
        None,
        "of its growth the first MiB are code that an idle operator has not run, and in a shared zone its listing",
    ),
    ("resident memory, settled", None, "the listing of the shared zone, held while its records are compared"),
    (
        "peak memory while converging ÷ steady",
        None,
        "the steady operator holds little but its code, and a zone of its own is read for each that converges",
    ),
];

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
        assert_eq!(of(&figure(10_000)), "NOT UNDERSTOOD YET");
    }
}
