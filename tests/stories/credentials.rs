//! AWS does not accept who asks: credentials that expired, and a node whose clock is wrong.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use ses_operator_rig::aws::FaultKind;

use crate::world::{
    DAY, HOUR, MINUTE, PROGRAM, World, bare_story, everything, full, story, undisturbed_and_with, with,
};

/// Ten virtual minutes, a minute at a time.
async fn ten_minutes_pass(world: &World) -> Result<()> {
    for _ in 0..10 {
        world.account.advance(MINUTE).await?;
    }
    Ok(())
}

const REFUSALS: [(&str, FaultKind); 2] = [("expired", FaultKind::TokenExpired), ("clock", FaultKind::SignatureExpired)];

/// What a person is told about it, of whatever service.
fn tells_of(kind: FaultKind, told: &str) -> bool {
    match kind {
        FaultKind::TokenExpired => {
            told.contains("AWS does not accept the credentials: The security token included in the request is expired")
        }
        _ => {
            told.contains("AWS does not accept the credentials: the request's time is off: check the clock of the node")
        }
    }
}

#[tokio::test]
async fn a_domain_waits_for_credentials_and_then_becomes_ready() -> Result<()> {
    undisturbed_and_with("refused", &REFUSALS, async |world, kind| {
        world.calls_since(0, "GetCallerIdentity").await?;
        if let Some(kind) = kind {
            world.down(*kind).await?;
        }
        world.apply(everything()).await?;
        if let Some(kind) = kind {
            let told = world.sees("Stalled", "True").await?;
            assert!(told.reason == "AccessDenied" && tells_of(*kind, &told.message), "{}", told.message);
            ten_minutes_pass(world).await?;
            let still = world.sees("Stalled", "True").await?;
            assert_eq!(still, told, "it is the same from one try to the next");
            world.account.clear_faults().await?;
        }
        world.is_as_ever().await
    })
    .await
}

/// How far a clock is wrong.
const WRONG: [(&str, SignedDuration); 2] =
    [("fast", SignedDuration::from_hours(6)), ("slow", SignedDuration::from_hours(-6))];

/// Starts the operator on a node whose clock is wrong, though not so that AWS refuses it.
fn start_with(world: &mut World, ahead: SignedDuration) -> Result<()> {
    let clock = world.account.wrong_clock_url(ahead);
    let builder = world.builder(["--leader-elect=false"]).environment([("SES_OPERATOR_SIMULATED_CLOCK", clock)]);
    world.start_as(builder)
}

/// The times that the wrong clock left in the status are hours from the truth: nobody may wait for them.
#[tokio::test]
async fn who_takes_over_from_a_node_whose_clock_is_wrong_is_not_kept_waiting() -> Result<()> {
    for (name, ahead) in WRONG {
        story(&format!("{name}-clock"), async |world| {
            world.kill()?;
            start_with(world, ahead)?;
            let mark = world.mark().await?;
            world.apply(everything()).await?;
            world.calls_since(mark, "PutEmailIdentityMailFromAttributes").await?;
            world.restart()?;
            if ahead.is_negative() {
                // It seems to have waited for hours already, and who waits for long is looked at less often.
                world.reconciles("taken over").await?;
                world.account.advance(4 * HOUR + 16 * MINUTE).await?;
            }
            world.is_as_ever().await?;
            world.rests().await
        })
        .await?;
    }
    Ok(())
}
