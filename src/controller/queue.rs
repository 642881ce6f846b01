//! Which resource is reconciled next.
//!
//! A resource waits at most once, and is never reconciled twice at a time: one that is woken meanwhile is reconciled again
//! afterwards. Who is woken more urgently moves up.
//!
//! Most reconciles wait for their turn at AWS, and hold a place meanwhile. So the places are divided by [`Step`]: a thousand
//! new domains that wait to be created take none from those whose records are served by now and that lack their MAIL FROM,
//! nor do these from those that are polled. Each of AWS's quotas is then busy from the first call that spends from it to the
//! last one, and the last domain is set up as soon as the quotas allow. And some of each step's places are kept for
//! namespaces of which nothing is reconciled: otherwise the newcomers of one team would take them all, and hold them for as
//! long as the quotas make them wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::key::Key;
use crate::quota::Class;
use crate::quota::fair_queue::{FairQueue, Lane};
use crate::telemetry::metrics::Load;

/// So many resources are reconciled at once: a reconcile that waits costs memory.
const MOST_RUNNING: usize = 256;
/// So many of one step. Of those that begin about as many wait for their zone's batch to leave, 30 seconds at SES's pace of
/// one identity a second, and as many again for their turn.
const OF_A_STEP: usize = 128;
/// The places beyond these, of all and of one step, are kept for namespaces of which nothing is reconciled.
const SHARED: usize = 192;
const SHARED_OF_A_STEP: usize = 64;

/// How far a reconcile takes its resource. Each has the share of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    /// The next step of what a user changed.
    GoesOn,
    /// The first one: a user has just asked for it.
    Begins,
    /// Whatever else there is to do, by its class.
    Of(Class),
}

impl Step {
    fn of(class: Class, begins: bool) -> Self {
        match class {
            Class::Changed if begins => Self::Begins,
            Class::Changed => Self::GoesOn,
            Class::Deletion | Class::Repair | Class::Pending | Class::Sweep => Self::Of(class),
        }
    }

    fn class(self) -> Class {
        match self {
            Self::GoesOn | Self::Begins => Class::Changed,
            Self::Of(class) => class,
        }
    }
}

impl Lane for Step {
    fn share(self) -> u64 {
        self.class().share()
    }
}

/// The resources that wait, and those that are being reconciled. Pure.
#[derive(Debug, Default)]
struct Line {
    /// A key that moved up leaves its former place behind: a place counts only while its ticket is the key's.
    queue: FairQueue<(Key, u64), Step>,
    keys: HashMap<Key, Place>,
    tickets: u64,
    waiting: [usize; Class::ALL.len()],
    /// How many are being reconciled, by namespace and by step.
    running: HashMap<Arc<str>, usize>,
    running_of: HashMap<Step, usize>,
    total: usize,
}

#[derive(Debug)]
enum Place {
    Waiting { step: Step, ticket: u64 },
    Running { step: Step, again: Option<Step> },
}

impl Line {
    fn wake(&mut self, key: &Key, step: Step) {
        match self.keys.get_mut(key) {
            Some(Place::Running { again, .. }) => *again = Some(again.map_or(step, |before| before.min(step))),
            Some(Place::Waiting { step: before, .. }) if *before <= step => {}
            Some(Place::Waiting { step: before, .. }) => {
                let before = *before;
                self.waiting[before.class() as usize] -= 1;
                self.push(key.clone(), step);
            }
            None => self.push(key.clone(), step),
        }
    }

    fn push(&mut self, key: Key, step: Step) {
        self.tickets += 1;
        let ticket = self.tickets;
        self.waiting[step.class() as usize] += 1;
        self.queue.push(step, &key.namespace, (key.clone(), ticket));
        self.keys.insert(key, Place::Waiting { step, ticket });
    }

    /// The next one that may start.
    fn start(&mut self) -> Option<(Key, Class)> {
        while self.total < MOST_RUNNING {
            let (total, running, running_of) = (self.total, &self.running, &self.running_of);
            let may = |step: Step, namespace: &str| {
                let of_step = running_of.get(&step).copied().unwrap_or_default();
                if running.contains_key(namespace) {
                    total < SHARED && of_step < SHARED_OF_A_STEP
                } else {
                    of_step < OF_A_STEP
                }
            };
            let (key, ticket) = self.queue.pop_for(may)?;
            let Some(place) = self.keys.get_mut(&key) else { continue };
            let step = match place {
                Place::Waiting { step, ticket: valid } if *valid == ticket => *step,
                Place::Waiting { .. } | Place::Running { .. } => continue,
            };
            *place = Place::Running { step, again: None };
            self.waiting[step.class() as usize] -= 1;
            *self.running.entry(Arc::clone(&key.namespace)).or_default() += 1;
            *self.running_of.entry(step).or_default() += 1;
            self.total += 1;
            return Some((key, step.class()));
        }
        None
    }

    fn finish(&mut self, key: &Key) {
        let Some(Place::Running { step, again }) = self.keys.remove(key) else { return };
        self.total -= 1;
        if let Some(count) = self.running_of.get_mut(&step) {
            *count -= 1;
        }
        if let Some(count) = self.running.get_mut(&key.namespace) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&key.namespace);
            }
        }
        if let Some(step) = again {
            self.push(key.clone(), step);
        }
    }
}

/// The queue. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Queue(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    line: Mutex<Line>,
    changed: Notify,
}

impl Queue {
    /// Asks for a reconcile. Where somebody has just changed the resource, it begins what goes on later.
    pub fn wake(&self, key: &Key, class: Class) {
        self.line().wake(key, Step::of(class, true));
        self.0.changed.notify_one();
    }

    /// Asks for a reconcile of a resource that was reconciled before, for whatever is left to do.
    pub fn go_on(&self, key: &Key, class: Class) {
        self.line().wake(key, Step::of(class, false));
        self.0.changed.notify_one();
    }

    /// Waits for the next one that may start. There is one who waits so: the controller.
    pub async fn next(&self) -> Turn {
        loop {
            if let Some(turn) = self.try_next() {
                return turn;
            }
            self.0.changed.notified().await;
        }
    }

    /// The next one, if it may start now.
    pub fn try_next(&self) -> Option<Turn> {
        let (key, class) = self.line().start()?;
        Some(Turn { queue: self.clone(), key, class })
    }

    /// How many wait, by their class.
    pub fn waiting(&self, class: Class) -> usize {
        self.line().waiting[class as usize]
    }

    /// How many are being reconciled.
    pub fn running(&self) -> usize {
        self.line().total
    }

    /// How many wait and how many are being reconciled, for the metrics.
    pub fn load(&self) -> Load {
        let line = self.line();
        let waiting = Class::ALL.into_iter().map(|class| (class, line.waiting[class as usize])).collect();
        Load { waiting, running: line.total }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A resource's turn. It ends when this is dropped, also by a panic.
#[derive(Debug)]
pub struct Turn {
    queue: Queue,
    /// The resource.
    pub key: Key,
    /// How urgent it is.
    pub class: Class,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.line().finish(&self.key);
        self.queue.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("mail", name)
    }

    /// The names of those that may start now; their turns last until all have.
    fn started(queue: &Queue) -> Vec<String> {
        let turns: Vec<Turn> = std::iter::from_fn(|| queue.try_next()).collect();
        turns.iter().map(|turn| turn.key.name.to_string()).collect()
    }

    #[test]
    fn a_resource_waits_once_however_often_it_is_woken() {
        let queue = Queue::default();
        for _ in 0..3 {
            queue.wake(&key("a"), Class::Pending);
        }
        assert_eq!(queue.waiting(Class::Pending), 1);
        assert_eq!(started(&queue), ["a"]);
        assert_eq!(started(&queue), Vec::<String>::new());
    }

    #[test]
    fn a_resource_that_is_woken_while_it_runs_runs_again_afterwards_and_not_before() {
        let queue = Queue::default();
        queue.wake(&key("a"), Class::Sweep);
        let turn = queue.try_next().expect("it may start");
        queue.wake(&key("a"), Class::Sweep);
        queue.wake(&key("a"), Class::Changed);
        queue.wake(&key("a"), Class::Pending);
        assert!(queue.try_next().is_none());
        assert_eq!(queue.running(), 1);
        drop(turn);
        let again = queue.try_next().expect("it runs again");
        assert_eq!(again.class, Class::Changed);
        drop(again);
        assert!(queue.try_next().is_none());
        assert_eq!(queue.running(), 0);
    }

    #[test]
    fn who_is_woken_more_urgently_moves_up_and_never_down() {
        let queue = Queue::default();
        for name in ["a", "b", "c"] {
            queue.wake(&key(name), Class::Pending);
        }
        queue.wake(&key("c"), Class::Changed);
        queue.wake(&key("c"), Class::Sweep);
        assert_eq!(Class::ALL.map(|class| queue.waiting(class)), [1, 0, 0, 2, 0]);
        assert_eq!(started(&queue), ["c", "a", "b"]);
        assert_eq!(Class::ALL.map(|class| queue.waiting(class)), [0; 5]);
    }

    #[test]
    fn one_teams_thousand_leave_places_for_another_teams_one() {
        let queue = Queue::default();
        for number in 0..1000 {
            queue.wake(&key(&number.to_string()), Class::Changed);
        }
        let many: Vec<Turn> = std::iter::from_fn(|| queue.try_next()).collect();
        assert_eq!(many.len(), SHARED_OF_A_STEP);
        let other = |name: &str| Key::new("other", name);
        queue.wake(&other("one"), Class::Changed);
        queue.wake(&other("two"), Class::Changed);
        let one = queue.try_next().expect("a place is left");
        assert_eq!(one.key, other("one"));
        assert!(queue.try_next().is_none(), "now its namespace waits like the others");
        drop(one);
        assert_eq!(queue.try_next().expect("its place is free again").key, other("two"));
        assert_eq!(queue.waiting(Class::Changed), 1000 - SHARED_OF_A_STEP);
        drop(many);
        assert_eq!(queue.try_next().expect("there is room").key.namespace.as_ref(), "mail");
    }

    #[test]
    fn a_thousand_that_begin_leave_places_for_those_that_are_further_along() {
        let queue = Queue::default();
        for number in 0..1000 {
            queue.wake(&key(&number.to_string()), Class::Changed);
        }
        let begun: Vec<Turn> = std::iter::from_fn(|| queue.try_next()).collect();
        assert_eq!(begun.len(), SHARED_OF_A_STEP);
        queue.go_on(&key("polled"), Class::Pending);
        queue.go_on(&key("served"), Class::Changed);
        assert_eq!(started(&queue), ["served", "polled"], "the most urgent first");
        drop(begun);
        queue.go_on(&key("served"), Class::Changed);
        assert_eq!(queue.try_next().expect("there is room").key, key("served"), "who has begun goes first");
    }

    #[test]
    fn who_goes_on_and_is_asked_for_anew_keeps_the_place_that_is_further_along() {
        let queue = Queue::default();
        queue.go_on(&key("a"), Class::Changed);
        queue.wake(&key("a"), Class::Changed);
        queue.wake(&key("b"), Class::Changed);
        queue.go_on(&key("b"), Class::Changed);
        assert_eq!(queue.waiting(Class::Changed), 2);
        assert_eq!(started(&queue), ["a", "b"]);
    }

    #[test]
    fn there_is_an_end_to_the_places_of_a_step_and_to_all() {
        let queue = Queue::default();
        let of_a_team = |number: usize| Key::new(format!("team-{number}"), "domain");
        for number in 0..1000 {
            queue.wake(&of_a_team(number), Class::Changed);
        }
        let begun: Vec<Turn> = std::iter::from_fn(|| queue.try_next()).collect();
        assert_eq!(begun.len(), OF_A_STEP);
        for number in 1000..3000 {
            let class = Class::ALL[1 + number % 4];
            queue.go_on(&of_a_team(number), class);
        }
        let others: Vec<Turn> = std::iter::from_fn(|| queue.try_next()).collect();
        assert_eq!(begun.len() + others.len(), MOST_RUNNING);
        assert_eq!(queue.running(), MOST_RUNNING);
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_is_told_when_there_is_one() {
        let queue = Queue::default();
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await.key.clone() }
        });
        tokio::task::yield_now().await;
        queue.wake(&key("a"), Class::Changed);
        assert_eq!(waiting.await.expect("no panic"), key("a"));
    }
}
