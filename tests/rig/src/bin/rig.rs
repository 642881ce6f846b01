//! Sets the rig up ahead of time, and tells scripts where things are.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use ses_operator_rig::binaries::{self, Binaries};
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::{needs, python};

const USAGE: &str = "usage: rig COMMAND

  setup         build all that the stories and the demo need, into a cache outside the clone
  needs         check that Go, Python and make are there
  kubectl-path  print where kubectl is
  helm-path     print where Helm is";

/// What the Python environment holds, pinned by hash.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/aws/requirements.txt");

fn main() -> ExitCode {
    match run(std::env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Option<&str>) -> Result<()> {
    match command {
        Some("setup") => setup(),
        Some("needs") => needs::all_met(binaries::go_module()),
        Some("kubectl-path") => print(&Binaries::find()?.kubectl),
        Some("helm-path") => print(&binaries::helm()?),
        // For the rig's own tests: a process that can be killed.
        Some("hold") => hold(),
        _ => bail!("{USAGE}"),
    }
}

fn setup() -> Result<()> {
    needs::all_met(binaries::go_module())?;
    let found = Binaries::find()?;
    let helm = binaries::helm()?;
    let python = python::python_environment(Path::new(REQUIREMENTS))?;
    let all: [(&str, &PathBuf); 6] = [
        ("kube-apiserver", &found.kube_apiserver),
        ("etcd", &found.etcd),
        ("kubectl", &found.kubectl),
        ("kube-controller-manager", &found.kube_controller_manager),
        ("helm", &helm),
        ("python", &python),
    ];
    for (name, path) in all {
        println!("{name:<24} {}", path.display());
    }
    Ok(())
}

fn print(path: &Path) -> Result<()> {
    println!("{}", path.display());
    Ok(())
}

/// Starts a control plane, prints its processes and its folder as a line of JSON, and keeps it until its input ends.
#[tokio::main(flavor = "current_thread")]
async fn hold() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let processes: Vec<u32> = plane.processes().into_iter().map(|(_, id)| id).collect();
    println!("{}", serde_json::json!({"processes": processes, "folder": plane.folder()}));
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
