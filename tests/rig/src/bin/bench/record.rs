//! All figures: the table, and the JSON that is committed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::figure::Figure;
use crate::parts::{IN_THE_TABLE, Measured};
use crate::reasons;
use crate::tally::Calls;

/// All figures, and the calls of the runs that they came from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    figures: Vec<Figure>,
    /// By part and run. Times differ from machine to machine; these hardly do, and are what `bench --check` compares.
    calls: BTreeMap<String, BTreeMap<String, Calls>>,
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
        // Whole or not at all: whoever stops the benchmark must not lose what is committed.
        let written = path().with_extension("json.new");
        std::fs::write(&written, text).with_context(|| format!("can't write {}", written.display()))?;
        std::fs::rename(&written, path()).with_context(|| format!("can't write {}", path().display()))
    }

    /// Puts what a part has measured in the place of what it measured before.
    pub fn replace(&mut self, part: &str, measured: Measured) {
        self.figures.retain(|figure| figure.part != part);
        self.figures.extend(measured.figures.into_iter().map(|figure| {
            let figure = Figure { part: part.to_owned(), ..figure };
            let reason = figure.reason.clone().or_else(|| figure.is_missed().then(|| reasons::of(&figure).to_owned()));
            Figure { reason, ..figure }
        }));
        // A stable sort: the figures of a part stay in their order.
        self.figures.sort_by_key(|figure| IN_THE_TABLE.iter().position(|known| *known == figure.part));
        self.calls.insert(part.to_owned(), measured.calls);
        self.calls.retain(|_, runs| !runs.is_empty());
    }

    /// The calls of a part's run.
    pub fn calls_of(&self, part: &str, run: &str) -> Option<&Calls> {
        self.calls.get(part)?.get(run)
    }

    pub fn table(&self) -> String {
        let lines = self.figures.iter().map(|figure| figure.to_string().trim_end().to_owned());
        [Figure::head()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bench.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(names: &[&str]) -> Measured {
        let figures = names.iter().map(|name| Figure::new(*name, 1, 1.0, 2.0)).collect();
        Measured { figures, calls: BTreeMap::from([(names.concat(), Calls::new())]) }
    }

    #[test]
    fn a_part_that_is_measured_anew_replaces_itself_alone_and_keeps_its_place() {
        let mut record = Record::default();
        record.replace("settled", measured(&["memory"]));
        record.replace("delays", measured(&["a", "b"]));
        record.replace("delays", measured(&["c"]));
        let names: Vec<&str> = record.figures.iter().map(|figure| figure.figure.as_str()).collect();
        assert_eq!(names, ["c", "memory"]);
        assert!(record.calls_of("delays", "c").is_some() && record.calls_of("delays", "ab").is_none());
    }

    #[test]
    fn what_misses_its_target_has_a_reason() {
        let mut record = Record::default();
        let well = Figure::new("a", 1, 1.0, 2.0).at_most(2.0);
        let missed = Figure::new("a", 1, 1.0, 2.1).at_most(2.0);
        record.replace("delays", Measured { figures: vec![well, missed], calls: BTreeMap::new() });
        assert_eq!(record.figures.iter().map(|figure| figure.reason.is_some()).collect::<Vec<_>>(), [false, true]);
    }
}
