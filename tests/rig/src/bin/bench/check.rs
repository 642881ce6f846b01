//! The regression check: the call counts of small runs against the committed ones. Times are not compared.
//!
//! In these runs every verification takes the same time, far from the time of any poll, so that each domain makes the same
//! calls each time, and most counts are the same to the last call. What may differ, and by how much, [`tolerance`] says.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::{try_join, try_join_all};
use jiff::Timestamp;
use ses_operator_rig::aws::Request;

use crate::bed::{Bed, Plot, pass, pass_until};
use crate::domains::Layout;
use crate::parts::settled::all_are_known;
use crate::record::Record;
use crate::run::Run;
use crate::settled::plant;
use crate::tally::{Calls, of_aws, of_kubernetes, of_operator};

/// How fast domains become Ready here. All runs are side by side, on machines that are busy with other tests.
const SCALE: f64 = 20.0;
/// A few domains for a day.
const SETTLED: usize = 20;
const A_MINUTE_A_DAY: f64 = 1_440.0;
const DAY: Duration = Duration::from_secs(86_400);
/// By then every zone had its first turn.
const FIRST_TURNS: Duration = Duration::from_secs(70 * 60);
/// From one turn of a zone until midway between two later ones.
const BETWEEN_TURNS: Duration = Duration::from_secs(90 * 60);

/// The calls of all runs, by their names.
pub async fn calls(bed: &Bed) -> Result<BTreeMap<String, Calls>> {
    let run = |count, layout: Layout| {
        let run = Run::new(format!("check-{}-{count}", layout.label()), layout, count, SCALE);
        Run { repeatable: true, ..run }
    };
    let runs = [1, 20].map(|count| Layout::BOTH.map(|layout| run(count, layout))).concat();
    let ready = try_join_all(runs.iter().map(|run| until_ready(bed, run)));
    let settled = try_join_all(Layout::BOTH.map(|layout| a_settled_day(bed, layout)));
    let (ready, settled) = try_join(ready, settled).await?;
    Ok(ready.into_iter().chain(settled).collect())
}

async fn until_ready(bed: &Bed, run: &Run) -> Result<(String, Calls)> {
    let (outcome, _, running) = run.on(bed).await?;
    running.stop().await?;
    ensure!(outcome.ready == run.count, "only {} of {} domains became Ready", outcome.ready, run.count);
    Ok((run.name.clone(), outcome.calls))
}

/// A restart among settled domains, and a day after it: writes are counted from the start on, and what is read from where each
/// domain has its daily look once in the day. A zone's turn brings forward the looks of the hour after it. So those between
/// the restart and the first turn are early on the next day, and the day must not begin just when a turn comes.
async fn a_settled_day(bed: &Bed, layout: Layout) -> Result<(String, Calls)> {
    let name = format!("check-settled-{}-{SETTLED}", layout.label());
    let plot = plant(bed, &name, layout, SETTLED, A_MINUTE_A_DAY).await?;
    let mark = bed.plane.audit_mark()?;
    let start = plot.account.clock().await?.now;
    let running = plot.start(&[]).await?;
    all_are_known(&running, SETTLED).await?;
    pass(&plot.account, FIRST_TURNS).await?;
    let begin = last_turn(&plot).await? + BETWEEN_TURNS;
    pass_until(&plot.account, begin + DAY).await?;
    let requests = of_operator(plot.account.requests().await?);
    let counts = |request: &&Request| request.at >= if request.mutation { start } else { begin };
    let of_the_day = requests.iter().filter(|request| request.at < begin + DAY).filter(counts);
    let mut calls = of_aws(of_the_day);
    calls.extend(of_kubernetes(&plot.kubernetes_requests(mark)?));
    running.stop().await?;
    Ok((name, calls))
}

/// When a zone was read last.
async fn last_turn(plot: &Plot<'_>) -> Result<Timestamp> {
    let requests = of_operator(plot.account.requests().await?);
    let reads = requests.iter().filter(|request| request.operation == "ListResourceRecordSets");
    reads.map(|request| request.at).max().context("a zone's turn comes once an hour")
}

/// Compares with the committed counts, and fails when anything is called more often.
pub async fn check() -> Result<()> {
    let record = Record::read()?;
    let mut more = Vec::new();
    for (name, now) in calls(&Bed::make().await?).await? {
        let before = record.calls_of("check", &name);
        let before = before.with_context(|| format!("bench.json has no run {name}: run `make bench ONLY=check`"))?;
        eprintln!("bench: {name}: {now:?}");
        more.extend(grown(&name, before, &now).into_iter().map(|told| format!("{name}: {told}")));
    }
    if more.is_empty() {
        println!("no operation is called more often than tests/rig/bench.json says");
        return Ok(());
    }
    bail!(
        "called more often than tests/rig/bench.json says; mend it, or run `make bench ONLY=check` and say why:\n{}",
        more.join("\n")
    )
}

/// The operations that are called more often than before.
fn grown(run: &str, before: &Calls, now: &Calls) -> Vec<String> {
    let count = |calls: &Calls, name: &String| calls.get(name).copied().unwrap_or_default();
    let grown =
        now.iter().filter(|(name, calls)| **calls > count(before, name) + tolerance(run, name, count(before, name)));
    grown.map(|(name, calls)| format!("{name}: {} before, {calls} now", count(before, name))).collect()
}

/// How many more calls of an operation are let pass in a run: none, but where something besides the operator has a say.
fn tolerance(run: &str, name: &str, before: u64) -> u64 {
    let one_of = |count: u64| (before / count).max(1);
    match name {
        // The watch lists when it begins, which may be just before or just after the count does.
        "kubernetes list sesdomains" => 2,
        // One more where a domain is kept waiting for two seconds of the wall's, and says so.
        "kubernetes patch sesdomains/status" if before > 0 => one_of(10),
        // A single domain shares nothing and waits for nobody.
        _ if run.ends_with("-1") => 0,
        // How many share a list depends on when their turns come.
        "ses ListEmailIdentities" => one_of(5),
        // A turn that comes late, on a busy machine, may split a poll that two things waited for.
        "ses GetEmailIdentity" | "route53 GetChange" => one_of(10).max(if run.contains("shared") { 2 } else { 1 }),
        // How many share a batch depends on when their turns come, in a zone that they share.
        "route53 ChangeResourceRecordSets" if run.contains("shared") => 2,
        // A zone's turn of before the day may come in it.
        "route53 ListResourceRecordSets" if run.contains("settled") => one_of(10),
        // One an hour at most: whether it is older than that when a zone's turn comes is a matter of moments.
        "route53 ListHostedZonesByName" if run.contains("settled") => 24u64.saturating_sub(before).max(1),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(told: &[(&str, u64)]) -> Calls {
        told.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn more_calls_are_told_with_both_counts_and_what_differs_by_nature_is_let_pass() {
        let before = calls(&[
            ("kubernetes patch sesdomains/status", 100),
            ("route53 ChangeResourceRecordSets", 2),
            ("ses CreateEmailIdentity", 20),
            ("ses GetEmailIdentity", 60),
            ("ses ListEmailIdentities", 10),
        ]);
        let more = calls(&[
            ("kubernetes patch sesdomains/status", 110),
            ("route53 ChangeResourceRecordSets", 3),
            ("route53 ListHostedZones", 1),
            ("ses CreateEmailIdentity", 21),
            ("ses GetEmailIdentity", 67),
            ("ses ListEmailIdentities", 12),
        ]);
        let told = [
            "route53 ListHostedZones: 0 before, 1 now",
            "ses CreateEmailIdentity: 20 before, 21 now",
            "ses GetEmailIdentity: 60 before, 67 now",
        ];
        assert_eq!(grown("check-shared-20", &before, &more), told);
        assert!(grown("check-shared-20", &before, &before).is_empty());
    }

    #[test]
    fn of_a_single_domain_every_call_counts() {
        let (before, more) = (calls(&[("ses GetEmailIdentity", 4)]), calls(&[("ses GetEmailIdentity", 5)]));
        assert_eq!(grown("check-own-1", &before, &more), ["ses GetEmailIdentity: 4 before, 5 now"]);
        assert!(grown("check-own-20", &before, &more).is_empty());
    }

    #[test]
    fn a_settled_day_writes_nothing() {
        let written = calls(&[("kubernetes patch sesdomains/status", 1), ("kubernetes create events", 1)]);
        assert_eq!(grown("check-settled-own-20", &Calls::new(), &written).len(), 2);
    }
}
