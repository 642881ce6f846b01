//! `perf`: where a process's time goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use ses_operator_rig::leash::Leashed;

/// `perf`, sampling a process.
pub struct Sampling {
    perf: Leashed,
    data: PathBuf,
}

/// The functions that most samples were in.
pub struct Top {
    /// In themselves.
    pub itself: Vec<String>,
    /// The operator's own, with all that they called.
    pub with_callees: Vec<String>,
}

impl Sampling {
    /// Starts to sample; the error says why that is not possible here.
    pub fn start(process: u32, folder: &Path) -> Result<Self> {
        let found = Command::new("perf").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        ensure!(found.is_ok_and(|status| status.success()), "perf is not installed; Debian's package is linux-perf");
        let data = folder.join("perf.data");
        let mut command = Command::new("perf");
        command
            .args(["record", "-F", "997", "--call-graph", "dwarf,16384", "-p", &process.to_string(), "-o"])
            .arg(&data);
        Ok(Self { perf: Leashed::spawn(&command, &folder.join("perf.log"))?, data })
    }

    /// Ends it.
    pub fn top(mut self) -> Result<Top> {
        self.perf.signal("INT")?;
        let status = self.perf.wait()?;
        ensure!(self.data.exists(), "perf ended with {status}: {}", self.perf.tail());
        let itself = self.report(&["--no-children", "-F", "overhead,symbol"])?;
        let with_callees = self.report(&["--children", "-F", "overhead_children,symbol"])?;
        let own = with_callees.into_iter().filter(|line| line.contains("ses_operator::"));
        Ok(Top { itself: itself.into_iter().take(8).collect(), with_callees: own.take(12).collect() })
    }

    fn report(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let mut command = Command::new("perf");
        command.args(["report", "--stdio", "--no-inline", "-g", "none", "-i"]).arg(&self.data).args(arguments);
        let output = command.stdin(Stdio::null()).output().context("perf report")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(lines
            .map(|line| line.split_whitespace().filter(|word| *word != "[.]").collect::<Vec<_>>().join(" "))
            .collect())
    }
}
