//! What payments on chain must lead to, written down without looking at the SQL: one event after the other.

use std::collections::BTreeMap;

use shared::settlement::{AttributionRefusal, PayOutcome};

use crate::chain_order::{
    AWAITING_PRICE, BALANCE_MAX, CHANGED, Deposit, Effect, NOT_CREDITABLE, Order, RAILS, REVERSED,
    Status, Sureness,
};

/// Units of one transaction for one invoice.
#[derive(Debug, Clone)]
struct Credit {
    transaction: usize,
    invoice: usize,
    units: u64,
    state: Sureness,
    /// What of it paid the invoice.
    paid: u64,
    settled: bool,
    /// Why it could not be settled, and whether it is to be tried again.
    waits: Option<(&'static str, bool)>,
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
            price: None,
            now: 0,
            deposits: Vec::new(),
            payments: BTreeMap::new(),
            credits: Vec::new(),
        }
    }

    /// A transaction was looked at.
    pub fn record(&mut self, transaction: usize, effect: &Effect, look: Sighting) {
        let is_final = look.is_final;
        let mut of_it = self.payments.iter().filter(|(key, _)| key.0 == transaction);
        if of_it.any(|(_, payment)| payment.state == Sureness::Final) {
            return;
        }
        let state = if is_final {
            Sureness::Final
        } else {
            Sureness::Confirmed
        };
        self.see(transaction, effect, state, look.early);
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
                paid: 0,
                settled: false,
                waits: None,
            });
        }
        for rail in (0..RAILS).filter(|rail| is_final && effect.rest[*rail] > 0) {
            self.list(transaction, rail, effect.rest[rail], "remainder", None);
        }
        for invoice in touched {
            self.settle(invoice, self.at_confirmed);
        }
    }

    /// What the accounts gained by a newer look. What has paid an invoice did so when it was seen at first.
    fn see(&mut self, transaction: usize, effect: &Effect, state: Sureness, early: bool) {
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
            } else if let Some(known) = self.payments.get_mut(&(transaction, rail)) {
                known.state = Sureness::Reversed;
            }
        }
    }

    fn is_timely(&self, credit: &Credit) -> bool {
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
        for at in known {
            self.settle(self.credits[at].invoice, false);
        }
        found
    }

    /// The units of an invoice's credits that are so.
    fn sum(&self, invoice: usize, is_so: impl Fn(&Credit) -> bool) -> u64 {
        let credits = self.credits.iter().filter(|c| c.invoice == invoice);
        credits.filter(|c| is_so(c)).map(|c| c.units).sum()
    }

    /// Brings one invoice in line with its credits.
    fn settle(&mut self, invoice: usize, at_confirmed: bool) {
        let order = self.orders[invoice].clone();
        let ready = self.sum(invoice, |c| c.is_ready(at_confirmed));
        let ready_timely = self.sum(invoice, |c| c.is_ready(at_confirmed) && self.is_timely(c));
        let kept = self.sum(invoice, |c| c.state != Sureness::Reversed);
        let timely = self.sum(invoice, |c| {
            c.state != Sureness::Reversed && self.is_timely(c)
        });
        let received = order.worth(kept);
        let mut open = order.is_open();
        let pays = open && ready_timely >= order.due();
        let paid = pays && self.pay_from_chain(invoice, at_confirmed);
        if pays && !paid {
            self.set_aside(invoice, NOT_CREDITABLE, |c| c.is_ready(at_confirmed));
        }
        let row = &mut self.orders[invoice];
        if paid {
            row.version += 1;
            row.confirming = false;
        } else {
            // A part of the price does not stop the clock.
            row.confirming = open && timely >= row.due();
            row.version += i64::from(open && received != row.received_micro);
            open = open && (row.confirming || !row.grace_over);
        }
        row.received_micro = received;
        let pays_nothing = match (paid, open) {
            (true, _) => ready > order.due(),
            (false, true) => ready > ready_timely,
            (false, false) => ready > 0,
        };
        open = open && !paid;
        if pays_nothing {
            self.settle_rests(invoice, open, at_confirmed);
        }
        for at in 0..self.credits.len() {
            let credit = &self.credits[at];
            let waits_for_more = open && credit.invoice == invoice && credit.is_ready(false);
            let is_due = credit.waits.is_none_or(|(_, again)| again);
            if waits_for_more && is_due && self.is_timely(credit) {
                self.credits[at].waits = None;
            }
        }
    }

    /// Pays an invoice with what is ready and in time; false when its owner's balance cannot take a top-up.
    fn pay_from_chain(&mut self, invoice: usize, at_confirmed: bool) -> bool {
        let order = self.orders[invoice].clone();
        if order.topup {
            if self.balances[order.owner] > BALANCE_MAX - order.amount_micro {
                return false;
            }
            self.balances[order.owner] += order.amount_micro;
        } else {
            self.months[order.owner] += 1;
        }
        let row = &mut self.orders[invoice];
        row.status = Status::Paid;
        row.treasury_micro += order.amount_micro;
        let mut missing = order.due();
        for at in 0..self.credits.len() {
            let credit = &self.credits[at];
            let is_taken = credit.invoice == invoice && credit.is_ready(at_confirmed);
            if missing > 0 && is_taken && self.is_timely(credit) {
                let credit = &mut self.credits[at];
                credit.paid = credit.units.min(missing);
                credit.settled = credit.paid == credit.units;
                credit.waits = None;
                missing -= credit.paid;
            }
        }
        true
    }

    /// Gives to its owner what pays nothing: of an open invoice what came too late.
    fn settle_rests(&mut self, invoice: usize, open: bool, at_confirmed: bool) {
        let order = self.orders[invoice].clone();
        let all: Vec<usize> = (0..self.credits.len())
            .filter(|at| {
                let credit = &self.credits[*at];
                credit.invoice == invoice
                    && credit.is_ready(at_confirmed)
                    && !(open && self.is_timely(credit))
            })
            .collect();
        let units = all
            .iter()
            .map(|at| self.credits[*at].units - self.credits[*at].paid);
        let worth = order.rest_worth(units.sum(), self.price);
        let waits = match worth {
            None => Some((AWAITING_PRICE, true)),
            Some(worth) if worth > BALANCE_MAX - self.balances[order.owner] => {
                Some((NOT_CREDITABLE, false))
            }
            Some(worth) => {
                self.balances[order.owner] += worth;
                self.orders[invoice].treasury_micro += worth;
                None
            }
        };
        for at in all {
            self.credits[at].settled = waits.is_none();
            self.credits[at].waits = waits;
        }
    }

    fn set_aside(&mut self, invoice: usize, why: &'static str, is_so: impl Fn(&Credit) -> bool) {
        for credit in self.credits.iter_mut().filter(|c| c.invoice == invoice) {
            if is_so(credit) {
                credit.waits = Some((why, false));
            }
        }
    }

    /// What waits and could not be settled: transaction, account, units, why, and for which invoice.
    pub fn waiting(&self) -> Vec<Deposit> {
        let waiting = self.credits.iter().filter(|c| c.is_ready(false));
        let told = waiting.filter_map(|credit| {
            Some(Deposit {
                transaction: credit.transaction,
                rail: self.orders[credit.invoice].rail,
                units: credit.units - credit.paid,
                reason: credit.waits?.0,
                invoice: Some(credit.invoice),
                resolution: None,
            })
        });
        told.collect()
    }

    /// What was set aside is to be tried again.
    pub fn hurry(&mut self) {
        for credit in &mut self.credits {
            if let Some((_, again)) = &mut credit.waits {
                *again = true;
            }
        }
    }

    /// What waits is settled, if it can be.
    pub fn settle_ended(&mut self) {
        for invoice in 0..self.orders.len() {
            let open = self.orders[invoice].is_open();
            let is_due = |credit: &Credit| match credit.waits {
                None => !open,
                Some((AWAITING_PRICE, _)) => self.price.is_some(),
                Some((_, again)) => again,
            };
            let mut due = self.credits.iter().filter(|c| c.invoice == invoice);
            if due.any(|credit| credit.is_ready(false) && is_due(credit)) {
                self.settle(invoice, false);
            }
        }
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
    fn is_ready(&self, at_confirmed: bool) -> bool {
        let sure =
            self.state == Sureness::Final || at_confirmed && self.state == Sureness::Confirmed;
        !self.settled && sure
    }
}
