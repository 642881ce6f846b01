//! The command line of each program. Each writes its log to a file of its name in the control plane's folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::audit;
use super::credentials::Credentials;
use crate::binaries::Binaries;
use crate::leash::Leashed;

/// Only what a cluster without nodes has use for: namespaces are emptied, owners followed, accounts made, roles aggregated.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,\
                           root-ca-certificate-publisher-controller,clusterrole-aggregation-controller";

/// Where etcd keeps its data.
pub(super) fn etcd_data(folder: &Path) -> PathBuf {
    folder.join("etcd")
}

/// etcd listens on sockets in the folder: they are as private as the folder is, and need no port.
pub(super) fn etcd(binaries: &Binaries, folder: &Path) -> Result<Leashed> {
    let mut command = Command::new(&binaries.etcd);
    command
        .arg("--data-dir")
        .arg(etcd_data(folder))
        .arg(format!("--listen-client-urls={}", socket(folder, "etcd.sock")))
        .arg(format!("--listen-peer-urls={}", socket(folder, "peers.sock")))
        // Must be given, as an address with a port; it is only for peers and for clients that ask for more members.
        .arg("--advertise-client-urls=http://localhost:2379")
        // The data is thrown away, so it need not survive a power cut.
        .arg("--unsafe-no-fsync")
        .arg("--log-level=warn");
    Leashed::spawn(&command, &folder.join("etcd.log"))
}

pub(super) fn kube_apiserver(binaries: &Binaries, folder: &Path, port: u16) -> Result<Leashed> {
    let policy = folder.join("audit-policy.yaml");
    fs::write(&policy, audit::POLICY)?;
    let file = |name: &str| folder.join(name).display().to_string();
    let mut command = Command::new(&binaries.kube_apiserver);
    command
        .arg(format!("--etcd-servers={}", socket(folder, "etcd.sock")))
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--secure-port={port}"))
        .arg(format!("--tls-cert-file={}", file(Credentials::SERVER_CERTIFICATE)))
        .arg(format!("--tls-private-key-file={}", file(Credentials::SERVER_KEY)))
        .arg(format!("--cert-dir={}", file("certificates")))
        .arg("--anonymous-auth=false")
        .arg(format!("--token-auth-file={}", file(Credentials::TOKENS)))
        .arg("--authorization-mode=RBAC")
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--service-account-key-file={}", file(Credentials::ACCOUNT_PUBLIC_KEY)))
        .arg(format!("--service-account-signing-key-file={}", file(Credentials::ACCOUNT_KEY)))
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        .arg(format!("--audit-policy-file={}", policy.display()))
        .arg(format!("--audit-log-path={}", file(audit::LOG)))
        // An entry is in the file before the request is over, and the file is never rotated away.
        .args(["--audit-log-mode=blocking", "--audit-log-maxsize=100000"]);
    Leashed::spawn(&command, &folder.join("kube-apiserver.log"))
}

pub(super) fn controller_manager(binaries: &Binaries, folder: &Path, kubeconfig: &Path) -> Result<Leashed> {
    let mut command = Command::new(&binaries.kube_controller_manager);
    command
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--controllers={CONTROLLERS}"))
        .arg(format!("--root-ca-file={}", folder.join(Credentials::CA).display()))
        .args(["--leader-elect=false", "--secure-port=0"])
        // Stories make and remove namespaces by the dozen.
        .args(["--kube-api-qps=200", "--kube-api-burst=400"]);
    Leashed::spawn(&command, &folder.join("kube-controller-manager.log"))
}

fn socket(folder: &Path, name: &str) -> String {
    format!("unix://{}", folder.join(name).display())
}
