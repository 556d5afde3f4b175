//! The program behind `make up` and `make test`; `stack help` says what it does.

use std::env;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    stack::commands::run(&arguments).await
}
