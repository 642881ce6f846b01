//! Logs, as text or JSON. The resource is in every line of its reconcile: its span carries it.

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::start_error::StartError;

/// Installs the logs of this process, on standard error.
///
/// # Errors
/// When the filter can't be read, or logs are installed already.
pub fn install(format: LogFormat, filter: &str) -> Result<(), StartError> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        StartError::new(format!(
            "--log-level {filter:?} can't be read: {error}; write it as info, or info,ses_operator=debug"
        ))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    installed.map_err(|error| StartError::new(format!("can't install logs: {error}")))
}
