//! A release can't be told a false time: what `simulated-time` adds is not in a binary that is built without it.
//!
//! Two binaries are compared: the one under test, and `ses-operator-plain` beside it, which `make test` builds as a release
//! is built, without the feature.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const VARIABLE: &str = "SES_OPERATOR_SIMULATED_CLOCK";

fn simulated() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_ses-operator"))
}

fn plain() -> Result<PathBuf> {
    let plain = simulated().with_file_name("ses-operator-plain");
    ensure!(plain.exists(), "{} does not exist: `make test` builds it", plain.display());
    Ok(plain)
}

fn names_the_variable(binary: &Path) -> Result<bool> {
    let bytes = std::fs::read(binary).with_context(|| binary.display().to_string())?;
    Ok(bytes.windows(VARIABLE.len()).any(|window| window == VARIABLE.as_bytes()))
}

/// What a binary says when it is told to follow a clock that is none, and there is no cluster either.
fn words_of(binary: &Path) -> Result<String> {
    let output = Command::new(binary)
        .arg("run")
        .env_clear()
        .env("KUBECONFIG", "/nonexistent")
        .env(VARIABLE, "http://127.0.0.1:1/clock")
        .output()?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_variable_is_in_the_simulated_binary_alone() -> Result<()> {
    assert!(names_the_variable(&simulated())?, "the binary under test follows the rig's clock");
    assert!(!names_the_variable(&plain()?)?, "a release must not know of it");
    Ok(())
}

#[test]
fn a_plain_binary_pays_no_heed_to_a_clock_that_it_is_told() -> Result<()> {
    let simulated = words_of(&simulated())?;
    assert!(simulated.contains(VARIABLE), "{simulated}");
    let plain = words_of(&plain()?)?;
    assert!(plain.contains("no cluster was found") && !plain.contains(VARIABLE), "{plain}");
    Ok(())
}
