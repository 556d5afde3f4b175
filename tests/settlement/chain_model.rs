//! What payments on chain must lead to, written down without looking at the SQL: one event after the other.

use std::collections::BTreeMap;

use shared::settlement::{AttributionRefusal, PayOutcome};

use crate::chain_order::{CHANGED, Deposit, Effect, Order, RAILS, REVERSED, Status, Sureness};

/// Units of one transaction for one invoice.
#[derive(Debug, Clone)]
pub struct Credit {
    /// The transaction.
    pub transaction: usize,
    /// The invoice.
    pub invoice: usize,
    /// Base units.
    pub units: u64,
    /// How sure they are.
    pub state: Sureness,
    /// What of it paid the invoice.
    pub paid: u64,
    /// All of it is somebody's.
    pub settled: bool,
    /// Why it could not be settled, and whether it is to be tried again.
    pub waits: Option<(&'static str, bool)>,
}

/// What one account gained.
#[derive(Debug, Clone, Copy)]
struct Payment {
    state: Sureness,
    /// The step in which it was first seen.
    seen: usize,
    /// It had landed before any invoice's end.
    early: bool,
}

/// How a transaction is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    /// For ever.
    pub is_final: bool,
    /// The chain says that it landed long ago.
    pub early: bool,
}

/// Everything the rules depend on.
#[derive(Debug, Clone)]
pub struct ChainModel {
    /// Micro-USD by user.
    pub balances: Vec<i64>,
    /// Frozen by user.
    pub locked: Vec<bool>,
    /// Months bought by user.
    pub months: Vec<i64>,
    /// The invoices.
    pub orders: Vec<Order>,
    /// Whether confirmed payments settle.
    pub at_confirmed: bool,
    /// The price of a SOL, if it is known.
    pub price: Option<i64>,
    /// Counts the steps.
    pub now: usize,
    /// What waits for operators.
    pub deposits: Vec<Deposit>,
    /// By transaction and account.
    payments: BTreeMap<(usize, usize), Payment>,
    /// By the order of their recording.
    pub credits: Vec<Credit>,
}

impl ChainModel {
    /// Nothing has happened yet.
    pub fn new(balances: Vec<i64>, orders: Vec<Order>, at_confirmed: bool) -> Self {
        Self {
            locked: vec![false; balances.len()],
            months: vec![0; balances.len()],
            balances,
            orders,
            at_confirmed,
            price: None,
            now: 0,
            deposits: Vec::new(),
            payments: BTreeMap::new(),
            credits: Vec::new(),
        }
    }

    /// Transactions were looked at, and all that was seen settles together.
    pub fn record(&mut self, looks: &[(usize, &Effect, Sighting)]) {
        let mut touched = Vec::new();
        for (transaction, effect, look) in looks {
            touched.extend(self.look(*transaction, effect, *look));
        }
        // One after the other in this order: the first may fill its owner's balance.
        touched.sort_unstable();
        touched.dedup();
        for invoice in touched {
            self.settle(invoice, self.at_confirmed);
        }
    }

    /// A transaction was looked at; returns the invoices that this is news for. What is final stays as it is, account by
    /// account.
    fn look(&mut self, transaction: usize, effect: &Effect, look: Sighting) -> Vec<usize> {
        let is_final = look.is_final;
        let of_it = self.payments.iter().filter(|(key, _)| key.0 == transaction);
        let known: Vec<(usize, Sureness)> = of_it.map(|(key, it)| (key.1, it.state)).collect();
        let was_final = known.iter().any(|(_, state)| *state == Sureness::Final);
        if was_final && !is_final {
            return Vec::new();
        }
        let mut effect = effect.clone();
        for (rail, _) in known.into_iter().filter(|_| was_final) {
            effect.rest[rail] = 0;
            effect.credits.retain(|at, _| self.orders[*at].rail != rail);
        }
        let state = if is_final {
            Sureness::Final
        } else {
            Sureness::Confirmed
        };
        self.see(transaction, &effect, state, look.early, was_final);
        let mut touched = Vec::new();
        if !was_final {
            let of_it = |at: &usize| self.credits[*at].transaction == transaction;
            let known: Vec<usize> = (0..self.credits.len()).filter(of_it).collect();
            touched.extend(known.iter().map(|at| self.credits[*at].invoice));
            for at in known {
                self.look_again(at, &effect, state);
            }
        }
        for (invoice, units) in effect.credits.clone() {
            if touched.contains(&invoice) {
                continue;
            }
            touched.push(invoice);
            self.credits.push(Credit {
                transaction,
                invoice,
                units,
                state,
                paid: 0,
                settled: false,
                waits: None,
            });
        }
        for rail in (0..RAILS).filter(|rail| is_final && effect.rest[*rail] > 0) {
            self.list(transaction, rail, effect.rest[rail], "remainder", None);
        }
        touched
    }

    /// What the accounts gained by a newer look. What has paid an invoice did so when it was seen at first.
    fn see(
        &mut self,
        transaction: usize,
        effect: &Effect,
        state: Sureness,
        early: bool,
        was_final: bool,
    ) {
        let mut credits = self.credits.iter();
        let paying = credits.any(|c| c.transaction == transaction && c.paid > 0);
        for rail in 0..RAILS {
            let mut invoices = effect.credits.keys();
            let gains = effect.rest[rail] > 0 || invoices.any(|at| self.orders[*at].rail == rail);
            let known = self.payments.get(&(transaction, rail)).copied();
            let seen = match known {
                Some(known) if paying || known.state != Sureness::Reversed => known.seen,
                _ => self.now,
            };
            let early =
                known.is_some_and(|known| known.early) || early && !(paying && known.is_some());
            if gains {
                let payment = Payment { state, seen, early };
                self.payments.insert((transaction, rail), payment);
            } else if let Some(known) = self.payments.get_mut(&(transaction, rail))
                && !was_final
            {
                known.state = Sureness::Reversed;
            }
        }
    }

    /// Whether it landed before its invoice's end.
    pub fn is_timely(&self, credit: &Credit) -> bool {
        let order = &self.orders[credit.invoice];
        let payment = self.payments[&(credit.transaction, order.rail)];
        payment.early || order.lapsed_at.is_none_or(|at| payment.seen < at)
    }

    /// What a known credit is by a newer look at its transaction. Settled money is never counted anew.
    fn look_again(&mut self, at: usize, effect: &Effect, state: Sureness) {
        let Credit {
            transaction,
            invoice,
            units: before,
            paid,
            settled,
            ..
        } = self.credits[at];
        let settled = settled || paid > 0;
        let rail = self.orders[invoice].rail;
        match effect.credits.get(&invoice) {
            Some(units) if !settled || *units == before => {
                self.credits[at].units = *units;
                self.credits[at].state = state;
                // A debt that was none after all.
                self.deposits.retain(|deposit| {
                    (deposit.transaction, deposit.invoice) != (transaction, Some(invoice))
                        || deposit.reason != REVERSED
                });
            }
            units => {
                self.take_back(at);
                if let (Some(units), Sureness::Final) = (units, state) {
                    self.list(transaction, rail, *units, CHANGED, Some(invoice));
                }
            }
        }
    }

    fn take_back(&mut self, at: usize) {
        let credit = self.credits[at].clone();
        if credit.state == Sureness::Reversed {
            return;
        }
        self.credits[at].state = Sureness::Reversed;
        let units = if credit.settled {
            credit.units
        } else {
            credit.paid
        };
        if units > 0 {
            let rail = self.orders[credit.invoice].rail;
            let invoice = Some(credit.invoice);
            self.list(credit.transaction, rail, units, REVERSED, invoice);
        }
    }

    fn list(
        &mut self,
        transaction: usize,
        rail: usize,
        units: u64,
        reason: &'static str,
        invoice: Option<usize>,
    ) {
        self.deposits.push(Deposit {
            transaction,
            rail,
            units,
            reason,
            invoice,
            resolution: None,
        });
    }

    /// The chain has forgotten a transaction; answers whether there was something to take back.
    pub fn reverse(&mut self, transaction: usize) -> bool {
        let mut found = false;
        for (key, payment) in &mut self.payments {
            if key.0 == transaction && payment.state == Sureness::Confirmed {
                payment.state = Sureness::Reversed;
                found = true;
            }
        }
        let of_it = |at: &usize| found && self.credits[*at].transaction == transaction;
        let known: Vec<usize> = (0..self.credits.len()).filter(of_it).collect();
        for at in known.iter().copied() {
            if self.credits[at].state == Sureness::Confirmed {
                self.take_back(at);
            }
        }
        let mut touched: Vec<usize> = known.iter().map(|at| self.credits[*at].invoice).collect();
        touched.sort_unstable();
        for invoice in touched {
            self.settle(invoice, false);
        }
        found
    }

    /// An invoice's time runs out, and perhaps its wait for what landed before.
    pub fn lapse(&mut self, invoice: usize, for_good: bool) {
        let order = &mut self.orders[invoice];
        if order.status == Status::Pending && !order.grace_over {
            order.lapsed_at = order.lapsed_at.or(Some(self.now));
            order.grace_over = for_good;
        }
    }

    /// Overdue invoices expire, unless a payment may still become final.
    pub fn expire(&mut self) {
        for order in &mut self.orders {
            if order.status == Status::Pending && !order.is_open() {
                order.status = Status::Expired;
                order.version += 1;
            }
        }
    }

    /// `user` gives an invoice up.
    pub fn cancel(&mut self, invoice: usize, user: usize) -> bool {
        let order = &mut self.orders[invoice];
        let done = order.owner == user && order.is_open();
        if done {
            order.status = Status::Cancelled;
            order.version += 1;
        }
        done
    }

    /// `user` pays an invoice from the balance.
    pub fn pay(&mut self, invoice: usize, user: usize) -> PayOutcome {
        let balance = self.balances[user];
        let order = &mut self.orders[invoice];
        let open = order.is_open();
        if order.owner != user {
            PayOutcome::NotOwner
        } else if order.status == Status::Paid {
            PayOutcome::Paid {
                new_balance_micro: balance,
            }
        } else if !open {
            PayOutcome::InvoiceNotPending
        } else if order.topup {
            PayOutcome::InvoiceIsTopup
        } else if self.locked[user] {
            PayOutcome::BalanceLocked
        } else if balance < order.amount_micro {
            PayOutcome::InsufficientBalance
        } else {
            order.status = Status::Paid;
            order.version += 1;
            self.months[user] += 1;
            self.balances[user] -= order.amount_micro;
            PayOutcome::Paid {
                new_balance_micro: self.balances[user],
            }
        }
    }

    /// An operator says whose a deposit is.
    pub fn attribute(&mut self, deposit: usize, invoice: usize) -> Option<AttributionRefusal> {
        let Deposit {
            transaction,
            rail,
            units,
            reason,
            resolution,
            ..
        } = self.deposits[deposit].clone();
        if resolution.is_some() {
            return Some(AttributionRefusal::NotFound);
        }
        if reason == REVERSED {
            return Some(AttributionRefusal::NothingToAttribute);
        }
        if self.orders[invoice].rail != rail {
            return Some(AttributionRefusal::InvoiceDoesNotFit);
        }
        let mut known = self.credits.iter();
        if known.any(|c| (c.transaction, c.invoice) == (transaction, invoice)) {
            return Some(AttributionRefusal::InvoiceWasCredited);
        }
        self.credits.push(Credit {
            transaction,
            invoice,
            units,
            state: Sureness::Final,
            paid: 0,
            settled: false,
            waits: None,
        });
        self.deposits[deposit].resolution = Some("attributed");
        self.deposits[deposit].invoice = Some(invoice);
        self.settle(invoice, false);
        None
    }
}

impl Credit {
    /// Whether it could be settled.
    pub fn is_ready(&self, at_confirmed: bool) -> bool {
        let sure =
            self.state == Sureness::Final || at_confirmed && self.state == Sureness::Confirmed;
        !self.settled && sure
    }
}
