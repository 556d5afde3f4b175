//! `pgbench` with the debit as its transaction: the limit of one commit for each payment.

use std::process::Stdio;
use std::time::Duration;

use stack::Postgres;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::debit::{DEBIT, TRACE};
use crate::failure::BenchError;
use crate::load::Run;
use crate::stock::{Due, Payer};

/// What its transactions ask for: the invoice and the user of a number that no two of them share, made on the spot, so
/// that nothing is looked up for it.
const SCRIPT: &str = "\\set i :i + 1
\\set n :first + :client_id + (:i - 1) * :clients
";
const INVOICE: &str = "('inv_' || left(encode(sha256(:n::bigint::text::bytea), 'hex'), 16))";

/// Has so many clients debit these invoices, whose numbers follow each other, until the time is over.
pub async fn pgbench(
    postgres: &Postgres,
    database: &str,
    payers: &[Payer],
    dues: &[Due],
    clients: usize,
    time: Duration,
) -> Result<Run, BenchError> {
    let script = NamedTempFile::new()?;
    std::fs::write(script.path(), transaction(payers))?;
    let first = dues.first().map_or(0, |due| due.number);
    let output = Command::new(postgres.program("pgbench"))
        .args([
            "--no-vacuum",
            "--protocol=prepared",
            "--jobs=1",
            "-D",
            "i=0",
        ])
        .args([
            "--client",
            &clients.to_string(),
            "-D",
            &format!("clients={clients}"),
        ])
        .args([
            "--time",
            &time.as_secs().to_string(),
            "-D",
            &format!("first={first}"),
        ])
        .arg("--file")
        .arg(script.path())
        .arg(postgres.url_superuser(database))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let paid = number_after(&text, "number of transactions actually processed: ");
    let rate = number_after(&text, "tps = ");
    match paid.zip(rate) {
        Some((paid, rate)) if output.status.success() && rate > 0.0 => Ok(Run {
            paid: format!("{paid:.0}").parse().unwrap_or_default(),
            elapsed: Duration::from_secs_f64(paid / rate),
            latencies: Vec::new(),
        }),
        _ => {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(BenchError::Program("pgbench", complaint))
        }
    }
}

/// The script. Users' ids follow each other, too.
fn transaction(payers: &[Payer]) -> String {
    let (count, first) = (payers.len(), payers.first().map_or(0, |payer| payer.place));
    let user = format!("lpad(to_hex({first} + :n::bigint % {count}), 32, '0')");
    let debit = DEBIT
        .replace("$1", INVOICE)
        .replace("$2", &user)
        .replace("$3", &format!("'{TRACE}'"));
    format!("{SCRIPT}{debit};\n")
}

/// The number behind these words.
fn number_after(text: &str, words: &str) -> Option<f64> {
    let rest = text.split_once(words)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}
