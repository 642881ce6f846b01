//! The figures: the table, and the JSON that is committed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::parts::PARTS;
use crate::tally::Calls;

/// All figures, and the calls of the runs that they came from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    figures: Vec<Figure>,
    /// By run. Times differ from machine to machine; these do not, and are what `bench check` compares.
    calls: BTreeMap<String, Calls>,
}

/// One figure. Every target is an "at most".
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    pub part: String,
    pub figure: String,
    /// How many domains.
    pub n: usize,
    /// How many virtual seconds passed in one of the wall's.
    pub scale: f64,
    pub measured: f64,
    pub unit: String,
    pub target: Option<f64>,
    /// What it is made of; where it misses its target, why.
    pub note: String,
}

impl Figure {
    pub fn is_missed(&self) -> bool {
        self.target.is_some_and(|target| self.measured > target)
    }
}

impl Record {
    /// What is committed; nothing before the first time.
    pub fn read() -> Result<Self> {
        match std::fs::read_to_string(path()) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is not ours", path().display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path().display())),
        }
    }

    pub fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path(), text).with_context(|| format!("can't write {}", path().display()))
    }

    /// Forgets a part that is measured anew.
    pub fn forget(&mut self, part: &str) {
        self.figures.retain(|figure| figure.part != part);
    }

    /// Adds a figure, in the order of the parts.
    pub fn add(&mut self, figure: Figure) {
        eprintln!("bench: {}", line(&figure).trim_end());
        let place = |part: &str| PARTS.iter().position(|known| known.name == part);
        let after = self.figures.iter().rposition(|known| place(&known.part) <= place(&figure.part));
        self.figures.insert(after.map_or(0, |index| index + 1), figure);
    }

    /// Notes the calls of a run.
    pub fn note_calls(&mut self, run: &str, calls: &Calls) {
        self.calls.insert(run.to_owned(), calls.clone());
    }

    /// The calls of a run.
    pub fn calls_of(&self, run: &str) -> Option<&Calls> {
        self.calls.get(run)
    }

    pub fn table(&self) -> String {
        let mut table =
            format!("{:<72} {:>6} {:>5} {:>12} {:>8}      note\n", "figure", "N", "scale", "measured", "at most");
        for figure in &self.figures {
            table += &line(figure);
        }
        table
    }
}

fn line(figure: &Figure) -> String {
    let mut line = String::new();
    let target = figure.target.map_or_else(|| "-".to_owned(), short);
    let verdict = if figure.is_missed() { "MISS" } else { "" };
    let measured = format!("{} {}", short(figure.measured), figure.unit);
    // Writing to a string can't fail.
    let _ = writeln!(
        line,
        "{:<72} {:>6} {:>5} {:>12} {target:>8} {verdict:<4} {}",
        figure.figure,
        figure.n,
        short(figure.scale),
        measured.trim_end(),
        figure.note
    );
    line
}

/// Three digits are enough to read.
fn short(number: f64) -> String {
    let digits = if number.abs() >= 100.0 { 0 } else { 2 };
    let text = format!("{number:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bench.json")
}
