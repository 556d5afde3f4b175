//! Folders of throw-away servers, removed when dropped, or by a later run when their owner was
//! killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::account::{Account, reachable_temporary_folder};

const PREFIX: &str = "quittance-run-";
const LOCK: &str = "in-use";
/// A younger folder may belong to a run that has not locked it yet.
const SURELY_LOCKED_BY_NOW: Duration = Duration::from_mins(2);

/// A folder of the account's, for as long as this lives.
pub struct TemporaryFolder {
    folder: TempDir,
    /// Held, not read: tells later runs that the folder is in use, and ends with us however we end.
    _lock: File,
}

impl TemporaryFolder {
    /// Makes a folder that the account can reach and nobody else can.
    pub fn create(account: &Account) -> io::Result<Self> {
        let parent = reachable_temporary_folder(account);
        sweep(&parent, account);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        account.give(folder.path())?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of runs that were killed. What cannot be removed stays: it harms nobody.
fn sweep(parent: &Path, account: &Account) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&path, account) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn is_abandoned(path: &Path, account: &Account) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else {
        return false;
    };
    if !found.is_dir() || found.uid() != account.uid() {
        return false;
    }
    let age = found
        .modified()
        .ok()
        .and_then(|made| SystemTime::now().duration_since(made).ok());
    if age.is_none_or(|age| age < SURELY_LOCKED_BY_NOW) {
        return false;
    }
    File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(path: &Path) {
        let long_ago = SystemTime::now() - 2 * SURELY_LOCKED_BY_NOW;
        File::open(path)
            .and_then(|open| open.set_modified(long_ago))
            .expect("made older");
    }

    #[test]
    fn only_abandoned_folders_are_swept() {
        let account = Account::ourselves();
        let parent = tempfile::tempdir().expect("a temporary folder");
        let [used, abandoned, young] = ["used", "abandoned", "young"].map(|name| {
            let folder = parent.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&folder).expect("a folder");
            File::create(folder.join(LOCK)).expect("a lock");
            folder
        });
        let lock = File::open(used.join(LOCK)).expect("the lock");
        lock.try_lock().expect("nobody else holds it");
        age(&used);
        age(&abandoned);
        sweep(parent.path(), &account);
        assert!(used.exists() && young.exists() && !abandoned.exists());
    }

    #[test]
    fn a_folder_goes_with_its_owner() {
        let folder = TemporaryFolder::create(&Account::ourselves()).expect("a folder");
        let path = folder.path().to_owned();
        assert!(path.exists());
        drop(folder);
        assert!(!path.exists());
    }
}
