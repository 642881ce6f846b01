//! What must happen, each named for its case.

mod attributes;
mod becoming_ready;
mod conflicts;
mod deletion;
mod dmarc;
mod drift;
mod handover;
mod mail_from;
mod ownership;
mod restarts;
mod trouble;
mod verification;
mod zones;
