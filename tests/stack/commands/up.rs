//! `stack up`: everything in the foreground, until Ctrl-C.

use super::interrupts::Interrupts;
use super::local::Local;
use super::screen::say;
use super::{CommandError, INTERRUPTED, demonstration};

/// Starts the stack, shows that it works, and stays until it is asked to stop or a part of it ends.
pub(super) async fn up() -> Result<u8, CommandError> {
    let mut interrupts = Interrupts::listen()?;
    let mut local = tokio::select! {
        local = Local::start() => local?,
        _ = interrupts.next() => return Ok(INTERRUPTED),
    };
    let served = tokio::select! {
        served = serve(&mut local) => served,
        _ = interrupts.next() => Ok(()),
    };
    say("\nstopping (once more Ctrl-C kills instead)");
    let stopped = tokio::select! {
        stopped = local.stop() => stopped,
        _ = interrupts.next() => return Ok(INTERRUPTED),
    };
    // What went wrong first explains what went wrong later.
    served?;
    stopped?;
    say("stopped");
    Ok(0)
}

/// Ends only when something goes wrong.
async fn serve(local: &mut Local) -> Result<(), CommandError> {
    let console = match demonstration::show(local).await {
        Ok(console) => console,
        // A failure of a call is only the shadow of a process that has died.
        Err(error) => return Err(local.cause_of_death().unwrap_or(error)),
    };
    demonstration::explain(local, &console)?;
    Err(local.first_death().await)
}
