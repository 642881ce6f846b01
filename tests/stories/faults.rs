//! AWS denies, throttles, breaks and hangs.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use ses_operator_rig::aws::{Fault, FaultKind, Request, Service, Settings};

use crate::world::{
    DAY, HOUR, MINUTE, NAME, OPERATOR, SWEEP, World, everything, full, story, undisturbed_and_with, with,
};

#[tokio::test]
async fn a_missing_permission_is_named_and_nothing_else_is_needed_than_to_grant_it() -> Result<()> {
    story("denied", async |world| {
        let deny = async |service, operation: &str| {
            world.account.fault(Fault::new(service, FaultKind::Denied).operation(operation)).await
        };
        let denials = [
            (Service::Route53, "ListHostedZonesByName", "route53:ListHostedZonesByName"),
            (Service::Ses, "CreateEmailIdentity", "ses:CreateEmailIdentity"),
            (Service::Ses, "GetEmailIdentity", "ses:GetEmailIdentity"),
            (Service::Route53, "ChangeResourceRecordSets", "route53:ChangeResourceRecordSets"),
            (Service::Ses, "PutEmailIdentityMailFromAttributes", "ses:PutEmailIdentityMailFromAttributes"),
        ];
        let mut faults = Vec::new();
        for (service, operation, _) in denials {
            faults.push(deny(service, operation).await?);
        }
        world.apply(full()).await?;
        for (fault, (_, _, action)) in faults.iter().zip(denials) {
            let what = format!("AccessDenied for {action}");
            let told = world.sees_that(NAME, "Stalled", &what, |it| it.message.contains(action)).await?;
            assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "AccessDenied"), "{}", told.message);
            assert!(told.message.contains("allow it to the operator's IAM role"), "{}", told.message);
            world.account.remove_fault(fault).await?;
        }
        world.sees("Ready", "True").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn throttling_for_minutes_is_waited_out_with_few_calls() -> Result<()> {
    story("throttled", async |world| {
        world.calls_since(0, "GetCallerIdentity").await?;
        world.down(FaultKind::Throttle).await?;
        let mark = world.mark().await?;
        world.apply(full()).await?;
        world.sees_because("Ready", "False", "Throttled").await?;
        for _ in 0..10 {
            world.account.advance(MINUTE).await?;
        }
        let told = world.sees_because("Ready", "False", "Throttled").await?;
        assert!(told.contains("nothing is to be done"), "{told}");
        let calls = world.account.requests_since(mark).await?.len();
        assert!(calls <= 60, "{calls} calls while AWS throttles");
        world.account.clear_faults().await?;
        world.sees("Ready", "True").await?;

        // What works goes on working while AWS can't be asked, and the twin: what is asked for then has to wait.
        world.down(FaultKind::Throttle).await?;
        let reconciled = world.mark().await?;
        world.account.advance(DAY).await?;
        world.awaits_call_after(reconciled).await?;
        assert_eq!(world.statuses("Ready").await?.last().map(String::as_str), Some("True"));
        world.apply(with(full(), json!({"tags": {"a": "b"}}))).await?;
        world.sees_because("Ready", "False", "Throttled").await?;
        world.account.clear_faults().await?;
        world.sees("Ready", "True").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn whatever_breaks_now_and_then_the_end_is_the_same() -> Result<()> {
    story("broken", async |world| {
        for service in [Service::Ses, Service::Route53] {
            for kind in [FaultKind::ServerError, FaultKind::Drop, FaultKind::LostAnswer, FaultKind::Throttle] {
                world.account.fault(Fault::new(service, kind).probability(0.12)).await?;
            }
        }
        let names = ["one", "two", "three", "four"];
        for name in names {
            let domain = format!("{name}.broken.example");
            world.apply_as(name, with(full(), json!({"domain": domain, "mxFailureBehavior": "RejectMessage"}))).await?;
        }
        for name in names {
            world.sees_of(name, "Ready", "True").await?;
        }
        world.account.clear_faults().await?;
        assert_eq!(world.records().await?.len(), 4 * 6);
        assert!(world.account.refusals().await?.is_empty());
        for name in names {
            world.domains().delete(name, &Default::default()).await?;
        }
        let domains = world.domains();
        world
            .awaits("all to go", async || {
                let left = domains.list(&Default::default()).await?.items.len();
                anyhow::ensure!(left == 0, "{left} are left");
                Ok(())
            })
            .await?;
        assert!(world.records().await?.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_call_that_hangs_holds_up_nobody_else_and_is_given_up() -> Result<()> {
    story("hung", async |world| {
        let hang = Fault::new(Service::Ses, FaultKind::Hang).matching("stuck.hung.example").times(1);
        world.account.fault(hang.lasting(Duration::from_secs(40))).await?;
        let mark = world.mark().await?;
        world.apply_as("stuck", with(full(), json!({"domain": "stuck.hung.example"}))).await?;
        world.awaits_call_after(mark).await?;
        world.apply_as("free", with(full(), json!({"domain": "free.hung.example"}))).await?;
        world.sees_of("free", "Ready", "True").await?;
        world.sees_of("stuck", "Ready", "True").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_quotas_of_aws_are_enough() -> Result<()> {
    story("quotas", async |world| {
        world.account.settings(Settings::default().quotas_of_aws()).await?;
        let names = ["one", "two", "three"];
        for name in names {
            world.apply_as(name, with(full(), json!({"domain": format!("{name}.quotas.example")}))).await?;
        }
        for name in names {
            world.sees_of(name, "Ready", "True").await?;
        }
        world.account.advance(HOUR).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_zone_that_is_busy_with_another_change_is_asked_again() -> Result<()> {
    undisturbed_and_with("busy", &[("thrice", 3)], async |world, times| {
        if let Some(times) = times {
            let busy = Fault::new(Service::Route53, FaultKind::PriorRequestNotComplete);
            world.account.fault(busy.operation("ChangeResourceRecordSets").times(*times)).await?;
        }
        world.apply(everything()).await?;
        world.is_as_ever().await?;
        let sent = sent(world, "ChangeResourceRecordSets").await?;
        let refused = sent.iter().filter(|request| request.error.as_deref() == Some("PriorRequestNotComplete")).count();
        assert_eq!((sent.len(), refused as u64), (1 + refused, times.copied().unwrap_or_default()));
        Ok(())
    })
    .await
}

/// What the operator has sent of an operation.
async fn sent(world: &World, operation: &str) -> Result<Vec<Request>> {
    let requests = world.account.requests().await?.into_iter();
    Ok(requests.filter(|it| it.operation == operation && it.sender.as_deref() == Some(OPERATOR)).collect())
}

#[tokio::test]
async fn answers_of_half_a_minute_ago_lead_to_the_same_end() -> Result<()> {
    undisturbed_and_with("lagging", &[("lag", Duration::from_secs(30))], async |world, lag| {
        if let Some(lag) = lag {
            world.account.settings(Settings::default().read_lag(*lag)).await?;
        }
        world.apply(with(everything(), json!({"mailFromSubdomain": "other", "dns": {"ttl": 600}}))).await?;
        world.sees("Ready", "True").await?;
        // What is read next is of before the change.
        world.apply(everything()).await?;
        world.sees("Ready", "True").await?;
        world.restart()?;
        world.account.delete_record(&world.zone, &format!("_dmarc.{}", world.domain), "TXT").await?;
        world.account.advance(SWEEP).await?;
        world.event("RecordPutBack", "_dmarc.lagging.example TXT").await?;
        world.account.advance(HOUR).await?;
        world.is_as_ever().await
    })
    .await
}

#[tokio::test]
async fn half_of_the_calls_throttled_after_ten_minutes_of_all_lead_to_the_same_end() -> Result<()> {
    undisturbed_and_with("half", &[("throttled", FaultKind::Throttle)], async |world, kind| {
        world.calls_since(0, "GetCallerIdentity").await?;
        if let Some(kind) = kind {
            world.down(*kind).await?;
        }
        world.apply(everything()).await?;
        if let Some(kind) = kind {
            world.calls_since(0, "ListEmailIdentities").await?;
            let over = world.account.clock().await?.now + 10 * MINUTE;
            world.sees_because("Ready", "False", "Throttled").await?;
            let account = world.account.clone();
            world
                .awaits("ten minutes to be over", async || {
                    let now = account.clock().await?.now;
                    ensure!(now >= over, "it is {now}");
                    Ok(())
                })
                .await?;
            world.account.clear_faults().await?;
            for service in [Service::Ses, Service::Route53] {
                world.account.fault(Fault::new(service, *kind).probability(0.5)).await?;
            }
            world.sees("Ready", "True").await?;
            world.account.clear_faults().await?;
        }
        world.is_as_ever().await?;
        // In the ten minutes at most five tries of three calls, each sent eight times and slower and slower, down to a
        // sixteenth of the pace; then as many as were answered.
        let (throttled, answered) = world.calls().await?;
        assert!(throttled <= 5 * 3 * 8 + 2 * answered, "{throttled} calls were throttled, and {answered} were not");
        assert_eq!(throttled > 0, kind.is_some());
        Ok(())
    })
    .await
}
