//! What is built once and kept outside the clone, so that fresh clones and branches share it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::progress::Step;

/// A folder of the cache: `$XDG_CACHE_HOME/ses-operator/NAME`, or below `~/.cache`.
///
/// The name must carry all that the content depends on (versions, a [`fingerprint`]), so that nothing in it ever turns stale.
pub fn folder(name: &str) -> Result<PathBuf> {
    let set = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || set("HOME").map(|home| home.join(".cache"));
    let cache =
        set("XDG_CACHE_HOME").or_else(home).context("neither XDG_CACHE_HOME nor HOME says where a cache may be")?;
    Ok(cache.join("ses-operator").join(name))
}

/// Holds a folder of the cache against other processes until the returned file is closed, which the kernel does for a
/// process that dies. Says so when it has to wait.
pub fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let doing = "waiting for another process that builds the same";
            Step { doing, usually: Duration::from_secs(300) }.show(|| Ok(file.lock()?))?;
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("can't lock {}", path.display())),
    }
    Ok(file)
}

/// A short name for contents: FNV-1a of 64 bits, in hexadecimal. It tells versions of a file apart and protects nothing,
/// and unlike the standard library's hashes it stays the same from release to release.
pub fn fingerprint<'a>(contents: impl IntoIterator<Item = &'a [u8]>) -> String {
    let hash = contents
        .into_iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint([]), "cbf29ce484222325");
        assert_eq!(fingerprint([b"foo".as_slice(), b"bar"]), "85944171f73967e8");
    }
}
