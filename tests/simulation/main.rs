//! The real reconcile code on an in-memory SES, Route 53 and API server that behave as the real ones do, in virtual time.
//!
//! | module | holds |
//! |---|---|
//! | [`cloud`] | the in-memory services: records, identities, delays, faults, and what must never happen |
//! | [`executor`] | many reconciles at once, in one thread and in the same order each time |
//! | [`api_server`] | resources and their versions, what a watch shows of them, and the operator's connection |
//! | [`operator`] | the scheduler around the reconcile code |
//! | [`orphans`] | what we made and nobody looks after any more |
//! | [`truth`] | what holds for every status that is written |
//! | [`simulation`] | both together, with the words that stories are told in |
//! | [`end`] | the end of a run, to be compared with another's |
//! | [`stories`] | what must happen, each named for its case |
//! | [`boundaries`] | every call that there is, and whatever can befall it: the same end |
//! | [`mutants`] | operators broken on purpose, each of which must be caught |
//! | [`convergence`], [`story`], [`deeds`] | seeded: one domain's whole life; whatever goes wrong on the way, the same end |
//! | [`fifty`] | seeded: the same of fifty domains at once |
//! | [`pace`] | the limiter, the queue and the writers of zones by themselves |
//!
//! `make simulate SEEDS=n` plays n seeds of one domain and a hundredth of it of fifty; a seed that fails is printed with the
//! command that plays it again.

/// Seeds are played a quarter faster with it than with the system's: what is played is made of short strings.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod api_server;
mod boundaries;
mod cloud;
mod convergence;
mod deeds;
mod end;
mod executor;
mod fifty;
mod mutants;
mod operator;
mod orphans;
mod pace;
mod random;
mod seeds;
mod simulation;
mod stories;
mod story;
mod truth;
mod workers;
