//! What the user sees. Nobody may be looking any more, which must not stop anything.

use std::io::{self, Write as _};

/// Prints a line.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
}

/// Prints a line about a failure.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
