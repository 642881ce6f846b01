//! The client of the API server, and its errors in words.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, Config};

use crate::api::SesDomain;
use crate::start_error::StartError;

/// How long an answer of the API server is waited for.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A client as kubectl would make it, or a pod.
///
/// # Errors
/// When there is no cluster to be found.
pub async fn connect() -> Result<Client, StartError> {
    let mut config = Config::infer().await.map_err(|error| {
        StartError::new(format!(
            "no cluster was found: set KUBECONFIG to a valid kubeconfig, or run in a pod with a ServiceAccount ({})",
            error.to_string().replace('\n', " ")
        ))
    })?;
    // A kubeconfig's client has been given HTTPS_PROXY and NO_PROXY already; a pod's has not.
    if config.proxy_url.is_none() {
        let proxies = hyper_util::client::proxy::matcher::Matcher::from_env();
        config.proxy_url = proxies.intercept(&config.cluster_url).map(|proxy| proxy.uri().clone());
    }
    Client::try_from(config)
        .map_err(|error| StartError::new(format!("the cluster's configuration can't be used: {error}")))
}

/// The SesDomains of one namespace, or of all.
pub fn domains(client: Client, namespace: Option<&str>) -> Api<SesDomain> {
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// Finds out early whether SesDomains can be listed.
///
/// # Errors
/// When the cluster does not answer, the CRD is not installed, or permission is missing.
pub async fn check_access(domains: &Api<SesDomain>) -> Result<(), StartError> {
    match domains.list(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(StartError::new(
            "the CustomResourceDefinition of SesDomain is not installed: install the chart, or `ses-operator crd | kubectl apply -f -`",
        )),
        Err(error) => Err(StartError::new(format!("can't list SesDomains: {}", in_words(&error)))),
    }
}

/// The cluster's ID: the UID of the namespace kube-system, which lives as long as the cluster.
///
/// # Errors
/// When it can't be read.
pub async fn cluster_id(client: &Client) -> Result<String, StartError> {
    let advice = "set --cluster-id, or allow to get the namespace kube-system";
    let namespace = Api::<Namespace>::all(client.clone())
        .get("kube-system")
        .await
        .map_err(|error| StartError::new(format!("can't read the cluster's ID: {}; {advice}", in_words(&error))))?;
    namespace.metadata.uid.ok_or_else(|| StartError::new(format!("the namespace kube-system has no UID; {advice}")))
}

/// What an error of the API server means, in one line.
pub fn in_words(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else {
        return format!("the API server can't be reached ({}): check the address and the network", causes(error));
    };
    match status.code {
        403 => format!("{}; grant the operator's ServiceAccount the chart's RBAC", status.message),
        401 => "the API server does not accept the credentials: renew them".to_owned(),
        code => format!("the API server answered {code} {}", status.message),
    }
}

/// An error and what it stems from, where that says more.
fn causes(error: &kube::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        let deeper_words = deeper.to_string();
        if !words.contains(&deeper_words) {
            words = format!("{words}: {deeper_words}");
        }
        cause = deeper.source();
    }
    words
}
