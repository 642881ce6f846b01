//! How long to wait after which failure. Pure.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use jiff::SignedDuration;

use crate::cloud::ErrorKind;

/// How long to wait after the `failures`-th failure in a row: twice as long each time, up to a limit.
pub fn after(kind: ErrorKind, failures: u32) -> SignedDuration {
    let (first, longest) = match kind {
        ErrorKind::Conflict | ErrorKind::NotFound => (1, 30),
        ErrorKind::Busy => (2, 60),
        ErrorKind::Unavailable => (2, 120),
        ErrorKind::Throttled => (2, 300),
        ErrorKind::NotLeading => (5, 30),
        ErrorKind::Denied | ErrorKind::Unauthenticated => (15, 300),
        ErrorKind::Rejected => (30, 600),
        ErrorKind::QuotaExceeded => (60, 1800),
    };
    let doublings = failures.saturating_sub(1).min(16);
    SignedDuration::from_secs((first << doublings).min(longest))
}

/// A share of a wait, up to a tenth, that differs from resource to resource, so that those that failed together come back
/// apart. Looks are not spread: those that come together wait for their turns at AWS, and whatever is added to a look at a
/// verification is time that its domain works and nobody knows.
pub fn spread(key: &impl Hash, wait: SignedDuration) -> SignedDuration {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let share = i32::try_from(hasher.finish() % 100).unwrap_or(0);
    wait / 1000 * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_limit() {
        let waits = |kind| [1, 2, 3, 20, u32::MAX].map(|failures| after(kind, failures).as_secs());
        assert_eq!(waits(ErrorKind::Unavailable), [2, 4, 8, 120, 120]);
        assert_eq!(waits(ErrorKind::Denied), [15, 30, 60, 300, 300]);
    }

    #[test]
    fn the_spread_stays_below_a_tenth_and_is_the_same_each_time() {
        let wait = SignedDuration::from_secs(1000);
        for key in ["a", "b", "c"] {
            assert!(spread(&key, wait) < wait / 10);
            assert_eq!(spread(&key, wait), spread(&key, wait));
        }
        assert_ne!(spread(&"a", wait), spread(&"b", wait));
    }
}
