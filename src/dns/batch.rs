//! What fits into one change request of a zone, and how a refused one is divided. Pure.

use std::collections::{BTreeSet, VecDeque};

use super::{RecordChange, RecordType};
use crate::cloud::ErrorKind;
use crate::domain_name::DomainName;

/// Route 53 takes so many values in one request.
const MOST_VALUES: usize = 1_000;
/// And so many characters in them.
const MOST_CHARACTERS: usize = 32_000;
/// After so many changes by themselves were refused for what is no fault of theirs, and none was accepted, it is the zone.
const SINGLES: usize = 2;

/// How much of a request changes take: their values and the characters in them.
fn size(changes: &[RecordChange]) -> (usize, usize) {
    changes.iter().fold((0, 0), |(values, characters), change| {
        let set = set_of(change);
        (values + set.values.len(), characters + set.values.iter().map(String::len).sum::<usize>())
    })
}

fn set_of(change: &RecordChange) -> &super::RecordSet {
    let (RecordChange::Create(set) | RecordChange::Delete(set)) = change;
    set
}

/// Takes from the front of a queue what fits into one request, in its order, and leaves the rest. What would change a set
/// that the request changes already stays for the next one: Route 53 refuses one set written twice.
pub fn fill<T>(queue: &mut VecDeque<T>, changes: impl Fn(&T) -> &[RecordChange]) -> Vec<T> {
    let mut batch = Vec::new();
    let mut rest = VecDeque::new();
    let mut places: BTreeSet<(DomainName, RecordType)> = BTreeSet::new();
    let (mut values, mut characters) = (0, 0);
    while let Some(next) = queue.pop_front() {
        let (more_values, more_characters) = size(changes(&next));
        let fits = values + more_values <= MOST_VALUES && characters + more_characters <= MOST_CHARACTERS;
        let wanted: Vec<_> = changes(&next)
            .iter()
            .map(|change| (set_of(change).name.clone(), set_of(change).record_type.clone()))
            .collect();
        let is_free = !wanted.iter().any(|place| places.contains(place));
        // One that is too large by itself is sent by itself, for Route 53 to say so.
        if batch.is_empty() || (fits && is_free) {
            (values, characters) = (values + more_values, characters + more_characters);
            places.extend(wanted);
            batch.push(next);
        } else {
            rest.push_back(next);
        }
    }
    *queue = rest;
    batch
}

/// What becomes of a refused batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Each half is tried by itself, until only the culprit fails.
    Halve,
    /// It is sent again in a moment.
    Again,
    /// All of it has failed.
    Fails,
}

/// What came of the parts of a batch so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    accepted: usize,
    refused_singles: usize,
}

impl Tally {
    /// A part was accepted.
    pub fn accepted(&mut self) {
        self.accepted += 1;
    }

    /// A part of so many entries was refused: what becomes of it.
    pub fn refused(&mut self, kind: ErrorKind, entries: usize) -> Refused {
        match kind {
            ErrorKind::Busy | ErrorKind::Throttled => return Refused::Again,
            // A permission may be bound to names, and a refusal speaks of one record: each may be the fault of one entry,
            // and each that of the whole zone.
            ErrorKind::Denied | ErrorKind::Rejected => {
                self.refused_singles += usize::from(entries == 1);
                if self.accepted == 0 && self.refused_singles >= SINGLES {
                    return Refused::Fails;
                }
            }
            ErrorKind::Conflict => {}
            ErrorKind::NotFound
            | ErrorKind::QuotaExceeded
            | ErrorKind::Unauthenticated
            | ErrorKind::Unavailable
            | ErrorKind::NotLeading => return Refused::Fails,
        }
        if entries > 1 { Refused::Halve } else { Refused::Fails }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::RecordSet;

    fn create(name: &str, values: usize, length: usize) -> Vec<RecordChange> {
        let values = vec!["x".repeat(length); values];
        vec![RecordChange::Create(RecordSet::new(DomainName::new(name), RecordType::Txt, 300, values))]
    }

    fn filled(entries: Vec<Vec<RecordChange>>) -> (usize, usize) {
        let mut queue: VecDeque<_> = entries.into();
        let batch = fill(&mut queue, |entry| entry);
        (batch.len(), queue.len())
    }

    #[test]
    fn a_request_holds_a_thousand_values_and_32_000_characters() {
        let entries = |count: usize, values, length| (0..count).map(move |n| create(&format!("d{n}"), values, length));
        assert_eq!(filled(entries(1001, 1, 1).collect()), (1000, 1));
        assert_eq!(filled(entries(300, 6, 10).collect()), (166, 134));
        assert_eq!(filled(entries(9, 1, 4_000).collect()), (8, 1));
    }

    #[test]
    fn one_set_is_changed_once_in_a_request() {
        let (one, other) = (create("a.example", 1, 1), create("b.example", 1, 1));
        assert_eq!(filled(vec![one.clone(), one, other]), (2, 1));
    }

    #[test]
    fn what_is_too_large_goes_by_itself_and_holds_up_nobody() {
        assert_eq!(filled(vec![create("large", 2_000, 1), create("small", 1, 1)]), (1, 1));
        assert_eq!(filled(vec![create("small", 1, 1), create("large", 2_000, 1)]), (1, 1));
    }

    #[test]
    fn a_refused_batch_is_halved_until_one_entry_is_left() {
        for kind in [ErrorKind::Conflict, ErrorKind::Rejected, ErrorKind::Denied] {
            assert_eq!(Tally::default().refused(kind, 200), Refused::Halve, "{kind:?}");
            assert_eq!(Tally::default().refused(kind, 1), Refused::Fails, "{kind:?}");
        }
        for kind in [
            ErrorKind::Unavailable,
            ErrorKind::NotFound,
            ErrorKind::NotLeading,
            ErrorKind::QuotaExceeded,
            ErrorKind::Unauthenticated,
        ] {
            assert_eq!(Tally::default().refused(kind, 200), Refused::Fails, "{kind:?}");
        }
    }

    #[test]
    fn a_zone_that_is_busy_is_asked_again() {
        assert_eq!(Tally::default().refused(ErrorKind::Busy, 200), Refused::Again);
        assert_eq!(Tally::default().refused(ErrorKind::Throttled, 1), Refused::Again);
    }

    #[test]
    fn a_zone_that_may_not_be_written_is_not_tried_with_each_entry() {
        let mut denied = Tally::default();
        assert_eq!(denied.refused(ErrorKind::Denied, 4), Refused::Halve);
        assert_eq!(denied.refused(ErrorKind::Denied, 1), Refused::Fails);
        assert_eq!(denied.refused(ErrorKind::Denied, 1), Refused::Fails);
        assert_eq!(denied.refused(ErrorKind::Denied, 2), Refused::Fails, "it is the zone");

        let mut one_name = Tally::default();
        one_name.accepted();
        one_name.refused(ErrorKind::Denied, 1);
        one_name.refused(ErrorKind::Denied, 1);
        assert_eq!(one_name.refused(ErrorKind::Denied, 2), Refused::Halve, "others are allowed");
    }
}
