//! Where a checkout's Postgres and Redis keep their data between starts.
//!
//! The place is `.dev/data`. When the servers run as another user that cannot reach the checkout
//! (root's home is closed to others), the data lies in a private folder elsewhere and `.dev/data`
//! is a link to it.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::account::Account;

/// Where data goes that cannot lie in the checkout: survives a restart of the machine, unlike
/// `/tmp`.
pub const SHELTER: &str = "/var/tmp";

/// Why there is no place for the data.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// The system refused something.
    #[error("cannot prepare {} for the databases: {source}", path.display())]
    Io {
        /// What was to be prepared.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else is where the data should be.
    #[error("{} is not a folder; move it away, the databases keep their data there", .0.display())]
    NotAFolder(PathBuf),
    /// Another user made the folder, perhaps on purpose.
    #[error(
        "{} belongs to user {owner}, but the databases run as user {wanted}; start as the user \
         that you started as before, or remove the folder (`sudo rm -rf {0}`) to begin with empty \
         databases", path.display()
    )]
    ForeignOwner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        wanted: u32,
    },
    /// Others can look into the folder.
    #[error("{} is open to other users (mode {mode:o}); close it: chmod 700 {0}", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The data lies in the checkout, but the servers cannot get there any more.
    #[error(
        "the databases run as user {wanted}, who cannot reach {}; open the folders above it to \
         others (chmod o+x), or remove it to begin with empty databases", path.display()
    )]
    OutOfReach {
        /// The folder.
        path: PathBuf,
        /// Who should get there.
        wanted: u32,
    },
}

/// Finds or makes the folder for the checkout's data, and returns where it really lies.
pub fn place(dev: &Path, account: &Account, shelter: &Path) -> Result<PathBuf, DataFolderError> {
    let at = |source| DataFolderError::Io {
        path: dev.to_owned(),
        source,
    };
    let entry = dev.join("data");
    let sheltered = sheltered_folder(dev, shelter).map_err(at)?;
    let existing = look(&entry)?;
    if existing.as_ref().is_some_and(Metadata::is_symlink) {
        if fs::read_link(&entry).map_err(at)? == sheltered {
            own_folder(&sheltered, account)?;
            return Ok(sheltered);
        }
        // The checkout was copied: the link leads to the original's data. Only the link goes.
        fs::remove_file(&entry).map_err(at)?;
    }
    if account.can_enter(dev).map_err(at)? {
        own_folder(&entry, account)?;
        return Ok(entry);
    }
    if existing.is_some_and(|found| !found.is_symlink()) {
        return Err(DataFolderError::OutOfReach {
            path: entry,
            wanted: account.uid(),
        });
    }
    own_folder(&sheltered, account)?;
    symlink(&sheltered, &entry).map_err(at)?;
    Ok(sheltered)
}

fn sheltered_folder(dev: &Path, shelter: &Path) -> io::Result<PathBuf> {
    let path = dev.canonicalize()?;
    let hash = hex::encode(Sha256::digest(path.as_os_str().as_encoded_bytes()));
    Ok(shelter.join(format!("quittance-{}", hash.get(..16).unwrap_or(&hash))))
}

fn look(path: &Path) -> Result<Option<Metadata>, DataFolderError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataFolderError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Makes the folder, or checks that what is there is a closed folder of the account: in a place
/// where everybody may write, somebody else may have been first.
fn own_folder(path: &Path, account: &Account) -> Result<(), DataFolderError> {
    let at = |source| DataFolderError::Io {
        path: path.to_owned(),
        source,
    };
    if look(path)?.is_none() {
        DirBuilder::new().mode(0o700).create(path).map_err(at)?;
        // Until this line the folder is ours, so nobody can have replaced it.
        account.give(path).map_err(at)?;
    }
    let found = fs::symlink_metadata(path).map_err(at)?;
    if !found.is_dir() {
        return Err(DataFolderError::NotAFolder(path.to_owned()));
    }
    if found.uid() != account.uid() {
        return Err(DataFolderError::ForeignOwner {
            path: path.to_owned(),
            owner: found.uid(),
            wanted: account.uid(),
        });
    }
    if found.mode() & 0o077 != 0 {
        return Err(DataFolderError::Open {
            path: path.to_owned(),
            mode: found.mode() & 0o777,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Place {
        folder: tempfile::TempDir,
        account: Account,
    }

    impl Place {
        /// A checkout that the account can reach, or cannot.
        fn new(open: bool) -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let place = Self {
                folder,
                account: Account::for_servers().expect("an account"),
            };
            chmod(place.folder.path(), 0o755);
            fs::create_dir_all(place.shelter()).expect("a shelter");
            fs::create_dir_all(place.dev()).expect("a checkout");
            chmod(
                &place.folder.path().join("checkout"),
                if open { 0o755 } else { 0o700 },
            );
            place
        }
        fn dev(&self) -> PathBuf {
            self.folder.path().join("checkout/.dev")
        }
        fn shelter(&self) -> PathBuf {
            self.folder.path().join("shelter")
        }
        fn place(&self) -> Result<PathBuf, DataFolderError> {
            place(&self.dev(), &self.account, &self.shelter())
        }
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own folder");
    }

    #[test]
    fn data_lies_in_a_checkout_that_can_be_reached() {
        let here = Place::new(true);
        let data = here.place().expect("a place");
        assert_eq!(data, here.dev().join("data"));
        assert_eq!(
            fs::metadata(&data).expect("there").uid(),
            here.account.uid()
        );
        assert_eq!(here.place().expect("the same place"), data);
    }

    #[test]
    fn data_lies_elsewhere_when_the_checkout_is_closed() {
        let here = Place::new(false);
        if !here.account.is_another_user() {
            return;
        }
        let data = here.place().expect("a place");
        assert!(data.starts_with(here.shelter()));
        assert!(here.account.can_enter(&data).expect("asked"));
        assert_eq!(
            fs::read_link(here.dev().join("data")).expect("a link"),
            data
        );
        assert_eq!(here.place().expect("the same place"), data);
    }

    #[test]
    fn a_copied_link_leads_nowhere_else() {
        let here = Place::new(false);
        if !here.account.is_another_user() {
            return;
        }
        let original = here.folder.path().join("original");
        fs::create_dir(&original).expect("a folder");
        symlink(&original, here.dev().join("data")).expect("a link");
        assert_ne!(here.place().expect("a place"), original);
        assert!(original.exists(), "the original's data stays");
    }

    #[test]
    fn a_folder_that_somebody_else_put_there_is_refused() {
        let here = Place::new(false);
        if !here.account.is_another_user() {
            return;
        }
        let squatted = sheltered_folder(&here.dev(), &here.shelter()).expect("a name");
        fs::create_dir(&squatted).expect("a folder of root's");
        let message = here.place().expect_err("not ours").to_string();
        assert!(message.contains("belongs to user 0"), "{message}");
        fs::remove_dir(&squatted).expect("removed");
        symlink("/tmp", &squatted).expect("a link");
        assert!(matches!(here.place(), Err(DataFolderError::NotAFolder(_))));
    }

    #[test]
    fn a_folder_that_others_can_read_is_refused() {
        let here = Place::new(true);
        let data = here.place().expect("a place");
        chmod(&data, 0o755);
        assert!(matches!(
            here.place(),
            Err(DataFolderError::Open { mode: 0o755, .. })
        ));
    }
}
