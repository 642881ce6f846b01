//! AWS does not accept who asks: credentials that expired, and a node whose clock is wrong.

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use kube::api::DeleteParams;
use ses_operator_rig::aws::FaultKind;

use crate::world::{DAY, HOUR, MINUTE, NAME, World, everything, story, undisturbed_and_with};

/// Ten virtual minutes pass, a minute at a time, and at least once AWS is asked in vain. Time must stand still otherwise, or
/// they become more on a busy machine.
async fn ten_minutes_pass(world: &mut World) -> Result<()> {
    let mark = world.mark().await?;
    for _ in 0..10 {
        world.account.advance(MINUTE).await?;
    }
    world.awaits_call_after(mark).await
}

const REFUSALS: [(&str, FaultKind); 2] = [("expired", FaultKind::TokenExpired), ("clock", FaultKind::SignatureExpired)];

/// Whether a person is told what is wrong, in words that don't change, and what to do about it.
fn tells_of(kind: FaultKind, told: &str) -> bool {
    let cause = if kind == FaultKind::TokenExpired {
        "AWS does not accept the credentials: The security token included in the request is expired (ExpiredToken"
    } else {
        "AWS does not accept the credentials: the request's time is off ("
    };
    told.contains(cause) && told.ends_with("check the operator's credentials, and the clock of its node")
}

#[tokio::test]
async fn a_domain_waits_for_credentials_and_then_becomes_ready() -> Result<()> {
    undisturbed_and_with("refused", &REFUSALS, async |world, kind| {
        world.calls_since(0, "GetCallerIdentity").await?;
        let pace = world.account.clock().await?.rate;
        if let Some(kind) = kind {
            world.down(*kind).await?;
            world.account.set_rate(0.0).await?;
        }
        world.apply(everything()).await?;
        if let Some(kind) = kind {
            let told = world.sees("Stalled", "True").await?;
            assert!(told.reason == "AccessDenied" && tells_of(*kind, &told.message), "{}", told.message);
            ten_minutes_pass(world).await?;
            let still = world.sees("Stalled", "True").await?;
            assert_eq!(still, told, "it is the same from one try to the next");
            world.account.clear_faults().await?;
            world.account.set_rate(pace).await?;
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

/// Hours from the truth, it may shorten a stage or lengthen it by as much, and neither skips one nor goes back.
#[tokio::test]
async fn the_dmarc_walk_is_early_or_late_by_no_more_than_the_clock_is_wrong() -> Result<()> {
    let (fast, slow) = (WRONG[0].1, WRONG[1].1);
    story("walking-clock", async |world| {
        let stands_at = async |world: &mut World, stage: &str| {
            let domains = world.domains();
            world
                .awaits(&format!("the stage {stage}"), async || {
                    let dmarc = domains.get(NAME).await?.status.and_then(|status| status.dmarc).context("a stage")?;
                    ensure!(dmarc.stage == stage && dmarc.since.is_some(), "{dmarc:?}");
                    Ok(())
                })
                .await
        };
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        stands_at(world, "monitor").await?;

        world.kill()?;
        start_with(world, fast)?;
        world.account.advance(29 * DAY + 17 * HOUR).await?;
        world.reconciles("seven hours early").await?;
        stands_at(world, "monitor").await?;
        world.account.advance(2 * HOUR).await?;
        stands_at(world, "quarantine").await?;
        let quarantine = "\"v=DMARC1; p=quarantine; rua=mailto:dmarc@example.com\"";
        world.is_as_ever_with(quarantine).await?;

        // By the slow clock its stage begins tomorrow, and the one before has not ended.
        world.kill()?;
        start_with(world, slow)?;
        world.reconciles("a slow clock").await?;
        world.is_as_ever_with(quarantine).await?;
        world.rests().await?;

        // By the right one it began hours later than it did.
        world.restart()?;
        world.account.advance(27 * DAY).await?;
        world.reconciles("thirty days after").await?;
        stands_at(world, "quarantine").await?;
        world.account.advance(7 * HOUR).await?;
        stands_at(world, "reject").await?;
        world.is_as_ever_with("\"v=DMARC1; p=reject; rua=mailto:dmarc@example.com\"").await?;
        world.rests().await
    })
    .await
}

#[tokio::test]
async fn what_works_is_not_disturbed_by_credentials_that_expired() -> Result<()> {
    story("expired", async |world| {
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        let mark = world.mark().await?;
        world.down(FaultKind::TokenExpired).await?;
        // The rounds and the daily look find out nothing.
        world.account.advance(DAY).await?;
        let told = world.sees("Stalled", "True").await?;
        assert!(tells_of(FaultKind::TokenExpired, &told.message), "{}", told.message);
        world.account.advance(HOUR).await?;
        assert_eq!(world.sees("DkimVerified", "True").await?.reason, "Verified", "SES has not said otherwise");
        assert!(world.writes_since(mark).await?.is_empty());
        world.domains().delete(NAME, &DeleteParams::default()).await?;
        let told = world.sees_because("Ready", "False", "Deleting").await?;
        assert!(tells_of(FaultKind::TokenExpired, &told), "{told}");
        ten_minutes_pass(world).await?;
        assert!(world.domains().get_opt(NAME).await?.is_some(), "it must not be forgotten");
        assert_eq!(world.sees_because("Ready", "False", "Deleting").await?, told);
        world.account.clear_faults().await?;
        world.is_gone_without_a_trace().await
    })
    .await
}
