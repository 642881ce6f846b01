//! The regression check: the call counts of small runs against the committed ones. Times are not compared.
//!
//! In these runs every verification takes the same time, far from the time of any poll, so that each domain makes the same
//! calls each time, but for two things: how many domains share a batch or a listing depends on when their turns come, so one
//! more call of an operation is let pass; and a turn that comes late, on a busy machine, may split a poll that two things
//! waited for, so of the polls, and of the status patches that follow them, a tenth is.

use anyhow::{Context, Result, bail};

use crate::bed::Bed;
use crate::domains::Layout;
use crate::record::Record;
use crate::run::Run;
use crate::tally::Calls;

const SCALE: f64 = 40.0;
/// What differs from one run to the next by nature: see above.
const POLLS: [&str; 3] = ["ses GetEmailIdentity", "route53 GetChange", "kubernetes patch sesdomains/status"];

fn runs() -> impl Iterator<Item = (String, Run)> {
    [1, 20].into_iter().flat_map(|count| {
        [Layout::Own, Layout::Shared].map(|layout| {
            let run = Run { fixed_delays: true, ..Run::new(layout, count, SCALE) };
            (format!("check-{}-{count}", layout.label()), run)
        })
    })
}

async fn calls_of(run: &Run) -> Result<Calls> {
    let bed = Bed::make().await?;
    let (outcome, _, running) = run.on(&bed).await?;
    running.stop().await?;
    if outcome.ready < run.count {
        bail!("only {} of {} domains became Ready", outcome.ready, run.count);
    }
    Ok(outcome.calls)
}

/// Notes the counts that later checks compare with.
pub async fn note(record: &mut Record) -> Result<()> {
    for (name, run) in runs() {
        record.note_calls(&name, &calls_of(&run).await?);
    }
    Ok(())
}

/// Compares with the committed counts, and fails when anything is called more often.
pub async fn check() -> Result<()> {
    let record = Record::read()?;
    let mut more = Vec::new();
    for (name, run) in runs() {
        let before =
            record.calls_of(&name).with_context(|| format!("bench.json has no run {name}: run `make bench`"))?;
        let now = calls_of(&run).await?;
        eprintln!("bench: {name}: {now:?}");
        more.extend(grown(before, &now).into_iter().map(|told| format!("{name}: {told}")));
    }
    if more.is_empty() {
        println!("no operation is called more often than tests/rig/bench.json says");
        return Ok(());
    }
    bail!(
        "called more often than tests/rig/bench.json says; mend it, or run `make bench` and say why:\n{}",
        more.join("\n")
    )
}

/// The operations that are called more often than before.
fn grown(before: &Calls, now: &Calls) -> Vec<String> {
    let count = |calls: &Calls, name: &String| calls.get(name).copied().unwrap_or_default();
    let tolerance = |name: &String| if POLLS.contains(&name.as_str()) { count(before, name) / 10 } else { 0 }.max(1);
    let grown = now.iter().filter(|(name, calls)| **calls > count(before, name) + tolerance(name));
    grown.map(|(name, calls)| format!("{name}: {} before, {calls} now", count(before, name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(told: &[(&str, u64)]) -> Calls {
        told.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn more_calls_are_told_with_both_counts_and_one_more_or_a_tenth_of_the_polls_is_let_pass() {
        let before = calls(&[("ses GetEmailIdentity", 60), ("route53 GetChange", 20), ("ses CreateEmailIdentity", 20)]);
        let now = calls(&[
            ("ses GetEmailIdentity", 67),
            ("route53 GetChange", 22),
            ("ses CreateEmailIdentity", 21),
            ("route53 ListHostedZones", 2),
        ]);
        let told = ["route53 ListHostedZones: 0 before, 2 now", "ses GetEmailIdentity: 60 before, 67 now"];
        assert_eq!(grown(&before, &now), told);
        assert!(grown(&before, &before).is_empty());
    }
}
