//! The benchmark: what domains cost in calls, memory and time, against AWS's quotas and human delays.
//!
//! `bench [PART…]` measures, prints one table, and writes the same to `tests/rig/bench.json`; `bench --check` compares the call
//! counts of small runs with what is written there. Needs the operator's binary, with the feature `simulated-time`, in
//! `SES_OPERATOR_BINARY`.
//!
//! To save time virtual time runs faster than the wall's, and with it quotas, limiters, windows, delays and polls alike. How
//! much faster is the figure's `scale`. A hundred domains are shown unscaled too, beside the other parts: that run has a few
//! requests a second.
//!
//! | module | holds |
//! |---|---|
//! | [`bed`] | the control plane, an AWS for each run, and operators on them |
//! | [`domains`] | which domains, in which zones |
//! | [`run`] | one run: so many domains applied, until all are Ready |
//! | [`watch`] | when each was seen to be Ready |
//! | [`bound`] | the least time and the most polls that AWS's quotas and delays leave |
//! | [`settled`] | domains by the thousand that are settled already |
//! | [`tally`] | calls counted |
//! | [`metrics`], [`process`], [`sampling`] | what the operator, `/proc` and perf tell |
//! | [`figure`], [`record`] | a figure; all of them: the table, the JSON |
//! | [`reasons`] | why a figure misses its target |
//! | [`parts`] | what is measured |
//! | [`check`] | the comparison with the figures of before |

mod bed;
mod bound;
mod check;
mod domains;
mod figure;
mod metrics;
mod parts;
mod process;
mod reasons;
mod record;
mod run;
mod sampling;
mod settled;
mod tally;
mod watch;

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};

use crate::bed::Bed;
use crate::parts::{BESIDE, ONE_BY_ONE};
use crate::record::Record;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = if arguments == ["--check"] { check::check().await } else { measure(&arguments).await };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(named: &[String]) -> Result<()> {
    let known = [ONE_BY_ONE.as_slice(), &[BESIDE]].concat();
    for name in named {
        ensure!(known.contains(&name.as_str()), "{name} is no part of the benchmark; there are {}", known.join(", "));
    }
    let asked = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let bed = Bed::make().await?;
    let told = Told { record: Mutex::new(Record::read()?), failed: Mutex::default() };
    let beside = async {
        if asked(BESIDE) {
            told.part(BESIDE, &bed).await;
        }
    };
    let one_by_one = async {
        for part in ONE_BY_ONE {
            if asked(part) {
                told.part(part, &bed).await;
            }
        }
    };
    tokio::join!(beside, one_by_one);
    told.at_the_end()
}

/// What has been measured so far.
struct Told {
    record: Mutex<Record>,
    failed: Mutex<Vec<&'static str>>,
}

impl Told {
    /// Measures a part. When that fails its figures of before stay, and the other parts are measured all the same.
    async fn part(&self, part: &'static str, bed: &Bed) {
        eprintln!("bench: part {part}");
        let measured = parts::measure(part, bed).await;
        let written = measured.and_then(|measured| {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            record.replace(part, measured);
            record.write()
        });
        if let Err(error) = written {
            eprintln!("bench: part {part} failed: {error:#}");
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        }
    }

    fn at_the_end(self) -> Result<()> {
        let failed = self.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        println!("{}", self.record.into_inner().unwrap_or_else(PoisonError::into_inner).table());
        ensure!(failed.is_empty(), "these parts failed, and their figures are those of before: {}", failed.join(", "));
        Ok(())
    }
}
