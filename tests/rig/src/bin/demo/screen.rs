//! What the demo prints, on a terminal and in a log file alike.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const WIDTH: usize = 118;

/// Standard output, with the time since the start.
pub struct Screen {
    started: Instant,
    scene: Cell<u32>,
    colours: bool,
}

/// How a line's mark looks.
#[derive(Clone, Copy)]
pub enum Mark {
    Good,
    Waiting,
    Bad,
}

impl Screen {
    pub fn new() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { started: Instant::now(), scene: Cell::new(0), colours }
    }

    pub fn title(&self) {
        println!();
        println!(
            "{}",
            self.paint("1", "ses-operator: mail sent through Amazon SES as this domain passes SPF, DKIM and DMARC")
        );
        println!(
            "{}",
            self.paint("2", "A real Kubernetes API server, and an AWS that verifies only what stands in DNS.")
        );
        println!(
            "{}",
            self.paint(
                "2",
                "Time runs 60 times as fast as on the wall, and SES verifies within minutes, as it does on a good day."
            )
        );
    }

    pub fn scene(&self, title: &str) {
        self.scene.set(self.scene.get() + 1);
        println!("\n{}", self.paint("1;36", &format!("{}. {title}", self.scene.get())));
    }

    /// A command, as a person would type it.
    pub fn command(&self, command: &str) {
        println!("   {} {}", self.paint("2", "$"), self.paint("1", command));
    }

    /// A command's output, or a table.
    pub fn output(&self, text: &str) {
        for line in text.trim_end().lines() {
            println!("   {line}");
        }
    }

    pub fn say(&self, text: &str) {
        println!("   {text}");
    }

    /// One thing that came to be: when, what, and the words for it.
    pub fn turn(&self, since: Duration, mark: Mark, what: &str, words: &str) {
        let mark = match mark {
            Mark::Good => self.paint("32", "✔"),
            Mark::Waiting => self.paint("33", "…"),
            Mark::Bad => self.paint("31", "✘"),
        };
        let time = format!("{:>5.1} s", since.as_secs_f64());
        let indent = 13;
        for (line, words) in wrapped(&format!("{what:<37}{words}"), WIDTH - indent, 37).into_iter().enumerate() {
            if line == 0 {
                println!("   {} {mark} {words}", self.paint("2", &time));
            } else {
                println!("{:indent$}{}", "", self.paint("2", &words));
            }
        }
    }

    pub fn done(&self, what: &str, detail: &str, took: Duration) {
        println!(
            "   {} {what:<18}{detail} {}",
            self.paint("32", "✔"),
            self.paint("2", &format!("({:.1} s)", took.as_secs_f64()))
        );
    }

    pub fn end(&self) {
        let took = self.started.elapsed().as_secs_f64();
        println!("\n{}", self.paint("1;32", &format!("Done in {took:.0} s. Read on: README.md, DESIGN.md, docs/.")));
    }

    pub fn failed(&self, error: &anyhow::Error) {
        println!("\n{} {error:?}", self.paint("1;31", "The demo failed:"));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A text in lines of `width` at the most, the later ones indented.
fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line + word.trim_end().chars().count() > width && line > indent {
            lines.push(" ".repeat(indent));
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// A table with aligned columns.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
