//! Shows that a long step goes on: on a terminal one line that is rewritten in place, in a log file a line now and then.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::leash::{Leashed, tail};

/// One long step.
#[derive(Debug)]
pub struct Step<'a> {
    /// What is being done, such as `building etcd (2 of 4)`.
    pub doing: &'a str,
    /// How long it usually takes on a small machine.
    pub usually: Duration,
}

impl Step<'_> {
    /// Runs a program that does the step, showing progress on standard error. Its output goes to `log`; when it fails, the
    /// error quotes the end of that.
    pub fn run(&self, command: &Command, log: &Path) -> Result<()> {
        let status = self.show(|| Leashed::spawn(command, log)?.wait())?;
        if !status.success() {
            bail!("{} failed ({status}):\n{}", self.doing, tail(log, 20));
        }
        Ok(())
    }

    /// Shows progress while `work` goes on, elsewhere, since it blocks.
    pub fn show<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let rewrite = stderr().is_terminal();
        let every = Duration::from_secs(if rewrite { 1 } else { 30 });
        let started = Instant::now();
        self.tell(started, rewrite);
        let done = std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            scope.spawn(move || sender.send(work()));
            loop {
                match receiver.recv_timeout(every) {
                    Ok(done) => return done,
                    Err(RecvTimeoutError::Timeout) => self.tell(started, rewrite),
                    Err(RecvTimeoutError::Disconnected) => bail!("{} ended without a result", self.doing),
                }
            }
        });
        let end = if done.is_ok() { "done in" } else { "failed after" };
        line(rewrite, &format!("{}: {end} {}\n", self.doing, Spent(started.elapsed())));
        done
    }

    fn tell(&self, started: Instant, rewrite: bool) {
        let so_far = match started.elapsed().as_secs() {
            0 => "started".to_owned(),
            seconds => format!("{} so far", Spent(Duration::from_secs(seconds))),
        };
        let end = if rewrite { "" } else { "\n" };
        line(rewrite, &format!("{}: {so_far}, usually about {}{end}", self.doing, Spent(self.usually)));
    }
}

/// A line on standard error, whole even when several threads write, and past the capture of a test's output: a test that
/// seems to hang for five minutes must say why while it does.
fn line(rewrite: bool, text: &str) {
    let back = if rewrite { "\r\x1b[2K" } else { "" };
    let mut stderr = stderr().lock();
    // Nobody is left to be told when standard error is gone.
    let _ = write!(stderr, "{back}{text}").and_then(|()| stderr.flush());
}

/// A length of time as people write it: `45 s`, `1 min 20 s`, `5 min`.
#[derive(Clone, Copy, Debug)]
pub struct Spent(
    /// The time.
    pub Duration,
);

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs() / 60, self.0.as_secs() % 60) {
            (0, seconds) => write!(f, "{seconds} s"),
            (minutes, 0) => write!(f, "{minutes} min"),
            (minutes, seconds) => write!(f, "{minutes} min {seconds} s"),
        }
    }
}
