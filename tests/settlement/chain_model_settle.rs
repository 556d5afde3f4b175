//! What becomes of the credits of one invoice: they pay it, or they are its owner's.

use crate::chain_model::{ChainModel, Credit};
use crate::chain_order::{AWAITING_PRICE, BALANCE_MAX, Deposit, NOT_CREDITABLE, Status, Sureness};

impl ChainModel {
    /// The units of an invoice's credits that are so.
    fn sum(&self, invoice: usize, is_so: impl Fn(&Credit) -> bool) -> u64 {
        let credits = self.credits.iter().filter(|c| c.invoice == invoice);
        credits.filter(|c| is_so(c)).map(|c| c.units).sum()
    }

    /// Brings one invoice in line with its credits.
    pub fn settle(&mut self, invoice: usize, at_confirmed: bool) {
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
}
