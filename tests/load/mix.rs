//! A random mix of everything, audited while it runs, and compared with the clients' own log afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::json;
use stack::client::console::subscription_invoice;
use stack::{Answer, Console, Deployment, Operator};
use tokio::time::Instant;

use crate::model::Log;
use crate::support::client::{Connections, pay_until_definite};
use crate::support::world::quick;

/// Names the seed of a run to repeat.
const SEED: &str = "QUITTANCE_TEST_SEED";
const USERS: u64 = 8;
/// Clients of each user.
const CLIENTS: u64 = 3;
const DURATION: Duration = Duration::from_secs(8);
const ADJUSTMENT_MAX: i64 = 400_000_000;

/// One of a user's clients.
struct Client {
    random: StdRng,
    /// The user at each api.
    consoles: Vec<Console>,
    operator: Operator,
    log: Arc<Mutex<Log>>,
    /// How often each thing happened.
    counts: BTreeMap<String, usize>,
}

impl Client {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    fn console(&mut self) -> Console {
        self.consoles.rotate_left(1);
        self.consoles[0].clone()
    }

    fn some_invoice(&mut self) -> Option<String> {
        let mut ids: Vec<String> = self.log().created.keys().cloned().collect();
        // A map's order is another one in each run.
        ids.sort_unstable();
        (!ids.is_empty()).then(|| ids.swap_remove(self.random.random_range(0..ids.len())))
    }

    async fn run(mut self, until: Instant) -> BTreeMap<String, usize> {
        while Instant::now() < until {
            let what = match self.random.random_range(0..100) {
                0..30 => self.create().await,
                30..65 => self.pay().await,
                65..75 => self.cancel().await,
                75..93 => self.adjust().await,
                roll => self.lock(roll < 95).await,
            };
            *self.counts.entry(what).or_default() += 1;
        }
        self.counts
    }

    async fn create(&mut self) -> String {
        let plan = ["starter", "growth"][self.random.random_range(0..2)];
        let months = [1, 3, 6, 12][self.random.random_range(0..4)];
        let body = subscription_invoice(plan, months);
        let answer = self.console().create_invoice(&body).await.unwrap();
        match (answer.status, answer.error()) {
            (201, _) => {
                let id = answer.body["id"].as_str().unwrap().to_owned();
                let amount = answer.body["amount_micro"].as_i64().unwrap();
                assert_eq!(self.log().created.insert(id, amount), None);
                "created".to_owned()
            }
            (409, "too_many_pending_invoices") => "create: too many".to_owned(),
            _ => unexpected(&answer),
        }
    }

    async fn pay(&mut self) -> String {
        let Some(id) = self.some_invoice() else {
            return "nothing to pay".to_owned();
        };
        self.consoles.rotate_left(1);
        let settled = pay_until_definite(&self.consoles, &id, Connections::Hold).await;
        *self
            .counts
            .entry("pay: asked again".to_owned())
            .or_default() += settled.retries.len();
        let told = match &settled.verdict {
            crate::support::client::Verdict::Paid { .. } => "paid".to_owned(),
            crate::support::client::Verdict::Refused(error) => format!("pay: {error}"),
        };
        self.log().payments.push((id, settled.verdict));
        told
    }

    async fn cancel(&mut self) -> String {
        let Some(id) = self.some_invoice() else {
            return "nothing to cancel".to_owned();
        };
        let answer = self.console().cancel(&id).await.unwrap();
        match answer.status {
            204 => {
                self.log().cancelled.push(id);
                "cancelled".to_owned()
            }
            404 => "cancel: not pending".to_owned(),
            _ => unexpected(&answer),
        }
    }

    async fn adjust(&mut self) -> String {
        let mut delta_micro = 0;
        while delta_micro == 0 {
            delta_micro = self
                .random
                .random_range(-ADJUSTMENT_MAX / 2..ADJUSTMENT_MAX);
        }
        let key = format!("{:x}", self.random.random::<u128>());
        let body = json!({"delta_micro": delta_micro, "reason": "mix", "idempotency_key": key});
        let path = format!("/ops/v1/users/{}/adjustments", self.consoles[0].user_id());
        // Sent twice at times: the second one changes nothing and answers the same.
        let times = self.random.random_range(1..=2);
        let mut answers = Vec::new();
        for _ in 0..times {
            answers.push(
                self.operator
                    .raw(Method::POST, &path, Some(&body))
                    .await
                    .unwrap(),
            );
        }
        let adjusted = answers.iter().find(|answer| answer.status == 200);
        if let Some(answer) = adjusted {
            let number = |name: &str| answer.body[name].as_i64().unwrap();
            let entry = (number("entry_id"), delta_micro, number("new_balance_micro"));
            let last = answers.last().unwrap();
            assert_eq!((last.status, &last.body), (200, &answer.body));
            self.log().adjusted.push(entry);
            return "adjusted".to_owned();
        }
        match (answers[0].status, answers[0].error()) {
            (409, "insufficient_balance") => "adjust: insufficient".to_owned(),
            _ => unexpected(&answers[0]),
        }
    }

    async fn lock(&mut self, lock: bool) -> String {
        let user = self.consoles[0].user_id();
        let answer = if lock {
            self.operator.lock(user).await
        } else {
            self.operator.unlock(user).await
        };
        let answer = answer.unwrap();
        match answer.status {
            200 => (if lock { "locked" } else { "unlocked" }).to_owned(),
            _ => unexpected(&answer),
        }
    }
}

fn unexpected(answer: &Answer) -> ! {
    panic!("answered {}: {}", answer.status, answer.text)
}

fn seed() -> u64 {
    match std::env::var(SEED) {
        Ok(text) => text.parse().expect("the seed is a number"),
        Err(_) => rand::random(),
    }
}

/// Audits without a pause until told to stop; every audit must be right.
async fn audit_meanwhile(operator: Operator, stop: Arc<AtomicBool>) -> usize {
    let mut audits = 0;
    while !stop.load(Ordering::SeqCst) {
        let audit = operator.audit().await.unwrap();
        assert_eq!(
            audit["ok"], true,
            "audit {audits} during the load: {audit:#}"
        );
        audits += 1;
    }
    audits
}

async fn clients_of(
    deployment: &Deployment,
    console: &Console,
    seed: u64,
    user: u64,
) -> (Arc<Mutex<Log>>, Vec<Client>) {
    let log = Arc::new(Mutex::new(Log::default()));
    let opening = deployment
        .operator()
        .adjust(console.user_id(), ADJUSTMENT_MAX, "opening", "opening")
        .await
        .unwrap();
    log.lock().unwrap().adjusted.push((
        opening.entry_id,
        ADJUSTMENT_MAX,
        opening.new_balance_micro,
    ));
    let clients = (0..CLIENTS).map(|client| Client {
        random: StdRng::seed_from_u64(seed.wrapping_add(user * CLIENTS + client)),
        consoles: deployment
            .apis()
            .iter()
            .map(|api| console.at(api.url()))
            .collect(),
        operator: deployment.operator().clone(),
        log: Arc::clone(&log),
        counts: BTreeMap::new(),
    });
    let clients = clients.collect();
    (log, clients)
}

#[tokio::test]
async fn a_random_mix_leaves_the_ledger_that_its_clients_were_told() {
    let seed = seed();
    println!("{SEED}={seed}");
    let deployment = quick().apis(2).workers(2).start().await.unwrap();
    let (mut users, mut running) = (Vec::new(), Vec::new());
    let mut all_clients = Vec::new();
    for user in 0..USERS {
        let console = deployment.user().await.unwrap();
        let (log, clients) = clients_of(&deployment, &console, seed, user).await;
        all_clients.extend(clients);
        users.push((console, log));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let auditor = deployment.operator().at(deployment.api(1).url());
    let audits = tokio::spawn(audit_meanwhile(auditor, Arc::clone(&stop)));
    let until = Instant::now() + DURATION;
    running.extend(
        all_clients
            .into_iter()
            .map(|client| tokio::spawn(client.run(until))),
    );
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for client in join_all(running).await {
        for (what, times) in client.unwrap() {
            *counts.entry(what).or_default() += times;
        }
    }
    stop.store(true, Ordering::SeqCst);
    let audits = audits.await.unwrap();
    println!("{audits} audits meanwhile; {counts:?}");
    assert!(audits >= 3, "only {audits} audits ran during the load");
    for needed in [
        "created",
        "paid",
        "cancelled",
        "adjusted",
        "locked",
        "pay: insufficient_balance",
        "pay: balance_locked",
    ] {
        assert!(counts.contains_key(needed), "never happened: {needed}");
    }

    for (console, log) in &users {
        let balance = console.balance().await.unwrap().body["amount_micro"]
            .as_i64()
            .unwrap();
        let log = std::mem::take(&mut *log.lock().unwrap());
        log.check(deployment.pool(), console.user_id(), balance)
            .await;
    }
    deployment.finish().await.unwrap();
}
