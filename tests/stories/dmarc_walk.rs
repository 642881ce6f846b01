//! From monitoring to enforcement.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::world::{DAY, HOUR, NAME, REGION, World, full, story, walk, with};

/// The DMARC record that receivers find.
async fn published(world: &World) -> Result<String> {
    world.public(&format!("_dmarc.{}", world.domain), "TXT").await
}

/// Waits until receivers find this policy and the status names this stage.
async fn stands_at(world: &mut World, stage: &str, policy: &str) -> Result<()> {
    let (domains, account, name) = (world.domains(), world.account.clone(), format!("_dmarc.{}", world.domain));
    world
        .awaits(&format!("the stage {stage}"), async || {
            let dmarc = domains.get(NAME).await?.status.and_then(|status| status.dmarc).context("no stage yet")?;
            let found = account.resolve(&name, "TXT").await?.values.join(" | ");
            let stands = dmarc.stage == stage && dmarc.since.is_some() && found.contains(&format!("p={policy}"));
            ensure!(stands, "{dmarc:?} {found}");
            Ok(())
        })
        .await
}

/// Every DMARC policy that was ever written, in its order.
async fn policies(world: &World) -> Result<Vec<String>> {
    let writes = world.writes_since(0).await?;
    let dmarc = writes.iter().filter(|write| write.status == 200).flat_map(|write| &write.changes);
    let created = dmarc.filter(|change| change.action != "DELETE" && change.name.starts_with("_dmarc."));
    let policy = created.map(|change| {
        let value = change.values.join(" ");
        value.split("p=").nth(1).and_then(|rest| rest.split([';', '"']).next()).unwrap_or_default().to_owned()
    });
    Ok(policy.collect())
}

#[tokio::test]
async fn sixty_days_from_none_to_reject() -> Result<()> {
    story("walk", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        stands_at(world, "monitor", "none").await?;
        assert_eq!(published(world).await?, "\"v=DMARC1; p=none; rua=mailto:dmarc@example.com\"");
        let message = world.sees("DmarcPublished", "True").await?.message;
        assert!(message.contains("stage monitor, which lasts until"), "{message}");

        // A day before its time nothing has changed, and a reconcile that was asked for knows that too.
        world.account.advance(29 * DAY).await?;
        let mark = world.mark().await?;
        world.reconciles("the-29th-day").await?;
        stands_at(world, "monitor", "none").await?;
        assert!(world.writes_since(mark).await?.is_empty());

        world.account.advance(DAY + HOUR).await?;
        stands_at(world, "quarantine", "quarantine").await?;
        world.event("DmarcStage", "the DMARC stage quarantine begins").await?;
        world.account.advance(29 * DAY).await?;
        world.reconciles("the-59th-day").await?;
        stands_at(world, "quarantine", "quarantine").await?;
        world.account.advance(DAY + HOUR).await?;
        stands_at(world, "reject", "reject").await?;
        world.event("DmarcStage", "the DMARC stage reject begins").await?;

        world.sees("Ready", "True").await?;
        assert_eq!(policies(world).await?, ["none", "quarantine", "reject"]);
        let status = world.status().await?;
        assert_eq!(status.dmarc.context("the stage")?.until, None);
        assert_eq!(published(world).await?, "\"v=DMARC1; p=reject; rua=mailto:dmarc@example.com\"");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stage_that_is_due_waits_for_verification() -> Result<()> {
    story("held", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        world.account.force_mail_from(REGION, &world.domain, Some("TEMPORARY_FAILURE")).await?;
        world.account.advance(31 * DAY).await?;
        let what = "the stage to be held";
        let held = |message: &str| message.contains("the next stage is due and waits until SES has verified");
        world.sees_that(NAME, "DmarcPublished", what, |it| held(&it.message)).await?;
        stands_at(world, "monitor", "none").await?;
        assert_eq!(policies(world).await?, ["none"]);

        world.account.force_mail_from(REGION, &world.domain, None).await?;
        world.account.advance(HOUR).await?;
        stands_at(world, "quarantine", "quarantine").await
    })
    .await
}

#[tokio::test]
async fn an_enforcing_first_stage_waits_for_verification() -> Result<()> {
    story("enforcing", async |world| {
        let reject = json!({"stages": [{"name": "reject", "policy": "Reject"}]});
        let seen = world.now().await?;
        world.apply(with(full(), json!({"dmarcPolicy": reject}))).await?;
        let waits = world.saw_since(seen, "DmarcPublished", "False").await?;
        world.sees("Ready", "True").await?;
        stands_at(world, "reject", "reject").await?;
        assert!(world.statuses("DmarcPublished").await?.ends_with(&["True".to_owned()]), "{waits}");

        // It was written after SES had verified both, by SES's own log.
        let calls = world.account.requests().await?;
        let written = calls.iter().find(|call| call.changes.iter().any(|change| change.name.starts_with("_dmarc.")));
        let written = written.context("a DMARC record")?;
        let status = world.status().await?;
        assert!(status.dkim.context("DKIM")?.since.0 <= written.at);
        assert!(status.mail_from.context("MAIL FROM")?.since.0 <= written.at);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_person_may_pin_a_stage_a_weaker_one_too() -> Result<()> {
    story("pinned", async |world| {
        let pinned = |stage: &str| with(full(), json!({"dmarcPolicy": with(walk(), json!({"activeStage": stage}))}));
        world.apply(pinned("quarantine")).await?;
        world.sees("Ready", "True").await?;
        stands_at(world, "quarantine", "quarantine").await?;
        world.account.advance(90 * DAY).await?;
        world.reconciles("ninety-days").await?;
        stands_at(world, "quarantine", "quarantine").await?;
        world.apply(pinned("monitor")).await?;
        stands_at(world, "monitor", "none").await?;
        world.apply(full()).await?;
        world.account.advance(31 * DAY).await?;
        stands_at(world, "quarantine", "quarantine").await
    })
    .await
}

#[tokio::test]
async fn a_lost_status_is_rebuilt_and_nothing_becomes_weaker() -> Result<()> {
    story("amnesia", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        stands_at(world, "monitor", "none").await?;
        world.account.advance(30 * DAY + HOUR).await?;
        stands_at(world, "quarantine", "quarantine").await?;
        world.sees("Ready", "True").await?;
        let (records, mark) = (world.records().await?, world.mark().await?);

        world.kill()?;
        let nothing = json!([{"op": "replace", "path": "/status", "value": {}}]);
        let nothing: Patch<()> = Patch::Json(serde_json::from_value(nothing)?);
        world.domains().patch_status(NAME, &PatchParams::default(), &nothing).await?;
        world.start([])?;

        world.sees("Ready", "True").await?;
        stands_at(world, "quarantine", "quarantine").await?;
        assert_eq!(world.records().await?, records);
        let status = world.status().await?;
        assert!(status.records.iter().all(|record| record.ours), "{:?}", status.records);
        assert!(world.writes_since(mark).await?.is_empty(), "{:?}", world.writes_since(mark).await?);

        // And the walk goes on, thirty days from now.
        world.account.advance(30 * DAY + Duration::from_secs(7200)).await?;
        stands_at(world, "reject", "reject").await?;
        assert_eq!(policies(world).await?, ["none", "quarantine", "reject"]);
        Ok(())
    })
    .await
}
