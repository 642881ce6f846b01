//! The adapters to AWS and to public DNS, against an AWS that tells the truth.

mod common;
mod connect;
mod failures;
mod public_dns;
mod route53;
mod ses;
