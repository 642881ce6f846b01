//! What is measured: the table, part by part.
//!
//! | module | part |
//! |---|---|
//! | [`ready`] | until all are Ready: calls, time against the bound, requests to the API server, memory; and unscaled |
//! | [`delays`] | polls by how long a verification takes |
//! | [`refused`] | calls that AWS refuses for its quotas |
//! | [`newcomer`] | a domain of another namespace while a thousand converge |
//! | [`settled`] | calls in an hour, memory, restarts |
//! | [`no_op`] | the processor's time |

mod delays;
mod newcomer;
mod no_op;
mod ready;
mod refused;
pub mod settled;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::bed::Bed;
use crate::check;
use crate::figure::Figure;
use crate::tally::Calls;

/// The parts that have the machine for themselves, but for `BESIDE`: those first that bear its company best.
pub const ONE_BY_ONE: [&str; 6] = ["delays", "check", "settled", "ready", "refused", "newcomer"];
/// The part that runs beside the others: it takes long and does little.
pub const BESIDE: &str = "unscaled";
/// The order of the figures.
pub const IN_THE_TABLE: [&str; 7] = ["ready", BESIDE, "delays", "refused", "newcomer", "settled", "check"];

const HOUR: Duration = Duration::from_secs(3_600);
const MIB: f64 = 1_024.0;

/// What a part has measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    pub figures: Vec<Figure>,
    /// The calls of its runs.
    pub calls: BTreeMap<String, Calls>,
}

impl Measured {
    pub fn add(&mut self, figure: Figure) {
        eprintln!("bench:   {figure}");
        self.figures.push(figure);
    }
}

/// Measures a part.
pub async fn measure(part: &str, bed: &Bed) -> Result<Measured> {
    let mut measured = Measured::default();
    match part {
        "delays" => delays::measure(bed, &mut measured).await?,
        "ready" => ready::measure(bed, &mut measured).await?,
        "refused" => refused::measure(bed, &mut measured).await?,
        "newcomer" => newcomer::measure(&mut measured).await?,
        "settled" => settled::measure(bed, &mut measured).await?,
        "check" => measured.calls = check::calls(bed).await?,
        _ => ready::measure_unscaled(bed, &mut measured).await?,
    }
    Ok(measured)
}
