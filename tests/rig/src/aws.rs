//! The AWS rig.
