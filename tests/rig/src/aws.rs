//! An AWS that tells the truth: verification follows from the DNS, and time is the test's.
//!
//! One server stands for all of AWS. It knows any number of accounts, each with zones, identities, a clock, faults and a log
//! of its own, so a test takes a fresh [`Account`] and meets no other test:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use ses_operator_rig::aws::Aws;
//! # async fn story() -> anyhow::Result<()> {
//! let account = Aws::shared().await?.account();
//! let zone = account.create_zone("example.com").await?;
//! account.sesv2("eu-west-1").create_email_identity().email_identity("example.com").send().await?;
//! account.advance(Duration::from_secs(72 * 3600)).await?; // and SES has given up, since the CNAMEs never came
//! # Ok(())
//! # }
//! ```
//!
//! The server itself is Python, on moto, and lies in `tests/rig/aws`.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::leash::{Leashed, LeashedFolder};
use crate::python::python_environment;
use crate::wait::{Hopeless, until};

mod account;
mod control;
mod dns;
mod faults;
mod imported;
mod log;
mod settings;

pub use account::{Account, Clock};
pub use dns::{Answer, Query, Records};
pub use faults::{Fault, FaultId, FaultKind, Service};
pub use imported::{ImportedIdentity, ImportedRecord, ImportedZone, Verified, VerifiedIdentity};
pub use log::{Change, Refusal, Request};
pub use settings::Settings;

/// It answers a second after its start on an idle machine; this is for one that is compiling as well.
const READY: Duration = Duration::from_secs(60);

/// A running server. It ends when this is dropped, and when the process ends, in whatever manner.
#[derive(Debug)]
pub struct Aws {
    endpoint: String,
    // Dropped before the folder that it logs into.
    _server: Leashed,
    _folder: LeashedFolder,
}

impl Aws {
    /// Starts a server. The first time on a machine this installs its packages, for half a minute, and shows progress.
    pub async fn start() -> Result<Self> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("aws");
        let requirements = home.join("requirements.txt");
        let python = tokio::task::spawn_blocking(move || python_environment(&requirements)).await??;
        let folder = LeashedFolder::create("ses-operator-rig-aws")?;
        let log = folder.path().join("aws.log");
        let mut command = Command::new(python);
        command.args(["-m", "truthful_aws"]).current_dir(home);
        // The clone stays as it was cloned.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        // moto would take one account for all from here.
        command.env_remove("MOTO_ACCOUNT_ID");
        let mut server = Leashed::spawn(&command, &log)?;

        let port = until("the AWS of the rig to start", READY, async || {
            if server.try_wait()?.is_some() {
                return Err(Hopeless(server.tail()).into());
            }
            let text = std::fs::read_to_string(&log)?;
            let (line, _) = text.split_once('\n').context("it has not told its port")?;
            line.parse::<u16>().map_err(|_| Hopeless(server.tail()).into())
        })
        .await?;
        Ok(Self { endpoint: format!("http://127.0.0.1:{port}"), _server: server, _folder: folder })
    }

    /// The one server of this process, started by whoever asks first. It is bound to no test's runtime.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Aws> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Where every service of this AWS is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A fresh account, with a number that no other one of this process has.
    pub fn account(&self) -> Account {
        static NEXT: AtomicU64 = AtomicU64::new(100_000_000_001);
        Account::new(&self.endpoint, NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
