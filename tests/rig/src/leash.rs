//! Processes on a leash: they end when the process that started them ends, in whatever manner.
//!
//! A test process may end by a panic, Ctrl-C, a timeout of its runner or SIGKILL, and none of these run destructors. What
//! the kernel does do in every case is close a dead process's files. So each program is started by a small shell that
//! holds the reading end of a pipe whose writing end is ours alone (Rust opens it close-on-exec, so no other child
//! inherits it), and that kills the program when it reads end-of-file.
//!
//! The shell starts the program itself, rather than being told its process ID afterwards: there is no moment at which
//! the program runs without its leash.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};

/// Descriptor 3 is the leash. The program gets neither it nor the pipe that its ID is announced on.
///
/// The shell outlives the program in any case, to take its status: its process ID can't be anyone else's before that. What
/// the program leaves behind in the group is told to go, and so is the watcher.
const HOLD: &str = r#"
exec 3<&0
"$@" </dev/null >&2 3<&- &
program=$!
(while read -r _; do :; done; kill -KILL "$program") <&3 >&2 &
exec 3<&-
echo "$program"
exec >&2
wait "$program"
status=$?
trap '' TERM
kill -TERM 0
exit "$status"
"#;

/// Removing fails while a program that is being killed still writes, so it is tried again, for a few seconds.
const REMOVE: &str = r#"
while read -r _; do :; done
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    rm -rf "$1" && exit
    sleep 0.2
done
"#;

/// A program that ends with us.
#[derive(Debug)]
pub struct Leashed {
    shell: Child,
    leash: Option<ChildStdin>,
    program: u32,
    log: PathBuf,
}

impl Leashed {
    /// Starts the program that `command` describes (its arguments, folder and environment), with no input, and both of
    /// its outputs appended to `log`.
    pub fn spawn(command: &Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(HOLD).arg("leash").arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(variable, value),
                None => shell.env_remove(variable),
            };
        }
        // A group of its own also keeps Ctrl-C from reaching the program before its owner has decided what to do.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(append(log)?);
        let mut shell = shell.spawn().with_context(|| format!("can't start a shell for {name}"))?;

        let leash = shell.stdin.take();
        let mut announced = String::new();
        BufReader::new(shell.stdout.take().context("the shell's output is piped")?).read_line(&mut announced)?;
        let program = announced.trim().parse().with_context(|| format!("can't start {name}: {}", tail(log, 5)))?;
        Ok(Self { shell, leash, program, log: log.to_owned() })
    }

    /// The program's process ID.
    pub fn id(&self) -> u32 {
        self.program
    }

    /// The file that its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How the program ended, or `None` while it runs. One that a signal ended has the code 128 + the signal's number, as
    /// shells have it.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.shell.try_wait()?)
    }

    /// Blocks until the program ends.
    ///
    /// ([`Child::wait`] closes the child's input first, which would let go of the leash; the leash was taken out of it.)
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.shell.wait()?)
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) -> Result<()> {
        // The shell's `kill` is a builtin, so that no further program is needed.
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.program)).status()?;
        ensure!(sent.success(), "can't send SIG{name} to process {}", self.program);
        Ok(())
    }

    /// Kills the program, and waits until the kernel has cleared it away: its ports and its files are free.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        drop(self.leash.take());
        self.wait()
    }

    /// The last lines of its output, for messages.
    pub fn tail(&self) -> String {
        tail(&self.log, 20)
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // The kill itself is the closing of the pipe and can't fail; waiting only keeps zombies from piling up.
        let _ = self.kill();
    }
}

/// A folder that is removed when its owner ends, in whatever manner.
#[derive(Debug)]
pub struct LeashedFolder {
    path: PathBuf,
    keeper: Option<Child>,
}

impl LeashedFolder {
    /// Makes a new folder under the system's temporary folder that only we can enter: it will hold keys and tokens.
    ///
    /// With `SES_OPERATOR_RIG_KEEP` set to anything, the folder stays, to look at the logs in it.
    pub fn create(prefix: &str) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let started = jiff::Timestamp::now().as_millisecond();
        let unique = UNIQUE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{prefix}-{}-{started}-{unique}", std::process::id()));
        let mut keeper = None;
        if std::env::var_os("SES_OPERATOR_RIG_KEEP").is_none() {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(REMOVE).arg("leash").arg(&path).process_group(0);
            shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            keeper = Some(shell.spawn().context("can't start a shell to remove the temporary folder at the end")?);
        }
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("can't create {}", path.display()))?;
        Ok(Self { path, keeper })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LeashedFolder {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            // `wait` closes the pipe first, and so starts the removal.
            let _ = keeper.wait();
        }
    }
}

static UNIQUE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// The last `lines` lines of a file; empty when there is none.
pub fn tail(file: &Path, lines: usize) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let kept: Vec<&str> = text.lines().rev().take(lines).collect();
    kept.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn append(log: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("can't write the log {}", log.display()))
}
