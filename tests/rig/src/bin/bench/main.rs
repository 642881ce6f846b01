//! The benchmark: what domains cost in calls, memory and time, against AWS's quotas and human delays.
//!
//! `bench [--full] [PART…]` measures, prints one table, and writes the same to `tests/rig/bench.json`; `bench check` compares
//! the call counts of small runs with what is written there. Needs the operator's binary, with the feature `simulated-time`,
//! in `SES_OPERATOR_BINARY`.
//!
//! To save time virtual time runs faster than the wall's, and with it quotas, limiters, windows, delays and polls alike. How
//! much faster is the figure's `scale`; `--full` shows 100 domains unscaled too.
//!
//! | module | holds |
//! |---|---|
//! | [`bed`] | the control plane, AWS, and operators on them |
//! | [`domains`] | which domains, in which zones |
//! | [`run`] | one run: so many domains applied, until all are Ready |
//! | [`settled`] | domains by the thousand that are settled already |
//! | [`tally`] | calls counted |
//! | [`process`] | what `/proc` tells of the operator |
//! | [`record`] | the figures: the table, the JSON |
//! | [`parts`] | what is measured |
//! | [`check`] | the comparison with the figures of before |

mod bed;
mod check;
mod domains;
mod parts;
mod process;
mod record;
mod run;
mod settled;
mod tally;

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::parts::PARTS;
use crate::record::Record;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = if arguments == ["check"] { check::check().await } else { measure(&arguments).await };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &[String]) -> Result<()> {
    let full = arguments.iter().any(|argument| argument == "--full");
    let named: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| *argument != "--full").collect();
    let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
    for name in &named {
        ensure!(known.contains(name), "{name} is no part of the benchmark; there are {}", known.join(", "));
    }
    let mut record = Record::read()?;
    for part in PARTS {
        let asked = if named.is_empty() { full || !part.only_in_full } else { named.contains(&part.name) };
        if asked {
            record.forget(part.name);
            parts::measure(part, &mut record).await?;
            record.write()?;
        }
    }
    println!("{}", record.table());
    Ok(())
}
