//! What is measured: the table, part by part.

use std::time::Duration;

use anyhow::Result;
use kube::api::ListParams;
use ses_operator_rig::aws::Settings;
use ses_operator_rig::control_plane::audit::AuditMark;
use ses_operator_rig::wait::until;

use crate::bed::{Bed, Plot, Running, pass};
use crate::check;
use crate::domains::{Layout, apply, ready_since};
use crate::process::{Sampling, memory, processor_seconds};
use crate::record::{Figure, Record};
use crate::run::{Outcome, Run, Share, newcomer, polls_allowed};
use crate::settled;
use crate::tally::{Calls, of_operator, sum, tally, told};

/// A part of the benchmark.
pub struct Part {
    pub name: &'static str,
    /// Whether it takes too long to be run unless asked for.
    pub only_in_full: bool,
}

pub const PARTS: &[Part] = &[
    Part { name: "delays", only_in_full: false },
    Part { name: "ready", only_in_full: false },
    Part { name: "refused", only_in_full: false },
    Part { name: "newcomer", only_in_full: false },
    Part { name: "settled", only_in_full: false },
    Part { name: "check", only_in_full: false },
    Part { name: "unscaled", only_in_full: true },
];

/// How fast time runs in a run of so many domains: as fast as the machine bears on two cores. A run of many is busy all the
/// time, and what AWS's rig and the API server need for an answer must stay short against the second of a quota.
fn scale_for(count: usize) -> f64 {
    match count {
        ..100 => 60.0,
        100..1_000 => 40.0,
        _ => 25.0,
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const MIB: f64 = 1_024.0;

pub async fn measure(part: &Part, record: &mut Record) -> Result<()> {
    eprintln!("bench: part {}", part.name);
    let mut figures = Figures { part: part.name, record };
    match part.name {
        "delays" => delays(&mut figures).await,
        "ready" => ready(&mut figures).await,
        "refused" => refused(&mut figures).await,
        "newcomer" => newcomer_in_a_crowd(&mut figures).await,
        "settled" => settled_domains(&mut figures).await,
        "check" => check::note(figures.record).await,
        _ => unscaled(&mut figures).await,
    }
}

/// Where the figures of a part go.
struct Figures<'a> {
    part: &'static str,
    record: &'a mut Record,
}

impl Figures<'_> {
    fn add(
        &mut self,
        figure: impl Into<String>,
        (n, scale): (usize, f64),
        measured: f64,
        unit: &str,
        target: Option<f64>,
    ) {
        self.add_with(figure, (n, scale), measured, unit, target, String::new());
    }

    fn add_with(
        &mut self,
        figure: impl Into<String>,
        (n, scale): (usize, f64),
        measured: f64,
        unit: &str,
        target: Option<f64>,
        note: String,
    ) {
        let part = self.part.to_owned();
        self.record.add(Figure {
            part,
            figure: figure.into(),
            n,
            scale,
            measured,
            unit: unit.to_owned(),
            target,
            note,
        });
    }
}

/// SES calls of one domain until it is Ready, by how long its verification takes.
async fn delays(figures: &mut Figures<'_>) -> Result<()> {
    for (delay, name) in [(60, "1 min"), (900, "15 min"), (21_600, "6 h")] {
        let bed = Bed::make().await?;
        let plot =
            bed.plot("mail", Settings::default().quotas_of_aws().dkim(delay..=delay).mail_from(delay..=delay)).await?;
        let domains = Layout::Own.domains(1);
        plot.account.import("eu-west-1", HOUR, &Layout::Own.zones(&domains), &[]).await?;
        plot.account.set_rate(60.0).await?;
        let running = plot.start(&[]).await?;
        apply(&plot.domains, &domains).await?;
        until("MAIL FROM to be set", Duration::from_secs(60), async || {
            let calls = tally(&of_operator(plot.account.requests().await?), &[]);
            anyhow::ensure!(calls.contains_key("ses PutEmailIdentityMailFromAttributes"), "{calls:?}");
            Ok(())
        })
        .await?;
        // The set-up is over: from now on the looks are minutes apart, and time may run faster yet.
        let scale = if delay > 3_600 { 600.0 } else { 60.0 };
        plot.account.set_rate(scale).await?;
        until("the domain to be Ready", Duration::from_secs(180), async || {
            let found = plot.domains.list(&ListParams::default()).await?;
            anyhow::ensure!(found.items.iter().all(|domain| ready_since(domain).is_some()), "not yet");
            Ok(())
        })
        .await?;
        let calls = tally(&of_operator(plot.account.requests().await?), &[]);
        let most = (3 + polls_allowed(delay as f64)) as f64;
        let figure = format!("SES calls until Ready, verification takes {name}");
        figures.add_with(figure, (1, scale), sum(&calls, "ses"), "", Some(most), told(&calls, "ses"));
        running.stop().await?;
    }
    Ok(())
}

/// Until all are Ready: calls, time against the bound, requests to the API server, memory.
async fn ready(figures: &mut Figures<'_>) -> Result<()> {
    for count in [1, 100, 1_000] {
        for layout in [Layout::Own, Layout::Shared] {
            for one_bucket in [false, true] {
                let run = Run { one_bucket, ..Run::new(layout, count, scale_for(count)) };
                one_run(figures, &run).await?;
            }
        }
    }
    Ok(())
}

async fn one_run(figures: &mut Figures<'_>, run: &Run) -> Result<()> {
    let bed = Bed::make().await?;
    let (outcome, plot, running) = run.on(&bed).await?;
    if !run.one_bucket {
        calls_until_ready(figures, run, &outcome);
    }
    time_until_ready(figures, run, &outcome);
    let label = format!("{}-{}{}", run.layout.label(), run.count, if run.one_bucket { "-one-bucket" } else { "" });
    figures.record.note_calls(&label, &outcome.calls);
    if run.count >= 1_000 && !run.one_bucket {
        let peak = outcome.memory.peak;
        running.stop().await?;
        restart(figures, &plot, run, peak).await?;
    }
    Ok(())
}

fn calls_until_ready(figures: &mut Figures<'_>, run: &Run, outcome: &Outcome) {
    let (n, words) = ((run.count, run.scale), run.layout.in_words());
    let each = |prefix: &str| sum(&outcome.calls, prefix) / run.count as f64;
    let target = match (run.layout, run.count) {
        (_, 1) => Some(4.0),
        (Layout::Own, _) => Some(3.1),
        (Layout::Shared, 1_000) => Some(0.2),
        (Layout::Shared, _) => None,
    };
    let figure = format!("Route 53 calls for each domain until Ready, {words}");
    figures.add_with(figure, n, each("route53"), "", target, told(&outcome.calls, "route53"));
    let figure = format!("SES calls for each domain until Ready, {words}");
    figures.add_with(figure, n, each("ses"), "", Some(outcome.polls.allowed), told(&outcome.calls, "ses"));
    let note = format!("the worst took {:+}", outcome.polls.worst);
    let figure = format!("domains with more SES calls than 3 + polls, {words}");
    figures.add_with(figure, n, outcome.polls.over as f64, "", Some(0.0), note);
    let events =
        outcome.calls.iter().filter(|(name, _)| name.ends_with(" events")).map(|(_, count)| count).sum::<u64>();
    let requests = sum(&outcome.calls, "kubernetes") - events as f64;
    let figure = format!("API-server requests for each domain until Ready, events apart, {words}");
    figures.add_with(figure, n, requests / run.count as f64, "", Some(7.0), told(&outcome.calls, "kubernetes"));
    let figure = format!("events for each domain until Ready, {words}");
    figures.add(figure, n, events as f64 / run.count as f64, "", Some(5.0));
}

fn time_until_ready(figures: &mut Figures<'_>, run: &Run, outcome: &Outcome) {
    let bucket = if run.one_bucket { "one SES bucket for all" } else { "an SES bucket for each operation" };
    let bound = outcome.bound;
    let missing = match run.count - outcome.ready {
        0 => String::new(),
        missing => format!("{missing} NEVER BECAME READY; "),
    };
    let note = format!(
        "{missing}{:.0} s; bound {:.0} s = buckets {:.0} + INSYNC {:.0} + delay {:.0}; an answer took {:.2} s",
        outcome.took,
        bound.seconds(),
        bound.buckets,
        bound.insync,
        bound.delay,
        outcome.latency
    );
    let figure = format!("time until all are Ready ÷ bound, {bucket}, {}", run.layout.in_words());
    figures.add_with(figure, (run.count, run.scale), outcome.took / bound.seconds(), "", Some(1.15), note);
}

/// What a restart costs; and the memory of the new process once it has settled, against the peak of the one before.
async fn restart(figures: &mut Figures<'_>, plot: &Plot<'_>, run: &Run, peak: f64) -> Result<()> {
    const FAST: f64 = 300.0;
    let (n, words) = ((run.count, FAST), run.layout.in_words());
    let since = Since::now(plot).await?;
    let running = plot.start(&[]).await?;
    started(figures, &running, run.count, FAST, run.layout).await?;
    plot.account.set_rate(FAST).await?;
    pass(&plot.account, HOUR).await?;
    since.writes(figures, plot, n, run.layout, "of a restart").await?;
    let steady = memory(running.id())?.resident;
    let note = format!("peak {:.1} MiB, steady {:.1} MiB after a restart", peak / MIB, steady / MIB);
    figures.add_with(format!("peak memory while converging ÷ steady, {words}"), n, peak / steady, "", Some(1.3), note);
    running.stop().await
}

async fn started(figures: &mut Figures<'_>, running: &Running, count: usize, scale: f64, layout: Layout) -> Result<()> {
    let target = (count <= 1_000).then_some(1.0);
    let figure = format!("process start to ready, {}", layout.in_words());
    let known = tokio::time::Instant::now();
    until("the operator to know all domains", Duration::from_secs(60), async || {
        let known = running.metric("ses_operator_domains{", "condition=\"Ready\"").await?;
        anyhow::ensure!(known >= count as f64, "{known} are known");
        Ok(())
    })
    .await?;
    let note = format!("all domains are known {:.1} s later", known.elapsed().as_secs_f64());
    figures.add_with(figure, (count, scale), running.ready_after.as_secs_f64(), "s", target, note);
    Ok(())
}

/// A place in the logs of AWS and of the API server.
struct Since {
    aws: u64,
    kubernetes: AuditMark,
}

impl Since {
    async fn now(plot: &Plot<'_>) -> Result<Self> {
        let aws = plot.account.requests().await?.last().map_or(0, |request| request.seq);
        Ok(Self { aws, kubernetes: plot.bed.plane.audit_mark()? })
    }

    async fn calls(&self, plot: &Plot<'_>) -> Result<Calls> {
        let requests = of_operator(plot.account.requests_since(self.aws).await?);
        Ok(tally(&requests, &plot.kubernetes_requests(self.kubernetes)?))
    }

    async fn writes(
        &self,
        figures: &mut Figures<'_>,
        plot: &Plot<'_>,
        n: (usize, f64),
        layout: Layout,
        what: &str,
    ) -> Result<()> {
        let words = layout.in_words();
        let requests = of_operator(plot.account.requests_since(self.aws).await?);
        let writes = requests.iter().filter(|request| request.mutation).count();
        figures.add(format!("AWS writes {what}, {words}"), n, writes as f64, "", Some(0.0));
        let asked = plot.kubernetes_requests(self.kubernetes)?;
        let asked: Vec<_> =
            asked.into_iter().filter(ses_operator_rig::control_plane::audit::AuditEntry::writes).collect();
        let figure = format!("API-server writes {what}, {words}");
        figures.add_with(figure, n, asked.len() as f64, "", Some(0.0), told(&tally(&[], &asked), "kubernetes"));
        Ok(())
    }
}

/// Calls that AWS refuses for its quotas.
async fn refused(figures: &mut Figures<'_>) -> Result<()> {
    for count in [100, 1_000] {
        for (share, other_client, words) in [
            (Share::Whole, false, "our share at 100%"),
            (Share::Default, true, "default share, another client spends 2/s of Route 53"),
            (Share::Whole, true, "our share at 100%, another client spends 2/s of Route 53"),
        ] {
            let run = Run { share, other_client, ..Run::new(Layout::Own, count, scale_for(count)) };
            let bed = Bed::make().await?;
            let (outcome, _, running) = run.on(&bed).await?;
            refusals(figures, &run, &outcome, words);
            running.stop().await?;
        }
    }
    Ok(())
}

fn refusals(figures: &mut Figures<'_>, run: &Run, outcome: &Outcome, words: &str) {
    let calls = sum(&outcome.calls, "ses") + sum(&outcome.calls, "route53");
    let (others, of) = outcome.others_refused;
    let others = if of > 0 { format!("; {others} of the other's {of}") } else { String::new() };
    let note = format!(
        "{} of {calls}{others}; {} Ready after {:.0} s, bound {:.0} s",
        outcome.refused,
        outcome.ready,
        outcome.took,
        outcome.bound.seconds()
    );
    let share = 100.0 * outcome.refused as f64 / calls.max(1.0);
    figures.add_with(format!("calls refused, {words}"), (run.count, run.scale), share, "%", Some(1.0), note);
}

/// A new domain of another namespace while 1,000 converge, against the same one alone.
async fn newcomer_in_a_crowd(figures: &mut Figures<'_>) -> Result<()> {
    let alone = {
        let bed = Bed::make().await?;
        let run = Run { newcomer: true, ..Run::new(Layout::Own, 0, scale_for(1_000)) };
        let (outcome, _, running) = run.on(&bed).await?;
        running.stop().await?;
        outcome.newcomer
    };
    let bed = Bed::make().await?;
    let run = Run { newcomer: true, ..Run::new(Layout::Own, 1_000, scale_for(1_000)) };
    let (outcome, _, running) = run.on(&bed).await?;
    running.stop().await?;
    let (alone, crowded) = (alone.unwrap_or(f64::NAN), outcome.newcomer.unwrap_or(f64::INFINITY));
    let note = format!("{crowded:.0} s, alone {alone:.0} s ({})", newcomer());
    let figure = "a new domain of another namespace while others converge ÷ alone";
    figures.add_with(figure, (run.count, run.scale), crowded / alone, "", Some(2.0), note);
    Ok(())
}

/// Domains that are settled: calls in an hour, memory, restarts, and the processor's time.
async fn settled_domains(figures: &mut Figures<'_>) -> Result<()> {
    for (count, layout, scale) in [
        (1_000, Layout::Shared, 300.0),
        (1_000, Layout::Own, 150.0),
        (10_000, Layout::Shared, 150.0),
        (10_000, Layout::Own, 40.0),
    ] {
        settled_in(figures, count, layout, scale).await?;
    }
    Ok(())
}

async fn settled_in(figures: &mut Figures<'_>, count: usize, layout: Layout, scale: f64) -> Result<()> {
    let (n, words) = ((count, scale), layout.in_words());
    let bed = Bed::make().await?;
    eprintln!("bench:   making {count} settled domains, {words}");
    let idle = idle_memory(&bed).await?;
    let plot = settled::plant(&bed, layout, count, scale).await?;
    let since = Since::now(&plot).await?;
    let running = plot.start(&[]).await?;
    started(figures, &running, count, scale, layout).await?;
    // Whatever a start brings is over by then.
    pass(&plot.account, HOUR).await?;
    let hours = if count > 1_000 { 1 } else { 3 };
    let settled = Since::now(&plot).await?;
    pass(&plot.account, HOUR * hours).await?;
    let calls = settled.calls(&plot).await?;
    let in_an_hour = (sum(&calls, "ses") + sum(&calls, "route53")) / f64::from(hours);
    let target = match (count, layout) {
        (1_000, Layout::Shared) => Some(70.0),
        (1_000, Layout::Own) => Some(1_100.0),
        _ => None,
    };
    let note = format!("in {hours} h: {}, {}", told(&calls, "ses"), told(&calls, "route53"));
    figures.add_with(format!("AWS calls in an hour, settled, {words}"), n, in_an_hour, "", target, note);
    since.writes(figures, &plot, n, layout, "of a restart and the hours after it").await?;

    let found = memory(running.id())?;
    let each = (found.resident - idle) / count as f64;
    let note = format!("idle {:.1} MiB", idle / MIB);
    figures.add_with(format!("memory over idle for each settled domain, {words}"), n, each, "KiB", Some(5.0), note);
    let target = if count > 1_000 { 64.0 } else { 28.0 };
    let note = format!("peak {:.1} MiB", found.peak / MIB);
    let figure = format!("resident memory, settled, {words}");
    figures.add_with(figure, n, found.resident / MIB, "MiB", Some(target), note);
    if count == 1_000 && layout == Layout::Shared {
        no_op(figures, &plot, &running, count).await?;
    }
    running.stop().await
}

/// The resident memory of an operator without domains, in KiB.
async fn idle_memory(bed: &Bed) -> Result<f64> {
    let plot = bed.plot("idle", Settings::default()).await?;
    let running = plot.start(&["--namespace=idle"]).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = memory(running.id())?.resident;
    running.stop().await?;
    Ok(idle)
}

/// A day in which nothing changes.
async fn no_op(figures: &mut Figures<'_>, plot: &Plot<'_>, running: &Running, count: usize) -> Result<()> {
    const FAST: f64 = 1_200.0;
    plot.account.set_rate(FAST).await?;
    let since = Since::now(plot).await?;
    let reconciles = async || running.metric("ses_operator_reconciles_total{", "").await;
    let (seconds, looks) = (processor_seconds(running.id())?, reconciles().await?);
    let sampling = Sampling::start(running.id(), plot.bed.plane.folder());
    pass(&plot.account, HOUR * 24).await?;
    let (seconds, looks) = (processor_seconds(running.id())? - seconds, reconciles().await? - looks);
    let top = match sampling.and_then(Sampling::top) {
        Ok((itself, inclusive)) => format!("self: {}; with callees: {}", itself.join(", "), inclusive.join(", ")),
        Err(error) => format!("not sampled: {error:#}"),
    };
    let n = (count, FAST);
    since.writes(figures, plot, n, Layout::Shared, "of no-op reconciles in a day").await?;
    let note = format!("{looks} reconciles in a day, {seconds:.2} s, everything included; {top}");
    figures.add_with("CPU of a no-op reconcile", n, 1_000.0 * seconds / looks.max(1.0), "ms", None, note);
    let figure = "CPU of a settled operator, of one core";
    figures.add(figure, n, 100.0 * seconds / (24.0 * 3_600.0), "%", None);
    Ok(())
}

/// 100 domains at the pace of the wall's clock, in three accounts side by side: the machine has little to do.
async fn unscaled(figures: &mut Figures<'_>) -> Result<()> {
    let runs = [
        Run::new(Layout::Own, 100, 1.0),
        Run::new(Layout::Shared, 100, 1.0),
        Run { share: Share::Whole, other_client: true, ..Run::new(Layout::Own, 100, 1.0) },
    ];
    let beds = [Bed::make().await?, Bed::make().await?, Bed::make().await?];
    let [own, shared, crowded] = &runs;
    let [first, second, third] = &beds;
    let (own_outcome, shared_outcome, crowded_outcome) =
        tokio::try_join!(own.on(first), shared.on(second), crowded.on(third))?;
    for (run, (outcome, _, running)) in [(own, own_outcome), (shared, shared_outcome)] {
        calls_until_ready(figures, run, &outcome);
        time_until_ready(figures, run, &outcome);
        running.stop().await?;
    }
    let (outcome, _, running) = crowded_outcome;
    refusals(figures, crowded, &outcome, "our share at 100%, another client spends 2/s of Route 53");
    running.stop().await
}
