//! Work shared by all the threads of the machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does the work on every item; the outcomes stand in the items' order, `None` where the work panicked.
pub fn on_all_threads<I: Sync, O: Send>(items: &[I], work: impl Fn(&I) -> O + Sync) -> Vec<Option<O>> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<(usize, Option<O>)>> = Mutex::new(Vec::with_capacity(items.len()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let outcome = catch_unwind(AssertUnwindSafe(|| work(item))).ok();
                    outcomes.lock().expect("no panic while it is held").push((at, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("no panic while it was held");
    outcomes.sort_by_key(|(at, _)| *at);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}
