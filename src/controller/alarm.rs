//! The times of the next looks, by the operator's one clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::key::Key;
use crate::clock::Clock;

/// One alarm for each resource, and reminders besides.
#[derive(Clone, Debug)]
pub struct Alarms(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    book: Mutex<Book>,
    changed: Notify,
}

/// The alarms by resource; the same and the reminders by time. The number tells those of one time apart.
#[derive(Debug, Default)]
struct Book {
    by_key: HashMap<Key, (Timestamp, u64)>,
    by_time: BTreeMap<(Timestamp, u64), Key>,
    next: u64,
}

impl Book {
    fn set(&mut self, key: Key, time: Timestamp) {
        self.cancel(&key);
        let place = self.remind(key.clone(), time);
        self.by_key.insert(key, place);
    }

    fn remind(&mut self, key: Key, time: Timestamp) -> (Timestamp, u64) {
        let place = (time, self.next);
        self.next += 1;
        self.by_time.insert(place, key);
        place
    }

    fn cancel(&mut self, key: &Key) {
        if let Some(place) = self.by_key.remove(key) {
            self.by_time.remove(&place);
        }
    }

    /// Takes out the first one, if its time has come; else gives the time of the first one.
    fn ring(&mut self, now: Timestamp) -> Result<Key, Option<Timestamp>> {
        let Some(first) = self.by_time.first_entry() else { return Err(None) };
        let place = *first.key();
        if place.0 > now {
            return Err(Some(place.0));
        }
        let key = first.remove();
        if self.by_key.get(&key) == Some(&place) {
            self.by_key.remove(&key);
        }
        Ok(key)
    }
}

impl Alarms {
    /// No alarms yet.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, book: Mutex::default(), changed: Notify::new() }))
    }

    /// Sets a resource's alarm, in place of the one it had.
    pub fn set(&self, key: Key, time: Timestamp) {
        self.book().set(key, time);
        self.0.changed.notify_one();
    }

    /// Rings for a resource at a time, whatever becomes of its alarm.
    pub fn remind(&self, key: Key, time: Timestamp) {
        self.book().remind(key, time);
        self.0.changed.notify_one();
    }

    /// Takes a resource's alarm away.
    pub fn cancel(&self, key: &Key) {
        self.book().cancel(key);
    }

    /// Waits for the next alarm that rings. There is one who waits so: the controller.
    pub async fn ring(&self) -> Key {
        loop {
            let rung = self.book().ring(self.0.clock.now());
            match rung {
                Ok(key) => return key,
                Err(Some(time)) => {
                    tokio::select! {
                        () = self.0.clock.sleep_until(time) => {}
                        () = self.0.changed.notified() => {}
                    }
                }
                Err(None) => self.0.changed.notified().await,
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

    #[test]
    fn a_reminder_rings_besides_the_alarm_and_takes_nothing_of_it_away() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut book = Book::default();
        book.set(key("a"), at(30));
        book.remind(key("a"), at(20));
        assert_eq!(book.ring(at(10)), Err(Some(at(20))));
        assert_eq!(book.ring(at(25)), Ok(key("a")));
        assert_eq!(book.ring(at(25)), Err(Some(at(30))), "the alarm stays");
        book.remind(key("a"), at(40));
        book.set(key("a"), at(50));
        assert_eq!([book.ring(at(60)), book.ring(at(60))], [Ok(key("a")), Ok(key("a"))], "and the reminder stays");
        assert_eq!(book.ring(at(60)), Err(None));
    }
}
