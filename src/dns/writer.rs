//! One writer for each hosted zone: the first change of a quiet zone leaves at once; while it is on its way others gather,
//! and leave together.
//!
//! Route 53 refuses a change while it works on another one of the zone, and answers five requests a second for the whole
//! account: a batch of a hundred domains costs what one costs. Whoever waits first sends for all that wait; when it has its
//! own answer the next one takes over, so there is no task of its own to start or to lose.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, oneshot};

use super::batch::{self, Refused, Tally};
use super::{DnsProvider, RecordChange, ZoneId};
use crate::clock::Clock;
use crate::cloud::{CloudError, ErrorKind};
use crate::quota::Caller;

/// So long changes gather after a batch has left, unless it is known to have arrived before.
const GATHERING: SignedDuration = SignedDuration::from_secs(30);
/// The waits before a zone that is busy is asked again, in seconds.
const BUSY: [i64; 5] = [2, 4, 8, 16, 30];

/// The writer of one zone.
#[derive(Debug, Default)]
pub struct ZoneWriter {
    waiting: Mutex<VecDeque<Entry>>,
    /// Held by whoever sends.
    baton: tokio::sync::Mutex<()>,
    last: Mutex<Option<Accepted>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Entry {
    changes: Vec<RecordChange>,
    caller: Caller,
    answer: oneshot::Sender<Result<Accepted, CloudError>>,
}

/// A change that the provider has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its ID.
    pub id: String,
    /// When it was accepted.
    pub at: Timestamp,
}

/// What the writer works with: the provider, and who is told what was written.
pub(super) trait Sends {
    /// The provider.
    type Provider: DnsProvider;

    /// The provider.
    fn provider(&self) -> &Self::Provider;

    /// The clock.
    fn clock(&self) -> &Clock;

    /// These changes were made.
    fn made(&self, zone: &ZoneId, changes: &[RecordChange]) -> impl Future<Output = ()> + Send;

    /// Whether changes of this zone were made is not known.
    fn unsure(&self, zone: &ZoneId) -> impl Future<Output = ()> + Send;
}

impl ZoneWriter {
    /// Makes all of these changes or none, perhaps together with those of others, and answers with the change's ID.
    pub(super) async fn change(
        &self,
        zone: &ZoneId,
        changes: &[RecordChange],
        with: &(impl Sends + Sync),
    ) -> Result<Accepted, CloudError> {
        let (sender, mut answer) = oneshot::channel();
        self.waiting().push_back(Entry { changes: changes.to_vec(), caller: Caller::current(), answer: sender });
        tokio::select! {
            biased;
            answer = &mut answer => answer.unwrap_or_else(|_| Err(lost(zone))),
            _baton = self.baton.lock() => self.send_until(zone, answer, with).await,
        }
    }

    /// A change has reached all of the provider's servers: what gathers behind it need not wait any longer.
    pub fn has_arrived(&self, id: &str) {
        let mut last = self.last();
        if last.as_ref().is_some_and(|sent| sent.id == id) {
            *last = None;
            self.arrived.notify_one();
        }
    }

    /// Whether nothing waits here.
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        self.waiting().is_empty() && self.last().as_ref().is_none_or(|sent| departure(sent) <= now)
    }

    /// Sends batches until this answer is there.
    async fn send_until(
        &self,
        zone: &ZoneId,
        mut answer: oneshot::Receiver<Result<Accepted, CloudError>>,
        with: &(impl Sends + Sync),
    ) -> Result<Accepted, CloudError> {
        loop {
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(TryRecvError::Closed) => return Err(lost(zone)),
                Err(TryRecvError::Empty) => {}
            }
            self.gather(with.clock()).await;
            let batch = batch::fill(&mut self.waiting(), |entry| &entry.changes);
            // Nobody waits for the answer to a reconcile that was ended: its change is not made.
            let batch: Vec<Entry> = batch.into_iter().filter(|entry| !entry.answer.is_closed()).collect();
            if !batch.is_empty() {
                self.send(zone, batch, with).await;
            }
        }
    }

    /// Returns when the next batch may leave.
    async fn gather(&self, clock: &Clock) {
        loop {
            let Some(departure) = self.last().as_ref().map(departure).filter(|departure| *departure > clock.now())
            else {
                return;
            };
            tokio::select! {
                biased;
                () = self.arrived.notified() => {}
                () = clock.sleep_until(departure) => return,
            }
        }
    }

    /// Sends a batch, and its halves where it is refused: each entry gets its own answer.
    async fn send(&self, zone: &ZoneId, batch: Vec<Entry>, with: &(impl Sends + Sync)) {
        let mut parts = vec![batch];
        let mut tally = Tally::default();
        // How often in a row the zone was busy: a refusal that divides a batch is an answer too.
        let mut busy = 0;
        while let Some(mut part) = parts.pop() {
            let changes: Vec<RecordChange> = part.iter().flat_map(|entry| entry.changes.iter().cloned()).collect();
            let caller = part.iter().map(|entry| &entry.caller).min_by_key(|caller| caller.class).cloned();
            let caller = caller.unwrap_or_else(Caller::current);
            match caller.scope(with.provider().change(zone, &changes)).await {
                Ok(id) => {
                    busy = 0;
                    tally.accepted();
                    let accepted = Accepted { id, at: with.clock().now() };
                    *self.last() = Some(accepted.clone());
                    with.made(zone, &changes).await;
                    part.into_iter().for_each(|entry| entry.tell(Ok(accepted.clone())));
                }
                Err(error) => match (tally.refused(error.kind, part.len()), BUSY.get(busy)) {
                    (Refused::Again, Some(seconds)) => {
                        busy += 1;
                        let clock = with.clock();
                        clock.sleep_until(clock.now() + SignedDuration::from_secs(*seconds)).await;
                        parts.push(part);
                    }
                    (Refused::Halve, _) => {
                        busy = 0;
                        let right = part.split_off(part.len() / 2);
                        parts.extend([right, part]);
                    }
                    (Refused::Again | Refused::Fails, _) => {
                        if error.kind == ErrorKind::Unavailable {
                            with.unsure(zone).await;
                        }
                        part.into_iter().for_each(|entry| entry.tell(Err(error.clone())));
                    }
                },
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> MutexGuard<'_, Option<Accepted>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn tell(self, answer: Result<Accepted, CloudError>) {
        // Whoever asked may have been ended meanwhile.
        let _ = self.answer.send(answer);
    }
}

fn departure(sent: &Accepted) -> Timestamp {
    sent.at.checked_add(GATHERING).unwrap_or(sent.at)
}

/// Whoever sent for this one was ended on the way: it may have left.
fn lost(zone: &ZoneId) -> CloudError {
    CloudError {
        kind: ErrorKind::Unavailable,
        operation: "route53:ChangeResourceRecordSets",
        object: zone.to_string(),
        message: "the answer was lost on the way".to_owned(),
    }
}
