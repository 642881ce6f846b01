//! What goes when a resource is deleted, and what stays.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use ses_operator_rig::aws::FaultKind;
use ses_operator_rig::control_plane::audit::AuditMark;

use crate::world::{HOUR, MINUTE, NAME, REGION, World, everything, full, story, with};

async fn delete(world: &World) -> Result<()> {
    world.domains().delete(NAME, &DeleteParams::default()).await?;
    Ok(())
}

#[tokio::test]
async fn what_we_made_goes_and_nothing_else() -> Result<()> {
    story("deleted", async |world| {
        let (account, zone) = (world.account.clone(), world.zone.clone());
        account.write_record(&zone, "mail.deleted.example", "TXT", &["\"owner=somebody\""]).await?;
        account.write_record(&zone, "www.deleted.example", "CNAME", &["elsewhere.example"]).await?;
        let before = world.records().await?;
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let mark = world.mark().await?;

        delete(world).await?;
        world.is_gone().await?;

        assert_eq!(world.records().await?, before);
        assert!(!world.has_identity().await?);
        world.event("RecordsRemoved", "_dmarc.deleted.example TXT").await?;
        world.event("IdentityDeleted", "deleted.example").await?;
        let told = world.events().await?;
        assert!(!told.iter().any(|event| event.starts_with("IdentityMissing")), "it was asked to go: {told:?}");
        let writes: Vec<String> = world.writes_since(mark).await?.into_iter().map(|write| write.operation).collect();
        assert_eq!(writes, ["ChangeResourceRecordSets", "DeleteEmailIdentity"], "records first, then the identity");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deletion_while_aws_is_down_is_finished_when_it_returns() -> Result<()> {
    story("delete-down", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        world.down(FaultKind::Drop).await?;
        delete(world).await?;
        let told = world.sees_because("Ready", "False", "Deleting").await?;
        assert!(told.contains("nothing is to be done: it is tried again"), "{told}");
        assert_eq!(world.records().await.map(|records| records.len()).unwrap_or(6), 6);
        world.account.advance(HOUR).await?;
        assert!(world.domains().get_opt(NAME).await?.is_some(), "it must not be forgotten");

        world.account.clear_faults().await?;
        world.is_gone().await?;
        assert!(world.records().await?.is_empty());
        assert!(!world.has_identity().await?);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_zone_or_an_identity_that_is_gone_already_is_no_obstacle() -> Result<()> {
    story("gone-already", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        world.kill()?;
        for record in world.records().await? {
            let mut words = record.split(' ');
            let (name, kind) = (words.next().context("a name")?, words.next().context("a type")?);
            world.account.delete_record(&world.zone, name, kind).await?;
        }
        world.account.route53().delete_hosted_zone().id(&world.zone).send().await?;
        world.account.sesv2(REGION).delete_email_identity().email_identity(&world.domain).send().await?;
        delete(world).await?;
        world.start([])?;
        world.is_gone().await
    })
    .await
}

#[tokio::test]
async fn retain_leaves_everything_where_it_is() -> Result<()> {
    story("retained", async |world| {
        world.apply(with(full(), json!({"deletionPolicy": "Retain"}))).await?;
        world.sees("Ready", "True").await?;
        let (records, mark) = (world.records().await?, world.mark().await?);
        delete(world).await?;
        world.is_gone().await?;
        assert_eq!(world.records().await?, records);
        assert!(world.has_identity().await?);
        let writes: Vec<String> = world.writes_since(mark).await?.into_iter().map(|write| write.operation).collect();
        assert_eq!(writes, ["TagResource"], "that it was released");
        world.event("IdentityReleased", "adoptionPolicy Adopt may have them").await?;

        // Made anew from Git it is the same owner, and takes its own again.
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.records().await?, records);
        assert_eq!(world.count_since(mark, "CreateEmailIdentity").await?, 0);
        assert!(world.status().await?.records.iter().all(|record| record.ours));
        Ok(())
    })
    .await
}

/// What the API server answered to our events since then, in this namespace.
fn answers_to_events(world: &World, mark: AuditMark) -> Result<Vec<u16>> {
    let entries = world.plane.audit_since(mark)?.into_iter();
    let ours =
        entries.filter(|entry| entry.namespace == world.namespace && entry.resource == "events" && entry.writes());
    Ok(ours.filter(|entry| entry.verb != "deletecollection").map(|entry| entry.code).collect())
}

#[tokio::test]
async fn a_namespace_that_takes_no_events_any_more_goes_with_all_its_domains() -> Result<()> {
    story("terminating", async |world| {
        world.strangers_move_in().await?;
        let second = json!({"domain": "second.terminating.example"});
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        world.apply_as("second", second).await?;
        world.sees_of("second", "Ready", "True").await?;

        // First it can't go on, and has much to tell that nobody takes.
        world.down(FaultKind::Denied).await?;
        let audit = world.plane.audit_mark()?;
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        namespaces.delete(&world.namespace, &DeleteParams::default()).await?;
        world.sees_because("Ready", "False", "Deleting").await?;
        for _ in 0..60 {
            world.account.advance(MINUTE).await?;
        }
        world.sees("Stalled", "True").await?;
        world.account.clear_faults().await?;
        let name = world.namespace.clone();
        world
            .awaits("the namespace to be gone", async || {
                let left = namespaces.get_opt(&name).await?;
                ensure!(left.is_none(), "{:?}", left.and_then(|left| left.status));
                Ok(())
            })
            .await?;
        world.is_gone_without_a_trace().await?;
        let answers = answers_to_events(world, audit)?;
        assert!(!answers.is_empty() && answers.iter().all(|code| *code == 403), "{answers:?}");
        // Of either domain that it stands still, once more if that was seen before it was deleted, that its records have
        // gone, and that its identity has.
        assert!(answers.len() <= 8, "{answers:?}");

        // The operator has not noticed, and looks after a new namespace of that name.
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        namespaces.patch(&name, &PatchParams::apply("stories"), &Patch::Apply(namespace)).await?;
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        world.rests().await
    })
    .await
}
