//! Invoices to pay, made through the api as browsers make them.

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use stack::{Console, Deployment};

use crate::failure::BenchError;

/// One dollar each.
pub const AMOUNT_MICRO: u64 = 1_000_000;
/// A user may have twenty.
const INVOICES_OF_A_USER: usize = 10;
/// Calls at once.
const CONCURRENCY: usize = 8;

/// What an invoice asks for.
#[derive(Debug, Clone)]
pub struct Bill {
    /// The invoice.
    pub invoice: String,
    /// The keys that its payment names.
    pub references: Vec<Pubkey>,
}

impl Bill {
    /// Reads a created invoice's payment URI.
    fn of(invoice: &Value) -> Option<Self> {
        let (_, query) = invoice["qr_uri"].as_str()?.split_once('?')?;
        let references: Vec<Pubkey> = query
            .split('&')
            .filter_map(|field| field.strip_prefix("reference="))
            .filter_map(|key| key.parse().ok())
            .collect();
        Some(Self {
            invoice: invoice["id"].as_str()?.to_owned(),
            references,
        })
        .filter(|bill| !bill.references.is_empty())
    }
}

/// Makes so many top-ups in USDC, ten of each user.
pub async fn bills(deployment: &Deployment, count: usize) -> Result<Vec<Bill>, BenchError> {
    let users = count.div_ceil(INVOICES_OF_A_USER);
    let of_user = |user: usize| {
        let count = (count - user * INVOICES_OF_A_USER).min(INVOICES_OF_A_USER);
        bills_of_user(deployment, count)
    };
    let bills: Vec<Vec<Bill>> = futures::stream::iter((0..users).map(of_user))
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    // One user's payments are far apart, as in life.
    let mut mixed = Vec::with_capacity(count);
    for place in 0..INVOICES_OF_A_USER {
        mixed.extend(
            bills
                .iter()
                .filter_map(|of_user| of_user.get(place).cloned()),
        );
    }
    Ok(mixed)
}

async fn bills_of_user(deployment: &Deployment, count: usize) -> Result<Vec<Bill>, BenchError> {
    let console = deployment.user().await?;
    let mut bills = Vec::with_capacity(count);
    for _ in 0..count {
        bills.push(bill(&console).await?);
    }
    Ok(bills)
}

async fn bill(console: &Console) -> Result<Bill, BenchError> {
    let body = json!({
        "channel": "crypto-onchain", "rail": "sol-spl-usdc", "amount_micro": AMOUNT_MICRO,
        "bill_action": {"type": "topup"},
    });
    let answer = console.create_invoice(&body).await?;
    let created = answer.expect_status(201, "POST /v1/billing/invoices")?;
    Bill::of(&created.body).ok_or(BenchError::Unpayable(created.text))
}
