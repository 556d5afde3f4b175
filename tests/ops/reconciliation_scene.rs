//! A deployment whose deposit accounts are on scripted nodes, and whose books the test writes.

use fault_kit::transaction::TOKEN_PROGRAM;
use fault_kit::{FakeAccount, FakeChain, FakeNode, Reply};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer as _;
use sqlx::PgConnection;
use stack::Deployment;

use crate::support::{execute, get, start, until};

const RENT: u64 = 2_039_280;

pub struct Scene {
    pub deployment: Deployment,
    pub nodes: Vec<FakeNode>,
    pub usdc: Pubkey,
    chain: FakeChain,
    treasury: Pubkey,
    mint: Pubkey,
}

impl Scene {
    /// So many nodes; compared so often.
    pub async fn start(nodes: usize, interval_ms: &str) -> Self {
        let chain = FakeChain::new();
        chain.advance(100);
        let mut started = Vec::new();
        for _ in 0..nodes {
            started.push(FakeNode::on(&chain).await.expect("a node"));
        }
        let urls: Vec<String> = started.iter().map(FakeNode::rpc_url).collect();
        let [treasury, usdc, mint] = [(); 3].map(|()| Keypair::new().pubkey());
        let builder = Deployment::builder()
            .env("SOLANA_RPC_URL", urls.join(","))
            .env("QUITTANCE_SOLANA_DEPOSIT_ADDRESS", treasury.to_string())
            .env("QUITTANCE_SOLANA_NODE_COOLDOWN_MS", "200")
            .env("QUITTANCE_SWEEP_RECONCILE_INTERVAL_MS", interval_ms);
        let deployment = start(builder).await;
        // The accounts of this scene are its own.
        execute(
            deployment.pool(),
            "delete from watched_keys; delete from deposit_accounts",
        )
        .await;
        Self {
            deployment,
            nodes: started,
            usdc,
            chain,
            treasury,
            mint,
        }
    }

    pub fn wallet(&self) -> String {
        self.treasury.to_string()
    }

    pub fn usdc(&self) -> String {
        self.usdc.to_string()
    }

    /// What is on chain.
    pub fn hold(&self, lamports: u64, dollars: u64) {
        self.chain
            .set_account(self.treasury, FakeAccount::wallet(lamports));
        let tokens = FakeAccount::token(TOKEN_PROGRAM, self.mint, self.treasury, dollars, RENT);
        self.chain.set_account(self.usdc, tokens);
    }

    /// The token account is somebody else's, with all it holds.
    pub fn give_away(&self, dollars: u64) {
        let other = Keypair::new().pubkey();
        let tokens = FakeAccount::token(TOKEN_PROGRAM, self.mint, other, dollars, RENT);
        self.chain.set_account(self.usdc, tokens);
    }

    /// What a node may say of the wallet.
    pub fn says(&self, lamports: u64) -> Reply {
        Reply::Value(json!({
            "context": {"slot": self.chain.slot()},
            "value": {
                "lamports": lamports, "data": ["", "base64"], "owner": Pubkey::default().to_string(),
                "executable": false, "rentEpoch": 0, "space": 0,
            },
        }))
    }

    /// The accounts, with what they held when they were first followed.
    pub async fn open_books(&self, lamports: u64, dollars: u64) {
        let accounts = [
            (self.wallet(), "sol-native", None, lamports),
            (self.usdc(), "sol-spl-usdc", Some(self.mint), dollars),
        ];
        for (account, rail, mint, units) in accounts {
            sqlx::query(
                "with registered as (
                     insert into deposit_accounts as d
                         (account, rail, recipient, mint, token_program, opening_units, opening_slot)
                     values ($1, $2, $3, $4, $5, $6::text::numeric, 0)
                     on conflict (account) do update set opening_units = excluded.opening_units, opening_slot = 0)
                 insert into watched_keys (key, start_slot, read_slot) values ($1, 0, 0) on conflict do nothing",
            )
            .bind(&account)
            .bind(rail)
            .bind(self.wallet())
            .bind(mint.map(|mint| mint.to_string()))
            .bind(mint.map(|_| TOKEN_PROGRAM.to_string()))
            .bind(units.to_string())
            .execute(self.deployment.pool())
            .await
            .expect("the superuser may");
        }
    }

    pub async fn close_books(&self, account: &str) {
        sqlx::query("update deposit_accounts set opening_units = null where account = $1")
            .bind(account)
            .execute(self.deployment.pool())
            .await
            .expect("the superuser may");
    }

    /// All histories were read up to this slot.
    pub async fn read_up_to(&self, slot: i64) {
        for account in [self.wallet(), self.usdc()] {
            self.read_one(&account, slot).await;
        }
    }

    pub async fn read_one(&self, account: &str, slot: i64) {
        sqlx::query("update watched_keys set read_slot = $2 where key = $1")
            .bind(account)
            .bind(slot)
            .execute(self.deployment.pool())
            .await
            .expect("the superuser may");
    }

    /// A deposit that is too small to be listed.
    pub async fn dust(&self, signature: &str, units: i64) {
        sqlx::query(
            "with payment as (
                 insert into chain_payments (signature, account, slot, net_units, dust_units, state)
                 values ($1, $2, 1, $3, $3, 'finalized')
             )
             insert into deposit_dust (account, deposits, units, last_at) values ($2, 1, $3, now())",
        )
        .bind(signature)
        .bind(self.usdc())
        .bind(units)
        .execute(self.deployment.pool())
        .await
        .expect("the superuser may");
    }

    /// So many dollars left.
    pub async fn outflow(&self, signature: &str, units: i64) {
        sqlx::query(
            "insert into chain_outflows (signature, account, slot, units) values ($1, $2, 1, $3)",
        )
        .bind(signature)
        .bind(self.usdc())
        .bind(units)
        .execute(self.deployment.pool())
        .await
        .expect("the superuser may");
    }

    /// A signature that a watcher has to decide about: state, slot, note.
    pub async fn undecided(&self, signature: &str, kind: &str) {
        let statement = format!(
            "insert into chain_signatures (signature, source, state, slot, note) values ('{signature}', 'test', {kind})"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(self.deployment.pool())
            .await
            .expect("the superuser may");
    }

    /// It brought so many dollars that name nobody.
    pub async fn decide(&self, connection: &mut PgConnection, signature: &str, units: i64) {
        sqlx::query(
            "with payment as (
                 insert into chain_payments (signature, account, slot, net_units, state)
                 values ($1, $2, 1, $3, 'finalized')
             ), listed as (
                 insert into unattributed_deposits (signature, account, units, reason) values ($1, $2, $3, 'untagged')
             )
             update chain_signatures set state = 'done', slot = 1, note = null where signature = $1",
        )
        .bind(signature)
        .bind(self.usdc())
        .bind(units)
        .execute(connection)
        .await
        .expect("the superuser may");
    }

    /// Keeps what every comparison found from here on.
    pub async fn keep_verdicts(&self) {
        execute(
            self.deployment.pool(),
            "create table verdicts (account text, theirs numeric, ours numeric);
             create function keep_verdict() returns trigger language plpgsql security definer as
                 $$ begin insert into verdicts values (new.account, new.theirs, new.ours); return null; end $$;
             create trigger keep_verdict after insert or update on reconciliations
                 for each row execute function keep_verdict()",
        )
        .await;
    }

    pub async fn wrong_verdicts(&self) -> i64 {
        sqlx::query_scalar("select count(*) from verdicts where theirs <> ours")
            .fetch_one(self.deployment.pool())
            .await
            .expect("a count")
    }

    /// Waits until the worker, the only one who does, has looked for undecided signatures some times more.
    pub async fn until_looked_at_signatures(&self) {
        let looks = async || -> i64 {
            sqlx::query_scalar(
                "select seq_scan + coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'chain_signatures'",
            )
            .fetch_one(self.deployment.pool())
            .await
            .expect("a count")
        };
        let before = looks().await;
        until("undecided signatures are looked for", async || {
            (looks().await >= before + 6).then_some(())
        })
        .await;
    }

    /// An account as operators see it.
    pub async fn row(&self, account: &str) -> Value {
        let answer = get(&self.deployment, "/ops/v1/reconciliation").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let rows = answer.body["accounts"].as_array().expect("a list");
        let row = rows.iter().find(|row| row["account"] == account);
        row.expect("the account").clone()
    }

    pub async fn until_compared(&self, account: &str, theirs: i64, ours: i64) -> Value {
        let what = format!("{account} holds {theirs}, by the books {ours}");
        until(&what, async || {
            let row = self.row(account).await;
            (row["theirs"] == theirs && row["ours"] == ours).then_some(row)
        })
        .await
    }

    /// Waits for a comparison after this one.
    pub async fn until_newer(&self, account: &str, last: &Value) -> Value {
        until("a newer comparison", async || {
            let row = self.row(account).await;
            (row["at"] != last["at"] && !row["at"].is_null()).then_some(row)
        })
        .await
    }
}

/// Waits until the worker's metrics say so of an account.
pub async fn until_gauge(scene: &Scene, name: &str, account: &str, value: &str) {
    let metrics = format!("{}/metrics", scene.deployment.worker(0).url());
    let line = format!("quittance_reconciliation_{name}{{account=\"{account}\"}} {value}");
    until(&line, async || {
        let answer = reqwest::get(&metrics).await.expect("metrics");
        let text = answer.text().await.expect("text");
        text.lines().any(|known| known == line).then_some(())
    })
    .await;
}
