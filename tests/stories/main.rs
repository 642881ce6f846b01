//! Stories on real components: a real API server, an AWS that tells the truth, and the operator's own program between
//! them.
//!
//! | module | tells |
//! |---|---|
//! | [`admission`] | what the API server accepts and refuses, and what `kubectl` shows |
//! | [`first_light`] | from `kubectl apply` to Ready |
//! | [`verification`] | SES takes its time, gives up, and is asked again |
//! | [`dmarc_walk`] | from monitoring to enforcement |
//! | [`drift`] | what others change behind our back |
//! | [`zones`] | where the records go |
//!
//! Each has a [`world`] of its own, so all of them run at once.

mod admission;
mod cluster;
mod dmarc_walk;
mod drift;
mod first_light;
mod verification;
mod world;
mod zones;
