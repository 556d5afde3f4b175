//! What the user sees. Nobody may be looking any more (`stack up | head`), which must not stop
//! anything.

use std::io::{self, Write};

/// Prints a line.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{}", line.trim_end()).and_then(|()| io::stdout().flush());
}

/// Prints a line about a failure.
pub(super) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{}", line.trim_end());
}
