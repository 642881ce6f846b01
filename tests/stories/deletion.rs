//! What goes when a resource is deleted, and what stays.

use anyhow::{Context, Result};
use kube::api::DeleteParams;
use serde_json::json;
use ses_operator_rig::aws::FaultKind;

use crate::world::{HOUR, NAME, REGION, World, full, story, with};

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
