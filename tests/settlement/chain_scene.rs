//! One user whose invoices are paid on chain.

use shared::chain::Commitment;
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::queue::PayJob;
use shared::settlement::{PayOutcome, cancel, expire, settle_from_balance};
use sqlx::PgPool;
use stack::Deployment;

use crate::chain_look::record;
use crate::chain_world::{
    Bill, Effects, assert_audited, bill, quiet_deployment, signature, standing,
};
use crate::world::{balance_of, create_user, with_balance};

/// A deployment and a user without money.
pub struct Scene {
    /// The deployment.
    pub deployment: Deployment,
    /// The user.
    pub user: UserId,
}

impl Scene {
    /// Starts one.
    pub async fn open() -> Self {
        let deployment = quiet_deployment().await;
        let user = create_user(deployment.pool(), &with_balance(0)).await;
        Self { deployment, user }
    }

    /// Sessions of the superuser.
    pub fn pool(&self) -> &PgPool {
        self.deployment.pool()
    }

    /// An invoice of the user.
    pub async fn bill(&self, wanted: Bill) -> InvoiceId {
        bill(self.pool(), self.user, wanted).await
    }

    /// A transaction of its own pays so much for an invoice in USDC.
    pub async fn pay(&self, invoice: &InvoiceId, units: u64, commitment: Commitment) -> String {
        let of = signature();
        record(self.pool(), &of, commitment, &Effects::pays(invoice, units)).await;
        of
    }

    /// What an invoice and the balance must show.
    pub async fn expect(&self, invoice: &InvoiceId, status: &str, received: i64, balance: i64) {
        let seen = standing(self.pool(), invoice).await;
        assert_eq!((seen.0.as_str(), seen.1), (status, received));
        assert_eq!(balance_of(self.pool(), self.user).await, balance);
    }

    /// The user pays from the balance.
    pub async fn pay_from_balance(&self, invoice: &InvoiceId) -> PayOutcome {
        let job = PayJob {
            invoice_id: invoice.clone(),
            user_id: self.user,
        };
        let settled = settle_from_balance(self.pool(), &[(job, TraceId::generate())]).await;
        settled.unwrap().outcomes.remove(0)
    }

    /// The user gives an invoice up.
    pub async fn cancel(&self, invoice: &InvoiceId) -> bool {
        let done = cancel(self.pool(), invoice, self.user, &TraceId::generate()).await;
        done.unwrap().is_some()
    }

    /// How many invoices expire now.
    pub async fn sweep(&self) -> i64 {
        let swept = expire(self.pool(), 100, &TraceId::generate()).await;
        swept.unwrap().count.into()
    }

    /// The books are right; ends it.
    pub async fn close(self) {
        assert_audited(self.pool()).await;
        self.deployment.finish().await.unwrap();
    }
}
