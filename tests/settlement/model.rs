//! What paying from balance must do, written down without looking at the SQL: one request after the other.

use shared::settlement::PayOutcome;

/// A user of the model.
#[derive(Debug, Clone)]
pub struct ModelUser {
    /// Micro-USD.
    pub balance_micro: i64,
    /// Frozen by an operator.
    pub locked: bool,
}

/// How an invoice of the model starts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Can be paid.
    Pending,
    /// Its time ran out, not swept yet.
    Overdue,
    /// Given up.
    Cancelled,
    /// Settled, by the model itself.
    Paid,
}

/// An invoice of the model.
#[derive(Debug, Clone)]
pub struct ModelInvoice {
    /// Index of its user.
    pub owner: usize,
    /// Micro-USD.
    pub amount_micro: i64,
    /// Whether it credits the balance instead.
    pub topup: bool,
    /// Where it stands.
    pub standing: Standing,
}

/// Everything the rules depend on.
#[derive(Debug, Clone)]
pub struct Model {
    /// The users.
    pub users: Vec<ModelUser>,
    /// The invoices.
    pub invoices: Vec<ModelInvoice>,
}

impl Model {
    /// User `user` pays invoice `invoice`; an index beyond the end is an unknown invoice.
    pub fn pay(&mut self, invoice: usize, user: usize) -> PayOutcome {
        let balance_micro = self.users[user].balance_micro;
        let Some(invoice) = self.invoices.get_mut(invoice) else {
            return PayOutcome::InvoiceNotFound;
        };
        if invoice.owner != user {
            return PayOutcome::NotOwner;
        }
        match invoice.standing {
            Standing::Paid => {
                return PayOutcome::Paid {
                    new_balance_micro: balance_micro,
                };
            }
            Standing::Overdue | Standing::Cancelled => return PayOutcome::InvoiceNotPending,
            Standing::Pending => {}
        }
        if invoice.topup {
            return PayOutcome::InvoiceIsTopup;
        }
        if self.users[user].locked {
            return PayOutcome::BalanceLocked;
        }
        if balance_micro < invoice.amount_micro {
            return PayOutcome::InsufficientBalance;
        }
        invoice.standing = Standing::Paid;
        self.users[user].balance_micro -= invoice.amount_micro;
        PayOutcome::Paid {
            new_balance_micro: self.users[user].balance_micro,
        }
    }
}
