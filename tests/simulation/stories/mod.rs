//! What must happen, each named for its case.

mod adoption;
mod api_server;
mod at_once;
mod attributes;
mod becoming_ready;
mod conflicts;
mod deletion;
mod dmarc;
mod drift;
mod faults;
mod forged;
mod handover;
mod lost_answers;
mod mail_from;
mod merging;
mod ownership;
mod plan;
mod restarts;
mod trouble;
mod verification;
mod zones;
