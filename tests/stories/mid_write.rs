//! The operator ends in the middle of a call: killed, or told to end. Another one takes over.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use ses_operator_rig::aws::{Fault, FaultKind, Request, Service};

use crate::cluster::TEN_SECONDS;
use crate::world::{DAY, NAME, World, everything, story, undisturbed_and_with, with};

/// How an operator ends in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Kill,
    /// It may finish, within ten seconds.
    Terminate,
}

/// How an operator ends in a call, and what becomes of the call.
#[derive(Clone, Copy, Debug)]
struct End {
    signal: Signal,
    call: FaultKind,
    /// How long the call lasts.
    seconds: u64,
    /// Whether the next operator starts only when AWS is done with the call.
    afterwards: bool,
}

const fn killed(call: FaultKind, seconds: u64, afterwards: bool) -> End {
    End { signal: Signal::Kill, call, seconds, afterwards }
}

/// Killed: AWS never does it; does it, and the answer is lost; does it when nobody waits for the answer any more; or when
/// the next operator is at work already.
const KILLED: [(&str, End); 4] = [
    ("before", killed(FaultKind::Hang, 20, true)),
    ("lost", killed(FaultKind::LostAnswer, 0, true)),
    ("after", killed(FaultKind::Latency, 1, true)),
    ("late", killed(FaultKind::Latency, 2, false)),
];

/// Told to end: AWS never does it, or does it when the operator has given up waiting and the next one is at work.
const TOLD: [(&str, End); 2] = [
    ("hung", End { signal: Signal::Terminate, call: FaultKind::Hang, seconds: 30, afterwards: true }),
    ("late", End { signal: Signal::Terminate, call: FaultKind::Latency, seconds: 9, afterwards: false }),
];

impl End {
    /// Makes the next call of this operation one in which the operator will end.
    async fn prepare(&self, world: &World, operation: &str) -> Result<()> {
        let route53 = ["ChangeResourceRecordSets", "GetChange"].contains(&operation);
        let service = if route53 { Service::Route53 } else { Service::Ses };
        let fault = Fault::new(service, self.call).operation(operation).times(1);
        world.account.fault(fault.lasting(Duration::from_secs(self.seconds))).await?;
        Ok(())
    }

    /// Ends the operator in the call of this operation, and starts another one.
    async fn come(&self, world: &mut World, mark: u64, operation: &str) -> Result<()> {
        world.calls_since(mark, operation).await?;
        match self.signal {
            Signal::Kill => world.kill()?,
            Signal::Terminate => {
                let ended = world.operator.take().context("an operator")?.stop(TEN_SECONDS).await?;
                ensure!(ended.status.success() && ended.took < TEN_SECONDS, "{ended:?}");
            }
        }
        if self.afterwards {
            is_done(world, mark).await?;
        }
        world.start([])
    }

    /// Waits for the end of it all.
    async fn is_over(&self, world: &mut World, mark: u64) -> Result<()> {
        if !self.afterwards {
            // At this pace the call may have come minutes after its sender died. What it did is found within the day.
            is_done(world, mark).await?;
            world.sees("Ready", "True").await?;
            let reconciled = world.reconciled().await?;
            world.account.advance(DAY).await?;
            world.has_reconciled(reconciled + 1.0).await?;
        }
        world.is_as_ever().await
    }
}

/// Waits until AWS is done with every call that it will do at all.
async fn is_done(world: &mut World, mark: u64) -> Result<()> {
    let account = world.account.clone();
    world
        .awaits("AWS to be done with the call", async || {
            let calls = account.requests_since(mark).await?;
            let done = |call: &Request| call.done.is_some() || call.fault.as_deref() == Some("hang");
            ensure!(calls.iter().all(done), "{calls:?}");
            Ok(())
        })
        .await
}

/// Ends the operator in a call of this operation, while it sets the domain up.
async fn in_set_up(name: &str, operation: &str, ends: &[(&str, End)]) -> Result<()> {
    undisturbed_and_with(name, ends, async |world, end| {
        let mark = world.mark().await?;
        if let Some(end) = end {
            end.prepare(world, operation).await?;
        }
        world.apply(everything()).await?;
        let Some(end) = end else { return world.is_as_ever().await };
        end.come(world, mark, operation).await?;
        end.is_over(world, mark).await
    })
    .await
}

/// The same, while it brings the domain from another spec to the usual one.
async fn in_update(name: &str, operation: &str, ends: &[(&str, End)]) -> Result<()> {
    undisturbed_and_with(name, ends, async |world, end| {
        let other = json!({"mailFromSubdomain": "other", "tags": {"team": "other"}, "dns": {"ttl": 600}});
        world.apply(with(everything(), other)).await?;
        world.sees("Ready", "True").await?;
        let mark = world.mark().await?;
        if let Some(end) = end {
            end.prepare(world, operation).await?;
        }
        world.apply(everything()).await?;
        let Some(end) = end else { return world.is_as_ever().await };
        end.come(world, mark, operation).await?;
        end.is_over(world, mark).await
    })
    .await
}

/// The same, while it puts back what somebody took away.
async fn in_repair(name: &str, operation: &str, ends: &[(&str, End)]) -> Result<()> {
    undisturbed_and_with(name, ends, async |world, end| {
        world.apply(everything()).await?;
        world.sees("Ready", "True").await?;
        world.settles().await?;
        let (account, zone, domain) = (world.account.clone(), world.zone.clone(), world.domain.clone());
        account.delete_record(&zone, &format!("_dmarc.{domain}"), "TXT").await?;
        account.write_record(&zone, &format!("mail.{domain}"), "TXT", &["\"owner=somebody\""]).await?;
        let ses = account.sesv2(crate::world::REGION);
        let put = ses.put_email_identity_feedback_attributes().email_identity(&domain);
        put.email_forwarding_enabled(true).send().await?;
        let mark = world.mark().await?;
        if let Some(end) = end {
            end.prepare(world, operation).await?;
        }
        world.asks("for a repair").await?;
        let Some(end) = end else {
            world.is_answered("for a repair").await?;
            return world.is_as_ever().await;
        };
        end.come(world, mark, operation).await?;
        world.is_answered("for a repair").await?;
        end.is_over(world, mark).await
    })
    .await
}

/// The same, while it removes everything.
async fn in_deletion(name: &str, operation: &str, ends: &[(&str, End)]) -> Result<()> {
    undisturbed_and_with(name, ends, async |world, end| {
        world.apply(everything()).await?;
        world.sees("Ready", "True").await?;
        let mark = world.mark().await?;
        if let Some(end) = end {
            end.prepare(world, operation).await?;
        }
        world.domains().delete(NAME, &DeleteParams::default()).await?;
        if let Some(end) = end {
            end.come(world, mark, operation).await?;
        }
        world.is_gone_without_a_trace().await
    })
    .await
}

#[tokio::test]
async fn killed_while_the_identity_is_created() -> Result<()> {
    in_set_up("kill-create", "CreateEmailIdentity", &KILLED).await
}

#[tokio::test]
async fn killed_while_the_records_are_written() -> Result<()> {
    in_set_up("kill-records", "ChangeResourceRecordSets", &KILLED).await
}

#[tokio::test]
async fn killed_while_the_records_are_on_their_way() -> Result<()> {
    in_set_up("kill-sync", "GetChange", &KILLED).await
}

#[tokio::test]
async fn killed_while_mail_from_is_set() -> Result<()> {
    in_set_up("kill-mail-from", "PutEmailIdentityMailFromAttributes", &KILLED).await
}

#[tokio::test]
async fn killed_while_feedback_forwarding_is_set() -> Result<()> {
    in_set_up("kill-feedback", "PutEmailIdentityFeedbackAttributes", &KILLED).await
}

#[tokio::test]
async fn killed_while_records_are_changed() -> Result<()> {
    in_update("kill-change", "ChangeResourceRecordSets", &KILLED).await
}

#[tokio::test]
async fn killed_while_mail_from_moves() -> Result<()> {
    in_update("kill-move", "PutEmailIdentityMailFromAttributes", &KILLED).await
}

#[tokio::test]
async fn killed_while_tags_are_changed() -> Result<()> {
    in_update("kill-tags", "TagResource", &KILLED).await
}

#[tokio::test]
async fn killed_while_records_are_put_back() -> Result<()> {
    in_repair("kill-repair", "ChangeResourceRecordSets", &KILLED).await
}

#[tokio::test]
async fn killed_while_settings_are_put_back() -> Result<()> {
    in_repair("kill-settings", "PutEmailIdentityFeedbackAttributes", &KILLED).await
}

#[tokio::test]
async fn killed_while_records_are_removed() -> Result<()> {
    in_deletion("kill-removal", "ChangeResourceRecordSets", &KILLED).await
}

#[tokio::test]
async fn killed_while_the_identity_is_deleted() -> Result<()> {
    in_deletion("kill-deletion", "DeleteEmailIdentity", &KILLED).await
}

#[tokio::test]
async fn told_to_end_while_the_identity_is_created() -> Result<()> {
    in_set_up("end-create", "CreateEmailIdentity", &TOLD).await
}

#[tokio::test]
async fn told_to_end_while_the_records_are_written() -> Result<()> {
    in_set_up("end-records", "ChangeResourceRecordSets", &TOLD).await
}

#[tokio::test]
async fn told_to_end_while_records_are_put_back() -> Result<()> {
    in_repair("end-repair", "ChangeResourceRecordSets", &TOLD).await
}

#[tokio::test]
async fn told_to_end_while_the_identity_is_deleted() -> Result<()> {
    in_deletion("end-deletion", "DeleteEmailIdentity", &TOLD).await
}

#[tokio::test]
async fn killed_again_and_again() -> Result<()> {
    story("kill-always", async |world| {
        let mut seen = world.now().await?;
        world.apply(everything()).await?;
        // At every turn of a condition, until there are none any more.
        while !world.statuses("Ready").await?.ends_with(&["True".to_owned()]) {
            world.turns_after(seen).await?;
            seen = world.now().await?;
            world.restart()?;
        }
        world.is_as_ever().await
    })
    .await
}

#[tokio::test]
async fn another_default_region_moves_nothing_that_is_half_made() -> Result<()> {
    story("half-made", async |world| {
        let mark = world.mark().await?;
        killed(FaultKind::Latency, 1, true).prepare(world, "CreateEmailIdentity").await?;
        world.apply(everything()).await?;
        world.calls_since(mark, "CreateEmailIdentity").await?;
        world.kill()?;
        is_done(world, mark).await?;
        world.start(["--region=eu-central-1"])?;
        world.is_as_ever().await?;
        let elsewhere = world.account.sesv2("eu-central-1").list_email_identities().send().await?;
        assert!(elsewhere.email_identities().is_empty(), "{elsewhere:?}");
        Ok(())
    })
    .await
}
