//! A queue with classes, fair between namespaces. Pure.
//!
//! Each class has a share of the turns: 16, 8, 4, 2, 1, the most urgent first, so that nothing starves. Within a class the
//! namespaces take turns, and within a namespace the first comes first: one team's thousand domains don't hold up another
//! team's one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::caller::{Caller, Class};

/// What a turn of the least urgent class costs; the others' cost is this divided by their share.
const TURN: u64 = 16;

/// Waiting things, each with its caller.
#[derive(Debug)]
pub struct FairQueue<T> {
    lanes: BTreeMap<Class, Lane<T>>,
    /// How far the lane that was served last has come: one that was empty begins from here, and has no credit.
    served: u64,
}

#[derive(Debug)]
struct Lane<T> {
    spent: u64,
    namespaces: BTreeMap<Arc<str>, VecDeque<T>>,
    /// The namespaces in the order of their next turns.
    turns: VecDeque<Arc<str>>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { spent: 0, namespaces: BTreeMap::new(), turns: VecDeque::new() }
    }
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), served: 0 }
    }
}

fn cost(class: Class) -> u64 {
    let share = match class {
        Class::Changed => 16,
        Class::Deletion => 8,
        Class::Repair => 4,
        Class::Pending => 2,
        Class::Sweep => 1,
    };
    TURN / share
}

impl<T> FairQueue<T> {
    /// Adds a thing at the end of its namespace's line.
    pub fn push(&mut self, caller: &Caller, thing: T) {
        let served = self.served;
        let lane = self.lanes.entry(caller.class).or_default();
        if lane.turns.is_empty() {
            lane.spent = lane.spent.max(served);
        }
        let line = lane.namespaces.entry(Arc::clone(&caller.namespace)).or_default();
        if line.is_empty() {
            lane.turns.push_back(Arc::clone(&caller.namespace));
        }
        line.push_back(thing);
    }

    /// The thing whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_for(|_| true)
    }

    /// The thing whose turn it is among those of the namespaces that may have one.
    pub fn pop_for(&mut self, may: impl Fn(&str) -> bool) -> Option<T> {
        let waiting = self.lanes.iter_mut().filter_map(|(class, lane)| {
            let place = lane.turns.iter().position(|namespace| may(namespace))?;
            Some((*class, lane, place))
        });
        let (class, lane, place) = waiting.min_by_key(|(class, lane, _)| (lane.spent, *class))?;
        self.served = lane.spent;
        lane.spent += cost(class);
        let namespace = lane.turns.remove(place)?;
        let line = lane.namespaces.get_mut(&namespace)?;
        let thing = line.pop_front();
        if line.is_empty() {
            lane.namespaces.remove(&namespace);
        } else {
            lane.turns.push_back(namespace);
        }
        thing
    }

    /// How many things of a class wait.
    pub fn waiting(&self, class: Class) -> usize {
        self.lanes.get(&class).map_or(0, |lane| lane.namespaces.values().map(VecDeque::len).sum())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.values().all(|lane| lane.turns.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(class: Class, namespace: &str) -> Caller {
        Caller::new(class, namespace)
    }

    fn order<T>(queue: &mut FairQueue<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn what_a_user_changed_goes_before_a_sweep() {
        let mut queue = FairQueue::default();
        queue.push(&caller(Class::Sweep, "a"), "sweep");
        queue.push(&caller(Class::Pending, "a"), "poll");
        queue.push(&caller(Class::Changed, "a"), "change");
        assert_eq!(order(&mut queue), ["change", "poll", "sweep"]);
    }

    #[test]
    fn one_teams_thousand_do_not_hold_up_another_teams_one() {
        let mut queue = FairQueue::default();
        for number in 0..1000 {
            queue.push(&caller(Class::Changed, "many"), number);
        }
        queue.push(&caller(Class::Changed, "one"), 5000);
        let place = order(&mut queue).iter().position(|thing| *thing == 5000);
        assert_eq!(place, Some(1));
    }

    #[test]
    fn a_namespace_that_may_not_have_a_turn_keeps_its_place() {
        let mut queue = FairQueue::default();
        for (class, namespace) in [(Class::Changed, "a"), (Class::Changed, "b"), (Class::Sweep, "c")] {
            queue.push(&caller(class, namespace), namespace);
        }
        assert_eq!(queue.pop_for(|namespace| namespace == "b"), Some("b"));
        assert_eq!(queue.pop_for(|namespace| namespace == "b"), None);
        assert_eq!(queue.pop_for(|namespace| namespace == "c"), Some("c"));
        assert_eq!(queue.pop(), Some("a"));
    }

    #[test]
    fn in_a_namespace_the_first_comes_first() {
        let mut queue = FairQueue::default();
        for number in 0..5 {
            queue.push(&caller(Class::Repair, "a"), number);
        }
        assert_eq!(order(&mut queue), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn under_lasting_load_each_class_gets_its_share_and_none_starves() {
        let mut queue = FairQueue::default();
        for class in Class::ALL {
            for _ in 0..1000 {
                queue.push(&caller(class, "a"), class);
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
            queue.push(&caller(Class::Changed, "a"), Class::Changed);
        }
        for _ in 0..500 {
            queue.pop();
        }
        for _ in 0..100 {
            queue.push(&caller(Class::Sweep, "a"), Class::Sweep);
        }
        let next: Vec<Class> = std::iter::from_fn(|| queue.pop()).take(34).collect();
        assert_eq!(next.iter().filter(|served| **served == Class::Sweep).count(), 2);
    }
}
