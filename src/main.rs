//! The command line: arguments → clients → run. No logic lives here.

use std::process::ExitCode;

use clap::Parser;
use ses_operator::cli::{self, Cli, Command, crd, plan};
use ses_operator::run;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell where even this can't be written.
            let _ = error.print();
            return cli::status_of(&error, std::env::args().nth(1).as_deref()).into();
        }
    };
    let (input, out) = (&mut std::io::stdin(), &mut std::io::stdout());
    let outcome = match cli.command {
        Command::Crd => crd::print(out).map(|()| ExitCode::SUCCESS).map_err(|error| vec![error]),
        Command::Plan(options) => plan::plan(&options, input, out).map(ExitCode::from),
        Command::Run(options) => run::run(*options).map(|()| ExitCode::SUCCESS).map_err(|error| vec![error]),
    };
    outcome.unwrap_or_else(|errors| {
        for error in errors {
            eprintln!("ses-operator: {error}");
        }
        ExitCode::FAILURE
    })
}
