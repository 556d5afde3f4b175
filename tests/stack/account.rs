//! Whom the private servers run as, and how children are tied to the life of their parent.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, User};

/// The users tried, in order, when we are root: Postgres refuses to run as root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Why no account for the servers was found.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Root needs another user for Postgres, and there is none.
    #[error(
        "PostgreSQL refuses to run as root, and neither the user `postgres` nor `nobody` exists; \
         run tests/stack/prerequisites.sh, or run as an ordinary user"
    )]
    NoUnprivilegedUser,
    /// The user database could not be read.
    #[error("cannot look up the user `{name}`: {source}")]
    Lookup {
        /// Whom we looked for.
        name: String,
        /// What the system said.
        source: nix::Error,
    },
}

/// A user that child processes run as.
#[derive(Debug, Clone)]
pub struct Account {
    uid: Uid,
    gid: Gid,
    /// True when children must change user on the way.
    switches: bool,
}

impl Account {
    /// The account for Postgres and Redis: ourselves, or an unprivileged user when we are root.
    pub fn for_servers() -> Result<Self, AccountError> {
        if !Uid::effective().is_root() {
            return Ok(Self::ourselves());
        }
        for name in UNPRIVILEGED {
            let user = User::from_name(name).map_err(|source| AccountError::Lookup {
                name: name.to_owned(),
                source,
            })?;
            if let Some(user) = user {
                return Ok(Self {
                    uid: user.uid,
                    gid: user.gid,
                    switches: true,
                });
            }
        }
        Err(AccountError::NoUnprivilegedUser)
    }

    /// The account we run as.
    #[must_use]
    pub fn ourselves() -> Self {
        Self {
            uid: Uid::effective(),
            gid: Gid::effective(),
            switches: false,
        }
    }

    /// The numeric user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// True when this is another user than the one we run as.
    #[must_use]
    pub fn is_another_user(&self) -> bool {
        self.switches
    }

    /// A command that runs the program as this account, with a cleared environment, and that gets
    /// the signal when we die, however we die.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>, when_we_die: Signal) -> Command {
        let mut command = Command::new("setpriv");
        command
            .arg("--pdeathsig")
            .arg(when_we_die.as_str().trim_start_matches("SIG"));
        if self.switches {
            command
                .arg(format!("--reuid={}", self.uid))
                .arg(format!("--regid={}", self.gid));
            command.arg("--clear-groups");
        }
        command.arg("--").arg(program).env_clear();
        // The caller's PATH, so that setpriv and programs without a folder are found.
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command
    }

    /// True when this account can reach what lies in the folder. Asked of the system itself,
    /// because access lists and mounts have a say in it, too.
    pub fn can_enter(&self, folder: &Path) -> io::Result<bool> {
        if !self.switches {
            return Ok(true);
        }
        let mut command = self.command("test", Signal::SIGKILL);
        command.arg("-x").arg(folder).current_dir("/");
        let status = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(status.success())
    }

    /// Gives a file or folder to this account.
    pub(crate) fn give(&self, path: &Path) -> io::Result<()> {
        if self.switches {
            // Never through a link: the account may change what lies in its own folders.
            lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))?;
        }
        Ok(())
    }
}

/// The folder for temporary data that the account can reach: the system's choice where possible.
pub(crate) fn reachable_temporary_folder(account: &Account) -> PathBuf {
    let chosen = std::env::temp_dir();
    if account.can_enter(&chosen).unwrap_or(false) {
        chosen
    } else {
        PathBuf::from("/tmp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn servers_never_run_as_root() {
        let account = Account::for_servers().expect("this system has an unprivileged user");
        assert_ne!(account.uid(), 0);
        let output = account
            .command("id", Signal::SIGKILL)
            .arg("-u")
            .output()
            .expect("id runs");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            account.uid().to_string()
        );
    }

    #[test]
    fn a_closed_folder_is_noticed() {
        let account = Account::for_servers().expect("this system has an unprivileged user");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).expect("a folder");
        let close = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder.path(), close).expect("our own folder");
        // Root's closed folder is closed to the server's account; one's own never is.
        let enters = account.can_enter(&inner).expect("test runs");
        assert_eq!(enters, !account.is_another_user());
    }
}
