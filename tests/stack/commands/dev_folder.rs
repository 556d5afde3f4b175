//! The folder `.dev` of a checkout: what `stack up` keeps between starts, and tells to scripts.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::Account;
use crate::secret::{random_token, write_private};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DevFolderError {
    /// The system refused something.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another `stack up` has it.
    #[error(
        "`stack up` is already running in this checkout; stop it with Ctrl-C there, or use it \
         (see .dev/env)"
    )]
    InUse,
}

/// What must stay the same from start to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) operator_token: String,
    pub(super) demo_user: Option<Uuid>,
    /// The keys on the chain follow from it.
    #[serde(default = "random_token")]
    pub(super) chain_seed: String,
    /// Where JSON-RPC of the local chain was at the last start; none when it was a validator.
    #[serde(default)]
    pub(super) own_chain: Option<String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            operator_token: random_token(),
            demo_user: None,
            chain_seed: random_token(),
            own_chain: None,
        }
    }
}

/// The local chain that `stack up` last had in this checkout: no validator to run tests on.
pub(super) fn own_chain(checkout: &Path) -> Option<String> {
    State::read(&folder_of(checkout)).own_chain
}

fn folder_of(checkout: &Path) -> PathBuf {
    checkout.join(".dev")
}

impl State {
    /// What was kept in the folder; something new when nothing readable was.
    fn read(folder: &Path) -> Self {
        let kept = fs::read_to_string(folder.join("state.json")).unwrap_or_default();
        serde_json::from_str(&kept).unwrap_or_default()
    }
}

/// The folder, held by us alone.
pub(super) struct DevFolder {
    path: PathBuf,
    /// Held, not read: ends with us however we end.
    _lock: File,
}

impl DevFolder {
    /// Makes the folder if need be and takes it, unless another `stack up` has it.
    pub(super) fn take(checkout: &Path, account: &Account) -> Result<Self, DevFolderError> {
        let path = folder_of(checkout);
        // The servers' own user must get through to the data, but sees no names on the way.
        make_folder(
            &path,
            if account.is_another_user() {
                0o711
            } else {
                0o700
            },
        )?;
        make_folder(&path.join("log"), 0o700)?;
        let lock_path = path.join("lock");
        let at = |source| DevFolderError::Io {
            path: lock_path.clone(),
            source,
        };
        let lock = File::create(&lock_path).map_err(at)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DevFolderError::InUse),
            Err(TryLockError::Error(source)) => Err(at(source)),
        }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the output of a process goes.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path.join("log").join(format!("{name}.log"))
    }

    /// What was kept; something new when nothing readable was.
    pub(super) fn state(&self) -> State {
        State::read(&self.path)
    }

    /// Keeps it.
    pub(super) fn keep(&self, state: &State) -> Result<(), DevFolderError> {
        let path = self.path.join("state.json");
        let content = serde_json::to_string_pretty(state).map_err(io::Error::other);
        content
            .and_then(|content| write_private(&path, &content))
            .map_err(|source| DevFolderError::Io { path, source })
    }

    /// Writes the file that a shell can read to find everything.
    pub(super) fn write_environment(&self, lines: &[(&str, &str)]) -> Result<(), DevFolderError> {
        let path = self.path.join("env");
        let mut content = String::new();
        for (key, value) in lines {
            content.extend([key, "=", &quoted(value), "\n"]);
        }
        write_private(&path, &content).map_err(|source| DevFolderError::Io { path, source })
    }

    /// Writes the file with which curl is signed in, so that commands need not show the secrets.
    pub(super) fn write_session(
        &self,
        session: &str,
        csrf: &str,
    ) -> Result<PathBuf, DevFolderError> {
        let path = self.path.join("demo.curl");
        let content = format!(
            "# For curl -K: the demo user's session.
silent
show-error
cookie = \"nl_session={session}; nl_csrf={csrf}\"
header = \"X-CSRF-Token: {csrf}\"
header = \"Content-Type: application/json\"
"
        );
        match write_private(&path, &content) {
            Ok(()) => Ok(path),
            Err(source) => Err(DevFolderError::Io { path, source }),
        }
    }
}

fn make_folder(path: &Path, mode: u32) -> Result<(), DevFolderError> {
    let there = DirBuilder::new().recursive(true).mode(mode).create(path);
    // The mode at creation is subject to the user's mask, and the folder may be there already.
    there
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(|source| DevFolderError::Io {
            path: path.to_owned(),
            source,
        })
}

/// A word as a shell reads it. Harmless ones stay bare, for readers that know no quotes.
fn quoted(value: &str) -> String {
    let harmless =
        |character: char| character.is_ascii_alphanumeric() || "_-./:@%+=,".contains(character);
    if !value.is_empty() && value.chars().all(harmless) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn taken() -> (tempfile::TempDir, DevFolder) {
        let checkout = tempfile::tempdir().expect("a temporary folder");
        let dev = DevFolder::take(checkout.path(), &Account::ourselves()).expect("free");
        (checkout, dev)
    }

    #[test]
    fn a_shell_reads_the_environment_back() {
        let (_checkout, dev) = taken();
        let odd = "it's $HOME & `more`\\";
        let url = "postgres://postgres:ab@127.0.0.1:5/quittance";
        dev.write_environment(&[("ODD", odd), ("DATABASE_URL", url)])
            .expect("written");
        let file = dev.path().join("env");
        let script = r#". "$0"; printf '%s|%s' "$ODD" "$DATABASE_URL""#;
        let shell = Command::new("sh").arg("-c").arg(script).arg(&file).output();
        let output = shell.expect("sh runs").stdout;
        assert_eq!(String::from_utf8_lossy(&output), format!("{odd}|{url}"));
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let content = fs::read_to_string(&file).expect("readable");
        assert!(
            content.contains(&format!("\nDATABASE_URL={url}\n")),
            "{content}"
        );
    }

    #[test]
    fn only_one_at_a_time() {
        let (checkout, dev) = taken();
        let second = DevFolder::take(checkout.path(), &Account::ourselves());
        assert!(matches!(second, Err(DevFolderError::InUse)));
        drop(dev);
        assert!(DevFolder::take(checkout.path(), &Account::ourselves()).is_ok());
    }

    #[test]
    fn state_is_kept() {
        let (_checkout, dev) = taken();
        let state = State {
            demo_user: Some(Uuid::new_v4()),
            ..dev.state()
        };
        dev.keep(&state).expect("kept");
        assert_eq!(dev.state().demo_user, state.demo_user);
        assert_eq!(dev.state().operator_token, state.operator_token);
    }
}
