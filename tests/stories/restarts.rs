//! The operator is restarted, and told another Region.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::world::{DAY, SWEEP, bare_story, everything, full, story, with};

#[tokio::test]
async fn a_settled_operator_that_restarts_writes_nothing() -> Result<()> {
    story("restart", async |world| {
        world.apply(everything()).await?;
        world.sees("Ready", "True").await?;
        world.settles().await?;
        let (mark, audit) = (world.mark().await?, world.plane.audit_mark()?);
        world.restart()?;
        world.knows(1.0).await?;
        // Whom nothing is amiss with is believed: the first look is the daily one.
        assert_eq!(world.reconciled().await?, 0.0);
        world.account.advance(DAY).await?;
        world.has_reconciled(1.0).await?;
        assert_eq!(world.api_writes_since(audit)?, Vec::<String>::new());
        assert_eq!(world.writes_since(mark).await?.len(), 0);

        // The twin: it would have written, had there been something to write.
        world.apply(with(everything(), json!({"tags": {"team": "other"}}))).await?;
        world.sees("Ready", "True").await?;
        world.reconciles("changed").await?;
        let writes: Vec<String> = world.writes_since(mark).await?.into_iter().map(|write| write.operation).collect();
        assert_eq!(writes, ["TagResource"]);
        assert!(world.api_writes_since(audit)?.contains(&"patch sesdomains/status".to_owned()));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_reconcile_with_nothing_to_do_writes_nothing_but_the_answer_to_who_asked() -> Result<()> {
    story("no-op", async |world| {
        world.apply(everything()).await?;
        world.sees("Ready", "True").await?;
        world.settles().await?;
        let (mark, audit) = (world.mark().await?, world.plane.audit_mark()?);
        let reconciled = world.reconciled().await?;
        world.account.advance(DAY).await?;
        world.has_reconciled(reconciled + 1.0).await?;
        assert_eq!(world.api_writes_since(audit)?, Vec::<String>::new(), "nobody asked for anything");

        let before = world.status().await?;
        world.reconciles("asked").await?;
        let asked = ses_operator::api::SesDomainStatus { last_handled_reconcile_at: Some("asked".into()), ..before };
        assert_eq!(world.status().await?, asked);
        let reconciled = world.reconciled().await?;
        world.account.advance(DAY).await?;
        world.has_reconciled(reconciled + 1.0).await?;
        assert_eq!(world.status().await?, asked);
        let plane = world.plane;
        let namespace = world.namespace.clone();
        world
            .awaits("the two writes to be logged", async || {
                let writes = crate::world::api_writes(plane, audit, &namespace)?;
                // The story's own annotation, and the one answer.
                ensure!(writes == ["patch sesdomains", "patch sesdomains/status"], "{writes:?}");
                Ok(())
            })
            .await?;
        assert_eq!(world.writes_since(mark).await?.len(), 0);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn another_default_region_moves_nothing() -> Result<()> {
    story("region", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let (mark, records) = (world.mark().await?, world.records().await?);
        world.kill()?;
        let elsewhere = world.builder([]).arguments(["--leader-elect=false", "--region=eu-central-1"]);
        world.start_as(elsewhere)?;
        world.reconciles("in another Region").await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.records().await?, records);
        assert_eq!(world.status().await?.region.as_deref(), Some("eu-west-1"));
        let writes = world.writes_since(mark).await?;
        assert!(writes.is_empty(), "{writes:?}");

        // The twin: a new resource goes there.
        world.apply_as("new", json!({"domain": "new.region.example"})).await?;
        world.sees_of("new", "Ready", "True").await?;
        let made = world
            .account
            .sesv2("eu-central-1")
            .get_email_identity()
            .email_identity("new.region.example")
            .send()
            .await?;
        assert!(made.verified_for_sending_status);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_happens_while_no_operator_runs_is_caught_up_with() -> Result<()> {
    bare_story("caught-up", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        world.apply(everything()).await?;
        world.start([])?;
        world.is_as_ever().await?;
        world.kill()?;
        world.account.delete_record(&world.zone, "mail.caught-up.example", "TXT").await?;
        let seen = world.now().await?;
        world.start([])?;
        world.knows(1.0).await?;
        world.account.advance(SWEEP).await?;
        world.saw_since(seen, "RecordsPublished", "False").await?;
        world.event("RecordPutBack", "mail.caught-up.example TXT").await?;
        world.is_as_ever().await
    })
    .await
}
