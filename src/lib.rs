//! A Kubernetes operator for SES domain identities.
