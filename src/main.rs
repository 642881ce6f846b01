//! The command line: arguments → clients → run. No logic lives here.

use std::process::ExitCode;

use clap::Parser;
use ses_operator::cli::{Cli, Command, crd};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Crd => crd::print(&mut std::io::stdout().lock()),
        Command::Run(_) => Err(ses_operator::start_error::StartError::new("run lands next")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ses-operator: {error}");
            ExitCode::FAILURE
        }
    }
}
