//! What must happen, each named for its case.

mod becoming_ready;
