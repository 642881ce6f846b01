//! The cluster's state as it was: a backup of etcd, and what a disaster's recovery does with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{ControlPlane, lock, programs};

/// A copy of etcd's data.
#[derive(Debug)]
pub struct Backup(PathBuf);

impl ControlPlane {
    /// Copies etcd's data as it is now. Requests wait for a moment.
    pub fn back_up(&self) -> Result<Backup> {
        let copy = self.folder().join(format!("backup-{}", jiff::Timestamp::now().as_nanosecond()));
        let etcd = lock(&self.etcd);
        let etcd = etcd.as_ref().context("etcd runs")?;
        // Held still, it is on disk as after a crash at this moment, which etcd recovers from.
        etcd.signal("STOP")?;
        let copied = copy_folder(&programs::etcd_data(self.folder()), &copy);
        etcd.signal("CONT")?;
        copied?;
        Ok(Backup(copy))
    }

    /// Brings the cluster back to the state of a backup, as its administrator would after a disaster: all programs stop,
    /// etcd gets the old data, all programs start. Clients see their connections break, and then versions that are lower
    /// than those they know.
    pub async fn restore(&self, backup: &Backup) -> Result<()> {
        for program in [&self.controller_manager, &self.api_server, &self.etcd] {
            if let Some(mut running) = lock(program).take() {
                running.kill()?;
            }
        }
        let data = programs::etcd_data(self.folder());
        fs::remove_dir_all(&data).context("can't remove etcd's data")?;
        copy_folder(&backup.0, &data)?;
        *lock(&self.etcd) = Some(programs::etcd(&self.binaries, self.folder())?);
        self.launch_api_server().await?;
        self.launch_controller_manager().await
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("can't create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("can't read {}", from.display()))? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &copy)?;
        } else {
            fs::copy(entry.path(), &copy).with_context(|| format!("can't copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
