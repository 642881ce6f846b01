//! A Kubernetes operator that keeps one promise: mail sent through Amazon SES as this domain passes SPF, DKIM and DMARC,
//! and stays that way.
//!
//! A user applies a `SesDomain`; one reconcile is four steps, and only the first and the third do I/O:
//!
//! ```text
//! observe  →  plan  →  apply  →  report
//! ```
//!
//! | module | holds | knows of |
//! |---|---|---|
//! | [`api`] | what users write and read | nothing else |
//! | [`domain_name`], [`cloud`], [`clock`] | a normalised name; what can go wrong in a cloud; where time enters | nothing else |
//! | [`dns`], [`ses`], [`dmarc`] | one folder for each mechanism: its types, its pure rules, its adapter | `api` |
//! | [`quota`] | who goes first, and how fast: AWS's quotas are shared by all | `cloud`, `clock` |
//! | [`reconcile`] | the four steps and the driver that names them | `dns`, `ses`, `dmarc` |
//! | [`rounds`] | a few calls see whether thousands of settled domains are as they were left | `reconcile` |
//! | [`aws`] | how AWS is connected to, and its errors | `cloud` |
//! | [`leadership`] | who may write, and the Lease that decides it | `kubernetes` |
//! | [`controller`] | watch, finalizer, status patch, when to look again | `reconcile` |
//! | [`telemetry`] | logs, metrics, probes | `api` |
//! | [`cli`], [`mod@run`], [`start_error`], [`kubernetes`] | arguments → clients → controller, or a plan | all |

#[cfg(all(feature = "simulated-time", not(debug_assertions)))]
compile_error!(
    "simulated-time lets the operator be told a false time: it is for tests, and a release is built without it"
);

pub mod api;
pub mod aws;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod controller;
pub mod dmarc;
pub mod dns;
pub mod domain_name;
pub mod kubernetes;
pub mod leadership;
pub mod quota;
pub mod reconcile;
pub mod rounds;
pub mod run;
pub mod ses;
pub mod start_error;
pub mod telemetry;
