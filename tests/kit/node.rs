//! The wallet's process.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stack::account::Account;
use stack::chain::Wallet;
use stack::{Console, Deployment};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Longer than the wallet itself waits for the chain.
const LIMIT: Duration = Duration::from_mins(3);

/// Runs Node in the wallet's folder, with this on its standard input.
pub async fn node(arguments: &[&str], input: &str) -> Output {
    let root = stack::checkout::root().expect("tests run inside the checkout");
    let folder: PathBuf = root.join("tests/kit/client");
    let program = folder.join("node_modules/.bin/node");
    assert!(
        program.exists(),
        "{} is missing; run tests/kit/prerequisites.sh (`make test` does)",
        program.display()
    );
    let mut command = Account::ourselves().command(program, Signal::SIGKILL);
    command.args(arguments).current_dir(folder);
    let mut child = Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Node starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that ends early does not read; how it ended tells more.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let ended = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    ended
        .expect("the wallet ends in time")
        .expect("an exit code")
}

/// What the wallet is told, whatever it is to do.
pub fn job(deployment: &Deployment, console: &Console, wallet: &Wallet) -> Value {
    let (chain, tokens) = (deployment.chain(), console.tokens());
    json!({
        "rpc_url": chain.rpc().url(),
        "ws_url": chain.ws_url(),
        "api_url": deployment.api(0).url(),
        "session": tokens.session,
        "csrf": tokens.csrf,
        "secret": wallet.secret(),
    })
}

/// Lets the wallet pay; returns the line that it prints.
pub async fn pays(job: &Value) -> Value {
    let output = node(&["main.js"], &job.to_string()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the wallet gave up on {} ({}): {complaint}",
        job["uri"],
        output.status
    );
    assert_eq!(said.lines().count(), 1, "{said}{complaint}");
    serde_json::from_str(&said).expect("a line of JSON")
}

/// The wallet must not pay; returns what it says.
pub async fn gives_up(job: &Value) -> String {
    let output = node(&["main.js"], &job.to_string()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), &*said), (Some(1), ""));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.starts_with("error: "), "{complaint}");
    complaint
}
