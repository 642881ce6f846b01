//! Who goes first, and how fast: AWS's quotas are shared by every domain.
//!
//! | module | holds |
//! |---|---|
//! | [`caller`] | on whose behalf a call is made, and how urgent it is |
//! | [`fair_queue`] | a queue with classes, fair between namespaces |
//! | [`limiter`] | the pace of one quota, slower when AWS throttles |
//! | [`limiters`] | the limiters of one account |

pub mod caller;
pub mod fair_queue;
pub mod limiter;
pub mod limiters;

pub use caller::{Caller, Class};
