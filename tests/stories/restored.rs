//! etcd is restored to an older snapshot: the cluster forgets, and AWS does not.

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use ses_operator_rig::control_plane::ControlPlane;
use tokio::sync::{Mutex, OnceCell};

use crate::cluster::install;
use crate::world::{DAY, HOUR, NAME, SWEEP, World, everything, story_in, with};

/// One of its own, since the others would notice; and the stories follow each other, since they would too.
static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
static TURN: Mutex<()> = Mutex::const_new(());

/// Every DMARC policy that the story's domain ever had, in its order.
async fn policies(world: &World) -> Result<Vec<String>> {
    let name = format!("_dmarc.{}", world.domain);
    let writes = world.writes_since(0).await?;
    let dmarc = writes.iter().filter(|write| write.status == 200).flat_map(|write| &write.changes);
    let created = dmarc.filter(|change| change.action == "CREATE" && change.name == name);
    let mut policies: Vec<String> = created.map(|change| change.values.join(" ")).collect();
    // The same with another TTL.
    policies.dedup();
    Ok(policies)
}

fn policy(policy: &str) -> String {
    format!("\"v=DMARC1; p={policy}; rua=mailto:dmarc@example.com\"")
}

/// Waits until this policy is served and its stage is entered.
async fn stands_at(world: &mut World, stage: &str) -> Result<()> {
    let domains = world.domains();
    world
        .awaits(&format!("the stage {stage}"), async || {
            let dmarc = domains.get(NAME).await?.status.and_then(|status| status.dmarc).context("a stage")?;
            ensure!(dmarc.stage == stage && dmarc.since.is_some(), "{dmarc:?}");
            Ok(())
        })
        .await
}

/// The records of a domain below the story's.
async fn below_domain(world: &World, label: &str) -> Result<Vec<String>> {
    let records = world.records().await?.into_iter();
    Ok(records.filter(|record| record.contains(&format!("{label}.{}", world.domain))).collect())
}

/// Restores the cluster to what it was a season ago, with the operator running or not.
async fn restored(name: &str, running: bool) -> Result<()> {
    let _turn = TURN.lock().await;
    let plane = PLANE.get_or_try_init(ControlPlane::start).await?;
    install(plane).await?;
    story_in(plane, name, async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        world.strangers_move_in().await?;
        world.start([])?;
        let below = |name: &str| with(everything(), json!({"domain": format!("{name}.{}", world.domain)}));
        let (removed, added) = (below("removed"), below("added"));
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        world.apply_as("removed", removed.clone()).await?;
        world.sees_of("removed", "Ready", "True").await?;
        let backup = plane.back_up()?;

        // What the cluster will not know of: an edit, two stages of the walk, a domain that has gone and one that has come.
        world.apply(with(everything(), json!({"tags": {"team": "other"}, "dns": {"ttl": 600}}))).await?;
        for stage in ["quarantine", "reject"] {
            world.account.advance(30 * DAY + HOUR).await?;
            stands_at(world, stage).await?;
        }
        world.sees("Ready", "True").await?;
        world.domains().delete("removed", &DeleteParams::default()).await?;
        let domains = world.domains();
        world
            .awaits("one to be gone", async || {
                let left = domains.get_opt("removed").await?;
                ensure!(left.is_none(), "it is there");
                Ok(())
            })
            .await?;
        world.apply_as("added", added.clone()).await?;
        world.sees_of("added", "Ready", "True").await?;
        let before = below_domain(world, "added").await?;
        assert_eq!((before.len(), below_domain(world, "removed").await?.len()), (6, 0));

        if !running {
            world.kill()?;
        }
        plane.restore(&backup).await?;
        if !running {
            world.start([])?;
        }

        // The one that was removed is asked for again, and so made again, though its status says that all is well.
        let (account, zone) = (world.account.clone(), world.zone.clone());
        world.account.advance(SWEEP).await?;
        world
            .awaits("the records of the one that was removed", async || {
                let records = account.zone_records(&zone).await?;
                let back = records.iter().filter(|record| record.contains("removed.")).count();
                ensure!(back == 6, "{records:?}");
                Ok(())
            })
            .await?;
        world.account.advance(HOUR).await?;
        world.sees_of("removed", "Ready", "True").await?;
        // Of the one that was added nobody knows, and so nobody touches it. Git brings it again, and it is known again.
        let mark = world.mark().await?;
        assert_eq!(below_domain(world, "added").await?, before);
        world.apply_as("added", added).await?;
        world.sees_of("added", "Ready", "True").await?;
        assert_eq!(below_domain(world, "added").await?, before);
        let writes = world.writes_since(mark).await?;
        let about_it: Vec<_> = writes.iter().filter(|write| write.summary.contains("added.")).collect();
        assert!(about_it.is_empty(), "{about_it:?}");
        for name in ["removed", "added"] {
            world.domains().delete(name, &DeleteParams::default()).await?;
            world
                .awaits("it to be gone again", async || {
                    let left = domains.get_opt(name).await?;
                    ensure!(left.is_none(), "it is there");
                    Ok(())
                })
                .await?;
        }

        // The edit is undone, as the cluster has it; the policy has not become weaker.
        world.is_as_ever_with(&policy("reject")).await?;
        assert_eq!(policies(world).await?, ["none", "quarantine", "reject"].map(policy));
        let tags = world.identity().await?.tags().to_vec();
        assert!(tags.iter().any(|tag| tag.key() == "team" && tag.value() == "mail"), "{tags:?}");
        world.rests().await
    })
    .await
}

#[tokio::test]
async fn a_running_operator_finds_the_cluster_as_it_was_a_season_ago() -> Result<()> {
    restored("running", true).await
}

#[tokio::test]
async fn an_operator_starts_in_a_cluster_as_it_was_a_season_ago() -> Result<()> {
    restored("starting", false).await
}
