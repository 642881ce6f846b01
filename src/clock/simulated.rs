//! Clocks that tests move: one follows the test rig's, timers too; the other is moved by hand, for the simulation. Only
//! with the cargo feature `simulated-time`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::watch;

/// The environment variable that names the rig's clock by its URL.
pub const CLOCK_URL: &str = "SES_OPERATOR_SIMULATED_CLOCK";
/// How long one question to the rig waits for a change.
const LONG_POLL: Duration = Duration::from_secs(20);

/// Where simulated time comes from.
#[derive(Clone, Debug)]
pub(super) enum Simulated {
    Rig(RigClock),
    Hand(Hand),
}

impl Simulated {
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::Rig(rig) => rig.now(),
            Self::Hand(hand) => hand.now(),
        }
    }

    pub(super) async fn sleep_until(&self, time: Timestamp) {
        match self {
            Self::Rig(rig) => rig.sleep_until(time).await,
            Self::Hand(hand) => hand.sleep_until(time).await,
        }
    }
}

/// The hand of a clock that stands until it is moved. Clones are the same hand.
///
/// Who sleeps by it is woken by the move that reaches its time: no timer of a runtime is involved, so whoever moves the
/// hand decides the order of everything.
#[derive(Clone, Debug)]
pub struct Hand {
    face: Arc<Mutex<Face>>,
    /// How far this reading is from the true one: clocks may be set wrong.
    skew: SignedDuration,
}

#[derive(Debug)]
struct Face {
    now: Timestamp,
    /// Who waits, by the time that it waits for; those of one time in the order in which they came.
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
    sleeps: u64,
}

impl Hand {
    /// A hand that shows `time`.
    pub fn at(time: Timestamp) -> Self {
        let face = Face { now: time, sleepers: BTreeMap::new(), sleeps: 0 };
        Self { face: Arc::new(Mutex::new(face)), skew: SignedDuration::ZERO }
    }

    /// The same hand, read by someone whose clock is ahead by so much.
    #[must_use]
    pub fn skewed(&self, skew: SignedDuration) -> Self {
        Self { face: Arc::clone(&self.face), skew }
    }

    /// The time that it shows.
    pub fn now(&self) -> Timestamp {
        let now = self.face().now;
        if self.skew.is_zero() { now } else { now.checked_add(self.skew).unwrap_or(Timestamp::MAX) }
    }

    /// Moves it, and wakes everyone whose time has come.
    pub fn move_to(&self, time: Timestamp) {
        let woken = {
            let mut face = self.face();
            face.now = time;
            let sleeping = face.sleepers.split_off(&(time, u64::MAX));
            std::mem::replace(&mut face.sleepers, sleeping)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// The earliest time that somebody sleeps until.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.face().sleepers.first_key_value().map(|((time, _), _)| *time)
    }

    /// Sleeps until it shows `time` or later.
    fn sleep_until(&self, time: Timestamp) -> Sleep {
        let time = if self.skew.is_zero() { time } else { time.checked_sub(self.skew).unwrap_or(Timestamp::MAX) };
        Sleep { face: Arc::clone(&self.face), time, place: None }
    }

    fn face(&self) -> MutexGuard<'_, Face> {
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who sleeps by a hand. Whoever is dropped sleeps no more.
struct Sleep {
    face: Arc<Mutex<Face>>,
    time: Timestamp,
    place: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sleep = &mut *self;
        let mut face = sleep.face.lock().unwrap_or_else(PoisonError::into_inner);
        if face.now >= sleep.time {
            return Poll::Ready(());
        }
        let place = *sleep.place.get_or_insert_with(|| {
            face.sleeps += 1;
            face.sleeps
        });
        face.sleepers.insert((sleep.time, place), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let mut face = self.face.lock().unwrap_or_else(PoisonError::into_inner);
            face.sleepers.remove(&(self.time, place));
        }
    }
}

/// The rig's clock, as it was told last.
#[derive(Clone, Debug)]
pub struct RigClock {
    reading: Arc<RwLock<Reading>>,
    changed: watch::Receiver<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Timestamp,
    taken: Instant,
    rate: f64,
}

#[derive(Deserialize)]
struct Answer {
    now: Timestamp,
    rate: f64,
    version: u64,
}

impl RigClock {
    /// Reads the clock at `url`, and follows it from now on.
    ///
    /// # Errors
    /// When nothing answers there.
    pub async fn follow(url: String) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let first = ask(&client, &url, 0, Duration::ZERO).await?;
        let (changes, changed) = watch::channel(first.version);
        let reading = Arc::new(RwLock::new(Reading::from(&first)));
        let clock = Self { reading: Arc::clone(&reading), changed };
        tokio::spawn(async move {
            loop {
                let version = *changes.borrow();
                match ask(&client, &url, version, LONG_POLL).await {
                    Ok(answer) => {
                        *reading.write().unwrap_or_else(PoisonError::into_inner) = Reading::from(&answer);
                        if changes.send(answer.version).is_err() {
                            return;
                        }
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
        });
        Ok(clock)
    }

    /// What time it is there.
    pub fn now(&self) -> Timestamp {
        let reading = *self.reading.read().unwrap_or_else(PoisonError::into_inner);
        let passed = SignedDuration::try_from_secs_f64(reading.taken.elapsed().as_secs_f64() * reading.rate);
        reading.at + passed.unwrap_or_default()
    }

    /// Returns when it is `time` there, or later: also when the clock is put forward meanwhile.
    pub async fn sleep_until(&self, time: Timestamp) {
        let mut changed = self.changed.clone();
        loop {
            changed.mark_unchanged();
            let left = time.duration_since(self.now());
            if left <= SignedDuration::ZERO {
                return;
            }
            let rate = self.reading.read().unwrap_or_else(PoisonError::into_inner).rate;
            let real = Duration::from_secs_f64((left.as_secs_f64() / rate.max(1e-6)).min(60.0));
            tokio::select! {
                () = tokio::time::sleep(real) => {}
                _ = changed.changed() => {}
            }
        }
    }
}

impl From<&Answer> for Reading {
    fn from(answer: &Answer) -> Self {
        Self { at: answer.now, taken: Instant::now(), rate: answer.rate }
    }
}

async fn ask(client: &reqwest::Client, url: &str, after: u64, wait: Duration) -> Result<Answer, reqwest::Error> {
    let url = format!("{url}?after={after}&wait={}", wait.as_secs());
    client.get(url).timeout(wait + Duration::from_secs(10)).send().await?.error_for_status()?.json().await
}
