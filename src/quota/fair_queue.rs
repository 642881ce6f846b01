//! A queue with classes, fair between namespaces. Pure.
//!
//! Each lane has a share of the turns, the classes 16, 8, 4, 2, 1, the most urgent first, so that nothing starves. Within a
//! lane the namespaces take turns, and within a namespace the first comes first: one team's thousand domains don't hold up
//! another team's one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::caller::Class;

/// What a turn costs that a lane has one share of; the others' cost is this divided by their shares.
const TURN: u64 = 16;

/// What is told apart by its urgency, the most urgent first.
pub trait Lane: Copy + Ord {
    /// How many turns it has, while all others wait too: a divisor of 16.
    fn share(self) -> u64;
}

impl Lane for Class {
    fn share(self) -> u64 {
        match self {
            Self::Changed => 16,
            Self::Deletion => 8,
            Self::Repair => 4,
            Self::Pending => 2,
            Self::Sweep => 1,
        }
    }
}

/// Waiting things, each in the line of its namespace in one of the lanes.
#[derive(Debug)]
pub struct FairQueue<T, L = Class> {
    lanes: BTreeMap<L, Lines<T>>,
    /// How far the lane that was served last has come: one that was empty begins from here, and has no credit.
    served: u64,
}

/// The lines of one lane.
#[derive(Debug)]
struct Lines<T> {
    spent: u64,
    namespaces: BTreeMap<Arc<str>, VecDeque<T>>,
    /// The namespaces in the order of their next turns.
    turns: VecDeque<Arc<str>>,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { spent: 0, namespaces: BTreeMap::new(), turns: VecDeque::new() }
    }
}

impl<T, L: Lane> Default for FairQueue<T, L> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), served: 0 }
    }
}

impl<T, L: Lane> FairQueue<T, L> {
    /// Adds a thing at the end of its namespace's line.
    pub fn push(&mut self, lane: L, namespace: &Arc<str>, thing: T) {
        let served = self.served;
        let lines = self.lanes.entry(lane).or_default();
        if lines.turns.is_empty() {
            lines.spent = lines.spent.max(served);
        }
        let line = lines.namespaces.entry(Arc::clone(namespace)).or_default();
        if line.is_empty() {
            lines.turns.push_back(Arc::clone(namespace));
        }
        line.push_back(thing);
    }

    /// The thing whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_for(|_, _| true)
    }

    /// The thing whose turn it is among those of the lanes and namespaces that may have one.
    pub fn pop_for(&mut self, may: impl Fn(L, &str) -> bool) -> Option<T> {
        let waiting = self.lanes.iter_mut().filter_map(|(lane, lines)| {
            let place = lines.turns.iter().position(|namespace| may(*lane, namespace))?;
            Some((*lane, lines, place))
        });
        let (lane, lines, place) = waiting.min_by_key(|(lane, lines, _)| (lines.spent, *lane))?;
        self.served = lines.spent;
        lines.spent += TURN / lane.share();
        let namespace = lines.turns.remove(place)?;
        let line = lines.namespaces.get_mut(&namespace)?;
        let thing = line.pop_front();
        if line.is_empty() {
            lines.namespaces.remove(&namespace);
        } else {
            lines.turns.push_back(namespace);
        }
        thing
    }

    /// How many things of a lane wait.
    pub fn waiting(&self, lane: L) -> usize {
        self.lanes.get(&lane).map_or(0, |lines| lines.namespaces.values().map(VecDeque::len).sum())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.values().all(|lines| lines.turns.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push<T>(queue: &mut FairQueue<T>, class: Class, namespace: &str, thing: T) {
        queue.push(class, &Arc::from(namespace), thing);
    }

    fn order<T>(queue: &mut FairQueue<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn what_a_user_changed_goes_before_a_sweep() {
        let mut queue = FairQueue::default();
        push(&mut queue, Class::Sweep, "a", "sweep");
        push(&mut queue, Class::Pending, "a", "poll");
        push(&mut queue, Class::Changed, "a", "change");
        assert_eq!(order(&mut queue), ["change", "poll", "sweep"]);
    }

    #[test]
    fn one_teams_thousand_do_not_hold_up_another_teams_one() {
        let mut queue = FairQueue::default();
        for number in 0..1000 {
            push(&mut queue, Class::Changed, "many", number);
        }
        push(&mut queue, Class::Changed, "one", 5000);
        let place = order(&mut queue).iter().position(|thing| *thing == 5000);
        assert_eq!(place, Some(1));
    }

    #[test]
    fn a_namespace_that_may_not_have_a_turn_keeps_its_place() {
        let mut queue = FairQueue::default();
        for (class, namespace) in [(Class::Changed, "a"), (Class::Changed, "b"), (Class::Sweep, "c")] {
            push(&mut queue, class, namespace, namespace);
        }
        assert_eq!(queue.pop_for(|_, namespace| namespace == "b"), Some("b"));
        assert_eq!(queue.pop_for(|_, namespace| namespace == "b"), None);
        assert_eq!(queue.pop_for(|_, namespace| namespace == "c"), Some("c"));
        assert_eq!(queue.pop(), Some("a"));
    }

    #[test]
    fn in_a_namespace_the_first_comes_first() {
        let mut queue = FairQueue::default();
        for number in 0..5 {
            push(&mut queue, Class::Repair, "a", number);
        }
        assert_eq!(order(&mut queue), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn under_lasting_load_each_class_gets_its_share_and_none_starves() {
        let mut queue = FairQueue::default();
        for class in Class::ALL {
            for _ in 0..1000 {
                push(&mut queue, class, "a", class);
            }
        }
        let first: Vec<Class> = std::iter::from_fn(|| queue.pop()).take(310).collect();
        let share = |class| first.iter().filter(|served| **served == class).count();
        assert_eq!(Class::ALL.map(share), [160, 80, 40, 20, 10]);
    }

    #[test]
    fn a_class_that_had_nothing_to_do_has_saved_no_turns_by_that() {
        let mut queue = FairQueue::default();
        for _ in 0..1000 {
            push(&mut queue, Class::Changed, "a", Class::Changed);
        }
        for _ in 0..500 {
            queue.pop();
        }
        for _ in 0..100 {
            push(&mut queue, Class::Sweep, "a", Class::Sweep);
        }
        let next: Vec<Class> = std::iter::from_fn(|| queue.pop()).take(34).collect();
        assert_eq!(next.iter().filter(|served| **served == Class::Sweep).count(), 2);
    }
}
