//! Random secrets, and files that only their owner may read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// A random secret.
#[must_use]
pub fn random_bytes() -> [u8; 32] {
    rand::random()
}

/// A random secret of 64 hexadecimal digits.
#[must_use]
pub fn random_token() -> String {
    hex::encode(random_bytes())
}

/// A random lower-case name with the given start, fit for a database or a key prefix.
#[must_use]
pub fn random_name(start: &str) -> String {
    format!("{start}_{}", hex::encode(rand::random::<[u8; 8]>()))
}

/// A random address as Solana writes them.
#[must_use]
pub fn random_deposit_address() -> String {
    bs58::encode(random_bytes()).into_string()
}

/// A secret that follows from another one, for a named purpose: whoever knows the first need not be
/// told the second.
#[must_use]
pub fn derived_token(secret: &str, purpose: &str) -> String {
    hex::encode(derived_bytes(secret, purpose))
}

/// As [`derived_token`], before it is written down.
#[must_use]
pub fn derived_bytes(secret: &str, purpose: &str) -> [u8; 32] {
    Sha256::digest(format!("{purpose}\n{secret}")).into()
}

/// Writes a file that only its owner may read, in place of one that may be there. Readers never see
/// half of it.
pub fn write_private(file: &Path, content: &str) -> io::Result<()> {
    let draft = file.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // `create_new` follows no link that somebody may have put there.
    let mut options = OpenOptions::new();
    let mut open = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    open.write_all(content.as_bytes())?;
    fs::rename(&draft, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_file_is_private_and_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("secret");
        write_private(&file, "one").expect("written");
        write_private(&file, "two").expect("written again");
        assert_eq!(fs::read_to_string(&file).expect("readable"), "two");
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn secrets_differ_and_follow_from_their_purpose() {
        assert_ne!(random_token(), random_token());
        assert_eq!(derived_token("s", "api"), derived_token("s", "api"));
        assert_ne!(derived_token("s", "api"), derived_token("s", "worker"));
        let address = bs58::decode(random_deposit_address())
            .into_vec()
            .expect("base58");
        assert_eq!(address.len(), 32);
    }
}
