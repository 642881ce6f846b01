//! kubectl and Helm, as people use them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::ControlPlane;
use crate::binaries;

impl ControlPlane {
    /// The kubectl that fits the API server.
    pub fn kubectl_path(&self) -> &Path {
        &self.binaries.kubectl
    }

    /// kubectl as the administrator, to be given arguments, input, or another `--kubeconfig`.
    ///
    /// It neither reads nor writes anything in the user's home.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(&self.binaries.kubectl);
        self.prepare(&mut command);
        command
    }

    /// Runs kubectl as the administrator and returns what it printed. When it fails, the error says what it complained of.
    pub async fn kubectl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
        run(self.kubectl_command().args(arguments), None).await
    }

    /// Runs kubectl with input, such as a manifest for `apply -f -`.
    pub async fn kubectl_with_input<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
        input: &str,
    ) -> Result<String> {
        run(self.kubectl_command().args(arguments), Some(input)).await
    }

    /// Helm as the administrator, built when this is first asked for. Blocks then, for minutes.
    pub fn helm_command(&self) -> Result<Command> {
        let mut command = Command::new(binaries::helm()?);
        self.prepare(&mut command);
        Ok(command)
    }

    /// Runs Helm as the administrator and returns what it printed.
    pub async fn helm<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
        // Where Helm still has to be built, that must not hold up this runtime.
        tokio::task::spawn_blocking(binaries::helm).await??;
        run(self.helm_command()?.args(arguments), None).await
    }

    fn prepare(&self, command: &mut Command) {
        let home = |name: &str| -> PathBuf { self.folder().join("home").join(name) };
        command.env("KUBECONFIG", self.kubeconfig()).env("KUBECACHEDIR", home("kube")).env("KUBERC", "off");
        command.env("HELM_CACHE_HOME", home("helm/cache")).env("HELM_CONFIG_HOME", home("helm/config"));
        command.env("HELM_DATA_HOME", home("helm/data"));
        command.stdin(Stdio::null()).kill_on_drop(true);
    }
}

async fn run(command: &mut Command, input: Option<&str>) -> Result<String> {
    let shown = format!("{:?}", command.as_std());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().with_context(|| format!("can't run {shown}"))?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A program that has already complained reads no more; its complaint is the better error.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("{shown} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
