//! `/livez`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::{Census, Load, Metrics};
use crate::start_error::StartError;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens; a standby does as well.
///
/// # Errors
/// When the address can't be used.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        StartError::new(format!("can't listen on {address}: {error}; choose another --bind-address"))
    })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving /livez, /readyz and /metrics");
    }
    Ok(listener)
}

/// Serves until it is aborted. It starts once the clients are connected, so an answer means ready, on a standby too.
/// `state` tells how things are at a scrape.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    state: impl Fn() -> (Census, Load) + Clone + Send + Sync + 'static,
) {
    let scrape = move || async move {
        let (census, load) = state();
        ([(CONTENT_TYPE, OPEN_METRICS)], metrics.render(census, &load))
    };
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .route("/metrics", get(scrape));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!("the probes' server ended: {error}");
    }
}
