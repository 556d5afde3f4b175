//! The end of a schedule: everybody is well, the chain goes on, and the books must be those of the chain.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ledger::audit;
use sqlx::PgPool;

use crate::checks::Violations;
use crate::driver::{Driver, pass};
use crate::ground::Account;
use crate::rounds::PARTS;
use crate::transactions::Effect;
use crate::world::{Whose, World, short};

/// Far enough for everything to be final, and for what is gone to be gone.
const LAST_SLOTS: u64 = 400;
/// How often everything is done once more before it must be over.
const LAPS: usize = 12;
/// Rounds of one part in one lap.
const ROUNDS_MAX: usize = 20;
const LAP_SECONDS: i32 = 22_000;
/// Slots that pass in a lap: what is told of one lap's slots is final in the next.
const LAP_SLOTS: u64 = 50;
/// A cursor that is ahead of the chain is thrown away in the third round in a row, and its history read in the next.
const LAPS_MIN: usize = 4;

/// By account: what came in and what went out.
type Books = BTreeMap<String, (i128, i128)>;

impl Driver<'_> {
    /// Ends the schedule; what is wrong at the end.
    pub async fn end(&mut self) -> Violations {
        self.world.tell("everybody is well from here on");
        let pool = self.ground.superuser();
        for hand in self.world.hands.clone() {
            hand.heal();
        }
        self.watcher.follow_all();
        self.world.produce(LAST_SLOTS);
        let mut wrong = Vec::new();
        for lap in 0..LAPS {
            wrong.extend(self.lap().await);
            if lap == 0 {
                self.end_bills().await;
            }
            if !wrong.is_empty() || lap >= LAPS_MIN && unfinished(pool).await.is_empty() {
                break;
            }
        }
        if wrong.is_empty() {
            let rest = unfinished(pool).await;
            wrong.extend(rest.into_iter().map(|row| format!("never ends: {row}")));
            wrong.extend(self.world.compare(pool).await);
            wrong.extend(audited(pool).await);
        }
        wrong
    }

    /// Everything that is due is done.
    async fn lap(&mut self) -> Violations {
        let mut wrong = Vec::new();
        pass(self.ground.superuser(), LAP_SECONDS).await;
        self.world.produce(LAP_SLOTS);
        for part in PARTS {
            for _ in 0..ROUNDS_MAX {
                let (found, ended) = self.run(part).await;
                wrong.extend(found);
                match ended {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        wrong.push(format!("{part:?} fails though all is well: {error}"));
                        break;
                    }
                }
            }
        }
        wrong
    }

    /// No invoice is open any more.
    async fn end_bills(&mut self) {
        let pool = self.ground.superuser();
        for at in 0..self.world.bills.len() {
            if !self.world.bills[at].is_over {
                self.world.end_bill(at, pool).await;
            }
        }
        self.world.produce(LAST_SLOTS);
        for at in 0..self.world.bills.len() {
            self.world.end_grace(at, pool).await;
        }
        self.world.sweep_bills(pool, &self.ground.worker).await;
    }
}

/// What still waits for something.
async fn unfinished(pool: &PgPool) -> Vec<String> {
    let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "select s.signature, s.state, s.note from chain_signatures s where s.state in ('found', 'confirmed')
         union all
         select c.signature, 'credit ' || c.state, null from chain_credits c
         where c.settled_at is null and c.state <> 'reversed'
         union all
         select d.account, 'books not begun', null from deposit_accounts d where d.opening_slot is null",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(signature, state, note)| format!("{} {state} {note:?}", short(&signature)))
        .collect()
}

async fn audited(pool: &PgPool) -> Violations {
    let audited = audit(pool, Duration::from_secs(20)).await.unwrap();
    let failed = audited.checks.into_iter().filter(|check| !check.ok);
    failed
        .map(|check| format!("audit: {}: {}", check.name, check.detail))
        .collect()
}

/// What the books know of a transaction's gain on an account: booked, credited by invoice, listed or counted as dust.
#[derive(Debug, Default)]
struct Known {
    net: i128,
    credited: BTreeMap<String, i128>,
    listed: i128,
}

impl World {
    /// Where the books are not those of the chain.
    async fn compare(&self, pool: &PgPool) -> Violations {
        let settled = self.settled();
        let known = known(pool).await;
        let mut wrong = Vec::new();
        for (signature, (at, done)) in &settled {
            for (account, effect) in done.iter().enumerate() {
                let key = self.accounts[account].key.to_string();
                let known = known.get(&(signature.clone(), key));
                wrong.extend(self.compare_gain(*at, account, effect, known));
            }
        }
        for (signature, account) in known.keys() {
            if !settled.contains_key(signature) {
                wrong.push(format!(
                    "{} is booked on {account} and is not on the chain",
                    short(signature)
                ));
            }
        }
        wrong.extend(
            self.compare_sums(pool, settled.values().map(|(_, done)| done))
                .await,
        );
        wrong.extend(self.compare_openings(pool).await);
        wrong.extend(self.compare_dollars(pool).await);
        wrong.extend(self.compare_lists(pool).await);
        wrong
    }

    /// Where one gain is not where it should be.
    fn compare_gain(
        &self,
        at: usize,
        account: usize,
        effect: &Effect,
        known: Option<&Known>,
    ) -> Option<String> {
        let payment = &self.payments[at];
        let landed = payment
            .landed
            .and_then(|version| payment.versions.get(version))?;
        let mut due = Known::default();
        for share in landed
            .shares
            .iter()
            .filter(|share| share.account == account)
        {
            let units = i128::from(share.units);
            due.net += units;
            match share.whose {
                Whose::Bills(bill) => {
                    let id = self.bills[bill].id.to_string();
                    *due.credited.entry(id).or_default() += units;
                }
                Whose::Operators => due.listed += units,
            }
        }
        let none = Known::default();
        let known = known.unwrap_or(&none);
        let is_same =
            (due.net, &due.credited, due.listed) == (known.net, &known.credited, known.listed);
        let name = short(&payment.signature);
        (!is_same).then(|| {
            let what = payment.what;
            format!("{name} ({what}): {effect:?} should be {due:?} and is {known:?}")
        })
    }

    /// Where an account's books do not explain what the chain did to it.
    async fn compare_sums<'a>(
        &self,
        pool: &PgPool,
        done: impl Iterator<Item = &'a [Effect; 3]>,
    ) -> Violations {
        let mut theirs: Books = Books::new();
        for effects in done {
            for (account, effect) in self.accounts.iter().zip(effects) {
                let sums = theirs.entry(account.key.to_string()).or_default();
                sums.0 += effect.gain;
                sums.1 += effect.loss;
            }
        }
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "select d.account,
                    coalesce((select sum(p.net_units) from chain_payments p
                              where p.account = d.account and p.state = 'finalized'), 0)::bigint,
                    coalesce((select sum(o.units) from chain_outflows o where o.account = d.account), 0)::bigint
             from deposit_accounts d",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        let differs = |(account, came, went): (String, i64, i64)| {
            let (gained, lost) = theirs.get(&account).copied().unwrap_or_default();
            let ours = i128::from(came) - i128::from(went);
            (ours != gained - lost).then(|| {
                format!(
                    "the books of {account} say {ours} (+{came} -{went}), the chain {} (+{gained} -{lost})",
                    gained - lost
                )
            })
        };
        rows.into_iter().filter_map(differs).collect()
    }

    /// Where what an account held in the beginning, and its books since, are not what it holds.
    async fn compare_openings(&self, pool: &PgPool) -> Violations {
        let rows: Vec<(String, Option<String>)> = sqlx::query_as(
            "select d.account,
                    (d.opening_units
                     + coalesce((select sum(p.net_units) from chain_payments p where p.account = d.account
                                 and p.state = 'finalized' and p.slot > d.opening_slot), 0)
                     - coalesce((select sum(o.units) from chain_outflows o where o.account = d.account
                                 and o.slot > d.opening_slot), 0))::text
             from deposit_accounts d",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        let differs = |(account, ours): (String, Option<String>)| {
            let theirs = self.holds(&account);
            let ours = ours.and_then(|units| units.parse().ok());
            (ours != Some(theirs))
                .then(|| format!("{account} holds {theirs}, by its books {ours:?}"))
        };
        rows.into_iter().filter_map(differs).collect()
    }

    /// What an account of ours holds on the chain.
    fn holds(&self, key: &str) -> i128 {
        let of_key = |account: &&Account| account.key.to_string() == key;
        let account = self.accounts.iter().find(of_key).unwrap();
        let held = self.chain.account(&account.key).unwrap();
        match account.mint {
            None => held.lamports.into(),
            Some(_) => held.token_amount().unwrap().into(),
        }
    }

    /// Where an invoice in dollars did not give what came in for it.
    async fn compare_dollars(&self, pool: &PgPool) -> Violations {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "select i.id,
                    coalesce((select sum(c.units) from chain_credits c
                              where c.invoice_id = i.id and c.state = 'finalized'), 0)::bigint,
                    coalesce((select sum(t.amount_micro) from transfers t
                              where t.ref_invoice_id = i.id and starts_with(t.debit_account, 'treasury:')), 0)::bigint
             from invoices i where i.rail <> 'sol-native'",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        let differs = |(invoice, came, gave): (String, i64, i64)| {
            (came != gave).then(|| format!("{invoice} got {came} and gave {gave}"))
        };
        rows.into_iter().filter_map(differs).collect()
    }

    /// What operators are still told and is no longer so.
    async fn compare_lists(&self, pool: &PgPool) -> Violations {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select u.signature, u.reason from unattributed_deposits u
             where u.resolved_at is null
               and u.reason in ('unreadable', 'unsupported_version', 'disputed', 'no_effects', 'not_recordable',
                                'awaiting_price', 'not_creditable', 'reversed_after_settlement',
                                'changed_after_settlement')",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(signature, reason)| format!("{} is still listed: {reason}", short(&signature)))
            .collect()
    }
}

/// What the books know, by transaction and account.
async fn known(pool: &PgPool) -> BTreeMap<(String, String), Known> {
    let rows: Vec<(String, String, i64, Option<String>, i64, i64)> = sqlx::query_as(
        "select p.signature, p.account, p.net_units, c.invoice_id, coalesce(c.units, 0),
                (p.dust_units + coalesce((select sum(u.units) from unattributed_deposits u
                    where u.signature = p.signature and u.account = p.account
                      and u.reason not in ('reversed_after_settlement', 'awaiting_price', 'not_creditable', 'netted_out')), 0))::bigint
         from chain_payments p
         left join chain_credits c
             on c.signature = p.signature and c.account = p.account and c.state = 'finalized'
         where p.state = 'finalized'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut known: BTreeMap<(String, String), Known> = BTreeMap::new();
    for (signature, account, net, invoice, units, listed) in rows {
        let of_it = known.entry((signature, account)).or_default();
        of_it.net = i128::from(net);
        of_it.listed = i128::from(listed);
        if let Some(invoice) = invoice {
            *of_it.credited.entry(invoice).or_default() += i128::from(units);
        }
    }
    known
}
