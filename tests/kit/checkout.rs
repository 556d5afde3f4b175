//! What is bought, and that it was paid for.

use std::time::Duration;

use serde_json::{Value, json};
use stack::chain::{Chain, Commitment, Gift, Wallet};
use stack::{Console, Deployment, Frame, Frames};

/// A real validator needs some 15 s to finality.
const LIMIT: Duration = Duration::from_secs(90);

/// A rail with what one month of `starter` costs there, base units.
#[derive(Debug, Clone, Copy)]
pub struct Rail {
    /// Its name.
    pub id: &'static str,
    /// 49 dollars, SOL being worth 150 of them.
    pub units: u64,
}

pub const SOL: Rail = Rail {
    id: "sol-native",
    units: 326_666_667,
};
pub const USDC: Rail = Rail {
    id: "sol-spl-usdc",
    units: 49_000_000,
};
pub const USDT: Rail = Rail {
    id: "sol-spl-usdt",
    units: 49_000_000,
};

/// A deployment that is paid on the test run's chain. Its treasury has an account for USDT, but none for USDC.
pub async fn deployment() -> Deployment {
    let builder = Deployment::builder().chain();
    let deployment = builder.start().await.expect("the deployment starts");
    let chain = deployment.chain();
    let opened = chain
        .create_token_account(chain.usdt(), &chain.deposit_address())
        .await;
    opened.expect("an account for USDT");
    deployment
}

pub async fn finish(deployment: Deployment) {
    deployment.finish().await.expect("right books, clean ends");
}

/// A wallet with enough for everything.
pub async fn funded(deployment: &Deployment) -> Wallet {
    let purse = Gift {
        lamports: 2_000_000_000,
        usdc: 200_000_000,
        usdt: 200_000_000,
    };
    deployment.chain().wallet(purse).await.expect("a wallet")
}

/// An unpaid invoice, as its owner sees it.
pub struct Bought {
    pub console: Console,
    pub id: String,
    pub qr_uri: String,
    rail: Rail,
    stream: Frames,
    held_before: u64,
}

/// A new user buys one month of `starter`, and follows the invoice.
pub async fn buys(deployment: &Deployment, rail: Rail, channel: &str) -> Bought {
    let console = deployment.user().await.expect("a user");
    let body = json!({
        "channel": channel, "rail": rail.id,
        "bill_action": {"type": "subscription_purchase", "plan": "starter", "months": 1},
    });
    let created = console.create_invoice(&body).await.expect("an answer");
    assert_eq!(created.status, 201, "{}", created.text);
    let text = |field: &str| created.body[field].as_str().expect("a text").to_owned();
    let (id, qr_uri) = (text("id"), text("qr_uri"));
    let stream = console.invoice_stream(&id).await.expect("its stream");
    let held_before = held(deployment.chain(), rail).await;
    Bought {
        console,
        id,
        qr_uri,
        rail,
        stream,
        held_before,
    }
}

impl Bought {
    /// Waits for the end of the invoice's stream, which must be its payment; then everybody must agree on it: the
    /// console, the chain about the transaction, and the treasury's account.
    pub async fn assert_paid_by(mut self, deployment: &Deployment, outcome: &Value) {
        let (chain, what) = (deployment.chain(), self.rail.id);
        let frames = self.stream.collect_until_closed(LIMIT).await;
        let frames = frames.expect("the stream ends");
        let last = frames.iter().rfind(|frame| !frame.name().is_empty());
        assert_eq!(
            last.map(Frame::name),
            Some("invoice_paid"),
            "{what}: {frames:?}"
        );

        let invoice = self.console.get_invoice(&self.id).await.expect("an answer");
        assert_eq!(invoice.body["status"], "paid", "{what}: {}", invoice.text);
        assert_eq!(
            invoice.body["payments_received_micro"], 49_000_000,
            "{what}"
        );

        let signature = outcome["signature"].as_str().expect("a signature");
        let signature = signature.parse().expect("a signature");
        let status = chain.confirm(&signature, Commitment::Finalized).await;
        assert_eq!(status.expect("a status").err, Value::Null, "{what}");
        let received = held(chain, self.rail).await - self.held_before;
        assert_eq!(received, self.rail.units, "{what}");
    }

    /// Whether nothing has been paid.
    pub async fn assert_pending(&self, deployment: &Deployment) {
        let invoice = self.console.get_invoice(&self.id).await.expect("an answer");
        assert_eq!(invoice.body["status"], "pending", "{}", invoice.text);
        let received = held(deployment.chain(), self.rail).await - self.held_before;
        assert_eq!(received, 0);
    }
}

/// What the treasury has on a rail, base units.
async fn held(chain: &Chain, rail: Rail) -> u64 {
    let treasury = chain.deposit_address();
    let token = match rail.id {
        "sol-native" => return chain.rpc().balance(&treasury).await.expect("a balance"),
        "sol-spl-usdc" => chain.usdc(),
        _ => chain.usdt(),
    };
    let account = token.account_of(&treasury);
    let balance = chain.rpc().token_balance(&account).await;
    balance.expect("a balance").unwrap_or_default()
}
