//! SES v2.
