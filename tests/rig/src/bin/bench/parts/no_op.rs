//! The processor's time of a settled operator: of a reconcile that finds nothing to do, and of the rounds.
//!
//! The two can't be had apart: a settled domain is reconciled once a day, while the rounds go on. So both are measured in two
//! mixes, and the two equations solved. In a day that passes evenly there are many rounds for each reconcile; where the
//! clock jumps by a day, every domain is due at once and the rounds of that day are missing.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use ses_operator_rig::wait::until;

use super::settled::{A_MINUTE_A_DAY, FAST, writes};
use super::{HOUR, Measured};
use crate::bed::{Plot, Running, pass};
use crate::domains::Layout;
use crate::figure::Figure;
use crate::process::processor_seconds;
use crate::sampling::Sampling;
use crate::tally::{of_aws, of_operator, sum};

const DAY: Duration = Duration::from_secs(86_400);
/// So many days are jumped over.
const JUMPS: usize = 3;

/// What a stretch of time took.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// Of the processor's.
    seconds: f64,
    reconciles: f64,
    /// Calls that the rounds made: each brings up to 1,000 identities or 300 record sets.
    rounds: f64,
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s for {} reconciles and {} calls of the rounds", self.seconds, self.reconciles, self.rounds)
    }
}

/// Measures it of settled domains in one zone, of which a day has been measured already.
pub async fn measure(
    measured: &mut Measured,
    plot: &Plot<'_>,
    running: &Running,
    count: usize,
    day: Spent,
) -> Result<()> {
    let since = (plot.account.clock().await?.now, plot.bed.plane.audit_mark()?);
    plot.account.set_rate(FAST).await?;
    let jumps = spent(plot, running, async || {
        for _ in 0..JUMPS {
            jump(plot, running, count).await?;
        }
        Ok(())
    })
    .await?;
    let sampling = Sampling::start(running.id(), plot.bed.plane.folder());
    jump(plot, running, count).await?;
    let top = match sampling.and_then(Sampling::top) {
        Ok(top) => format!("itself: {}; with callees: {}", top.itself.join(", "), top.with_callees.join(", ")),
        Err(error) => format!("not sampled: {error:#}"),
    };

    let figure = |name: &str, value: f64| Figure::new(name, count, A_MINUTE_A_DAY, value).zones(Layout::Shared);
    writes(measured, plot, &figure, since, "no-op reconciles").await?;
    let (reconcile, round) = apart(day, jumps);
    let note = format!("{day} in a day, {jumps} in {JUMPS} jumps; {top}");
    measured.add(figure("CPU of a no-op reconcile", 1_000.0 * reconcile).unit("ms").note(note));
    let note = "a list of the identities, or a page of the zone";
    measured.add(figure("CPU of a call of the rounds", 1_000.0 * round).unit("ms").note(note));
    let share = 100.0 * day.seconds / DAY.as_secs_f64();
    measured.add(figure("CPU of a settled operator, of one core", share).unit("%"));
    Ok(())
}

/// Jumps by a day, and waits until each domain has been looked at for it.
async fn jump(plot: &Plot<'_>, running: &Running, count: usize) -> Result<()> {
    let before = reconciles(running).await?;
    plot.account.advance(DAY).await?;
    until("every domain to be reconciled", Duration::from_secs(120), async || {
        let metrics = running.metrics().await?;
        let done = metrics.sum("ses_operator_reconciles_total", "") - before;
        ensure!(done >= count as f64, "{done} are");
        let running = metrics.sum("ses_operator_reconciles_running", "");
        ensure!(running < 1.0, "{running} go on");
        Ok(())
    })
    .await?;
    // And the round that was due.
    pass(&plot.account, HOUR / 4).await
}

/// What passes, and what it takes.
pub async fn spent(plot: &Plot<'_>, running: &Running, pass: impl AsyncFnOnce() -> Result<()>) -> Result<Spent> {
    let from = plot.account.clock().await?.now;
    let (seconds, before) = (processor_seconds(running.id())?, reconciles(running).await?);
    pass().await?;
    let seconds = processor_seconds(running.id())? - seconds;
    let reconciles = reconciles(running).await? - before;
    let requests = of_operator(plot.account.requests().await?);
    let calls = of_aws(requests.iter().filter(|request| request.at >= from));
    let rounds = sum(&calls, "") - sum(&calls, "ses GetEmailIdentity");
    Ok(Spent { seconds, reconciles, rounds })
}

async fn reconciles(running: &Running) -> Result<f64> {
    Ok(running.metrics().await?.sum("ses_operator_reconciles_total", ""))
}

/// The seconds of a reconcile, and of a call of the rounds.
fn apart(one: Spent, other: Spent) -> (f64, f64) {
    let determinant = one.reconciles * other.rounds - other.reconciles * one.rounds;
    let reconcile = (one.seconds * other.rounds - other.seconds * one.rounds) / determinant;
    let round = (one.reconciles * other.seconds - other.reconciles * one.seconds) / determinant;
    (reconcile, round)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mixes_tell_reconciles_from_rounds() {
        let spent =
            |reconciles: f64, rounds: f64| Spent { seconds: 0.0005 * reconciles + 0.004 * rounds, reconciles, rounds };
        let (reconcile, round) = apart(spent(1_000.0, 580.0), spent(3_040.0, 70.0));
        assert!((reconcile - 0.0005).abs() < 1e-9 && (round - 0.004).abs() < 1e-9, "{reconcile} {round}");
    }
}
