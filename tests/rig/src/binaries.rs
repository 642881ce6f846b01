//! Finds the programs of the control plane, and builds those that are missing.
//!
//! No registry serves these programs, but their Go modules are served: `tests/rig/control-plane` and `tests/rig/helm` pin
//! them, and what is built lands in a cache that is named for the pins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache;
use crate::needs;
use crate::progress::Step;

/// A pinned Go module whose tools are built together.
#[derive(Debug)]
struct Module {
    folder: &'static str,
    go_mod: &'static str,
    /// The required modules that name the versions: what the version is called, and the module's path.
    versions: &'static [(&'static str, &'static str)],
    programs: &'static [Program],
    /// The variables that the linker sets, each to `v1.2.3`, `1` or `2` of the first version.
    stamps: &'static [(&'static str, Stamp)],
}

#[derive(Debug)]
struct Program {
    name: &'static str,
    package: &'static str,
    /// Measured on two cores, from an empty build cache, in this order: each finds more of its packages compiled.
    usually: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Stamp {
    Whole,
    Major,
    Minor,
}

const CONTROL_PLANE: Module = Module {
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/control-plane"),
    go_mod: include_str!("../control-plane/go.mod"),
    versions: &[("control-plane", "k8s.io/kubernetes"), ("etcd", "go.etcd.io/etcd/server/v3")],
    programs: &[
        Program {
            name: "kube-apiserver",
            package: "k8s.io/kubernetes/cmd/kube-apiserver",
            usually: Duration::from_secs(300),
        },
        Program { name: "etcd", package: "go.etcd.io/etcd/server/v3", usually: Duration::from_secs(15) },
        Program { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl", usually: Duration::from_secs(30) },
        Program {
            name: "kube-controller-manager",
            package: "k8s.io/kubernetes/cmd/kube-controller-manager",
            usually: Duration::from_secs(90),
        },
    ],
    // Without these the server calls itself v0.0.0-master, and clients that compare versions misbehave.
    stamps: &[
        ("k8s.io/component-base/version.gitVersion", Stamp::Whole),
        ("k8s.io/component-base/version.gitMajor", Stamp::Major),
        ("k8s.io/component-base/version.gitMinor", Stamp::Minor),
    ],
};

const HELM: Module = Module {
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/helm"),
    go_mod: include_str!("../helm/go.mod"),
    versions: &[("helm", "helm.sh/helm/v4")],
    programs: &[Program { name: "helm", package: "helm.sh/helm/v4/cmd/helm", usually: Duration::from_secs(150) }],
    stamps: &[("helm.sh/helm/v4/internal/version.version", Stamp::Whole)],
};

/// Where the programs of the control plane are.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Its database.
    pub etcd: PathBuf,
    /// The command line, of the same version.
    pub kubectl: PathBuf,
    /// Removes namespaces and what owner references say, makes service accounts.
    pub kube_controller_manager: PathBuf,
}

impl Binaries {
    /// Finds each in the folder that `KUBEBUILDER_ASSETS` names, else in the cache, else builds it. Blocks, the first time
    /// for minutes.
    pub fn find() -> Result<Self> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let given = |name: &str| assets.as_ref().map(|folder| folder.join(name)).filter(|path| path.is_file());
        let wanted: Vec<&Program> = CONTROL_PLANE.programs.iter().filter(|it| given(it.name).is_none()).collect();
        let built = CONTROL_PLANE.build(&wanted)?;
        let path = |name: &str| given(name).unwrap_or_else(|| built.join(name));
        Ok(Self {
            kube_apiserver: path("kube-apiserver"),
            etcd: path("etcd"),
            kubectl: path("kubectl"),
            kube_controller_manager: path("kube-controller-manager"),
        })
    }
}

/// Finds Helm in the cache, else builds it.
pub fn helm() -> Result<PathBuf> {
    Ok(HELM.build(&HELM.programs.iter().collect::<Vec<_>>())?.join("helm"))
}

/// The pinned version of Kubernetes, such as `1.36.3`.
pub fn kubernetes_version() -> Result<&'static str> {
    CONTROL_PLANE.version("k8s.io/kubernetes")
}

/// The folder of a Go module, where Go can be asked whether it is new enough.
pub fn go_module() -> &'static Path {
    Path::new(CONTROL_PLANE.folder)
}

impl Module {
    /// Makes sure that the wanted programs are in the cache, and returns the folder that they are in.
    fn build(&self, wanted: &[&Program]) -> Result<PathBuf> {
        let cache = cache::folder(&self.cache_name()?)?;
        let bin = cache.join("bin");
        let missing = || wanted.iter().filter(|it| !bin.join(it.name).is_file()).collect::<Vec<_>>();
        if missing().is_empty() {
            return Ok(bin);
        }
        needs::GO.met(Path::new(self.folder))?;
        let _lock = cache::lock(&cache)?;
        fs::create_dir_all(&bin)?;
        // Looked at again: another process may have built some while we waited for the lock.
        let missing = missing();
        for (done, program) in missing.iter().enumerate() {
            let doing = format!("building {} ({} of {})", program.name, done + 1, missing.len());
            let unfinished = bin.join(format!(".{}.unfinished", program.name));
            let mut go = Command::new("go");
            go.current_dir(self.folder).args(["build", "-trimpath", "-ldflags", &self.linker_flags()?, "-o"]);
            go.arg(&unfinished).arg(program.package);
            // No C compiler is needed, and nothing around the clone has a say.
            go.env("CGO_ENABLED", "0").env("GOWORK", "off").env_remove("GOOS").env_remove("GOARCH");
            Step { doing: &doing, usually: program.usually }.run(&go, &cache.join(format!("{}.log", program.name)))?;
            fs::rename(&unfinished, bin.join(program.name))?;
        }
        Ok(bin)
    }

    /// Such as `control-plane-1.36.3-etcd-3.6.8-0123456789abcdef`.
    fn cache_name(&self) -> Result<String> {
        let mut name = String::new();
        for (called, module) in self.versions {
            name += &format!("{called}-{}-", self.version(module)?);
        }
        let flags = self.linker_flags()?;
        let machine = [std::env::consts::OS, std::env::consts::ARCH];
        Ok(name + &cache::fingerprint([self.go_mod, &flags, machine[0], machine[1]].map(str::as_bytes)))
    }

    fn linker_flags(&self) -> Result<String> {
        let (_, module) = self.versions.first().context("a module names its version")?;
        let version = self.version(module)?;
        let mut parts = version.split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let stamp = |(variable, stamp): &(&str, Stamp)| match stamp {
            Stamp::Whole => format!(" -X {variable}=v{version}"),
            Stamp::Major => format!(" -X {variable}={major}"),
            Stamp::Minor => format!(" -X {variable}={minor}"),
        };
        Ok(format!("-s -w{}", self.stamps.iter().map(stamp).collect::<String>()))
    }

    /// The version that go.mod pins a module at, without its `v`.
    fn version(&self, module: &str) -> Result<&'static str> {
        let pinned = |line: &'static str| line.trim().strip_prefix(module)?.strip_prefix(" v")?.split(' ').next();
        let found = self.go_mod.lines().find_map(pinned);
        found.with_context(|| format!("{}/go.mod does not pin {module}", self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_named_for_the_pinned_versions() -> Result<()> {
        assert!(CONTROL_PLANE.cache_name()?.starts_with("control-plane-1.36.3-etcd-3.6.8-"));
        assert!(HELM.cache_name()?.starts_with("helm-4.3.1-"));
        Ok(())
    }

    #[test]
    fn the_server_is_told_its_version() -> Result<()> {
        let flags = CONTROL_PLANE.linker_flags()?;
        assert!(
            flags.contains(".gitVersion=v1.36.3 ") && flags.contains(".gitMajor=1 ") && flags.ends_with(".gitMinor=36")
        );
        Ok(())
    }

    #[test]
    fn every_program_is_pinned_as_a_tool() {
        for module in [CONTROL_PLANE, HELM] {
            for program in module.programs {
                assert!(module.go_mod.contains(program.package), "{} has no {}", module.folder, program.package);
            }
        }
    }
}
