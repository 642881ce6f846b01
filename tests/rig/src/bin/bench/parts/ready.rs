//! Until all are Ready: calls, time against the bound, requests to the API server, memory.

use anyhow::Result;
use futures::future::try_join_all;

use super::settled::FAST;
use super::{HOUR, MIB, Measured, refused};
use crate::bed::{Bed, Plot, Running, pass};
use crate::domains::Layout;
use crate::figure::Figure;
use crate::process::memory;
use crate::run::{Outcome, Run, Share};
use crate::tally::{Calls, sum, told};

/// One domain: all variants at once. A hundred: both layouts at once. A thousand: one by one.
pub async fn measure(bed: &Bed, measured: &mut Measured) -> Result<()> {
    let run = |count, layout, one_bucket| {
        let name = format!("ready-{}-{count}{}", Layout::label(layout), if one_bucket { "-one-bucket" } else { "" });
        Run { one_bucket, ..Run::new(name, layout, count, scale(count, one_bucket)) }
    };
    let of = |count, one_bucket| Layout::BOTH.map(|layout| run(count, layout, one_bucket));
    let groups = [
        [of(1, false), of(1, true)].concat(),
        of(100, false).to_vec(),
        of(100, true).to_vec(),
        vec![run(1_000, Layout::Own, false)],
        vec![run(1_000, Layout::Shared, false)],
        vec![run(1_000, Layout::Own, true)],
        vec![run(1_000, Layout::Shared, true)],
    ];
    for group in groups {
        let outcomes = try_join_all(group.iter().map(|run| run.on(bed))).await?;
        for (run, (outcome, plot, running)) in group.iter().zip(outcomes) {
            figures(measured, run, &outcome);
            if run.count >= 1_000 && !run.one_bucket {
                running.stop().await?;
                peak_and_steady(measured, &plot, run, outcome.memory.peak).await?;
            } else {
                running.stop().await?;
            }
        }
    }
    Ok(())
}

/// 100 domains at the pace of the wall's clock, in three accounts side by side: the machine has little to do.
pub async fn measure_unscaled(bed: &Bed, measured: &mut Measured) -> Result<()> {
    let run = |name: &str, layout| Run::new(format!("unscaled-{name}"), layout, 100, 1.0);
    let runs = [
        run("own", Layout::Own),
        run("shared", Layout::Shared),
        Run { share: Share::Whole, other_client: true, ..run("crowded", Layout::Own) },
    ];
    for (run, (outcome, _, running)) in runs.iter().zip(try_join_all(runs.iter().map(|run| run.on(bed))).await?) {
        if run.other_client {
            refused::figure(measured, run, &outcome, refused::WHOLE_BESIDE_ANOTHER);
        } else {
            figures(measured, run, &outcome);
        }
        running.stop().await?;
    }
    Ok(())
}

/// How fast time runs. A run of many is busy all the time: what the rig's AWS and the API server need for an answer must stay
/// short against the second of a quota. One bucket makes it three times as long, with a third of the calls in a second.
fn scale(count: usize, one_bucket: bool) -> f64 {
    match (count, one_bucket) {
        (..100, _) => 60.0,
        (100..1_000, _) => 30.0,
        (_, false) => 10.0,
        (_, true) => 20.0,
    }
}

fn figures(measured: &mut Measured, run: &Run, outcome: &Outcome) {
    if !run.one_bucket {
        calls_until_ready(measured, run, outcome);
    }
    time_until_ready(measured, run, outcome);
    measured.calls.insert(run.name.clone(), outcome.calls.clone());
}

fn calls_until_ready(measured: &mut Measured, run: &Run, outcome: &Outcome) {
    let figure = |name: &str, value: f64| Figure::new(name, run.count, run.scale, value).zones(run.layout);
    let each = |calls: &Calls, prefix: &str| sum(calls, prefix) / run.count as f64;
    let until_ready = &outcome.until_ready;
    let target = match (run.layout, run.count) {
        (_, 1) => Some(4.0),
        (Layout::Own, _) => Some(3.1),
        (Layout::Shared, 1_000) => Some(0.2),
        (Layout::Shared, _) => None,
    };
    let note = |prefix: &str| match sum(&outcome.calls, prefix) - sum(until_ready, prefix) {
        0.0 => told(until_ready, prefix),
        later => format!("{}; {later} more after what they were for was Ready", told(until_ready, prefix)),
    };
    let route53 = figure("Route 53 calls for each domain until Ready", each(until_ready, "route53"));
    measured.add(route53.at_most(target).note(note("route53")));
    let ses = figure("SES calls for each domain until Ready", each(until_ready, "ses"));
    measured.add(ses.at_most(outcome.polls.allowed).note(format!("at most 3 + polls; {}", note("ses"))));
    let over = figure("domains with more SES calls of their own than 3 + polls", outcome.polls.over as f64);
    measured.add(over.at_most(0.0).note(format!("the worst took {:+}", outcome.polls.worst)));
    let events: u64 = outcome.calls.iter().filter(|(name, _)| name.ends_with(" events")).map(|(_, count)| count).sum();
    let requests = each(&outcome.calls, "kubernetes") - events as f64 / run.count as f64;
    let requests = figure("API-server requests for each domain until Ready, events apart", requests);
    measured.add(requests.at_most(7.0).note(told(&outcome.calls, "kubernetes")));
    measured.add(figure("events for each domain until Ready", events as f64 / run.count as f64).at_most(5.0));
    measured.add(figure("peak resident memory until all are Ready", outcome.memory.peak / MIB).unit("MiB"));
}

fn time_until_ready(measured: &mut Measured, run: &Run, outcome: &Outcome) {
    let bucket = if run.one_bucket { "one SES bucket for all" } else { "an SES bucket for each operation" };
    let (bound, latency) = (outcome.bound, outcome.latency);
    let note = format!(
        "{:.0} s; bound {:.0} s = buckets {:.0} (at the operator's limits) + INSYNC {:.0} + delay {:.0}; AWS answered after \
         {:.2} s on average, 95% within {:.2} s",
        outcome.took,
        bound.seconds(),
        bound.buckets,
        bound.insync,
        bound.delay,
        latency.mean,
        latency.most,
    );
    let name = format!("time until all are Ready ÷ bound, {bucket}");
    let figure = Figure::new(name, run.count, run.scale, outcome.took / bound.seconds()).zones(run.layout);
    let missing = run.count - outcome.ready;
    let reason = (missing > 0).then(|| format!("{missing} domains were not Ready when the run was given up"));
    measured.add(Figure { reason, ..figure.at_most(1.15).note(note) });
    let seconds = Figure::new(format!("time until all are Ready, {bucket}"), run.count, run.scale, outcome.took);
    measured.add(seconds.zones(run.layout).unit("s"));
}

/// The most memory of a process that made a thousand domains Ready, against a process that finds them so and goes its rounds
/// for an hour.
async fn peak_and_steady(measured: &mut Measured, plot: &Plot<'_>, run: &Run, peak: f64) -> Result<()> {
    let running: Running = plot.start(&[]).await?;
    plot.account.set_rate(FAST).await?;
    pass(&plot.account, HOUR).await?;
    let steady = memory(running.id())?.resident;
    let figure = Figure::new("peak memory while converging ÷ steady", run.count, run.scale, peak / steady);
    let note = format!("{:.1} MiB; {:.1} MiB an hour after a restart", peak / MIB, steady / MIB);
    measured.add(figure.zones(run.layout).at_most(1.3).note(note));
    running.stop().await
}
