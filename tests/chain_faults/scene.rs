//! A deployment on scripted nodes, and payers whose transactions the test lands.

use std::time::Duration;

use fault_kit::transaction::TOKEN_PROGRAM;
use fault_kit::{
    FakeAccount, FakeChain, FakeNode, FakeTransaction, Ticker, TokenTransfer, TransactionBuilder,
};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use stack::deployment::Builder;
use stack::{Console, Deployment};

use crate::waiting::LIMIT;

/// A slot of the scripted chain: finality takes some 30 of them.
const SLOT: Duration = Duration::from_millis(25);
/// Slots, and the logs of the deposit accounts of three rails and of the beacon.
pub const SUBSCRIPTIONS: usize = 5;
/// Polling so seldom that a test does not see it.
pub const NEVER_MS: &str = "3600000";
/// The sort of payment that most tests are about.
pub const PRICE_MICRO: i64 = 3_000_000;

const MINT_BYTES: usize = 82;
const MINT_DECIMALS_AT: usize = 44;
const MINT_INITIALIZED_AT: usize = 45;
const DECIMALS: u8 = 6;

/// A chain whose slots come by themselves, and the nodes that report it.
pub struct Net {
    pub chain: FakeChain,
    pub nodes: Vec<FakeNode>,
    treasury: Pubkey,
    beacon: Pubkey,
    usdc: Pubkey,
    usdt: Pubkey,
    slots: Option<Ticker>,
}

impl Net {
    /// So many nodes of one chain.
    pub async fn start(nodes: usize) -> Self {
        let chain = FakeChain::new();
        let mut started = Vec::new();
        for _ in 0..nodes {
            started.push(FakeNode::on(&chain).await.unwrap());
        }
        let [treasury, beacon, dollar, tether] = [(); 4].map(|()| Keypair::new().pubkey());
        chain.set_account(treasury, FakeAccount::wallet(1_000_000_000));
        for mint in [dollar, tether] {
            chain.set_account(mint, mint_account());
        }
        Self {
            nodes: started,
            treasury,
            beacon,
            usdc: dollar,
            usdt: tether,
            slots: Some(chain.tick_every(SLOT)),
            chain,
        }
    }

    /// No more slots come by themselves.
    pub fn stand_still(&mut self) {
        self.slots = None;
    }

    /// Slots come by themselves again.
    pub fn go_on(&mut self) {
        self.slots = Some(self.chain.tick_every(SLOT));
    }

    /// The first node, whose socket is used.
    pub fn node(&self) -> &FakeNode {
        &self.nodes[0]
    }

    /// A deployment on these nodes, quick to notice.
    pub fn builder(&self) -> Builder {
        let urls: Vec<String> = self.nodes.iter().map(FakeNode::rpc_url).collect();
        Deployment::builder()
            .watchers(1)
            .env("SOLANA_RPC_URL", urls.join(","))
            .env("SOLANA_WS_URL", self.node().ws_url())
            .env(
                "QUITTANCE_SOLANA_DEPOSIT_ADDRESS",
                self.treasury.to_string(),
            )
            .env("QUITTANCE_USDC_MINT", self.usdc.to_string())
            .env("QUITTANCE_USDT_MINT", self.usdt.to_string())
            .env("QUITTANCE_SOLANA_BEACON_KEY", self.beacon.to_string())
            .env("QUITTANCE_SOLANA_RPC_TIMEOUT_MS", "1000")
            .env("QUITTANCE_SOLANA_NODE_COOLDOWN_MS", "2000")
            .env("QUITTANCE_SOLANA_NODE_ABSENT_MS", "1500")
            .env("QUITTANCE_WATCH_GONE_ROUNDS", "3")
            .env("QUITTANCE_WATCH_GONE_AFTER_MS", "600")
            .env("QUITTANCE_WATCH_POLL_INTERVAL_MS", "500")
            .env("QUITTANCE_WATCH_FINALITY_INTERVAL_MS", "100")
            .env("QUITTANCE_WATCH_SILENCE_MS", "2000")
            .env("QUITTANCE_WATCH_LEASE_MS", "2000")
            .env("QUITTANCE_RELAY_HANDLER_TIMEOUT_MS", "5000")
            .env("QUITTANCE_RELAY_RESEND_INTERVAL_MS", "200")
    }

    /// As `builder`, but only the subscription finds payments, and what is read when one begins.
    pub fn without_polling(&self) -> Builder {
        self.builder()
            .env("QUITTANCE_WATCH_POLL_INTERVAL_MS", NEVER_MS)
            .env("QUITTANCE_WATCH_REFERENCES_PER_SECOND", "0")
    }

    /// Starts it and waits until its subscriptions are made.
    pub async fn launch(&self, builder: Builder) -> Deployment {
        let deployment = builder.start().await.unwrap();
        self.until_subscribed().await;
        deployment
    }

    /// Waits until the first node has all subscriptions.
    pub async fn until_subscribed(&self) {
        let node = self.node();
        node.wait_for_subscriptions(SUBSCRIPTIONS, LIMIT)
            .await
            .unwrap();
    }

    /// Pays an invoice of tokens exactly.
    pub fn payment(&self, bill: &Bill) -> FakeTransaction {
        self.part(bill, bill.units())
    }

    /// Pays so many base units.
    pub fn part(&self, bill: &Bill, units: u64) -> FakeTransaction {
        self.paying(bill, units).build().unwrap()
    }

    /// Starts a payment that a test goes on with.
    pub fn paying(&self, bill: &Bill, units: u64) -> TransactionBuilder {
        let payer = Keypair::new();
        let transfer =
            TokenTransfer::between(payer.pubkey(), self.treasury, self.usdc, DECIMALS, units)
                .tagged(&bill.references);
        TransactionBuilder::new(&payer, self.chain.blockhash()).token_transfer(&transfer)
    }

    /// Where USDC is paid to.
    pub fn token_account(&self) -> Pubkey {
        get_associated_token_address_with_program_id(&self.treasury, &self.usdc, &TOKEN_PROGRAM)
    }

    /// The wallet that is paid.
    pub fn treasury(&self) -> Pubkey {
        self.treasury
    }

    /// The key that every payment names.
    pub fn beacon(&self) -> Pubkey {
        self.beacon
    }
}

fn mint_account() -> FakeAccount {
    let mut data = vec![0; MINT_BYTES];
    data[MINT_DECIMALS_AT] = DECIMALS;
    data[MINT_INITIALIZED_AT] = 1;
    FakeAccount {
        lamports: 1_461_600,
        owner: TOKEN_PROGRAM,
        data,
        executable: false,
    }
}

/// An invoice for a top-up, and whoever is to pay it.
pub struct Bill {
    pub console: Console,
    pub id: String,
    pub micro: i64,
    /// The invoice's own, then the beacon.
    pub references: Vec<Pubkey>,
}

impl Bill {
    /// One of a new user, to be paid in USDC.
    pub async fn new(deployment: &Deployment) -> Self {
        Self::by(deployment, "crypto-onchain").await
    }

    /// One that is paid in the app.
    pub async fn in_app(deployment: &Deployment) -> Self {
        Self::by(deployment, "crypto-inapp").await
    }

    /// So many.
    pub async fn several(deployment: &Deployment, count: usize) -> Vec<Self> {
        let mut bills = Vec::new();
        for _ in 0..count {
            bills.push(Self::new(deployment).await);
        }
        bills
    }

    async fn by(deployment: &Deployment, channel: &str) -> Self {
        let console = deployment.user().await.unwrap();
        let body = json!({
            "channel": channel, "rail": "sol-spl-usdc", "amount_micro": PRICE_MICRO,
            "bill_action": {"type": "topup"},
        });
        let created = console.create_invoice(&body).await.unwrap();
        assert_eq!(created.status, 201, "{}", created.text);
        let uri = created.body["qr_uri"].as_str().unwrap();
        let (_, query) = uri.split_once('?').unwrap();
        let references = query
            .split('&')
            .filter_map(|field| field.strip_prefix("reference="))
            .map(|key| key.parse().unwrap());
        Self {
            id: created.body["id"].as_str().unwrap().to_owned(),
            micro: PRICE_MICRO,
            references: references.collect(),
            console,
        }
    }

    /// What is due; a micro-dollar is a base unit of USDC.
    pub fn units(&self) -> u64 {
        self.micro.unsigned_abs()
    }

    /// The invoice as it stands.
    pub async fn now(&self) -> Value {
        self.console.get_invoice(&self.id).await.unwrap().body
    }
}
