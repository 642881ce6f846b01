//! What the cluster knows of the manifests' resources: read, and done without where it can't be.

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::api::SesDomain;
use crate::cli::PlanOptions;
use crate::kubernetes::{self, ANSWER_TIMEOUT};

/// It stands for the ID of a cluster that could not be asked for it.
const UNKNOWN_ID: &str = "unknown";
/// Where resources are that name no namespace, when nothing else says so.
const DEFAULT_NAMESPACE: &str = "default";

/// What is known of the cluster.
pub(super) struct Cluster {
    /// Its ID, as tags name it.
    pub(super) id: String,
    /// The SesDomains that are there, as far as they may be read.
    pub(super) live: Vec<SesDomain>,
    /// The namespace of manifests that name none.
    pub(super) namespace: String,
    /// What is not known, and what that means for the plan.
    pub(super) notes: Vec<String>,
}

/// Looks into the cluster, unless it is not to be asked or can't be.
pub(super) async fn look(options: &PlanOptions, manifests: &[SesDomain]) -> Cluster {
    let mut cluster = Cluster {
        id: options.scope.cluster_id.clone().unwrap_or_else(|| UNKNOWN_ID.to_owned()),
        live: Vec::new(),
        namespace: options.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        notes: Vec::new(),
    };
    let new = "the plan is that of new resources";
    if options.no_cluster {
        cluster.notes.push(format!("--no-cluster: {new}"));
    } else {
        match kubernetes::connect().await {
            Ok(client) => cluster.ask(&client, options, manifests).await,
            Err(error) => cluster.notes.push(format!("{error}: {new}")),
        }
    }
    if cluster.id == UNKNOWN_ID {
        cluster.notes.push(
            "the cluster's ID is not known, so an identity of its own looks like another cluster's: set --cluster-id as the operator has it".to_owned(),
        );
    }
    cluster
}

impl Cluster {
    async fn ask(&mut self, client: &Client, options: &PlanOptions, manifests: &[SesDomain]) {
        if options.namespace.is_none() {
            self.namespace = client.default_namespace().to_owned();
        }
        match in_time(Api::<SesDomain>::all(client.clone()).list(&ListParams::default())).await {
            Ok(list) => self.live = list.items,
            Err(Failure { code: Some(404), .. }) => {
                self.notes.push(
                    "the CustomResourceDefinition of SesDomain is not installed: the plan is that of new resources"
                        .to_owned(),
                );
            }
            Err(Failure { code: Some(403), .. }) => self.ask_for_each(client, manifests).await,
            // Whoever did not answer is not asked again.
            Err(Failure { words, .. }) => {
                return self.notes.push(format!("{words}: the plan is that of new resources"));
            }
        }
        if options.scope.cluster_id.is_none() {
            match tokio::time::timeout(ANSWER_TIMEOUT, kubernetes::cluster_id(client)).await {
                Ok(Ok(id)) => self.id = id,
                Ok(Err(error)) => self.notes.push(error.to_string()),
                Err(_) => {}
            }
        }
    }

    /// For who may not list the SesDomains of all namespaces.
    async fn ask_for_each(&mut self, client: &Client, manifests: &[SesDomain]) {
        self.notes.push(
            "the SesDomains of all namespaces may not be listed: whether another one has a domain already is not looked at".to_owned(),
        );
        for manifest in manifests {
            let namespace = manifest.namespace().unwrap_or_else(|| self.namespace.clone());
            let api: Api<SesDomain> = Api::namespaced(client.clone(), &namespace);
            match in_time(api.get_opt(&manifest.name_any())).await {
                Ok(found) => self.live.extend(found),
                Err(Failure { words, .. }) => self.notes.push(format!(
                    "{namespace}/{} can't be read, and is planned as a new resource: {words}",
                    manifest.name_any()
                )),
            }
        }
    }
}

/// Why the API server gave no answer of use.
struct Failure {
    code: Option<u16>,
    words: String,
}

async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            let code = if let kube::Error::Api(status) = &error { Some(status.code) } else { None };
            Err(Failure { code, words: kubernetes::in_words(&error) })
        }
        Err(_) => {
            let words = format!("the API server did not answer within {} s", ANSWER_TIMEOUT.as_secs());
            Err(Failure { code: None, words })
        }
    }
}
