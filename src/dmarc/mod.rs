//! DMARC (RFC 9989): the record and the stages.

pub mod record;
pub mod stages;
