//! Logs, metrics, probes.

pub mod logs;
pub mod metrics;
pub mod server;
