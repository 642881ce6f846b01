//! A way to the API server that can be cut, for one client alone.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::ControlPlane;
use super::credentials::ADMIN;

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Everything passes.
    Open,
    /// Connections break, and new ones are closed at once: whoever asks is told.
    Broken,
    /// Nothing passes, and nobody is told, as when a network drops all packets. What was sent meanwhile arrives when the
    /// way is open again.
    Silent,
}

/// A relay to the API server. It belongs to the runtime that it is made in, and ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    way: watch::Sender<Way>,
    kubeconfig: PathBuf,
    relaying: JoinHandle<()>,
}

impl Relay {
    /// The kubeconfig of the administrator by this way.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Opens the way, or cuts it.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.relaying.abort();
    }
}

impl ControlPlane {
    /// An open way to the API server.
    pub async fn relay(&self) -> Result<Relay> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let direct = std::fs::read_to_string(self.kubeconfig())?;
        let kubeconfig = self.kubeconfig_path(&format!("{ADMIN}-by-{port}"));
        // The server's certificate is for the address, whatever the port.
        std::fs::write(&kubeconfig, direct.replace(&self.server(), &format!("https://127.0.0.1:{port}")))
            .with_context(|| format!("can't write {}", kubeconfig.display()))?;
        let (way, seen) = watch::channel(Way::Open);
        let relaying = tokio::spawn(relay(listener, self.port, seen));
        Ok(Relay { way, kubeconfig, relaying })
    }
}

/// Carries what arrives to the port of the API server.
async fn relay(listener: TcpListener, port: u16, way: watch::Receiver<Way>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connect(client, port, way.clone()));
    }
}

/// Carries one connection until either side closes it, or the way breaks.
async fn connect(client: TcpStream, port: u16, mut way: watch::Receiver<Way>) {
    let passing = way.clone();
    let carried = async move {
        let mut passing_back = passing.clone();
        let mut passing = passing;
        opened(&mut passing).await;
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        tokio::join!(
            carry(&mut from_client, &mut to_server, &mut passing),
            carry(&mut from_server, &mut to_client, &mut passing_back),
        );
    };
    tokio::select! {
        () = carried => {}
        // The sender is gone with the relay.
        _ = way.wait_for(|way| *way == Way::Broken) => {}
    }
}

async fn carry(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    way: &mut watch::Receiver<Way>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        opened(way).await;
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            // The other direction may have something left to carry.
            let _ = to.shutdown().await;
            return;
        }
    }
}

/// Returns when something may pass.
async fn opened(way: &mut watch::Receiver<Way>) {
    let _ = way.wait_for(|way| *way == Way::Open).await;
}
