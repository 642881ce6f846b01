//! Logs, metrics, probes.

pub mod metrics;
