//! The times of the next looks, by the operator's one clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::key::Key;
use crate::clock::Clock;

/// One alarm for each resource.
#[derive(Clone, Debug)]
pub struct Alarms(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    book: Mutex<Book>,
    changed: Notify,
}

/// The same alarms twice: by resource, and by time. The number tells alarms of one time apart.
#[derive(Debug, Default)]
struct Book {
    by_key: HashMap<Key, (Timestamp, u64)>,
    by_time: BTreeMap<(Timestamp, u64), Key>,
    next: u64,
}

impl Book {
    fn cancel(&mut self, key: &Key) {
        if let Some(place) = self.by_key.remove(key) {
            self.by_time.remove(&place);
        }
    }
}

impl Alarms {
    /// No alarms yet.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, book: Mutex::default(), changed: Notify::new() }))
    }

    /// Sets a resource's alarm, in place of the one it had.
    pub fn set(&self, key: Key, time: Timestamp) {
        let mut book = self.book();
        book.cancel(&key);
        let place = (time, book.next);
        book.next += 1;
        book.by_key.insert(key.clone(), place);
        book.by_time.insert(place, key);
        drop(book);
        self.0.changed.notify_one();
    }

    /// Takes a resource's alarm away.
    pub fn cancel(&self, key: &Key) {
        self.book().cancel(key);
    }

    /// Waits for the next alarm that rings. There is one who waits so: the controller.
    pub async fn ring(&self) -> Key {
        loop {
            let first = self.book().by_time.first_key_value().map(|((time, _), key)| (*time, key.clone()));
            match first {
                Some((time, key)) if time <= self.0.clock.now() => {
                    self.book().cancel(&key);
                    return key;
                }
                Some((time, _)) => {
                    tokio::select! {
                        () = self.0.clock.sleep_until(time) => {}
                        () = self.0.changed.notified() => {}
                    }
                }
                None => self.0.changed.notified().await,
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("mail", name)
    }

    #[tokio::test]
    async fn alarms_ring_in_the_order_of_their_times_and_the_last_one_set_counts() {
        let clock = Clock::system();
        let alarms = Alarms::new(clock.clone());
        let soon = |milliseconds| clock.now() + SignedDuration::from_millis(milliseconds);
        alarms.set(key("c"), soon(30));
        alarms.set(key("a"), soon(60_000));
        alarms.set(key("b"), soon(20));
        alarms.set(key("gone"), soon(15));
        alarms.set(key("a"), soon(10));
        alarms.cancel(&key("gone"));
        let rung = [alarms.ring().await, alarms.ring().await, alarms.ring().await];
        assert_eq!(rung, ["a", "b", "c"].map(key));
    }
}
