//! A client that follows the contract: it retries what it may retry, and takes nothing else for an answer.

use std::time::Duration;

use stack::client::ClientError;
use stack::{Answer, Console};
use tokio::time::{Instant, sleep};

/// The longest until a call must have a definite answer, its retries included.
const DEFINITE: Duration = Duration::from_secs(45);
/// What `Retry-After` must say.
const RETRY_AFTER: &str = "1";
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How soon a client whose connection broke turns to another api.
const FAILOVER_PAUSE: Duration = Duration::from_millis(100);

/// Why a call was repeated that got no answer: the api did not listen any more.
pub const REFUSED: &str = "connection refused";
/// Why a call was repeated that got no answer: the connection ended after it was made.
pub const BROKEN: &str = "connection broken";

/// 503 answers that ask for a retry.
const RETRYABLE: [&str; 3] = ["settlement_pending", "queue_full", "unavailable"];
/// 409 answers of a payment.
const REFUSALS: [&str; 6] = [
    "not_owner",
    "invoice_not_pending",
    "invoice_is_topup",
    "insufficient_balance",
    "balance_locked",
    "already_debited",
];

/// A definite answer to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// 200.
    Paid {
        /// The balance it told.
        balance_micro: i64,
    },
    /// 409 with this error.
    Refused(String),
}

/// What one answer means to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The call is over.
    Definite(Verdict),
    /// A documented 503: ask again.
    Again(String),
}

/// What became of a call with its retries.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The invoice.
    pub invoice: String,
    /// The answer in the end.
    pub verdict: Verdict,
    /// Why it was asked again, each time.
    pub retries: Vec<String>,
    /// From the first request to the definite answer.
    pub took: Duration,
}

/// Whether a connection may break without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// No: every request gets an answer.
    Hold,
    /// Yes: the test kills or stops an api.
    MayBreak,
}

impl Verdict {
    /// Whether the invoice was paid.
    pub fn is_paid(&self) -> bool {
        matches!(self, Self::Paid { .. })
    }

    /// A refusal with this error.
    pub fn refused(error: &str) -> Self {
        Self::Refused(error.to_owned())
    }
}

/// What an answer to a payment means.
///
/// # Panics
/// When it is none of the documented ones.
pub fn judge(invoice: &str, answer: &Answer) -> Heard {
    let error = answer.error();
    match answer.status {
        200 => {
            assert_eq!(answer.body["invoice_id"], invoice, "{}", answer.text);
            assert_eq!(answer.body["status"], "paid", "{}", answer.text);
            let balance_micro = answer.body["new_balance_micro"].as_i64();
            Heard::Definite(Verdict::Paid {
                balance_micro: balance_micro.unwrap_or_else(|| panic!("{}", answer.text)),
            })
        }
        409 if REFUSALS.contains(&error) => Heard::Definite(Verdict::refused(error)),
        503 if RETRYABLE.contains(&error) => {
            let after = answer
                .headers
                .get("retry-after")
                .map(|value| value.to_str().unwrap());
            assert_eq!(after, Some(RETRY_AFTER), "503 {error} of {invoice}");
            Heard::Again(error.to_owned())
        }
        status => panic!("paying {invoice} answered {status}: {}", answer.text),
    }
}

/// Pays once and takes a definite answer only.
///
/// # Panics
/// When the answer asks for a retry, or is no documented one.
pub async fn pay_once(console: &Console, invoice: &str) -> Verdict {
    match judge(invoice, &console.pay(invoice).await.unwrap()) {
        Heard::Definite(verdict) => verdict,
        Heard::Again(error) => panic!("paying {invoice} answered 503 {error}"),
    }
}

/// Pays, and asks again as the contract allows, going from api to api, until the answer is definite.
///
/// # Panics
/// When an answer is no documented one, when none is definite in time, or when a connection broke that should hold.
pub async fn pay_until_definite(
    consoles: &[Console],
    invoice: &str,
    connections: Connections,
) -> Settled {
    let started = Instant::now();
    let mut retries = Vec::new();
    for console in consoles.iter().cycle() {
        match console.pay(invoice).await {
            Ok(answer) => match judge(invoice, &answer) {
                Heard::Definite(verdict) => {
                    return Settled {
                        invoice: invoice.to_owned(),
                        verdict,
                        retries,
                        took: started.elapsed(),
                    };
                }
                Heard::Again(error) => {
                    retries.push(error);
                    sleep(RETRY_PAUSE).await;
                }
            },
            Err(ClientError::NoAnswer { source, .. }) if connections == Connections::MayBreak => {
                // Refused before anything was sent, or broken after.
                let how = if source.is_connect() { REFUSED } else { BROKEN };
                retries.push(how.to_owned());
                sleep(FAILOVER_PAUSE).await;
            }
            Err(error) => panic!("paying {invoice}: {error}"),
        }
        assert!(
            started.elapsed() < DEFINITE,
            "no definite answer for {invoice}, after {retries:?}"
        );
    }
    unreachable!("there is at least one console")
}
