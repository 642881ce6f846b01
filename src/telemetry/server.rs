//! `/livez`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use kube::runtime::reflector::Store;
use tokio::net::TcpListener;

use super::metrics::Metrics;
use crate::api::SesDomain;
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
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, domains: Store<SesDomain>) {
    let scrape = move || async move {
        let domains = domains.state();
        ([(CONTENT_TYPE, OPEN_METRICS)], metrics.render(domains.iter().map(AsRef::as_ref)))
    };
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .route("/metrics", get(scrape));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!("the probes' server ended: {error}");
    }
}
