//! Calls that AWS refuses for its quotas.

use anyhow::Result;
use futures::future::try_join_all;

use super::Measured;
use crate::bed::Bed;
use crate::domains::Layout;
use crate::figure::Figure;
use crate::run::{Outcome, Run, Share};
use crate::tally::sum;
use crate::watch::End;

pub const WHOLE_BESIDE_ANOTHER: &str = "our share at 100%, another client spends 2/s of Route 53";
/// Whose share it is, whether another client is there, and how that is said.
const CASES: [(Share, bool, &str); 3] = [
    (Share::Whole, false, "our share at 100%"),
    (Share::Default, true, "our share as it is set, another client spends 2/s of Route 53"),
    (Share::Whole, true, WHOLE_BESIDE_ANOTHER),
];
/// A thousand domains are watched for so many virtual seconds: by then every kind of call is at its pace, and more of the same
/// would follow.
const LONG_ENOUGH: f64 = 900.0;

pub async fn measure(bed: &Bed, measured: &mut Measured) -> Result<()> {
    let runs = |count: usize, scale: f64| {
        CASES.iter().enumerate().flat_map(move |(number, (share, other_client, _))| {
            Layout::BOTH.map(|layout| {
                let name = format!("refused-{}-{count}-{number}", layout.label());
                let end = if count < 1_000 { End::AllReady } else { End::After(LONG_ENOUGH) };
                let run = Run::new(name, layout, count, scale);
                (number, Run { share: *share, other_client: *other_client, end, ..run })
            })
        })
    };
    for (count, scale, at_once) in [(1, 60.0, 6), (100, 20.0, 2), (1_000, 10.0, 2)] {
        let runs: Vec<(usize, Run)> = runs(count, scale).collect();
        for group in runs.chunks(at_once) {
            let outcomes = try_join_all(group.iter().map(|(_, run)| run.on(bed))).await?;
            for ((number, run), (outcome, _, running)) in group.iter().zip(outcomes) {
                figure(measured, run, &outcome, CASES[*number].2);
                running.stop().await?;
            }
        }
    }
    Ok(())
}

/// The share of a run's calls that was refused.
pub fn figure(measured: &mut Measured, run: &Run, outcome: &Outcome, words: &str) {
    let calls = sum(&outcome.calls, "ses") + sum(&outcome.calls, "route53");
    let (others, of) = outcome.others_refused;
    let others = if of > 0 { format!("; {others} of the other's {of}") } else { String::new() };
    let note = format!("{} of {calls}{others}; {} Ready after {:.0} s", outcome.refused, outcome.ready, outcome.took);
    let share = 100.0 * outcome.refused as f64 / calls.max(1.0);
    let figure = Figure::new(format!("calls refused, {words}"), run.count, run.scale, share).zones(run.layout);
    measured.add(figure.unit("%").at_most(1.0).note(note));
}
