//! Waiting on conditions, never for a length of time.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// How often a condition is looked at. Short enough not to slow a test down, long enough not to load the API server.
const POLL: Duration = Duration::from_millis(100);

/// Looks again and again until `look` succeeds, and returns what it returned.
///
/// An error from `look` means "not yet", and says what was seen instead; the last one is quoted when time runs out:
///
/// ```no_run
/// # use std::time::Duration;
/// # use anyhow::ensure;
/// # use ses_operator_rig::{control_plane::ControlPlane, wait::until};
/// # async fn story(plane: &ControlPlane) -> anyhow::Result<()> {
/// let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(plane.client().await?);
/// until("the namespace `mail` to be removed", Duration::from_secs(30), async || {
///     let found = namespaces.get_opt("mail").await?;
///     ensure!(found.is_none(), "it is still there: {:?}", found.and_then(|it| it.status));
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// An error that holds [`Hopeless`] ends the wait at once.
pub async fn until<T>(what: &str, timeout: Duration, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let deadline = started + timeout;
    let mut last = None;
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Ok(looked) = timeout_at(deadline, async {
        poll.tick().await;
        look().await
    })
    .await
    {
        match looked {
            Ok(value) => return Ok(value),
            Err(error) if error.is::<Hopeless>() => {
                let waited = started.elapsed().as_secs_f64();
                return Err(error.context(format!("gave up waiting for {what} after {waited:.1} s")));
            }
            Err(error) => last = Some(error),
        }
    }
    let seen = last.map_or_else(|| "nothing, the first look did not return".to_owned(), |error| format!("{error:#}"));
    Err(anyhow!("waited {:.1} s for {what}; last seen: {seen}", timeout.as_secs_f64()))
}

/// Marks an error after which waiting longer makes no sense, such as the end of the process that is waited for.
#[derive(Debug)]
pub struct Hopeless(
    /// What happened.
    pub String,
);

impl fmt::Display for Hopeless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Hopeless {}
