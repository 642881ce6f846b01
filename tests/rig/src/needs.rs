//! What must be installed before the rig can be built. Anything missing is one clear line.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail, ensure};

/// A program that the rig needs.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    program: &'static str,
    version: &'static str,
    why: &'static str,
    check: &'static [&'static str],
}

/// Builds the control plane and Helm. Asked inside a module, so that its answer counts the `go` line of the module's go.mod.
pub const GO: Need = Need {
    program: "go",
    version: "Go 1.26 or newer",
    why: "builds the control plane and Helm from their Go modules",
    check: &["env", "GOVERSION"],
};

/// Runs the AWS that tells the truth.
pub const PYTHON: Need = Need {
    program: "python3",
    version: "Python 3.10 or newer, with its modules venv and ensurepip (Debian: the package python3-venv)",
    why: "runs the AWS of the stories",
    check: &[
        "-c",
        "import sys, venv, ensurepip; assert sys.version_info >= (3, 10), sys.version; print(sys.version, sys.prefix)",
    ],
};

/// Runs the project's commands.
pub const MAKE: Need = Need {
    program: "make",
    version: "make",
    why: "runs the project's commands, such as `make demo` and `make test`",
    check: &["--version"],
};

impl Need {
    /// Makes sure that the program is there and new enough, and returns what it says of itself.
    pub fn met(&self, folder: &Path) -> Result<String> {
        let ran = Command::new(self.program).args(self.check).current_dir(folder).output();
        let Ok(ran) = ran else { bail!("{self}: there is no `{}` on the PATH", self.program) };
        let said = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
        let complaint = String::from_utf8_lossy(&ran.stderr);
        ensure!(
            ran.status.success(),
            "{self}: {}",
            complaint.trim().lines().last().unwrap_or("the one on the PATH fails")
        );
        Ok(said)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing {}, which {}", self.version, self.why)
    }
}

/// Makes sure that everything is there, and names all that is missing at once.
pub fn all_met(go_module: &Path) -> Result<()> {
    let missing: Vec<String> = [GO, PYTHON, MAKE]
        .iter()
        .filter_map(|need| need.met(go_module).err())
        .map(|error| format!("{error:#}"))
        .collect();
    if !missing.is_empty() {
        bail!("{}", missing.join("\n"));
    }
    Ok(())
}
