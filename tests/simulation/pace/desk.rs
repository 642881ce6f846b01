//! Many who ask at once, on a clock that is moved by hand.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use ses_operator::clock::simulated::Hand;

use crate::executor::{Executor, Turn};

/// Who asks, and what they were answered, in the order of the answers.
pub struct Desk<T> {
    pub hand: Hand,
    began: Timestamp,
    tasks: Executor<T>,
    /// Each with the second of its answer.
    pub answers: Vec<(i64, T)>,
}

impl<T: 'static> Desk<T> {
    pub fn new() -> Self {
        let began = Timestamp::from_second(1_800_000_000).expect("a time");
        Self { hand: Hand::at(began), began, tasks: Executor::new(), answers: Vec::new() }
    }

    /// Somebody asks, and what comes of it is noted.
    pub fn ask(&mut self, question: impl Future<Output = T> + 'static) {
        self.tasks.spawn(Box::pin(question));
        self.settle();
    }

    /// Lets so many seconds pass.
    pub fn pass(&mut self, seconds: i64) {
        let end = self.hand.now() + SignedDuration::from_secs(seconds);
        while let Some(next) = self.hand.next_wake().filter(|next| *next <= end) {
            self.hand.move_to(next);
            self.settle();
        }
        self.hand.move_to(end);
    }

    /// How many seconds have passed by a time.
    pub fn second_of(&self, time: Timestamp) -> i64 {
        time.duration_since(self.began).as_secs()
    }

    /// Lets everybody go on who need not wait.
    fn settle(&mut self) {
        loop {
            match self.tasks.turn() {
                Turn::Idle => return,
                Turn::Waits => {}
                Turn::Ended(answer) => self.answers.push((self.second_of(self.hand.now()), answer)),
            }
        }
    }
}

impl<T> fmt::Debug for Desk<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}
