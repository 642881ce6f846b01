//! `ses-operator crd`.

use std::io::Write;

use crate::api::crd::custom_resource_definition;
use crate::start_error::StartError;

/// Prints the CustomResourceDefinition as YAML.
///
/// # Errors
/// When it can't be written.
pub fn print(out: &mut impl Write) -> Result<(), StartError> {
    let crd = custom_resource_definition()
        .map_err(|error| StartError::new(format!("the CRD's schema is broken: {error}")))?;
    let yaml = serde_yaml::to_string(&crd)
        .map_err(|error| StartError::new(format!("the CRD can't be written as YAML: {error}")))?;
    write!(out, "# Made by `ses-operator crd` (make generate). Do not edit.\n---\n{yaml}")
        .map_err(|error| StartError::new(format!("can't write the CRD: {error}")))
}
