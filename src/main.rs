//! The command line: arguments → clients → run. No logic lives here.

use std::process::ExitCode;

use clap::Parser;
use ses_operator::cli::{Cli, Command, crd};
use ses_operator::run;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Crd => crd::print(&mut std::io::stdout().lock()),
        Command::Run(options) => run::run(*options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ses-operator: {error}");
            ExitCode::FAILURE
        }
    }
}
