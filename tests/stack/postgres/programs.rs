//! Where the Postgres programs lie.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// The oldest major version that Quittance runs on.
pub const OLDEST_MAJOR: u32 = 15;
/// Where Debian and its relatives put each major version, outside the search path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// One installation of Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    pub(super) major: u32,
    folder: PathBuf,
}

impl Programs {
    /// The installation that the data needs, or the newest one when there is no data yet.
    pub(super) fn find(data_major: Option<u32>) -> Result<Self, PostgresError> {
        choose(installed(), data_major)
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(super) fn named(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

fn choose(mut found: Vec<Programs>, data_major: Option<u32>) -> Result<Programs, PostgresError> {
    found.sort_by_key(|programs| programs.major);
    let Some(newest) = found.last().cloned() else {
        return Err(PostgresError::NotInstalled);
    };
    match data_major {
        Some(major) => found
            .into_iter()
            .find(|programs| programs.major == major)
            .ok_or(PostgresError::OtherVersion {
                data: major,
                newest: newest.major,
            }),
        None if newest.major < OLDEST_MAJOR => Err(PostgresError::TooOld(newest.major)),
        None => Ok(newest),
    }
}

fn installed() -> Vec<Programs> {
    let debian = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let debian = debian.filter_map(|entry| {
        let major = entry.file_name().to_str()?.parse().ok()?;
        complete(major, entry.path().join("bin"))
    });
    let search_path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&search_path).find(|folder| folder.join("initdb").is_file());
    let on_path = on_path.and_then(|folder| complete(major_of(&folder.join("postgres"))?, folder));
    // The last of equals is chosen: the one in its own folder, rather than links to it.
    on_path.into_iter().chain(debian).collect()
}

fn complete(major: u32, folder: PathBuf) -> Option<Programs> {
    let programs = Programs { major, folder };
    (programs.initdb().is_file() && programs.postgres().is_file()).then_some(programs)
}

fn major_of(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `postgres (Postgres) 15.13 (Debian 15.13-0+deb12u1)`, or `17beta1`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = number
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(number.len());
    number.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(majors: &[u32]) -> Vec<Programs> {
        majors
            .iter()
            .map(|major| Programs {
                major: *major,
                folder: PathBuf::new(),
            })
            .collect()
    }

    #[test]
    fn versions_are_read() {
        let debian = "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n";
        assert_eq!(parse_major(debian), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(parse_major("nonsense"), None);
    }

    #[test]
    fn the_newest_is_chosen_unless_the_data_needs_another() {
        let chosen = |found: &[u32], data| choose(versions(found), data).map(|found| found.major);
        assert_eq!(chosen(&[15, 17, 16], None).ok(), Some(17));
        assert_eq!(chosen(&[15, 17, 16], Some(15)).ok(), Some(15));
        assert!(matches!(
            chosen(&[14], None),
            Err(PostgresError::TooOld(14))
        ));
        assert!(matches!(
            chosen(&[], None),
            Err(PostgresError::NotInstalled)
        ));
        let other = PostgresError::OtherVersion {
            data: 15,
            newest: 16,
        };
        assert_eq!(
            chosen(&[16], Some(15)).expect_err("no 15").to_string(),
            other.to_string()
        );
    }
}
