//! The demo: a domain goes from `kubectl apply` to Ready on a real API server and an AWS that tells the truth, loses a
//! record and regains it, walks to reject, and is deleted.
//!
//! Needs the operator's binary, with the feature `simulated-time`, in `SES_OPERATOR_BINARY`. `KEEP=1` leaves all running.

mod scenes;
mod screen;
mod stage;

use std::process::ExitCode;

use anyhow::Result;

use crate::screen::Screen;
use crate::stage::Stage;

#[tokio::main]
async fn main() -> ExitCode {
    let screen = Screen::new();
    match play(&screen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.failed(&error);
            ExitCode::FAILURE
        }
    }
}

async fn play(screen: &Screen) -> Result<()> {
    let keep = std::env::var("KEEP").is_ok_and(|keep| !keep.is_empty() && keep != "0");
    screen.title();
    let stage = Stage::set(screen).await?;
    let played = async {
        scenes::becomes_ready(screen, &stage).await?;
        scenes::shows_itself(screen, &stage).await?;
        scenes::repairs(screen, &stage).await?;
        scenes::walks_to_reject(screen, &stage).await?;
        if keep {
            return scenes::stays(screen, &stage).await;
        }
        scenes::leaves_nothing(screen, &stage).await
    };
    match played.await {
        Ok(()) => {
            screen.end();
            Ok(())
        }
        Err(error) => Err(error.context(format!("the operator logged last:\n{}", stage.last_log_lines()))),
    }
}
