//! Python environments, made once for each list of pinned packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache;
use crate::needs::PYTHON;
use crate::progress::Step;

/// A virtual environment in the cache that holds what a `requirements.txt` pins by hash, and nothing else. Returns its Python.
/// Blocks, the first time for some 20 s.
///
/// It is named for the list and for the Python that made it. A virtual environment can't be moved once made, so its
/// completeness is marked by a file that is written last, and one without it is made anew.
pub fn python_environment(requirements: &Path) -> Result<PathBuf> {
    let list = fs::read(requirements).with_context(|| format!("can't read {}", requirements.display()))?;
    let python = PYTHON.met(Path::new("."))?;
    let cache = cache::folder(&format!("python-{}", cache::fingerprint([list.as_slice(), python.as_bytes()])))?;
    let environment = cache.join("venv");
    let (executable, complete) = (environment.join("bin/python"), cache.join("complete"));
    if complete.is_file() {
        return Ok(executable);
    }
    let _lock = cache::lock(&cache)?;
    if complete.is_file() {
        return Ok(executable);
    }
    let log = cache.join("pip.log");
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&environment);
    Step { doing: "creating the Python environment (1 of 2)", usually: Duration::from_secs(5) }.run(&venv, &log)?;
    let mut pip = Command::new(&executable);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--require-hashes", "-r"]);
    pip.arg(requirements);
    Step { doing: "installing its packages (2 of 2)", usually: Duration::from_secs(15) }.run(&pip, &log)?;
    fs::write(&complete, "")?;
    Ok(executable)
}
