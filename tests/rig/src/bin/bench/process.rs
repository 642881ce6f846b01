//! What `/proc` tells of a process, and `perf` of where its time goes.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use ses_operator_rig::leash::Leashed;

/// A process's memory, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now.
    pub resident: f64,
    /// The most that was ever resident.
    pub peak: f64,
}

pub fn memory(process: u32) -> Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok(Memory { resident: kib("VmRSS:")?, peak: kib("VmHWM:")? })
}

/// The processor time that a process has used, in seconds.
pub fn processor_seconds(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses, with any character in it.
    let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> { Ok(fields.get(index).context("a short stat")?.parse()?) };
    // utime and stime, in ticks of which Linux has 100 a second for all that it tells user space.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// `perf`, sampling a process.
pub struct Sampling {
    perf: Leashed,
    data: std::path::PathBuf,
}

impl Sampling {
    /// Starts to sample; the error says why that is not possible here.
    pub fn start(process: u32, folder: &Path) -> Result<Self> {
        let data = folder.join("perf.data");
        let mut command = Command::new("perf");
        command
            .args(["record", "-F", "997", "--call-graph", "dwarf,16384", "-p", &process.to_string(), "-o"])
            .arg(&data);
        Ok(Self { perf: Leashed::spawn(&command, &folder.join("perf.log"))?, data })
    }

    /// Ends it, and gives the functions that most samples were in: in themselves, and of the operator's own with all that
    /// they called.
    pub fn top(mut self) -> Result<(Vec<String>, Vec<String>)> {
        self.perf.signal("INT")?;
        let status = self.perf.wait()?;
        ensure!(self.data.exists(), "perf ended with {status}: {}", self.perf.tail());
        let itself = self.report(&["--no-children"])?;
        let inclusive = self.report(&["--children"])?.into_iter().filter(|line| line.contains("ses_operator::"));
        Ok((itself.into_iter().take(8).collect(), inclusive.take(12).collect()))
    }

    fn report(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let mut command = Command::new("perf");
        command.args(["report", "--stdio", "--no-inline", "-g", "none", "-F", "overhead,symbol", "-i"]).arg(&self.data);
        if arguments.contains(&"--children") {
            command.args(["-F", "overhead_children,symbol"]);
        }
        let output = command.args(arguments).stdin(Stdio::null()).output().context("perf report")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(lines
            .map(|line| line.split_whitespace().filter(|word| *word != "[.]").collect::<Vec<_>>().join(" "))
            .collect())
    }
}
