//! The list of a Region's identities, and when it is worth its calls. Pure.
//!
//! One call shows a thousand identities, but neither their MAIL FROM nor their tags. So it tells three things: that an
//! identity does not exist, that a verification goes on, and that one was lost.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{ListedIdentity, VerificationStatus};
use crate::domain_name::DomainName;

/// What SES gives in one page.
const PAGE: usize = 1000;
/// A list this old still tells whether a verification goes on: looks are a minute apart at the least.
const TELLS_OF_PENDING: SignedDuration = SignedDuration::from_secs(60);
/// So many times its own calls must have been spent on identities one by one, within [`TELLS_OF_PENDING`], before a list
/// is asked for in their stead.
const WORTH: usize = 3;

/// The domains of a list. One without a status has turned out otherwise than it was shown.
#[derive(Clone, Debug, Default)]
pub struct Listed(HashMap<DomainName, Option<VerificationStatus>>);

/// What a list shows of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// There is no identity.
    Absent,
    /// The list is older than what is known.
    Unknown,
    /// There is one, and its verification has come so far.
    As(VerificationStatus),
}

impl Listed {
    /// What the list shows of a domain.
    pub fn shown(&self, domain: &DomainName) -> Shown {
        match self.0.get(domain) {
            None => Shown::Absent,
            Some(None) => Shown::Unknown,
            Some(Some(status)) => Shown::As(*status),
        }
    }
}

/// What the list of a Region showed, and how many identities were asked for one by one since.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    shown: Option<(Timestamp, Arc<Listed>)>,
    window: Option<Timestamp>,
    asked: usize,
}

impl Listing {
    /// Takes a new list in.
    pub fn take(&mut self, listed: Vec<ListedIdentity>, read_at: Timestamp) {
        let listed = listed.into_iter().map(|one| (one.domain, Some(one.status))).collect();
        self.shown = Some((read_at, Arc::new(Listed(listed))));
        self.asked = 0;
    }

    /// Forgets what it shows of a domain that has turned out otherwise: it is neither there nor absent.
    pub fn distrust(&mut self, domain: &DomainName) {
        if let Some((_, shown)) = &mut self.shown {
            Arc::make_mut(shown).0.insert(domain.clone(), None);
        }
    }

    /// When a list read at `not_before` or later showed no identity of this domain.
    pub fn shows_absent(&self, domain: &DomainName, not_before: Timestamp) -> Option<Timestamp> {
        let (read_at, shown) = self.shown.as_ref()?;
        (*read_at >= not_before && shown.shown(domain) == Shown::Absent).then_some(*read_at)
    }

    /// The list, if it was read at `not_before` or later.
    pub fn since(&self, not_before: Timestamp) -> Option<(Timestamp, Arc<Listed>)> {
        self.shown.clone().filter(|(read_at, _)| *read_at >= not_before)
    }

    /// Whether a list of the last minute shows that the verification of a domain still stands at `status`.
    pub fn shows(&self, domain: &DomainName, status: VerificationStatus, now: Timestamp) -> bool {
        let recent = self.shown.as_ref().filter(|(read_at, _)| now.duration_since(*read_at) < TELLS_OF_PENDING);
        // It is Pending in a moment, and that is no news.
        let stands = |shown: Shown| match shown {
            Shown::As(shown) => shown == status || [shown, status].into_iter().all(is_at_first_look),
            Shown::Absent | Shown::Unknown => false,
        };
        recent.is_some_and(|(_, shown)| stands(shown.shown(domain)))
    }

    /// Whether a list is cheaper by now than asking for one identity after the other; counts one that is asked for.
    pub fn is_worth_its_calls(&mut self, now: Timestamp) -> bool {
        if self.window.is_none_or(|began| now.duration_since(began) >= TELLS_OF_PENDING) {
            (self.window, self.asked) = (Some(now), 0);
        }
        self.asked += 1;
        let pages = self.shown.as_ref().map_or(1, |(_, shown)| shown.0.len().div_ceil(PAGE).max(1));
        self.asked > WORTH * pages
    }
}

fn is_at_first_look(status: VerificationStatus) -> bool {
    matches!(status, VerificationStatus::NotStarted | VerificationStatus::Pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn listing(domains: &[(&str, VerificationStatus)]) -> Listing {
        let line = |(domain, status): &(&str, VerificationStatus)| ListedIdentity {
            domain: DomainName::new(domain),
            status: *status,
        };
        let mut listing = Listing::default();
        listing.take(domains.iter().map(line).collect(), at(0));
        listing
    }

    #[test]
    fn what_is_not_listed_does_not_exist_as_of_then() {
        let listing = listing(&[("a.example", VerificationStatus::Success)]);
        assert_eq!(listing.shows_absent(&DomainName::new("b.example"), at(0)), Some(at(0)));
        assert_eq!(listing.shows_absent(&DomainName::new("a.example"), at(0)), None);
        assert_eq!(listing.shows_absent(&DomainName::new("b.example"), at(1)), None, "it is older than asked for");
        assert_eq!(Listing::default().shows_absent(&DomainName::new("b.example"), at(0)), None, "nothing was read");
    }

    #[test]
    fn an_identity_that_turned_up_is_not_called_absent_again() {
        let mut listing = listing(&[]);
        listing.distrust(&DomainName::new("a.example"));
        let a = DomainName::new("a.example");
        assert_eq!(listing.shows_absent(&a, at(0)), None);
        assert!(!listing.shows(&a, VerificationStatus::Pending, at(1)), "nor is it said to be pending");
    }

    #[test]
    fn a_verification_that_goes_on_is_seen_for_a_minute() {
        use VerificationStatus::{NotStarted, Pending, Success};
        let listing = listing(&[("a.example", Pending)]);
        let a = DomainName::new("a.example");
        assert!(listing.shows(&a, Pending, at(59)) && listing.shows(&a, NotStarted, at(59)));
        assert!(!listing.shows(&a, Pending, at(60)), "too old");
        assert!(!listing.shows(&a, Success, at(1)), "it was lost");
        assert!(!listing.shows(&DomainName::new("b.example"), Pending, at(1)), "it is gone");
    }

    #[test]
    fn one_domain_is_asked_for_and_a_crowd_is_listed() {
        let mut listing = listing(&[("a.example", VerificationStatus::Pending)]);
        let polls = [61, 121, 241, 481];
        assert!(polls.iter().all(|poll| !listing.is_worth_its_calls(at(*poll))));
        let crowd: Vec<bool> = (0..5).map(|_| listing.is_worth_its_calls(at(600))).collect();
        assert_eq!(crowd, [false, false, false, true, true]);
    }
}
