//! A SesDomain moves from one namespace to another.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use ses_operator::api::SesDomain;
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::operator::Operator;
use tokio::sync::OnceCell;

use crate::world::{NAME, PROGRAM, REGION, full, story_in};

/// One of its own: this operator looks after all namespaces, and would look after other stories' resources too.
static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

#[tokio::test]
async fn a_domain_moves_to_another_namespace_and_not_a_record_is_touched() -> Result<()> {
    let plane = PLANE.get_or_try_init(ControlPlane::start).await?;
    crate::cluster::install(plane).await?;
    story_in(plane, "moves-from", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        let operator = Operator::builder(plane, PROGRAM)
            .arguments(["--bind-address=127.0.0.1:0", "--leader-elect=false", "--log-level=info,ses_operator=debug"])
            .environment(world.account.environment(REGION))
            .environment([("SES_OPERATOR_SIMULATED_CLOCK", world.account.clock_url())]);
        world.start_as(operator)?;
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let before = world.status().await?;
        let (records, mark) = (world.records().await?, world.mark().await?);

        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "moves-to"}});
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        let params = PatchParams::apply("stories");
        namespaces.patch("moves-to", &params, &Patch::Apply(namespace)).await?;
        let heirs: Api<SesDomain> = Api::namespaced(world.client.clone(), "moves-to");
        let mut spec = full();
        spec["domain"] = json!(world.domain);
        let heir = json!({
            "apiVersion": "ses-operator.dev/v1alpha1", "kind": "SesDomain", "metadata": {"name": NAME}, "spec": spec,
        });
        heirs.patch(NAME, &params, &Patch::Apply(heir)).await?;
        let has = async |reason: &str| {
            let conditions = heirs.get(NAME).await?.status.unwrap_or_default().conditions;
            ensure!(conditions.iter().any(|one| one.type_ == "Ready" && one.reason == reason), "{conditions:?}");
            Ok(())
        };
        world.awaits("the heir to wait", async || has("DomainTaken").await).await?;

        world.domains().delete(NAME, &DeleteParams::default()).await?;
        world.is_gone().await?;
        world.awaits("the heir to be ready", async || has("Ready").await).await?;
        world.event("HandedOver", "to the SesDomain moves-to/domain").await?;
        let events: Api<Event> = Api::namespaced(world.client.clone(), "moves-to");
        world
            .awaits("the heir's event", async || {
                let told = events.list(&ListParams::default()).await?.items;
                ensure!(told.iter().any(|event| event.reason.as_deref() == Some("TookOver")), "{told:?}");
                Ok(())
            })
            .await?;
        assert_eq!(world.records().await?, records);
        let after = heirs.get(NAME).await?.status.unwrap_or_default();
        assert_eq!(after.records, before.records, "the ledger passes on as it is");
        assert_eq!(after.dmarc, before.dmarc, "and the walk goes on");
        let writes: Vec<String> = world.writes_since(mark).await?.into_iter().map(|write| write.operation).collect();
        let tags_alone = writes.iter().all(|write| write == "TagResource" || write == "UntagResource");
        assert!(tags_alone && !writes.is_empty(), "{writes:?}");

        // The heir owns it all: with it everything goes.
        heirs.delete(NAME, &DeleteParams::default()).await?;
        world
            .awaits("the heir to be gone", async || {
                ensure!(heirs.get_opt(NAME).await?.is_none(), "it is there");
                Ok(())
            })
            .await?;
        assert!(world.records().await?.is_empty());
        assert!(!world.has_identity().await?);
        Ok(())
    })
    .await
}
