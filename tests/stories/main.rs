//! Stories on real components: a real API server, an AWS that tells the truth, and the operator's own program between
//! them.
//!
//! | module | tells |
//! |---|---|
//! | [`admission`] | what the API server accepts and refuses, and what `kubectl` shows |

mod admission;
mod cluster;
