//! The API server goes and comes back.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::wait::until;
use tokio::sync::OnceCell;

use crate::cluster::{SOON, cluster, install};
use crate::world::{World, everything, full, story_in, with};

/// A control plane of its own, since the others would notice.
#[tokio::test]
async fn the_api_server_may_go_and_come_back() -> Result<()> {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    let plane = PLANE.get_or_try_init(ControlPlane::start).await?;
    install(plane).await?;
    story_in(plane, "api-server", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        world.start([])?;
        world.apply(everything()).await?;
        world.sees("RecordsPublished", "True").await?;
        plane.stop_api_server()?;
        // SES verifies meanwhile, and the operator can't tell anybody.
        let mark = world.mark().await?;
        let operator = world.operator.as_ref().context("an operator")?;
        until("the operator to have something to tell", SOON, async || {
            ensure!(operator.log().contains("can't write to the API server"), "{}", operator.log());
            Ok(())
        })
        .await?;
        plane.start_api_server().await?;
        world.is_as_ever().await?;
        world.apply(with(everything(), json!({"tags": {"team": "other"}}))).await?;
        world.calls_since(mark, "TagResource").await?;

        // Who holds a lease does not go on without the server that says so.
        world.kill()?;
        let mut leader = world.builder(["--lease-namespace", &world.namespace]).start()?;
        until("it to lead", SOON, async || {
            ensure!(leader.log().contains("leading"), "{}", leader.log());
            Ok(())
        })
        .await?;
        plane.stop_api_server()?;
        let ended = leader.wait(SOON).await?;
        assert_eq!(ended.code(), Some(1));
        assert!(leader.log().contains("it could not be renewed for 18 s"), "{}", leader.log());
        plane.start_api_server().await
    })
    .await
}

/// One after another, while the API server is restarted.
const DOMAINS: usize = 20;

/// Rolls out one domain after another, and does something whenever the operator has begun with the one that has just been
/// applied: it looks for its records, creates its identity, writes its records, or asks how far SES is. Gives the calls that
/// all took until they were Ready, and the changes among them.
async fn roll_out(
    plane: &'static ControlPlane,
    name: &str,
    meanwhile: impl AsyncFn() -> Result<()>,
) -> Result<(usize, Vec<String>)> {
    let mut told = (0, Vec::new());
    story_in(plane, name, async |world| {
        world.domain = "roll-out.example".to_owned();
        world.zone = world.account.create_zone(&world.domain).await?;
        world.start([])?;
        let calls = ["ListResourceRecordSets", "CreateEmailIdentity", "ChangeResourceRecordSets", "GetEmailIdentity"];
        for number in 0..DOMAINS {
            let mark = world.mark().await?;
            let domain = format!("d{number}.{}", world.domain);
            world.apply_as(&format!("d{number}"), with(full(), json!({"domain": domain}))).await?;
            let call = calls[number % calls.len()];
            world.calls_since(mark, call).await?;
            meanwhile().await?;
        }
        for number in 0..DOMAINS {
            world.sees_of(&format!("d{number}"), "Ready", "True").await?;
        }
        told.0 = world.calls().await?.1;
        told.1 = changes(world).await?;
        Ok(())
    })
    .await?;
    Ok(told)
}

/// What was changed in AWS, without the tokens, which differ, in alphabetical order.
async fn changes(world: &World) -> Result<Vec<String>> {
    let requests = world.account.requests().await?.into_iter().filter(|request| request.mutation);
    let mut changes = Vec::new();
    for request in requests {
        ensure!(request.error.is_none(), "{request}");
        for change in &request.changes {
            let name = change.name.split_once("._domainkey").map_or(change.name.as_str(), |(_, name)| name);
            changes.push(format!("{} {name} {}", change.action, change.kind));
        }
        if request.changes.is_empty() {
            changes.push(request.summary);
        }
    }
    changes.sort();
    Ok(changes)
}

#[tokio::test]
async fn a_roll_out_survives_twenty_restarts_of_the_api_server() -> Result<()> {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    let plane = PLANE.get_or_try_init(ControlPlane::start).await?;
    install(plane).await?;
    let undisturbed = roll_out(cluster().await?, "roll-out", async || Ok(()));
    let disturbed = roll_out(plane, "restarted", async || plane.restart_api_server().await);
    let ((calls, changes), (disturbed_calls, disturbed_changes)) = futures::try_join!(undisturbed, disturbed)?;
    println!("{disturbed_calls} calls to AWS, and {calls} undisturbed");
    assert_eq!(disturbed_changes, changes, "nothing is done twice");
    assert!(disturbed_calls <= 2 * calls, "{disturbed_calls} calls to AWS, and {calls} undisturbed");
    Ok(())
}
