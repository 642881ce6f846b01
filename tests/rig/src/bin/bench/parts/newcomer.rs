//! A new domain of another namespace, applied while a thousand converge, against the same one alone.

use anyhow::{Context, Result};

use super::Measured;
use crate::bed::Bed;
use crate::domains::Layout;
use crate::figure::Figure;
use crate::run::Run;
use crate::watch::{End, Newcomer};

/// On beds of their own: these operators look after all namespaces.
pub async fn measure(measured: &mut Measured) -> Result<()> {
    let alone = newcomer(&Run::new("alone", Layout::Own, 0, 60.0)).await?.0.context("alone it was never Ready")?;
    for layout in Layout::BOTH {
        let run = Run::new("crowd", layout, 1_000, 15.0);
        let (newcomer, end) = newcomer(&run).await?;
        let took = newcomer.unwrap_or(end);
        let name = "a new domain of another namespace while others converge ÷ alone";
        let figure = Figure::new(name, run.count, run.scale, took / alone).zones(layout).at_most(2.0);
        let note = format!("{took:.0} s, alone {alone:.0} s ({})", Newcomer::domain());
        let reason = newcomer.is_none().then(|| "it was not Ready when the run was given up".to_owned());
        measured.add(Figure { reason, ..figure.note(note) });
    }
    Ok(())
}

/// The newcomer's time until Ready, and how long the run was, in virtual seconds.
async fn newcomer(run: &Run) -> Result<(Option<f64>, f64)> {
    let bed = Bed::make().await?;
    let run = Run { end: End::NewcomerReady, ..run.clone() };
    let (outcome, _, running) = run.on(&bed).await?;
    running.stop().await?;
    Ok((outcome.newcomer.took(), outcome.took))
}
