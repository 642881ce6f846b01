//! What public DNS answered lately, with its age, and shared by all domains: many include the same policies.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{Answer, Asked, PublicDns, Question};
use crate::clock::Clock;
use crate::cloud::CloudError;
use crate::dns::spf;
use crate::dns::spf::look_ups::{self, Answers, Count, PermError};
use crate::domain_name::DomainName;

/// All look-ups for one policy take no longer.
const LONGEST: Duration = Duration::from_secs(8);
/// So many are under way at once for one policy.
const AT_ONCE: usize = 8;

/// Public DNS, and what it answered lately.
#[derive(Debug)]
pub struct PublicNames {
    dns: Box<dyn PublicDns>,
    clock: Clock,
    known: Mutex<HashMap<Question, (Timestamp, Answer)>>,
}

impl PublicNames {
    /// Public DNS of which nothing has been asked yet.
    pub fn new(dns: impl PublicDns, clock: Clock) -> Self {
        Self { dns: Box::new(dns), clock, known: Mutex::default() }
    }

    /// How many look-ups this SPF policy at `name` costs its receivers, or why they can't evaluate it, by answers of
    /// `not_before` or later; and when the oldest of them was given.
    ///
    /// # Errors
    /// When one of the names that must be looked up could not be.
    pub async fn count(
        &self,
        name: &DomainName,
        policy: &str,
        not_before: Timestamp,
    ) -> Result<(Result<usize, PermError>, Timestamp), CloudError> {
        let deadline = Instant::now() + LONGEST;
        let mut answers = Answers::new();
        let mut oldest = self.clock.now();
        loop {
            let questions = match look_ups::count(name, policy, &answers) {
                Count::Done(outcome) => return Ok((outcome, oldest)),
                Count::Needs(questions) => questions,
            };
            let asked = stream::iter(questions).map(|question| self.ask(question, not_before, deadline));
            let answered: Vec<_> = asked.buffered(AT_ONCE).collect().await;
            for answer in answered {
                let (question, answered_at, answer) = answer?;
                oldest = oldest.min(answered_at);
                answers.insert(question, answer);
            }
        }
    }

    async fn ask(
        &self,
        question: Question,
        not_before: Timestamp,
        deadline: Instant,
    ) -> Result<(Question, Timestamp, Answer), CloudError> {
        let known = self.known().get(&question).filter(|(at, _)| *at >= not_before).cloned();
        if let Some((at, answer)) = known {
            return Ok((question, at, answer));
        }
        let at = self.clock.now();
        let answer = kept(question.asked, self.dns.ask(&question, deadline).await?);
        self.known().insert(question.clone(), (at, answer.clone()));
        Ok((question, at, answer))
    }

    /// Forgets what was answered before `time`.
    pub fn prune(&self, time: Timestamp) {
        let mut known = self.known();
        known.retain(|_, (at, _)| *at >= time);
        known.shrink_to_fit();
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Question, (Timestamp, Answer)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much of an answer as anything depends on: strangers may publish a lot.
fn kept(asked: Asked, mut answer: Answer) -> Answer {
    let most = match asked {
        // Two policies are an error already.
        Asked::Txt => {
            answer.retain(|text| spf::is_spf(text));
            2
        }
        // And so are eleven exchangers.
        Asked::Mx => 11,
        Asked::A => 1,
    };
    answer.truncate(most);
    answer
}
