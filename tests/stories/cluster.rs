//! The one control plane of this process, with our CustomResourceDefinition in it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use ses_operator::api::crd::custom_resource_definition;
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::wait::until;
use tokio::sync::OnceCell;

/// For what takes a moment on an idle machine, on one that is compiling as well.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An operator that was told to end has ended by then.
pub(crate) const TEN_SECONDS: Duration = Duration::from_secs(10);

/// The control plane, started and prepared by whoever asks first.
pub(crate) async fn cluster() -> Result<&'static ControlPlane> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await?;
    PREPARED.get_or_try_init(async || install(plane).await).await?;
    Ok(plane)
}

/// Installs our CustomResourceDefinition.
pub(crate) async fn install(plane: &ControlPlane) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(plane.client().await?);
    let definition = custom_resource_definition()?;
    let name = definition.metadata.name.clone().context("the definition has a name")?;
    definitions.patch(&name, &PatchParams::apply("stories"), &Patch::Apply(&definition)).await?;
    until("the CustomResourceDefinition to be served", SOON, async || {
        let conditions = definitions.get(&name).await?.status.and_then(|status| status.conditions).unwrap_or_default();
        let refused: Vec<_> = conditions.iter().filter(|condition| condition.status != "True").collect();
        let established = conditions.iter().any(|one| one.type_ == "Established" && one.status == "True");
        ensure!(established && refused.iter().all(|one| one.type_ != "NonStructuralSchema"), "{conditions:?}");
        // What `kubectl explain` and server-side validation read is published a moment later.
        plane.kubectl(["explain", "sesdomain.spec.domain"]).await?;
        Ok(())
    })
    .await
}
