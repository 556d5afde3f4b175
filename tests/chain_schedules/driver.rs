//! What happens next, at random.

use std::collections::BTreeSet;

use fault_kit::{Commitment, Lie};
use rand::RngExt;
use solana_signature::Signature;
use sqlx::PgPool;

use crate::checks::{Booked, Violations, booked};
use crate::ground::Ground;
use crate::rounds::{PARTS, Part, Watcher};
use crate::world::{World, short};

/// Turns that a watcher may have before it dies.
const TURNS_MAX: u32 = 80;
/// How far a node that boasts says it is.
const BOASTS: [u64; 3] = [200, 5_000, 1_000_000];
/// Seconds that pass.
const PASSES: [i32; 4] = [1, 60, 700, 10_000];

/// A schedule while it runs.
pub struct Driver<'a> {
    /// What it stands on.
    pub ground: &'a Ground,
    /// What it moves.
    pub world: World,
    /// The watcher that lives.
    pub watcher: Watcher,
    /// What was settled so far.
    pub settled: BTreeSet<Booked>,
    /// The node that may lie.
    liar: Option<usize>,
}

impl<'a> Driver<'a> {
    /// Nothing has happened yet.
    pub async fn new(ground: &'a Ground, seed: u64) -> Self {
        ground.clear().await;
        let mut world = World::new(ground, seed);
        let watcher = Watcher::start(ground, &mut world, true).await;
        world.open_bills(ground.superuser()).await;
        Self {
            ground,
            world,
            watcher,
            settled: BTreeSet::new(),
            liar: None,
        }
    }

    fn pool(&self) -> &'a PgPool {
        self.ground.superuser()
    }

    /// One thing happens.
    pub async fn step(&mut self) -> Violations {
        match self.world.rng.random_range(0..100_u32) {
            0..=11 => self.produce(),
            12..=23 => self.world.pay(),
            24..=27 => self.hear().await,
            28..=31 => self.fork(),
            32..=35 => self.land_again(),
            36..=45 => self.trouble(),
            46..=53 => self.relieve(),
            54..=56 => self.lie(),
            57..=59 => self.touch_bills().await,
            60..=63 => self.let_time_pass().await,
            64..=91 => return self.work().await,
            92..=96 => return self.die().await,
            _ => return self.work_together().await,
        }
        Vec::new()
    }

    fn produce(&mut self) {
        let slots = match self.world.rng.random_range(0..20_u32) {
            0 => 160,
            1..=6 => self.world.rng.random_range(20..60),
            _ => self.world.rng.random_range(1..8),
        };
        self.world.produce(slots);
        let slot = self.world.chain.slot();
        self.world.tell(format!("slot {slot}"));
    }

    /// A subscription tells of something, true or not.
    async fn hear(&mut self) {
        let payments = &self.world.payments;
        let all: Vec<Signature> = payments.iter().map(|payment| payment.signature).collect();
        let Some(signature) = self.world.pick(&all) else {
            return;
        };
        let slot = self.world.chain.slot_of(&signature);
        self.world
            .tell(format!("the watcher hears of {}", short(&signature)));
        self.watcher.hear(&[(signature.to_string(), slot)]).await;
    }

    fn fork(&mut self) {
        let open = self.world.open_payments();
        let Some(at) = self.world.pick(&open) else {
            return;
        };
        let signature = self.world.payments[at].signature;
        self.world.chain.fork_out(&signature).unwrap();
        self.world.payments[at].landed = None;
        self.world.tell(format!("{} vanishes", short(&signature)));
    }

    /// What vanished lands in another slot, the same or come out another way.
    fn land_again(&mut self) {
        let vanished = self.world.vanished_payments();
        let Some(at) = self.world.pick(&vanished) else {
            return;
        };
        let mut version = self.world.payments[at].versions[0].clone();
        let is_bent = self.world.rng.random_bool(0.3);
        if is_bent {
            version = self.world.bent(&version);
        }
        self.world.chain.land(version.transaction.clone());
        let payment = &mut self.world.payments[at];
        payment.versions.push(version);
        payment.landed = Some(payment.versions.len() - 1);
        let name = short(&payment.signature);
        let slot = self.world.chain.slot();
        self.world
            .tell(format!("{name} lands again at {slot}, bent: {is_bent}"));
    }

    /// A node gets worse.
    fn trouble(&mut self) {
        let at = self.world.rng.random_range(0..self.world.hands.len());
        let hand = self.world.hands[at].clone();
        let signatures: Vec<Signature> = self
            .world
            .payments
            .iter()
            .map(|payment| payment.signature)
            .collect();
        let some = self.world.pick(&signatures);
        let what = match (self.world.rng.random_range(0..10_u32), some) {
            (0..=3, _) => hand.fail(&mut self.world.rng),
            (4, _) => {
                let lag = self.world.rng.random_range(1..200);
                hand.node.set_lag(lag);
                format!("is {lag} slots behind")
            }
            (5, _) => {
                hand.node.set_stuck(true);
                "is stuck".to_owned()
            }
            (6, Some(signature)) => {
                hand.node.hide(&signature);
                format!("hides {}", short(&signature))
            }
            (7, Some(signature)) => {
                hand.cannot_read(&signature);
                format!("cannot read {}", short(&signature))
            }
            (8, _) => {
                hand.node.restart();
                "starts anew and has forgotten everything".to_owned()
            }
            _ => {
                hand.node.look(|view| view.is_timeless = true);
                "knows no block times".to_owned()
            }
        };
        self.world.tell(format!("node {} {what}", at + 1));
    }

    /// A node gets better.
    fn relieve(&mut self) {
        let at = self.world.rng.random_range(0..self.world.hands.len());
        let hand = self.world.hands[at].clone();
        let what = match self.world.rng.random_range(0..6_u32) {
            0 | 1 => {
                hand.recover();
                "answers again"
            }
            2 => {
                hand.node.recall();
                "knows its history again"
            }
            3 => {
                hand.node.look(|view| {
                    view.lag = 0;
                    view.stuck_at = None;
                    view.hidden.clear();
                });
                "sees everything again"
            }
            4 => {
                hand.node.be_honest();
                "is honest"
            }
            _ => {
                hand.heal();
                "is well"
            }
        };
        self.world.tell(format!("node {} {what}", at + 1));
    }

    /// One node at a time says what is not so. Of one node alone all is believed, a height that is near the truth included;
    /// one that is far from it is noticed.
    fn lie(&mut self) {
        let count = self.world.hands.len();
        let at = self.world.rng.random_range(0..count);
        if let Some(before) = self.liar.replace(at)
            && before != at
        {
            self.world.hands[before].node.be_honest();
            self.world.tell(format!("node {} is honest", before + 1));
        }
        let node = self.world.hands[at].node.clone();
        let kind = self.world.rng.random_range(0..8_u32);
        let places: Vec<usize> = (0..self.world.payments.len()).collect();
        let (Some(payment), true) = (
            self.world.pick(&places),
            count > 1 && !self.world.is_hasty && kind > 0,
        ) else {
            let is_alone = count == 1 || self.world.is_hasty;
            let furthest = BOASTS.iter().max().copied();
            let slots = if is_alone {
                furthest
            } else {
                self.world.pick(&BOASTS)
            };
            let slots = slots.unwrap_or_default();
            node.boast(slots);
            self.world
                .tell(format!("node {} boasts by {slots}", at + 1));
            return;
        };
        let payment = self.world.payments[payment].clone();
        let version = payment.versions[payment.landed.unwrap_or(0)].clone();
        let slot = self.world.chain.slot();
        let what = match kind {
            1 | 2 => {
                let bent = self.world.bent(&version);
                node.lie(&payment.signature, Lie::effect(bent.transaction));
                "what it did"
            }
            3 => {
                node.lie(&payment.signature, Lie::slot(slot.saturating_sub(40)));
                "its slot"
            }
            4 | 5 => {
                node.lie(&payment.signature, Lie::level(Commitment::Finalized));
                "its finality"
            }
            6 => {
                node.invent(
                    version.transaction,
                    slot.saturating_sub(40),
                    Commitment::Finalized,
                );
                "its existence"
            }
            _ => {
                let mut empty = version.transaction;
                empty.without_meta = true;
                node.lie(&payment.signature, Lie::effect(empty));
                "nothing of what it did"
            }
        };
        let name = short(&payment.signature);
        self.world
            .tell(format!("node {} lies about {name}: {what}", at + 1));
    }

    async fn touch_bills(&mut self) {
        let at = self.world.rng.random_range(0..self.world.bills.len());
        match self.world.rng.random_range(0..4_u32) {
            0 => self.world.cancel_bill(at, self.pool()).await,
            1 => self.world.end_bill(at, self.pool()).await,
            2 if self.world.bills[at].is_over => self.world.end_grace(at, self.pool()).await,
            _ => {
                let worker = &self.ground.worker;
                self.world.sweep_bills(self.pool(), worker).await;
            }
        }
    }

    async fn let_time_pass(&mut self) {
        let seconds = self.world.pick(&PASSES).unwrap_or_default();
        self.world.tell(format!("{seconds} s pass"));
        pass(self.pool(), seconds).await;
    }

    fn part(&mut self) -> Part {
        let often = [Part::Backfill, Part::Observe, Part::Observe, Part::Finality];
        let parts = [&PARTS[..], &often[..]].concat();
        self.world.pick(&parts).unwrap_or(Part::Observe)
    }

    /// A part of the watcher works once.
    pub async fn work(&mut self) -> Violations {
        let part = self.part();
        self.run(part).await.0
    }

    /// Runs a part; what is wrong, and what it said.
    pub async fn run(&mut self, part: Part) -> (Violations, Result<usize, String>) {
        self.watcher.answers.forget();
        let ended = self.watcher.run(part).await;
        self.world.tell(format!("{part:?}: {ended:?}"));
        let mut wrong = match part {
            Part::Observe | Part::Finality => self.look().await,
            _ => Vec::new(),
        };
        if let Err(error) = &ended
            && error.ends_with("hangs")
        {
            wrong.push(error.clone());
        }
        (wrong, ended)
    }

    /// What the watcher has settled since the last look, and what is wrong with it.
    async fn look(&mut self) -> Violations {
        let now = booked(self.pool()).await;
        let new = now.difference(&self.settled).cloned().collect();
        let mut wrong = self.world.judge(&new, &self.watcher.answers);
        for row in self.settled.difference(&now) {
            wrong.push(format!(
                "{} was settled as {row:?} and is not any more",
                short(&row.signature)
            ));
        }
        for row in &new {
            self.world.tell(format!(
                "settled: {} with {}",
                short(&row.signature),
                row.net_units
            ));
        }
        self.settled = now;
        wrong
    }

    /// The watcher dies in the middle of something, and another one takes its place.
    async fn die(&mut self) -> Violations {
        let part = self.part();
        let turns = self.world.rng.random_range(0..TURNS_MAX);
        self.watcher.answers.forget();
        let ended = self.watcher.run_mortal(part, turns).await;
        self.world.tell(format!(
            "the watcher dies after {turns} turns of {part:?}, ended: {ended}"
        ));
        let wrong = self.look().await;
        let heir = Watcher::start(self.ground, &mut self.world, false).await;
        std::mem::replace(&mut self.watcher, heir)
            .die(self.ground)
            .await;
        wrong
    }

    /// Two watchers work at once.
    async fn work_together(&mut self) -> Violations {
        let (one, other) = (self.part(), self.part());
        let second = Watcher::start(self.ground, &mut self.world, false).await;
        self.watcher.answers.forget();
        let ended = tokio::join!(self.watcher.run(one), second.run(other));
        self.world.tell(format!(
            "two watchers at once, {one:?} and {other:?}: {ended:?}"
        ));
        self.watcher.answers.join(&second.answers);
        second.die(self.ground).await;
        self.look().await
    }
}

/// Everything that waits has waited so much longer.
pub async fn pass(pool: &PgPool, seconds: i32) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "update chain_signatures set next_at = next_at - interval '{seconds} s',
             found_at = found_at - interval '{seconds} s', absent_since = absent_since - interval '{seconds} s'
         where state <> 'done';
         update reference_sweeps set next_at = next_at - interval '{seconds} s';
         update chain_credits set retry_at = retry_at - interval '{seconds} s' where settled_at is null"
    )))
    .execute(pool)
    .await
    .unwrap();
}
