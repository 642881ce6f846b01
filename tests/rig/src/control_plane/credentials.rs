//! Certificates, tokens, and the kubeconfigs made of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

use super::ControlPlane;

/// The administrator's user name, as audit entries show it.
pub const ADMIN: &str = "rig-admin";

/// The controller manager's.
pub const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// Longer than any demo is left running.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// The files that the API server proves itself with and knows its users by, all in the control plane's own folder, which
/// nobody else can enter.
pub(super) struct Credentials;

impl Credentials {
    pub(super) const CA: &str = "ca.crt";
    pub(super) const SERVER_CERTIFICATE: &str = "apiserver.crt";
    pub(super) const SERVER_KEY: &str = "apiserver.key";
    pub(super) const ACCOUNT_KEY: &str = "service-accounts.key";
    pub(super) const ACCOUNT_PUBLIC_KEY: &str = "service-accounts.pub";
    pub(super) const TOKENS: &str = "tokens.csv";

    /// Makes all of them anew; nothing outlives the control plane, so nothing is worth stealing from a repository.
    pub(super) fn create(folder: &Path) -> Result<()> {
        let write = |name, content: String| {
            fs::write(folder.join(name), content).with_context(|| format!("can't write {name}"))
        };

        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"].map(str::to_owned);
        let server_key = KeyPair::generate()?;
        let server = CertificateParams::new(names)?.signed_by(&server_key, &authority)?;
        write(Self::CA, authority.pem())?;
        write(Self::SERVER_CERTIFICATE, server.pem())?;
        write(Self::SERVER_KEY, server_key.serialize_pem())?;
        let account_key = KeyPair::generate()?;
        write(Self::ACCOUNT_KEY, account_key.serialize_pem())?;
        write(Self::ACCOUNT_PUBLIC_KEY, account_key.public_key_pem())?;

        let line = |user| Ok(format!("{},{user},{user},system:masters\n", secret()?));
        write(Self::TOKENS, [ADMIN, CONTROLLER_MANAGER].into_iter().map(line).collect::<Result<_>>()?)
    }
}

/// 128 bits and more from the system's random numbers, by way of a key, which spares a crate that makes them.
fn secret() -> Result<String> {
    let key = KeyPair::generate()?;
    Ok(key.public_key_raw().iter().skip(1).take(32).map(|byte| format!("{byte:02x}")).collect())
}

impl ControlPlane {
    /// A token for a service account, from the API server itself, as a kubelet would ask for it.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..Default::default() };
        let request = TokenRequest { spec, ..Default::default() };
        let issued = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let issued =
            issued.with_context(|| format!("can't have a token for the service account {namespace}/{name}"))?;
        Ok(issued.status.context("a token request without an answer")?.token)
    }

    /// A kubeconfig for a service account, with a token of a day and the account's namespace as the default.
    pub async fn kubeconfig_for(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name).await?;
        self.write_kubeconfig_in(namespace, &format!("{namespace}.{name}"), &token)
    }

    /// A client for whomever a kubeconfig names. It belongs to the runtime that it is made in.
    pub async fn client_for(&self, kubeconfig: &Path) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // The server is on this machine, whatever proxy leads out of it.
        config.proxy_url = None;
        Ok(Client::try_from(config)?)
    }

    pub(super) fn token(&self, user: &str) -> Result<String> {
        let tokens = fs::read_to_string(self.folder().join(Credentials::TOKENS))?;
        let found = tokens.lines().filter_map(|line| line.split_once(',')).find(|(_, rest)| rest.starts_with(user));
        Ok(found.with_context(|| format!("{user} has no token"))?.0.to_owned())
    }

    pub(super) fn kubeconfig_path(&self, user: &str) -> PathBuf {
        self.folder().join(format!("{}.kubeconfig", user.replace(':', "-")))
    }

    pub(super) fn write_kubeconfig(&self, user: &str, token: &str) -> Result<PathBuf> {
        self.write_kubeconfig_in("default", user, token)
    }

    /// Writes a kubeconfig that trusts the control plane's own authority and nobody else.
    fn write_kubeconfig_in(&self, namespace: &str, user: &str, token: &str) -> Result<PathBuf> {
        let (server, authority) = (self.server(), self.folder().join(Credentials::CA));
        let content = format!(
            r#"apiVersion: v1
kind: Config
clusters:
- name: rig
  cluster:
    server: {server}
    certificate-authority: {authority:?}
users:
- name: "{user}"
  user:
    token: "{token}"
contexts:
- name: rig
  context:
    cluster: rig
    user: "{user}"
    namespace: "{namespace}"
current-context: rig
"#
        );
        let path = self.kubeconfig_path(user);
        fs::write(&path, content).with_context(|| format!("can't write {}", path.display()))?;
        Ok(path)
    }
}
