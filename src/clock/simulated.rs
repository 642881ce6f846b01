//! Clocks that tests move: one follows the test rig's, timers too; the other is moved by hand, for the simulation. Only
//! with the cargo feature `simulated-time`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
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
            Self::Hand(hand) => {
                while hand.now() < time {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// The hand of a clock that stands until it is moved. Clones are the same hand.
#[derive(Clone, Debug)]
pub struct Hand(Arc<AtomicI64>);

impl Hand {
    /// A hand that shows `time`, to the second.
    pub fn at(time: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(time.as_second())))
    }

    /// The time that it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }

    /// Moves it.
    pub fn move_to(&self, time: Timestamp) {
        self.0.store(time.as_second(), Ordering::SeqCst);
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
