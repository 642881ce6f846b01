//! The rig: a real Kubernetes control plane and an AWS that tells the truth.

pub mod aws;
pub mod binaries;
pub mod cache;
pub mod control_plane;
pub mod leash;
pub mod needs;
pub mod operator;
pub mod progress;
pub mod python;
pub mod wait;
