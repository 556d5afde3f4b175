//! The data of a private Postgres: made once, with a password that only its owner can read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::PostgresError;
use super::programs::Programs;
use crate::account::Account;
use crate::offspring::{all_gone, children_of, is_alive, signal_all, was_started_with};
use crate::process::Process;
use crate::secret::{random_token, write_private};

const INITDB_LIMIT: Duration = Duration::from_mins(3);
const OLD_SERVER_LIMIT: Duration = Duration::from_secs(20);
/// Linux allows no longer path for a socket.
const LONGEST_SOCKET_PATH: usize = 107;
const LONGEST_SOCKET_NAME: &str = ".s.PGSQL.65535";

/// The folder of one Postgres, and who may open it.
pub(super) struct Cluster {
    pub(super) programs: Programs,
    pub(super) password: String,
    root: PathBuf,
}

impl Cluster {
    /// Opens the data in the folder, or makes it when there is none.
    pub(super) async fn open(root: &Path, account: &Account) -> Result<Self, PostgresError> {
        let at = |source| PostgresError::Folder {
            path: root.to_owned(),
            source,
        };
        if !root.exists() {
            fs::DirBuilder::new().create(root).map_err(at)?;
            account.give(root).map_err(at)?;
        }
        let secret = root.join("password");
        if let Some(data_major) = data_version(&root.join("cluster")).map_err(at)? {
            let password = match fs::read_to_string(&secret) {
                Ok(password) => password,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(PostgresError::PasswordLost(root.to_owned()));
                }
                Err(error) => return Err(at(error)),
            };
            let programs = Programs::find(Some(data_major))?;
            return Ok(Self {
                programs,
                password,
                root: root.to_owned(),
            });
        }
        let password = random_token();
        write_private(&secret, &password)
            .and_then(|()| account.give(&secret))
            .map_err(at)?;
        let cluster = Self {
            programs: Programs::find(None)?,
            password,
            root: root.to_owned(),
        };
        cluster.make(&secret, account).await?;
        Ok(cluster)
    }

    /// Where the data lies.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("cluster")
    }

    /// Where the server puts its socket; nowhere when the path is too long for one.
    pub(super) fn socket_folder(&self) -> &Path {
        let longest = self.root.join(LONGEST_SOCKET_NAME);
        let fits = longest.as_os_str().len() <= LONGEST_SOCKET_PATH;
        // The setting is a list, so a comma would split the path.
        if fits && !longest.to_string_lossy().contains(',') {
            &self.root
        } else {
            Path::new("")
        }
    }

    async fn make(&self, secret: &Path, account: &Account) -> Result<(), PostgresError> {
        let at = |source| PostgresError::Folder {
            path: self.root.clone(),
            source,
        };
        // Made beside its place and then renamed, so that a start that was cut off leaves nothing
        // half done.
        let draft = self.root.join("cluster.new");
        if draft.exists() {
            fs::remove_dir_all(&draft).map_err(at)?;
        }
        let mut command = account.command(self.programs.initdb(), Signal::SIGKILL);
        command
            .arg("--pgdata")
            .arg(&draft)
            .arg("--pwfile")
            .arg(secret)
            .current_dir(&self.root);
        command.args(["--username=postgres", "--auth=scram-sha-256", "--no-locale"]);
        command.args(["--encoding=UTF8", "--no-instructions"]);
        let initdb = Process::start("initdb", command, None)?;
        match initdb.wait(INITDB_LIMIT).await {
            Some(status) if status.success() => fs::rename(&draft, self.data()).map_err(at),
            _ => Err(PostgresError::InitFailed(
                initdb.lines().tail(crate::process::QUOTED_LINES),
            )),
        }
    }

    /// Makes way for a new server: waits for one that is still stopping because its parent was
    /// killed, and removes a stale note of one that is gone but whose process id somebody else has
    /// by now.
    pub(super) async fn clear_remains(&self) -> Result<(), PostgresError> {
        let note = self.data().join("postmaster.pid");
        let Ok(content) = fs::read_to_string(&note) else {
            return Ok(());
        };
        let Some(pid) = content
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok())
        else {
            return Ok(());
        };
        let pid = Pid::from_raw(pid);
        if !was_started_with(pid, &self.data().to_string_lossy()) {
            // Only one owner at a time uses the folder, so this names no server. PostgreSQL itself
            // would believe the note as long as any process has that id.
            if is_alive(pid) {
                fs::remove_file(&note).map_err(|source| PostgresError::Folder {
                    path: note.clone(),
                    source,
                })?;
            }
            return Ok(());
        }
        if all_gone(&[pid], OLD_SERVER_LIMIT).await {
            return Ok(());
        }
        let mut family = children_of(pid);
        family.insert(0, pid);
        signal_all(&family, Signal::SIGKILL);
        if all_gone(&family, OLD_SERVER_LIMIT).await {
            return Ok(());
        }
        Err(PostgresError::OldServer(pid))
    }
}

fn data_version(data: &Path) -> io::Result<Option<u32>> {
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(version) => version.trim().parse().map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster_in(root: &str) -> Cluster {
        let programs = Programs::find(None).expect("PostgreSQL is installed");
        Cluster {
            programs,
            password: String::new(),
            root: PathBuf::from(root),
        }
    }

    #[test]
    fn a_deep_folder_has_no_socket() {
        let shallow = cluster_in("/var/tmp/quittance/postgres");
        assert_eq!(
            shallow.socket_folder(),
            Path::new("/var/tmp/quittance/postgres")
        );
        let deep = format!("/{}", "d".repeat(100));
        assert_eq!(cluster_in(&deep).socket_folder(), Path::new(""));
        assert_eq!(cluster_in("/a,b").socket_folder(), Path::new(""));
    }

    #[tokio::test]
    async fn a_note_with_somebody_elses_process_id_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cluster = cluster_in(&folder.path().to_string_lossy());
        fs::create_dir(cluster.data()).expect("a folder");
        let note = cluster.data().join("postmaster.pid");
        fs::write(&note, format!("{}\n/elsewhere\n", Pid::this())).expect("written");
        cluster.clear_remains().await.expect("cleared");
        assert!(!note.exists());
    }
}
