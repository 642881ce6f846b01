//! The rig: a real Kubernetes control plane and an AWS that tells the truth.

pub mod aws;
pub mod control_plane;
