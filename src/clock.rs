//! The one place where time enters.

use std::time::Duration;

use jiff::Timestamp;

#[cfg(feature = "simulated-time")]
pub mod simulated;

/// What time it is, and how to wait for a time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    #[cfg(feature = "simulated-time")]
    simulated: Option<simulated::Simulated>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that follows the test rig's.
    #[cfg(feature = "simulated-time")]
    pub fn following(rig: simulated::RigClock) -> Self {
        Self { simulated: Some(simulated::Simulated::Rig(rig)) }
    }

    /// A clock that stands until a test moves its hand.
    #[cfg(feature = "simulated-time")]
    pub fn moved_by(hand: simulated::Hand) -> Self {
        Self { simulated: Some(simulated::Simulated::Hand(hand)) }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        #[cfg(feature = "simulated-time")]
        if let Some(simulated) = &self.simulated {
            return simulated.now();
        }
        Timestamp::now()
    }

    /// Returns when it is `time` or later.
    pub async fn sleep_until(&self, time: Timestamp) {
        #[cfg(feature = "simulated-time")]
        if let Some(simulated) = &self.simulated {
            return simulated.sleep_until(time).await;
        }
        // The wall clock may be set meanwhile, or the machine suspended: look again rather than trust one long timer.
        const LONGEST_TIMER: Duration = Duration::from_secs(60);
        loop {
            let left = Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_TIMER)).await;
        }
    }
}
