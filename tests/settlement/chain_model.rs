//! What payments on chain must lead to, written down without looking at the SQL: one event after the other.

use std::collections::BTreeMap;

use shared::settlement::{AttributionRefusal, PayOutcome};

use crate::chain_order::{CHANGED, Deposit, Effect, Order, RAILS, REVERSED, Status, Sureness};

/// Units of one transaction for one invoice.
#[derive(Debug, Clone)]
struct Credit {
    transaction: usize,
    invoice: usize,
    units: u64,
    state: Sureness,
    settled: bool,
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
    /// What waits for operators.
    pub deposits: Vec<Deposit>,
    /// By transaction and account.
    payments: BTreeMap<(usize, usize), Sureness>,
    credits: Vec<Credit>,
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
            deposits: Vec::new(),
            payments: BTreeMap::new(),
            credits: Vec::new(),
        }
    }

    /// A transaction was looked at.
    pub fn record(&mut self, transaction: usize, effect: &Effect, is_final: bool) {
        let mut of_it = self.payments.iter().filter(|(key, _)| key.0 == transaction);
        if of_it.any(|(_, state)| *state == Sureness::Final) {
            return;
        }
        let state = if is_final {
            Sureness::Final
        } else {
            Sureness::Confirmed
        };
        for rail in 0..RAILS {
            let mut invoices = effect.credits.keys();
            let gains = effect.rest[rail] > 0 || invoices.any(|at| self.orders[*at].rail == rail);
            if gains {
                self.payments.insert((transaction, rail), state);
            } else if let Some(known) = self.payments.get_mut(&(transaction, rail)) {
                *known = Sureness::Reversed;
            }
        }
        let known: Vec<usize> = (0..self.credits.len())
            .filter(|at| self.credits[*at].transaction == transaction)
            .collect();
        let mut touched: Vec<usize> = known.iter().map(|at| self.credits[*at].invoice).collect();
        let fresh: Vec<usize> = effect
            .credits
            .keys()
            .copied()
            .filter(|invoice| !touched.contains(invoice))
            .collect();
        for at in known {
            self.look_again(at, effect, state);
        }
        for invoice in fresh {
            touched.push(invoice);
            let units = effect.credits[&invoice];
            self.credits.push(Credit {
                transaction,
                invoice,
                units,
                state,
                settled: false,
            });
        }
        for rail in (0..RAILS).filter(|rail| is_final && effect.rest[*rail] > 0) {
            self.list(transaction, rail, effect.rest[rail], "remainder", None);
        }
        for invoice in touched {
            self.settle(invoice, self.at_confirmed);
        }
    }

    /// What a known credit is by a newer look at its transaction. Settled money is never counted anew.
    fn look_again(&mut self, at: usize, effect: &Effect, state: Sureness) {
        let Credit {
            transaction,
            invoice,
            units: before,
            settled,
            ..
        } = self.credits[at];
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
        if credit.settled {
            let rail = self.orders[credit.invoice].rail;
            let invoice = Some(credit.invoice);
            self.list(credit.transaction, rail, credit.units, REVERSED, invoice);
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
        for (key, state) in &mut self.payments {
            if key.0 == transaction && *state == Sureness::Confirmed {
                *state = Sureness::Reversed;
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
        for at in known {
            self.settle(self.credits[at].invoice, false);
        }
        found
    }

    /// Brings one invoice in line with its credits.
    fn settle(&mut self, invoice: usize, at_confirmed: bool) {
        let order = self.orders[invoice].clone();
        let open = order.is_open();
        let (mut ready, mut kept, mut confirming) = (0, 0, false);
        for credit in self.credits.iter().filter(|c| c.invoice == invoice) {
            kept += if credit.state == Sureness::Reversed {
                0
            } else {
                credit.units
            };
            ready += if credit.is_ready(at_confirmed) {
                credit.units
            } else {
                0
            };
            confirming |= credit.state == Sureness::Confirmed;
        }
        let (worth, received) = (order.worth(ready), order.worth(kept));
        let paid = open && worth >= order.amount_micro;
        let row = &mut self.orders[invoice];
        // A part of the price does not stop the clock.
        row.confirming = open && !paid && confirming && received >= row.amount_micro;
        row.version += i64::from(paid || open && received != row.received_micro);
        row.received_micro = received;
        if open && !paid {
            return;
        }
        row.treasury_micro += worth;
        let mut to_owner = worth;
        if paid {
            row.status = Status::Paid;
            if !order.topup {
                to_owner -= order.amount_micro;
                self.months[order.owner] += 1;
            }
        }
        self.balances[order.owner] += to_owner;
        let due = self.credits.iter_mut().filter(|c| c.invoice == invoice);
        due.filter(|credit| credit.is_ready(at_confirmed))
            .for_each(|credit| credit.settled = true);
    }

    /// Money that waits on invoices that ended goes to their owners.
    pub fn settle_ended(&mut self) {
        for invoice in 0..self.orders.len() {
            if !self.orders[invoice].is_open() {
                let mut due = self.credits.iter().filter(|c| c.invoice == invoice);
                if due.any(|credit| credit.is_ready(false)) {
                    self.settle(invoice, false);
                }
            }
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
            settled: false,
        });
        self.deposits[deposit].resolution = Some("attributed");
        self.deposits[deposit].invoice = Some(invoice);
        self.settle(invoice, false);
        None
    }
}

impl Credit {
    fn is_ready(&self, at_confirmed: bool) -> bool {
        let sure =
            self.state == Sureness::Final || at_confirmed && self.state == Sureness::Confirmed;
        !self.settled && sure
    }
}
