//! How soon a status is looked at that somebody else has written. Pure.
//!
//! At once, since it may be untrue. But where two write it by turns, say two installations that look after the same
//! SesDomains, each sees the other's status and corrects it: so the second time within the hour is looked at later than the
//! first, and so on.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::key::Key;

/// After so much time without one, the next dispute is the first again.
const MEMORY: SignedDuration = SignedDuration::from_hours(1);
/// A status that others go on writing is looked at as often.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// Whose status was written by others within the hour.
#[derive(Debug, Default)]
pub struct Disputes {
    by_key: HashMap<Key, Dispute>,
    /// At so many, those that are over are forgotten.
    full: usize,
}

#[derive(Clone, Copy, Debug)]
struct Dispute {
    times: u32,
    /// When it is looked at, or was.
    look: Timestamp,
}

impl Disputes {
    /// Somebody has written a status: how long to wait before it is looked at. None: that was settled before, and comes yet.
    pub fn wait(&mut self, key: &Key, now: Timestamp) -> Option<SignedDuration> {
        let goes_on = |dispute: &Dispute| now.duration_since(dispute.look) < MEMORY;
        if self.by_key.len() >= self.full {
            self.by_key.retain(|_, dispute| goes_on(dispute));
            self.full = 2 * self.by_key.len() + 64;
        }
        let first = Dispute { times: 0, look: now };
        let dispute = self.by_key.entry(key.clone()).or_insert(first);
        if !goes_on(dispute) {
            *dispute = first;
        }
        if now < dispute.look {
            return None;
        }
        let wait = match dispute.times {
            0 => SignedDuration::ZERO,
            times => SignedDuration::from_secs(1 << times.min(16)).min(LONGEST),
        };
        *dispute = Dispute { times: dispute.times.saturating_add(1), look: now + wait };
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    #[test]
    fn the_first_is_looked_at_at_once_and_further_ones_later_and_later() {
        let mut disputes = Disputes::default();
        let (key, other) = (Key::new("mail", "a"), Key::new("mail", "b"));
        let mut wait = |seconds| disputes.wait(&key, at(seconds)).map(|wait| wait.as_secs());
        for (seconds, expected) in [
            (0, Some(0)),
            (0, Some(2)),
            (1, None),
            (2, Some(4)),
            (5, None),
            (10, Some(8)),
            // Half an hour later it is the same dispute, and after an hour of peace it is another.
            (1_800, Some(16)),
            (1_816 + 3_600, Some(0)),
        ] {
            assert_eq!(wait(seconds), expected, "after {seconds} s");
        }
        assert_eq!(disputes.wait(&other, at(5_417)), Some(SignedDuration::ZERO));
    }

    #[test]
    fn whoever_goes_on_for_ever_is_looked_at_every_ten_minutes() {
        let mut disputes = Disputes::default();
        let key = Key::new("mail", "a");
        let looks = (0..86_400).filter(|second| disputes.wait(&key, at(*second)).is_some()).count();
        assert!((144..160).contains(&looks), "{looks} looks in a day");
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut disputes = Disputes::default();
        for number in 0..10_000 {
            disputes.wait(&Key::new("mail", number.to_string()), at(number * 10));
        }
        assert!(disputes.by_key.len() <= 2 * 360 + 64, "{} are remembered", disputes.by_key.len());
    }
}
