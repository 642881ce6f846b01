//! Domains that are settled: calls in an hour, memory, restarts.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use ses_operator_rig::aws::Settings;
use ses_operator_rig::control_plane::audit::{AuditEntry, AuditMark};
use ses_operator_rig::wait::until;

use super::{HOUR, MIB, Measured, no_op};
use crate::bed::{Bed, Plot, Running, pass, pass_until};
use crate::domains::Layout;
use crate::figure::Figure;
use crate::process::memory;
use crate::settled::plant;
use crate::tally::{Calls, of_aws, of_kubernetes, of_operator, sum, told};

/// How fast time may run where there is little to do.
pub const FAST: f64 = 300.0;
/// At this pace a day takes a minute.
pub const A_MINUTE_A_DAY: f64 = 1_200.0;

/// What is settled.
struct Settled {
    count: usize,
    layout: Layout,
    scale: f64,
    /// For how many hours calls are counted: a day where that is a minute, since what is done once a day is not done every hour
    /// alike.
    hours: u32,
}

/// Those in one line are measured at once: they leave the machine idle.
const RUNS: [&[Settled]; 5] = [
    &[
        Settled { count: 1, layout: Layout::Own, scale: A_MINUTE_A_DAY, hours: 24 },
        Settled { count: 1, layout: Layout::Shared, scale: A_MINUTE_A_DAY, hours: 24 },
        Settled { count: 100, layout: Layout::Own, scale: A_MINUTE_A_DAY, hours: 24 },
        Settled { count: 100, layout: Layout::Shared, scale: A_MINUTE_A_DAY, hours: 24 },
    ],
    &[Settled { count: 1_000, layout: Layout::Own, scale: FAST, hours: 3 }],
    &[Settled { count: 1_000, layout: Layout::Shared, scale: A_MINUTE_A_DAY, hours: 24 }],
    &[Settled { count: 10_000, layout: Layout::Own, scale: 60.0, hours: 1 }],
    &[Settled { count: 10_000, layout: Layout::Shared, scale: 150.0, hours: 1 }],
];

pub async fn measure(bed: &Bed, measured: &mut Measured) -> Result<()> {
    let idle = idle_memory(bed).await?;
    measured.add(Figure::new("resident memory without domains", 0, FAST, idle / MIB).unit("MiB"));
    for group in RUNS {
        for one in try_join_all(group.iter().map(|settled| one(bed, settled, idle))).await? {
            measured.figures.extend(one.figures);
            measured.calls.extend(one.calls);
        }
    }
    Ok(())
}

/// The resident memory of an operator without domains after an hour, in KiB.
async fn idle_memory(bed: &Bed) -> Result<f64> {
    let plot = bed.plot("idle", Settings::default()).await?;
    let running = plot.start(&[]).await?;
    plot.account.set_rate(FAST).await?;
    pass(&plot.account, HOUR).await?;
    let idle = memory(running.id())?.resident;
    running.stop().await?;
    Ok(idle)
}

async fn one(bed: &Bed, settled: &Settled, idle: f64) -> Result<Measured> {
    let &Settled { count, layout, scale, hours } = settled;
    let mut measured = Measured::default();
    let name = format!("settled-{}-{count}", layout.label());
    eprintln!("bench:   {name}: making the domains");
    let plot = plant(bed, &name, layout, count, scale).await?;
    let figure = |name: &str, value: f64| Figure::new(name, count, scale, value).zones(layout);
    let from = plot.account.clock().await?.now;
    let mark = bed.plane.audit_mark()?;
    let running = plot.start(&[]).await?;
    let target = (count <= 1_000).then_some(1.0);
    let ready = running.ready_after;
    measured.add(figure("process start to ready", ready.as_secs_f64()).unit("s").at_most(target));
    let known = ready + all_are_known(&running, count).await?;
    measured.add(figure("process start until all domains are known", known.as_secs_f64()).unit("s").at_most(target));

    // Whatever a start brings is over by then.
    pass(&plot.account, HOUR).await?;
    let begin = plot.account.clock().await?.now;
    let end = begin + HOUR * hours;
    let spent = no_op::spent(&plot, &running, async || pass_until(&plot.account, end).await).await?;
    let calls = calls_between(&plot, begin, end).await?;
    let in_an_hour = sum(&calls, "") / f64::from(hours);
    let target = match (count, layout) {
        (1_000, Layout::Shared) => Some(70.0),
        (1_000, Layout::Own) => Some(1_100.0),
        _ => None,
    };
    let note = format!("in {hours} h: {}, {}", told(&calls, "ses"), told(&calls, "route53"));
    measured.add(figure("AWS calls in an hour, settled", in_an_hour).at_most(target).note(note));
    measured.calls.insert(name, calls);
    writes(&mut measured, &plot, &figure, (from, mark), "a restart and the hours after it").await?;

    let found = memory(running.id())?;
    if count >= 1_000 {
        let each = figure("memory over idle for each settled domain", (found.resident - idle) / count as f64);
        measured.add(each.unit("KiB").at_most(5.0));
    }
    let target = match count {
        1_000 => Some(28.0),
        10_000 => Some(64.0),
        _ => None,
    };
    let total = figure("resident memory, settled", found.resident / MIB).unit("MiB").at_most(target);
    measured.add(total.note(format!("the most was {:.1} MiB", found.peak / MIB)));
    if (count, layout) == (1_000, Layout::Shared) {
        no_op::measure(&mut measured, &plot, &running, count, spent).await?;
    }
    running.stop().await?;
    Ok(measured)
}

/// Waits until an operator that has just become ready knows its domains, and gives how long that took.
pub async fn all_are_known(running: &Running, count: usize) -> Result<Duration> {
    let began = tokio::time::Instant::now();
    until("the operator to know all domains", Duration::from_secs(60), async || {
        let known = running.metrics().await?.sum("ses_operator_domains", "condition=\"Ready\"");
        ensure!(known >= count as f64, "{known} are known");
        Ok(())
    })
    .await?;
    Ok(began.elapsed())
}

/// The operator's calls to AWS between two times.
pub async fn calls_between(plot: &Plot<'_>, begin: Timestamp, end: Timestamp) -> Result<Calls> {
    let requests = of_operator(plot.account.requests().await?);
    Ok(of_aws(requests.iter().filter(|request| request.at >= begin && request.at < end)))
}

/// What was written since then, in AWS and to the API server: nothing should be.
pub async fn writes(
    measured: &mut Measured,
    plot: &Plot<'_>,
    figure: &impl Fn(&str, f64) -> Figure,
    (from, mark): (Timestamp, AuditMark),
    of: &str,
) -> Result<()> {
    let requests = of_operator(plot.account.requests().await?);
    let writes = requests.iter().filter(|request| request.at >= from && request.mutation);
    let calls = of_aws(writes);
    let to_aws = figure(&format!("AWS writes of {of}"), sum(&calls, "")).at_most(0.0);
    measured.add(to_aws.note(told(&calls, "")));
    let asked = plot.kubernetes_requests(mark)?;
    let calls = of_kubernetes(asked.iter().filter(|entry: &&AuditEntry| entry.writes()));
    let to_kubernetes = figure(&format!("API-server writes of {of}"), sum(&calls, "")).at_most(0.0);
    measured.add(to_kubernetes.note(told(&calls, "kubernetes")));
    Ok(())
}
