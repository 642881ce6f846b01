//! The figures.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ses_operator_rig::aws::{Service, Settings};
use ses_operator_rig::wait::until;

use crate::bed::{Bed, Plot};
use crate::figure;

/// Calls to AWS for one domain until it is Ready, with a verification that takes `delay` seconds.
pub async fn calls_until_ready(bed: &Bed, delay: u64, name: &str) -> Result<()> {
    let settings = Settings::default().dkim(delay..=delay).mail_from(delay..=delay);
    let plot = bed.plot(&format!("calls-{delay}"), settings, 60.0).await?;
    plot.apply("mail-calls.example.com").await?;
    if delay > 3_600 {
        // The set-up is over: from now on the looks are minutes apart, and time may run faster yet.
        until("MAIL FROM to be set", Duration::from_secs(30), async || {
            let calls = plot.calls(Service::Ses).await?;
            let put = calls.iter().any(|call| call.operation == "PutEmailIdentityMailFromAttributes");
            put.then_some(()).context("not yet")
        })
        .await?;
        plot.account.set_rate(600.0).await?;
    }
    plot.wait_ready(1, Duration::from_secs(180)).await?;
    let ses = plot.calls(Service::Ses).await?;
    let gets = ses.iter().filter(|call| call.operation == "GetEmailIdentity").count();
    let polls = 1 + (delay as f64 / 60.0).log2().ceil() as usize;
    figure(&format!("SES calls until Ready, verification takes {name}"), ses.len(), format!("at most {}", 3 + polls));
    figure(
        &format!("  of these GetEmailIdentity, {name}"),
        gets,
        format!("at most {} (one look, {polls} polls)", 1 + polls),
    );
    let route53 = plot.calls(Service::Route53).await?;
    let changes = route53.iter().filter(|call| call.operation == "ChangeResourceRecordSets").count();
    figure(&format!("Route 53 calls until Ready, {name}"), route53.len(), "at most 5");
    figure(&format!("  of these ChangeResourceRecordSets, {name}"), changes, "1");
    Ok(())
}

/// Writes of a reconcile that finds all as it should be.
pub async fn writes_of_a_no_op(bed: &Bed) -> Result<()> {
    let plot = bed.plot("no-op", Settings::default().at_once(), 60.0).await?;
    plot.apply("no-op.example.com").await?;
    plot.wait_ready(1, Duration::from_secs(120)).await?;
    let mark = bed.plane.audit_mark()?;
    let (before, looks) = (mutations(&plot).await?, looks(&plot).await?);
    plot.account.advance(Duration::from_secs(40 * 60)).await?;
    wait_for_looks(&plot, looks + 1).await?;
    // The look after the next one begins only when the one before has written what it had to write.
    let after_that = self::looks(&plot).await?;
    plot.account.advance(Duration::from_secs(40 * 60)).await?;
    wait_for_looks(&plot, after_that + 1).await?;
    let writes = bed.plane.audit_since(mark)?.into_iter().filter(|entry| entry.namespace == "no-op" && entry.writes());
    figure("API-server writes of a no-op reconcile", writes.count(), "0");
    figure("AWS writes of a no-op reconcile", mutations(&plot).await? - before, "0");
    Ok(())
}

/// Memory, and what a restart costs, with many domains in one zone.
pub async fn with_many_domains(bed: &Bed, count: usize) -> Result<()> {
    let mut plot = bed.plot("many", Settings::default(), 60.0).await?;
    let idle = plot.memory()?;
    figure("resident memory, idle", format!("{idle:.1} MiB"), "-");
    let started = Instant::now();
    for number in 0..count {
        plot.apply(&format!("d{number}.example.com")).await?;
    }
    plot.wait_ready(count, Duration::from_secs(900)).await?;
    let took = started.elapsed();
    figure(
        &format!("time until {count} domains are Ready, no quotas, 60-fold"),
        format!("{:.0} s", took.as_secs_f64()),
        "-",
    );
    figure(
        &format!("resident memory, {count} domains just made"),
        format!("{:.1} MiB", plot.memory()?),
        "under 40 MiB",
    );

    let before = mutations(&plot).await?;
    let gets = looks(&plot).await?;
    if let Some(operator) = plot.operator.take() {
        operator.stop(Duration::from_secs(10)).await?;
    }
    let ready = bed.start(&mut plot).await?;
    figure(&format!("time from start to ready, {count} domains"), format!("{:.2} s", ready.as_secs_f64()), "-");
    wait_for_looks(&plot, gets + count).await?;
    figure(&format!("AWS writes caused by a restart, {count} domains"), mutations(&plot).await? - before, "0");
    figure(&format!("resident memory, {count} settled domains"), format!("{:.1} MiB", plot.memory()?), "under 40 MiB");
    Ok(())
}

async fn mutations(plot: &Plot) -> Result<usize> {
    Ok(plot.account.requests().await?.iter().filter(|request| request.mutation).count())
}

async fn looks(plot: &Plot) -> Result<usize> {
    Ok(plot.calls(Service::Ses).await?.iter().filter(|call| call.operation == "GetEmailIdentity").count())
}

async fn wait_for_looks(plot: &Plot, count: usize) -> Result<()> {
    until("the operator to look again", Duration::from_secs(300), async || {
        let looks = looks(plot).await?;
        (looks >= count).then_some(()).with_context(|| format!("{looks} of {count} looks"))
    })
    .await
}
