//! The adapters to AWS, against an AWS that tells the truth.

mod common;
mod connect;
mod failures;
mod route53;
mod ses;
