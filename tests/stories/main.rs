//! Stories on real components: a real API server, an AWS that tells the truth, and the operator's own program between
//! them.
//!
//! | module | tells |
//! |---|---|
//! | [`admission`] | what the API server accepts and refuses, and what `kubectl` shows |
//! | [`first_light`] | from `kubectl apply` to Ready |
//! | [`verification`] | SES takes its time, gives up, and is asked again |
//! | [`dmarc_walk`] | from monitoring to enforcement |
//! | [`deletion`] | what goes when a resource is deleted, and what stays |
//! | [`drift`] | what others change behind our back |
//! | [`zones`] | where the records go |
//! | [`adoption`] | what stood in the zone before: adopted, or merged with |
//! | [`ownership`] | what is ours, and who says so |
//! | [`handover`] | a SesDomain moves from one namespace to another |
//! | [`plan`] | what would be done, told beforehand |
//! | [`restarts`] | the operator is restarted, and told another Region |
//! | [`api_server`] | the API server goes and comes back |
//! | [`restored`] | etcd is restored to an older snapshot |
//! | [`mid_write`] | the operator ends in the middle of a call: killed, or told to end |
//! | [`bad_input`] | what users may ask for, to the edges of it |
//! | [`leaders`] | two replicas and one Lease: who writes, and until when |
//! | [`crowd`] | fifty domains at once, and one of them in trouble |
//! | [`spoiled_batch`] | two hundred domains in one zone, and a record that Route 53 refuses with its whole batch |
//! | [`credentials`] | AWS does not accept who asks |
//! | [`faults`] | AWS denies, throttles, breaks and hangs |
//! | [`worst_moments`] | somebody else acts just when the operator is about to |
//! | [`process`] | how the operator starts, ends, and what it says of itself |
//! | [`refusals`] | what it says when it can't start |
//!
//! Each has a [`world`] of its own, so all of them run at once.

mod admission;
mod adoption;
mod api_server;
mod bad_input;
mod cluster;
mod credentials;
mod crowd;
mod deletion;
mod dmarc_walk;
mod drift;
mod faults;
mod first_light;
mod handover;
mod leaders;
mod mid_write;
mod ownership;
mod plan;
mod process;
mod refusals;
mod restarts;
mod restored;
mod spoiled_batch;
mod verification;
mod world;
mod worst_moments;
mod zones;
