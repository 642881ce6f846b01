//! The operator's own program, run as a Deployment would run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::control_plane::ControlPlane;
use crate::leash::Leashed;
use crate::wait::until;

/// What an operator is started with.
#[derive(Clone, Debug)]
pub struct Builder {
    program: PathBuf,
    kubeconfig: PathBuf,
    log_format: &'static str,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    log: PathBuf,
}

/// A running operator. It ends when this is dropped, and when the process ends, in whatever manner.
#[derive(Debug)]
pub struct Operator {
    process: Leashed,
}

/// How an operator ended.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// Its status; one that a signal ended has the code 128 + the signal's number.
    pub status: ExitStatus,
    /// How long it took from the signal to the end.
    pub took: Duration,
}

impl Operator {
    /// An operator for a control plane, as its administrator unless another kubeconfig is given. `program` is the binary, in
    /// a story `env!("CARGO_BIN_EXE_ses-operator")`.
    pub fn builder(control_plane: &ControlPlane, program: impl Into<PathBuf>) -> Builder {
        static STARTED: AtomicU32 = AtomicU32::new(1);
        let log = format!("operator-{}.log", STARTED.fetch_add(1, Ordering::Relaxed));
        Builder {
            program: program.into(),
            kubeconfig: control_plane.kubeconfig(),
            log_format: "text",
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            log: control_plane.folder().join(log),
        }
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.process.log()).unwrap_or_default()).into_owned()
    }

    /// The file that it logs to.
    pub fn log_file(&self) -> &Path {
        self.process.log()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Sends it a signal by name: with `STOP` and `CONT` it hangs for a while, as on an overloaded node.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name)
    }

    /// Waits for it to end of itself.
    pub async fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        until("the operator to end", timeout, async || {
            self.process.try_wait()?.with_context(|| format!("it runs, and logged last:\n{}", self.process.tail()))
        })
        .await
    }

    /// Asks it to end, as Kubernetes does (SIGTERM), and waits until it has.
    pub async fn stop(mut self, timeout: Duration) -> Result<Stopped> {
        if let Some(status) = self.ended()? {
            bail!("the operator had ended before it was asked to ({status}):\n{}", self.process.tail());
        }
        let asked = Instant::now();
        self.process.signal("TERM")?;
        let status = self.wait(timeout).await?;
        Ok(Stopped { status, took: asked.elapsed() })
    }

    /// Kills it, as a lost node would.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        Ok(())
    }
}

impl Builder {
    /// Whom it is to the API server: see [`ControlPlane::kubeconfig_for`].
    pub fn kubeconfig(mut self, kubeconfig: impl Into<PathBuf>) -> Self {
        self.kubeconfig = kubeconfig.into();
        self
    }

    /// How it logs: `text`, unless told otherwise, or `json`.
    pub fn log_format(mut self, format: &'static str) -> Self {
        self.log_format = format;
        self
    }

    /// Adds arguments after `run --log-format=…`.
    pub fn arguments<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds variables to its environment, such as those that say where AWS is and with which keys.
    pub fn environment<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Where it logs to; else a file in the control plane's folder.
    pub fn log_file(mut self, log: impl Into<PathBuf>) -> Self {
        self.log = log.into();
        self
    }

    /// Starts it. It is not waited for: what "ready" means is the story's to say.
    pub fn start(self) -> Result<Operator> {
        let mut command = Command::new(&self.program);
        command.arg("run").arg(format!("--log-format={}", self.log_format)).args(&self.arguments);
        // Nothing of whoever runs the tests: neither an account of theirs nor a way round the rig.
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy().to_ascii_uppercase();
            if name.starts_with("AWS_") || name.starts_with("KUBERNETES_") || name.ends_with("_PROXY") {
                command.env_remove(&variable);
            }
        }
        command.env("KUBECONFIG", &self.kubeconfig).envs(&self.environment);
        Ok(Operator { process: Leashed::spawn(&command, &self.log)? })
    }
}
