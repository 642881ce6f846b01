//! Many futures at once in one thread, in an order that is the same each time.
//!
//! There is no runtime and no timer: a future is polled when something woke it, and time is the hand of a clock that the
//! simulation moves once nobody is awake.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// A future that the executor runs. It stays in its thread.
pub type Task<T> = Pin<Box<dyn Future<Output = T>>>;

/// Runs futures in the order in which they were woken.
pub struct Executor<T> {
    tasks: BTreeMap<u64, (Task<T>, Arc<Bell>)>,
    awake: Queue,
    spawned: u64,
}

/// Who was woken, in order.
type Queue = Arc<Mutex<VecDeque<u64>>>;

/// What came of a turn.
#[derive(Debug)]
pub enum Turn<T> {
    /// Nobody was awake.
    Idle,
    /// Somebody went on, and waits again.
    Waits,
    /// Somebody came to an end.
    Ended(T),
}

/// Wakes one task.
struct Bell {
    task: u64,
    rung: AtomicBool,
    awake: Queue,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            self.awake.lock().expect("no panic while it is held").push_back(self.task);
        }
    }
}

impl<T> Executor<T> {
    pub fn new() -> Self {
        Self { tasks: BTreeMap::new(), awake: Queue::default(), spawned: 0 }
    }

    /// Takes in a future, which is awake at first.
    pub fn spawn(&mut self, task: Task<T>) {
        self.spawned += 1;
        let bell = Arc::new(Bell { task: self.spawned, rung: AtomicBool::new(false), awake: Arc::clone(&self.awake) });
        bell.wake_by_ref();
        self.tasks.insert(self.spawned, (task, bell));
    }

    /// Polls whoever was woken first.
    pub fn turn(&mut self) -> Turn<T> {
        loop {
            let next = self.awake.lock().expect("no panic while it is held").pop_front();
            let Some(id) = next else { return Turn::Idle };
            // Whoever has ended may be woken still.
            let Some((task, bell)) = self.tasks.get_mut(&id) else { continue };
            bell.rung.store(false, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(bell));
            return match task.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => Turn::Waits,
                Poll::Ready(end) => {
                    self.tasks.remove(&id);
                    Turn::Ended(end)
                }
            };
        }
    }
}

impl<T> fmt::Debug for Executor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
