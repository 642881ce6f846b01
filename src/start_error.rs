//! Why the operator can't start, or had to stop.

/// Why the operator can't start, or had to stop: one line that says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    /// An error of this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
