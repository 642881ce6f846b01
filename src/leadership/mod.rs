//! Who may write: a mutation is sent only while the lease outlasts the call's timeout.

pub mod lease;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long this process may still write, by its own monotonic clock.
///
/// The adapters ask before each mutation; the lease's keeper moves the end.
#[derive(Clone, Debug)]
pub struct WritePermit(Arc<Mutex<Standing>>);

#[derive(Clone, Copy, Debug)]
enum Standing {
    /// There is no lease: this is the only replica.
    Alone,
    /// Until then.
    Until(Instant),
    /// Not now.
    No,
}

impl WritePermit {
    /// For a process that is the only replica.
    pub fn alone() -> Self {
        Self(Arc::new(Mutex::new(Standing::Alone)))
    }

    /// For a process that holds no lease yet.
    pub fn none() -> Self {
        Self(Arc::new(Mutex::new(Standing::No)))
    }

    /// Whether a call that takes `timeout` at the most may be sent now.
    pub fn lasts_for(&self, timeout: Duration) -> bool {
        match *self.standing() {
            Standing::Alone => true,
            Standing::Until(end) => Instant::now().checked_add(timeout).is_some_and(|latest| latest < end),
            Standing::No => false,
        }
    }

    /// The lease is held until `end`.
    pub fn extend(&self, end: Instant) {
        *self.standing() = Standing::Until(end);
    }

    /// The lease is no longer held.
    pub fn withdraw(&self) {
        *self.standing() = Standing::No;
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_must_end_before_the_lease_does() {
        let permit = WritePermit::none();
        assert!(!permit.lasts_for(Duration::ZERO));
        permit.extend(Instant::now() + Duration::from_secs(15));
        assert!(permit.lasts_for(Duration::from_secs(10)));
        assert!(!permit.lasts_for(Duration::from_secs(20)));
        permit.withdraw();
        assert!(!permit.lasts_for(Duration::from_secs(10)));
        assert!(WritePermit::alone().lasts_for(Duration::MAX));
    }
}
