//! A Quittance on a chain, and payers who do as the payment URI says, or not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use stack::chain::instructions::{create_token_account, transfer, transfer_tokens};
use stack::chain::{Chain, Gift, Token, Wallet};
use stack::deployment::Builder;
use stack::{Console, Deployment, Frames};

/// How long anything on chain may take: a real validator needs some 15 s to finality, and one that shares its machine two
/// minutes to forget a blockhash.
pub const LIMIT: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(50);
/// Enough for every payment of a test.
const PURSE: Gift = Gift {
    lamports: 5_000_000_000,
    usdc: 2_000_000_000,
    usdt: 2_000_000_000,
};

/// The rails and the amount of a top-up that wallets of tests can pay on each, micro-USD.
pub const RAILS: [&str; 3] = ["sol-native", "sol-spl-usdc", "sol-spl-usdt"];

/// A deployment on the test run's chain, quick to notice.
pub fn builder() -> Builder {
    Deployment::builder()
        .chain()
        .env("QUITTANCE_WATCH_POLL_INTERVAL_MS", "1000")
        .env("QUITTANCE_WATCH_FINALITY_INTERVAL_MS", "200")
}

/// The body of a top-up.
pub fn top_up(rail: &str, channel: &str, amount_micro: i64) -> Value {
    json!({
        "channel": channel, "rail": rail, "amount_micro": amount_micro,
        "bill_action": {"type": "topup"},
    })
}

/// The body of a purchase.
pub fn purchase(rail: &str, channel: &str) -> Value {
    json!({
        "channel": channel, "rail": rail,
        "bill_action": {"type": "subscription_purchase", "plan": "starter", "months": 1},
    })
}

/// What a payment URI asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The invoice.
    pub id: String,
    /// Where to.
    pub recipient: Pubkey,
    /// How much, base units.
    pub units: u64,
    /// Of what; lamports without it.
    pub mint: Option<Pubkey>,
    /// Naming these.
    pub references: Vec<Pubkey>,
}

impl Asked {
    /// Reads a created invoice's URI as a wallet would.
    pub fn of(invoice: &Value) -> Self {
        let uri = invoice["qr_uri"].as_str().unwrap();
        let (recipient, query) = uri
            .strip_prefix("solana:")
            .unwrap()
            .split_once('?')
            .unwrap();
        let fields: Vec<(&str, &str)> = query
            .split('&')
            .map(|field| field.split_once('=').unwrap())
            .collect();
        let one = |name: &str| {
            fields
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        };
        let mint: Option<Pubkey> = one("spl-token").map(|mint| mint.parse().unwrap());
        let references = fields.iter().filter(|(key, _)| *key == "reference");
        Self {
            id: invoice["id"].as_str().unwrap().to_owned(),
            recipient: recipient.parse().unwrap(),
            units: base_units(one("amount").unwrap(), if mint.is_some() { 6 } else { 9 }),
            mint,
            references: references
                .map(|(_, value)| value.parse().unwrap())
                .collect(),
        }
    }

    /// The invoice's own reference.
    pub fn reference(&self) -> Pubkey {
        self.references[0]
    }

    /// The token it asks for.
    pub fn token(&self, chain: &Chain) -> Token {
        let mint = self.mint.unwrap();
        let known = [chain.usdc(), chain.usdt()];
        **known.iter().find(|token| token.mint == mint).unwrap()
    }

    /// Instructions that pay so many units, naming these keys.
    pub fn pay_naming(
        &self,
        chain: &Chain,
        payer: &Pubkey,
        units: u64,
        names: &[Pubkey],
    ) -> Vec<Instruction> {
        if self.mint.is_none() {
            return vec![transfer(payer, &self.recipient, units, names)];
        }
        let token = self.token(chain);
        vec![
            create_token_account(payer, &self.recipient, &token),
            transfer_tokens(&token, payer, &self.recipient, units, names),
        ]
    }

    /// Instructions that pay so many units as the URI says.
    pub fn pay(&self, chain: &Chain, payer: &Pubkey, units: u64) -> Vec<Instruction> {
        self.pay_naming(chain, payer, units, &self.references)
    }
}

fn base_units(amount: &str, decimals: usize) -> u64 {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    format!("{whole}{fraction:0<decimals$}").parse().unwrap()
}

/// A wallet with money.
pub async fn payer(deployment: &Deployment) -> Wallet {
    deployment.chain().wallet(PURSE).await.unwrap()
}

/// Creates an invoice and reads how to pay it.
pub async fn invoice(console: &Console, body: &Value) -> Asked {
    let created = console.create_invoice(body).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.text);
    Asked::of(&created.body)
}

/// Pays so many units as the URI says and waits for confirmation.
pub async fn pay_units(deployment: &Deployment, wallet: &Wallet, asked: &Asked, units: u64) {
    let chain = deployment.chain();
    let steps = asked.pay(chain, &wallet.address(), units);
    chain.transact(wallet, &[], &steps).await.unwrap();
}

/// Pays what is asked.
pub async fn pay(deployment: &Deployment, wallet: &Wallet, asked: &Asked) {
    pay_units(deployment, wallet, asked, asked.units).await;
}

/// Waits for something to become true; tells what did not.
pub async fn until<T>(what: &str, check: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the invoice stands so, and returns it.
pub async fn until_status(console: &Console, id: &str, status: &str) -> Value {
    until(&format!("{id} is {status}"), async || {
        let invoice = console.get_invoice(id).await.unwrap().body;
        (invoice["status"] == status).then_some(invoice)
    })
    .await
}

/// Waits until the balance is exactly so.
pub async fn until_balance(console: &Console, micro: i64) {
    until(&format!("a balance of {micro}"), async || {
        (balance(console).await == micro).then_some(())
    })
    .await;
}

/// The balance now.
pub async fn balance(console: &Console) -> i64 {
    console.balance().await.unwrap().body["amount_micro"]
        .as_i64()
        .unwrap()
}

/// Waits until the transactions that have been sent so far are examined for good.
pub async fn until_examined(deployment: &Deployment, signature: &str) {
    until(&format!("{signature} is examined"), async || {
        let state: Option<String> =
            sqlx::query_scalar("select state from chain_signatures where signature = $1")
                .bind(signature)
                .fetch_optional(deployment.pool())
                .await
                .unwrap();
        (state.as_deref() == Some("done")).then_some(())
    })
    .await;
}

/// The next event of a stream, which must come.
pub async fn next_event(frames: &mut Frames) -> (String, Value) {
    frames
        .next_event(LIMIT)
        .await
        .unwrap()
        .expect("the stream must stay open")
}
