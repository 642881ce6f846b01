//! A real Kubernetes control plane: etcd, the API server and the controller manager, for one process.
//!
//! Nothing is loosened but the disk (`--unsafe-no-fsync`, in a folder that is thrown away): requests carry tokens, over TLS
//! that clients verify, and RBAC decides. There is no node, so pods never run.
//!
//! | module | |
//! |---|---|
//! | [`credentials`] | certificates, tokens and the kubeconfigs made of them |
//! | `programs` | the command line of each program |
//! | `tools` | kubectl and Helm |
//! | [`audit`] | which requests reached the API server |
//! | [`relay`] | a way to the API server that can be cut |
//! | [`backup`] | the cluster's state as it was |

pub mod audit;
pub mod backup;
pub mod credentials;
mod programs;
pub mod relay;
mod tools;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::{Api, Client};
use tokio::sync::OnceCell;

use crate::binaries::Binaries;
use crate::leash::{Leashed, LeashedFolder};
use crate::wait::{Hopeless, until};
use credentials::{ADMIN, CONTROLLER_MANAGER, Credentials};

/// The API server is ready 4 s after its start on an idle machine; this is for one that is compiling as well.
const READY: Duration = Duration::from_secs(120);

/// How often the API server is started on another port when somebody took the one that was found free.
const ATTEMPTS: usize = 3;

/// A running control plane. It ends when this is dropped, and when the process ends, in whatever manner.
#[derive(Debug)]
pub struct ControlPlane {
    binaries: Binaries,
    port: u16,
    // Dropped in this order: each program before the one that it calls, the folder last.
    controller_manager: Mutex<Option<Leashed>>,
    api_server: Mutex<Option<Leashed>>,
    etcd: Mutex<Option<Leashed>>,
    folder: LeashedFolder,
}

impl ControlPlane {
    /// Starts a control plane, and returns when namespaces can be made in it. The first time on a machine this builds its
    /// programs, for minutes, and shows progress.
    pub async fn start() -> Result<Self> {
        let binaries = tokio::task::spawn_blocking(Binaries::find).await??;
        let folder = LeashedFolder::create("ses-operator-rig")?;
        Credentials::create(folder.path())?;
        let etcd = programs::etcd(&binaries, folder.path())?;
        let mut plane = Self {
            binaries,
            port: 0,
            controller_manager: Mutex::new(None),
            api_server: Mutex::new(None),
            etcd: Mutex::new(Some(etcd)),
            folder,
        };
        plane.start_on_a_free_port().await?;
        plane.launch_controller_manager().await?;
        Ok(plane)
    }

    /// The one control plane of this process, started by whoever asks first.
    ///
    /// Every test has a runtime of its own, which ends with it. What is shared is therefore bound to none: plain processes
    /// and files. Clients are made for each test, by [`ControlPlane::client`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// The API server's address.
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The folder of everything that this control plane writes: its data, kubeconfigs and logs. It is removed at the end.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The kubeconfig of the administrator, a member of `system:masters`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_path(ADMIN)
    }

    /// A client for the administrator. It belongs to the runtime that it is made in.
    pub async fn client(&self) -> Result<Client> {
        self.client_for(&self.kubeconfig()).await
    }

    /// The process IDs of the programs that run, by name.
    pub fn processes(&self) -> Vec<(&'static str, u32)> {
        let named = [
            ("etcd", &self.etcd),
            ("kube-apiserver", &self.api_server),
            ("kube-controller-manager", &self.controller_manager),
        ];
        named.iter().filter_map(|(name, process)| Some((*name, lock(process).as_ref()?.id()))).collect()
    }

    /// Kills the API server and starts it again on the same address; returns when it is ready.
    pub async fn restart_api_server(&self) -> Result<()> {
        self.stop_api_server()?;
        self.start_api_server().await
    }

    /// Kills the API server, as a power cut would: connections break, nothing is drained.
    pub fn stop_api_server(&self) -> Result<()> {
        if let Some(mut stopped) = lock(&self.api_server).take() {
            stopped.kill()?;
        }
        Ok(())
    }

    /// Starts the API server after [`ControlPlane::stop_api_server`]; returns when it is ready.
    pub async fn start_api_server(&self) -> Result<()> {
        ensure!(lock(&self.api_server).is_none(), "the API server already runs");
        self.launch_api_server().await
    }

    async fn start_on_a_free_port(&mut self) -> Result<()> {
        let mut attempt = 1;
        loop {
            self.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            self.write_kubeconfig(ADMIN, &self.token(ADMIN)?)?;
            match self.launch_api_server().await {
                Err(error) if attempt < ATTEMPTS && format!("{error:#}").contains("address already in use") => {
                    self.stop_api_server()?;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn launch_api_server(&self) -> Result<()> {
        let started = programs::kube_apiserver(&self.binaries, self.folder(), self.port)?;
        *lock(&self.api_server) = Some(started);
        let client = self.client().await?;
        until("the API server to be ready", READY, async || {
            running(&self.etcd, "etcd")?;
            running(&self.api_server, "kube-apiserver")?;
            let request = http::Request::get("/readyz").body(Vec::new())?;
            let said = client.request_text(request).await?;
            ensure!(said == "ok", "{said}");
            Ok(())
        })
        .await
        .map_err(|error| self.with_tail(error, &self.api_server))
    }

    async fn launch_controller_manager(&self) -> Result<()> {
        let kubeconfig = self.write_kubeconfig(CONTROLLER_MANAGER, &self.token(CONTROLLER_MANAGER)?)?;
        let started = programs::controller_manager(&self.binaries, self.folder(), &kubeconfig)?;
        *lock(&self.controller_manager) = Some(started);
        self.controllers_work().await
    }

    /// The controllers have no probe that is worth asking; what they do for the first namespace is.
    async fn controllers_work(&self) -> Result<()> {
        let client = self.client().await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        let authorities: Api<ConfigMap> = Api::namespaced(client, "default");
        until("the controller manager to serve the namespace `default`", READY, async || {
            running(&self.controller_manager, "kube-controller-manager")?;
            accounts.get("default").await?;
            authorities.get("kube-root-ca.crt").await?;
            Ok(())
        })
        .await
        .map_err(|error| self.with_tail(error, &self.controller_manager))
    }

    /// Adds the end of a program's log, unless the error is that a program ended, which quotes the right one already.
    fn with_tail(&self, error: anyhow::Error, process: &Mutex<Option<Leashed>>) -> anyhow::Error {
        if error.is::<Hopeless>() {
            return error;
        }
        let tail = lock(process).as_ref().map(Leashed::tail).unwrap_or_default();
        anyhow!("{error:#}; the end of its log:\n{tail}")
    }
}

/// Fails for good when a program has ended, so that nobody waits for it.
fn running(process: &Mutex<Option<Leashed>>, name: &str) -> Result<()> {
    let mut process = lock(process);
    let process = process.as_mut().with_context(|| Hopeless(format!("{name} was stopped")))?;
    match process.try_wait()? {
        None => Ok(()),
        Some(status) => Err(Hopeless(format!("{name} ended ({status}):\n{}", process.tail())).into()),
    }
}

/// A panic of one test says nothing about the processes, so the others go on using them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
