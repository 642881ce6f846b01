//! The benchmark: what a domain costs in calls, and what the operator costs in memory and time.
//!
//! Needs the operator's binary, with the feature `simulated-time`, in `SES_OPERATOR_BINARY`. It measures and judges nothing
//! but by printing the target beside the figure.

mod bed;
mod figures;

use std::process::ExitCode;

use anyhow::Result;

use crate::bed::Bed;

/// How many domains the larger figures are taken with.
const MANY: usize = 1_000;

#[tokio::main]
async fn main() -> ExitCode {
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<()> {
    let bed = Bed::make().await?;
    println!("{:<66} {:>12}   target", "figure", "measured");
    for (delay, name) in [(60, "1 min"), (900, "15 min"), (21_600, "6 h")] {
        figures::calls_until_ready(&bed, delay, name).await?;
    }
    figures::writes_of_a_no_op(&bed).await?;
    figures::with_many_domains(&bed, MANY).await
}

/// One line of the table.
pub fn figure(what: &str, measured: impl std::fmt::Display, target: impl std::fmt::Display) {
    println!("{what:<66} {:>12}   {target}", measured.to_string());
}
