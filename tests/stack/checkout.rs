//! Where the checkout and its built programs lie.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

/// Why something of the checkout was not found.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// We are not inside a checkout.
    #[error(
        "{} is not inside a checkout of Quittance (no folder above has migrations/ and \
         tests/stack/); cd there first", .0.display()
    )]
    NotInside(PathBuf),
    /// The system does not tell where we are.
    #[error("cannot tell the current folder or program: {0}")]
    Nowhere(io::Error),
    /// A program was not built.
    #[error("{} is missing; build it first: cargo build --workspace --bins", .0.display())]
    NotBuilt(PathBuf),
}

/// The root of the checkout that we are in.
pub fn root() -> Result<PathBuf, CheckoutError> {
    let here = env::current_dir().map_err(CheckoutError::Nowhere)?;
    let is_root =
        |folder: &&Path| folder.join("migrations").is_dir() && folder.join("tests/stack").is_dir();
    match here.ancestors().find(is_root) {
        Some(root) => Ok(root.to_owned()),
        None => Err(CheckoutError::NotInside(here)),
    }
}

/// One of Quittance's own programs, from the same build as the running program.
pub fn program(name: &str) -> Result<PathBuf, CheckoutError> {
    let ourselves = env::current_exe().map_err(CheckoutError::Nowhere)?;
    let folder = ourselves.parent().unwrap_or(Path::new("/"));
    // Tests lie one folder deeper than programs.
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    let program = folder.join(name);
    if program.is_file() {
        Ok(program)
    } else {
        Err(CheckoutError::NotBuilt(program))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_below() {
        let root = root().expect("tests run inside the checkout");
        assert!(root.join("tests/stack/checkout.rs").is_file());
    }

    #[test]
    fn a_program_that_is_not_built_is_named() {
        let message = program("quittance-nonesuch")
            .expect_err("never built")
            .to_string();
        assert!(
            message.contains("/quittance-nonesuch is missing; build it first"),
            "{message}"
        );
        assert!(!message.contains("/deps/"), "{message}");
    }
}
