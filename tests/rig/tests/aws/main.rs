//! The AWS of the rig tells the truth: each of these was got wrong by some emulator.
//!
//! No test waits: time is the account's, and moves when it is told to.

mod account;
mod common;
mod dkim;
mod faults;
mod imported;
mod mail_from;
mod public_dns;
mod records;
mod ses;
mod zones;
