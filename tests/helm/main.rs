//! What users install: the chart and the kustomize bases, on a real API server, with the real Helm and kubectl.
//!
//! | module | tells |
//! |---|---|
//! | [`documented`] | that the pages speak of everything that users meet |
//! | [`generated`] | that the copies of the CustomResourceDefinition are one, and the chart's README speaks of every value |
//! | [`least_privilege`] | that no role has more than it needs, whatever the values |
//! | [`installed`] | that the operator works with what the chart gives it, and nothing else |
//! | [`kustomized`] | that `config/default` is the same operator, and the samples are accepted |
//! | [`render`] | what Helm and kubectl make of the files |

mod documented;
mod generated;
mod installed;
mod kustomized;
mod least_privilege;
mod render;
