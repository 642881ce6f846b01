//! Which resource is reconciled next.
//!
//! A resource waits at most once, and is never reconciled twice at a time: one that is woken meanwhile is reconciled again
//! afterwards. Who is woken more urgently moves up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::key::Key;
use crate::quota::fair_queue::FairQueue;
use crate::quota::{Caller, Class};
use crate::telemetry::metrics::Load;

/// So many resources are reconciled at once: most of them wait for their turn at AWS, and cost memory while they do.
const MOST_RUNNING: usize = 256;
/// The places beyond these are kept for namespaces of which nothing is reconciled: otherwise the newcomers of one team would
/// take them all, and hold them for as long as AWS's quotas make them wait.
const SHARED: usize = 192;

/// The resources that wait, and those that are being reconciled. Pure.
#[derive(Debug, Default)]
struct Line {
    /// A key that moved up leaves its former place behind: a place counts only while its ticket is the key's.
    queue: FairQueue<(Key, u64)>,
    keys: HashMap<Key, Place>,
    tickets: u64,
    waiting: [usize; Class::ALL.len()],
    /// How many are being reconciled, by namespace.
    running: HashMap<Arc<str>, usize>,
    total: usize,
}

#[derive(Debug)]
enum Place {
    Waiting { class: Class, ticket: u64 },
    Running { again: Option<Class> },
}

impl Line {
    fn wake(&mut self, key: &Key, class: Class) {
        match self.keys.get_mut(key) {
            Some(Place::Running { again }) => *again = Some(again.map_or(class, |before| before.min(class))),
            Some(Place::Waiting { class: before, .. }) if *before <= class => {}
            Some(Place::Waiting { class: before, .. }) => {
                let before = *before;
                self.waiting[before as usize] -= 1;
                self.push(key.clone(), class);
            }
            None => self.push(key.clone(), class),
        }
    }

    fn push(&mut self, key: Key, class: Class) {
        self.tickets += 1;
        let ticket = self.tickets;
        self.waiting[class as usize] += 1;
        self.queue.push(&Caller::new(class, Arc::clone(&key.namespace)), (key.clone(), ticket));
        self.keys.insert(key, Place::Waiting { class, ticket });
    }

    /// The next one that may start.
    fn start(&mut self) -> Option<(Key, Class)> {
        while self.total < MOST_RUNNING {
            let (total, running) = (self.total, &self.running);
            let (key, ticket) = self.queue.pop_for(|namespace| total < SHARED || !running.contains_key(namespace))?;
            let Some(place) = self.keys.get_mut(&key) else { continue };
            let class = match place {
                Place::Waiting { class, ticket: valid } if *valid == ticket => *class,
                Place::Waiting { .. } | Place::Running { .. } => continue,
            };
            *place = Place::Running { again: None };
            self.waiting[class as usize] -= 1;
            *self.running.entry(Arc::clone(&key.namespace)).or_default() += 1;
            self.total += 1;
            return Some((key, class));
        }
        None
    }

    fn finish(&mut self, key: &Key) {
        let Some(Place::Running { again }) = self.keys.remove(key) else { return };
        self.total -= 1;
        if let Some(count) = self.running.get_mut(&key.namespace) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&key.namespace);
            }
        }
        if let Some(class) = again {
            self.push(key.clone(), class);
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
    /// Asks for a reconcile.
    pub fn wake(&self, key: &Key, class: Class) {
        self.line().wake(key, class);
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
        assert_eq!(many.len(), SHARED);
        let other = |name: &str| Key::new("other", name);
        queue.wake(&other("one"), Class::Sweep);
        queue.wake(&other("two"), Class::Sweep);
        let one = queue.try_next().expect("a place is left");
        assert_eq!(one.key, other("one"));
        assert!(queue.try_next().is_none(), "now its namespace waits like the others");
        drop(one);
        assert_eq!(queue.try_next().expect("its place is free again").key, other("two"));
        drop(many);
        assert_eq!(queue.waiting(Class::Changed), 1000 - SHARED);
        assert_eq!(queue.try_next().expect("there is room").key.namespace.as_ref(), "mail");
    }

    #[test]
    fn there_is_an_end_to_the_places() {
        let queue = Queue::default();
        for number in 0..1000 {
            queue.wake(&Key::new(format!("team-{number}"), "domain"), Class::Changed);
        }
        let turns: Vec<Turn> = std::iter::from_fn(|| queue.try_next()).collect();
        assert_eq!(turns.len(), MOST_RUNNING);
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
