//! The real reconcile code on an in-memory SES, Route 53 and API server that behave as the real ones do, in virtual time.
//!
//! | module | holds |
//! |---|---|
//! | [`cloud`] | the in-memory services: records, identities, delays, faults, and what must never happen |
//! | [`executor`] | many reconciles at once, in one thread and in the same order each time |
//! | [`operator`] | the scheduler around the reconcile code, and the API server's side of it |
//! | [`simulation`] | both together, with the words that stories are told in |
//! | [`stories`] | what must happen, each named for its case |
//! | [`convergence`] | seeded: whatever goes wrong on the way, the same end |
//!
//! `SEED=x cargo test --features simulated-time --test simulation convergence` replays one seed, `SEEDS=n` tries so many.

mod cloud;
mod convergence;
mod executor;
mod operator;
mod random;
mod simulation;
mod stories;
