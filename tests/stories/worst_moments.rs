//! Somebody else acts just when the operator has looked and is about to act itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use ses_operator_rig::aws::{Fault, FaultKind, Service};

use crate::world::{DAY, HOUR, NAME, OPERATOR, World, everything, story, with};

/// How long the operator's next batch is on its way to Route 53: enough for somebody to be faster.
const ON_ITS_WAY: Duration = Duration::from_secs(3);

/// Makes the operator's next batch with this text in it a slow one.
async fn slow_batch(world: &World, text: &str) -> Result<()> {
    let slow = Fault::new(Service::Route53, FaultKind::Latency).operation("ChangeResourceRecordSets").matching(text);
    world.account.fault(slow.times(1).lasting(ON_ITS_WAY)).await?;
    Ok(())
}

/// Waits until the operator's batch is on its way.
async fn is_on_its_way(world: &mut World, mark: u64) -> Result<()> {
    let account = world.account.clone();
    world
        .awaits("a batch on its way", async || {
            let requests = account.requests_since(mark).await?;
            let batch = requests
                .iter()
                .find(|it| it.fault.as_deref() == Some("latency") && it.sender.as_deref() == Some(OPERATOR));
            ensure!(batch.context("there is none")?.done.is_none(), "it has arrived before anybody could act");
            Ok(())
        })
        .await
}

fn dmarc(world: &World) -> String {
    format!("_dmarc.{}", world.domain)
}

const STRICT: &str = "\"v=DMARC1; p=reject; rua=mailto:postmaster@example.net\"";

#[tokio::test]
async fn somebody_publishes_a_policy_just_before_we_do() -> Result<()> {
    story("faster", async |world| {
        world.strangers_move_in().await?;
        slow_batch(world, "_dmarc.faster").await?;
        let mark = world.mark().await?;
        world.apply(everything()).await?;
        is_on_its_way(world, mark).await?;
        world.account.write_record(&world.zone, &dmarc(world), "TXT", &[STRICT]).await?;
        let told = world.sees_because("Ready", "False", "RecordConflict").await?;
        assert!(told.contains("postmaster@example.net") && told.contains("wanted there"), "{told}");
        assert_eq!(world.public(&dmarc(world), "TXT").await?, STRICT);
        let mine = world.status().await?.records.into_iter().any(|entry| entry.name == dmarc(world) && entry.ours);
        assert!(!mine, "what was claimed for the write is not ours after all");

        // Gone again, everything is as ever.
        world.account.delete_record(&world.zone, &dmarc(world), "TXT").await?;
        world.reconciles("after it has gone").await?;
        world.is_as_ever().await?;
        world.rests().await
    })
    .await
}

#[tokio::test]
async fn somebody_edits_the_policy_just_as_the_next_stage_is_written() -> Result<()> {
    story("overtaken", async |world| {
        world.strangers_move_in().await?;
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        slow_batch(world, "p=quarantine").await?;
        let mark = world.mark().await?;
        world.account.advance(30 * DAY + HOUR).await?;
        is_on_its_way(world, mark).await?;
        world.account.write_record(&world.zone, &dmarc(world), "TXT", &[STRICT, "\"owner=somebody\""]).await?;
        // The batch is refused for what it would have overwritten, and then only the policy is put right.
        world.event("RecordPutBack", "postmaster@example.net").await?;
        let quarantine = "\"v=DMARC1; p=quarantine; rua=mailto:dmarc@example.com\"";
        world.account.advance(HOUR).await?;
        world.sees("Ready", "True").await?;
        let found = world.public(&dmarc(world), "TXT").await?;
        assert!(found.contains("owner=somebody") && found.contains(quarantine), "{found}");
        world.account.write_record(&world.zone, &dmarc(world), "TXT", &[quarantine]).await?;
        world.is_as_ever_with(quarantine).await?;
        world.account.advance(2 * HOUR).await?;
        world.rests().await
    })
    .await
}

#[tokio::test]
async fn somebody_edits_a_record_just_as_it_is_removed() -> Result<()> {
    story("edited-going", async |world| {
        world.strangers_move_in().await?;
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        slow_batch(world, "DELETE").await?;
        let mark = world.mark().await?;
        world.domains().delete(NAME, &DeleteParams::default()).await?;
        is_on_its_way(world, mark).await?;
        world.account.write_record(&world.zone, &dmarc(world), "TXT", &[STRICT]).await?;
        world.is_gone().await?;
        let mut expected = world.strangers.clone();
        expected.push(format!("{} TXT 300 {STRICT}", dmarc(world)));
        expected.sort();
        let mut found = world.records().await?;
        found.sort();
        assert_eq!(found, expected, "theirs stays, and ours is gone");
        assert!(!world.has_identity().await?);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_resource_that_is_deleted_and_applied_again_at_once_is_set_up_again() -> Result<()> {
    story("at-once", async |world| {
        world.strangers_move_in().await?;
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        let before = world.resource().await?.metadata.uid;
        slow_batch(world, "DELETE").await?;
        let mark = world.mark().await?;
        world.domains().delete(NAME, &DeleteParams::default()).await?;
        is_on_its_way(world, mark).await?;
        // To the one that is going, which goes all the same; and then anew, as a GitOps tool would.
        world.apply(with(everything(), json!({"tags": {"team": "other"}}))).await?;
        world.is_gone().await?;
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        assert_ne!(world.resource().await?.metadata.uid, before);
        assert_eq!(world.count_since(mark, "DeleteEmailIdentity").await?, 1);
        assert_eq!(world.count_since(mark, "CreateEmailIdentity").await?, 1);
        world.rests().await
    })
    .await
}

#[tokio::test]
async fn a_zone_that_is_deleted_and_made_anew_gets_its_records_again() -> Result<()> {
    story("new-zone", async |world| {
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        let (account, former) = (world.account.clone(), world.zone.clone());
        for record in world.records().await? {
            let mut words = record.split(' ');
            let (name, kind) = (words.next().context("a name")?, words.next().context("a type")?);
            account.delete_record(&former, name, kind).await?;
        }
        account.route53().delete_hosted_zone().id(&former).send().await?;
        world.zone = account.create_zone(&world.domain).await?;
        world.strangers_move_in().await?;
        // Before SES misses the MX record, and refuses mail as it was told to.
        world.asks("for a look at once").await?;
        let domains = world.domains();
        let zone = world.zone.clone();
        world
            .awaits("the records to be in the new zone", async || {
                let status = domains.get(NAME).await?.status.context("a status")?;
                let there = status.records.iter().all(|entry| entry.hosted_zone_id == zone && entry.published);
                ensure!(there && !status.records.is_empty(), "{:?}", status.records);
                Ok(())
            })
            .await?;
        world.is_as_ever().await?;
        let zones: Vec<String> = world.status().await?.hosted_zones.into_iter().map(|zone| zone.id).collect();
        assert_eq!(zones, std::slice::from_ref(&world.zone), "the former one is forgotten");
        world.account.advance(2 * HOUR).await?;
        world.rests().await
    })
    .await
}
