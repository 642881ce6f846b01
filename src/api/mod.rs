//! What users write and read: the `SesDomain` resource.
//!
//! | module | holds |
//! |---|---|
//! | [`spec`] | what a user asks for |
//! | [`status`] | what the operator found and did |
//! | [`conditions`] | the condition types and their reasons |
//! | [`rules`] | what the API server refuses, and with which words |
//! | [`crd`] | the CustomResourceDefinition that is made of all that |

pub mod conditions;
pub mod crd;
pub mod rules;
pub mod spec;
pub mod status;

pub use conditions::{ConditionType, Reason};
pub use spec::{SesDomain, SesDomainSpec};
pub use status::SesDomainStatus;

/// The finalizer that holds a `SesDomain` until its records and its identity are removed.
pub const FINALIZER: &str = "ses-operator.dev/finalizer";
/// The field manager of everything the operator writes to the API server.
pub const FIELD_MANAGER: &str = "ses-operator";
/// Setting this annotation to a new value asks for a reconcile now; `status.lastHandledReconcileAt` answers it.
pub const RECONCILE_REQUESTED_AT: &str = "ses-operator.dev/reconcile-requested-at";
