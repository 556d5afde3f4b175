//! Watchers in this process: their parts run one round at a time, and die at any point.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waker, Poll};
use std::time::Duration;

use rand::RngExt;
use shared::chain::{Nodes, known_deposit_accounts};
use shared::prices::Prices;
use shared::telemetry::Shutdown;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client::rpc_client::RpcClientConfig;
use tokio::sync::{Notify, watch};
use uuid::Uuid;
use watcher::context::Context;
use watcher::recorder::Recorder;
use watcher::{
    backfill, finality, lost, observe, openings, orphans, references, register, release,
};

use crate::calls::{Answers, NotedLine};
use crate::ground::Ground;
use crate::world::World;

/// What hangs for so long hangs for ever.
const HANGS: Duration = Duration::from_secs(20);

/// A part of the watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Reads histories.
    Backfill,
    /// Examines what was found.
    Observe,
    /// Follows what is confirmed.
    Finality,
    /// Looks references up.
    References,
    /// Gives away what ended invoices hold.
    Release,
    /// Takes over from the dead.
    Orphans,
    /// Asks again for what was given up.
    Lost,
    /// Writes down what accounts held in the beginning.
    Openings,
}

/// All parts, in the order in which money passes them.
pub const PARTS: [Part; 8] = [
    Part::Openings,
    Part::Orphans,
    Part::Lost,
    Part::Backfill,
    Part::References,
    Part::Observe,
    Part::Finality,
    Part::Release,
];

/// A watcher that lives.
pub struct Watcher {
    context: Context,
    /// Whom it has heard about what.
    pub answers: Answers,
    /// Every key that is followed.
    all: BTreeSet<String>,
    share_keys: watch::Sender<BTreeSet<String>>,
    /// Kept, so that nothing seems to end.
    _ends: watch::Sender<bool>,
}

impl Watcher {
    /// Starts one. The first of a schedule registers the accounts.
    pub async fn start(ground: &Ground, world: &mut World, registers: bool) -> Self {
        let answers = Answers::default();
        let hands = world.hands.iter().enumerate();
        let clients = hands.map(|(node, hand)| {
            let line = NotedLine {
                node,
                line: hand.node.line(),
                answers: answers.clone(),
            };
            RpcClient::new_sender(line, RpcClientConfig::default())
        });
        let config = if world.is_hasty {
            &ground.hasty
        } else {
            &ground.config
        };
        let nodes = Nodes::from_clients(clients.collect(), &config.chain).unwrap();
        let (ends, shutdown) = Shutdown::new();
        if registers {
            let registered = register::register(config, &ground.pool, &nodes, &shutdown);
            registered.await.unwrap();
        }
        let known = known_deposit_accounts(&ground.pool).await.unwrap();
        let mut keys: BTreeSet<String> = known.iter().map(|one| one.account.to_string()).collect();
        keys.insert(world.beacon.to_string());
        let all = keys.clone();
        // Others may hold the rest.
        keys.retain(|_| world.rng.random_bool(0.5));
        let (share_keys, held) = watch::channel(keys);
        let id = Uuid::new_v4();
        let (recorder, _recording) = Recorder::spawn(
            id,
            ground.pool.clone(),
            ground.publisher.clone(),
            config.database.patience(),
        );
        let context = Context {
            id,
            config: Arc::clone(config),
            pool: ground.pool.clone(),
            nodes,
            prices: Prices::spawn(&config.billing, &shutdown).unwrap(),
            publisher: ground.publisher.clone(),
            shutdown,
            accounts: watch::channel(Arc::new(known)).1,
            held,
            found: Arc::new(Notify::new()),
            backfill: Arc::new(Notify::new()),
            recorder,
            ripening: Arc::default(),
            ahead: Arc::default(),
            openings: Arc::default(),
        };
        sqlx::query("insert into watchers (id) values ($1)")
            .bind(context.id)
            .execute(ground.superuser())
            .await
            .unwrap();
        Self {
            context,
            answers,
            all,
            share_keys,
            _ends: ends,
        }
    }

    /// Follows every key from now on.
    pub fn follow_all(&self) {
        self.share_keys.send_replace(self.all.clone());
    }

    /// Dies: nothing of it is left but what it wrote.
    pub async fn die(self, ground: &Ground) {
        sqlx::query("delete from watchers where id = $1")
            .bind(self.context.id)
            .execute(ground.superuser())
            .await
            .unwrap();
    }

    /// Hears of signatures, as from a subscription.
    pub async fn hear(&self, signatures: &[(String, Option<u64>)]) {
        let noted = shared::chain::Noted::Subscription;
        self.context.note(signatures, noted).await.unwrap();
    }

    /// Runs a part once; what it says at the end.
    pub async fn run(&self, part: Part) -> Result<usize, String> {
        let context = &self.context;
        let round = async {
            match part {
                Part::Backfill => told(backfill::round(context).await.map(|()| 0)),
                Part::Observe => told(observe::round(context).await),
                Part::Finality => told(finality::round(context).await),
                Part::References => told(references::round(context).await),
                Part::Release => told(release::round(context).await.map(|()| 0)),
                Part::Orphans => told(orphans::round(context).await.map(|()| 0)),
                Part::Lost => told(lost::round(context).await),
                Part::Openings => told(openings::round(context).await.map(|()| 0)),
            }
        };
        match tokio::time::timeout(HANGS, round).await {
            Ok(ended) => ended,
            Err(_) => Err(format!("{part:?} hangs")),
        }
    }

    /// Runs a part until it ends or has had so many turns; whether it ended.
    pub async fn run_mortal(&self, part: Part, turns: u32) -> bool {
        let life = Box::pin(self.run(part));
        Mortal { life, turns }.await
    }
}

fn told<E: std::error::Error>(ended: Result<usize, E>) -> Result<usize, String> {
    ended.map_err(|error| {
        let mut told = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            told = format!("{told}: {deeper}");
            cause = deeper.source();
        }
        told
    })
}

/// Work that is dropped where it stands after so many turns.
struct Mortal<F> {
    life: Pin<Box<F>>,
    turns: u32,
}

impl<F: Future> Future for Mortal<F> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Waker<'_>) -> Poll<bool> {
        let Some(left) = self.turns.checked_sub(1) else {
            return Poll::Ready(false);
        };
        self.turns = left;
        self.life.as_mut().poll(waker).map(|_| true)
    }
}
