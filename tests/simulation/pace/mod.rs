//! The real limiter, queue and writers of zones, without the reconcile code: against an account whose quota is shared with
//! others, and zones that are busy or refuse an entry.
//!
//! | module | holds |
//! |---|---|
//! | [`account`] | hosted zones, and what was asked of them |
//! | [`quota`] | a quota that others spend from as well |
//! | [`desk`] | many who ask at once, on a clock that is moved by hand |
//! | [`reading`] | how often a zone is read for those who share it |
//! | [`limiting`] | how much of a shared quota is used, and how much refused |
//! | [`writing`] | when the changes of a zone leave, and who gets which answer |

mod account;
mod desk;
mod limiting;
mod quota;
mod reading;
mod writing;
