//! Users with money and invoices.

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use stack::client::console::subscription_invoice;
use stack::deployment::Builder;
use stack::{Console, Deployment};

/// Price of the plan `starter` for a month: what every invoice here is about.
pub const PRICE: i64 = 49_000_000;
/// Users made at once.
const MAKERS: usize = 8;

/// A deployment that notices things soon, so that tests are quick; its pools are small, because many run at once.
pub fn quick() -> Builder {
    Deployment::builder()
        .env("QUITTANCE_DB_CONNECTIONS_MAX", "8")
        .env("QUITTANCE_QUEUE_BLOCK_MS", "50")
        .env("QUITTANCE_PAUSE_POLL_MS", "50")
        .env("QUITTANCE_SWEEP_RECLAIM_INTERVAL_MS", "100")
        .env("QUITTANCE_SWEEP_EXPIRY_INTERVAL_MS", "50")
        .env("QUITTANCE_SWEEP_OUTBOX_INTERVAL_MS", "100")
        .env("QUITTANCE_SWEEP_OUTBOX_AGE_MS", "300")
}

/// As `quick`, and the jobs of a silent worker are taken over soon.
pub fn quick_to_take_over() -> Builder {
    quick()
        .env("QUITTANCE_PAY_HANDLER_TIMEOUT_MS", "2000")
        .env("QUITTANCE_QUEUE_VISIBILITY_TIMEOUT_MS", "3000")
}

/// A user with invoices to pay.
#[derive(Debug, Clone)]
pub struct Debtor {
    /// The user, signed in at the first api.
    pub console: Console,
    /// The balance at the beginning.
    pub opening_micro: i64,
    /// Pending invoices of `PRICE` each.
    pub invoices: Vec<String>,
}

impl Debtor {
    /// A user with this balance and so many invoices.
    pub async fn create(deployment: &Deployment, opening_micro: i64, invoices: usize) -> Self {
        let console = deployment.user_with_balance(opening_micro).await.unwrap();
        let mut ids = Vec::with_capacity(invoices);
        for _ in 0..invoices {
            ids.push(create_invoice(&console).await);
        }
        Self {
            console,
            opening_micro,
            invoices: ids,
        }
    }

    /// Several users who can pay all their invoices.
    pub async fn create_many(deployment: &Deployment, users: usize, invoices: usize) -> Vec<Self> {
        let funds = PRICE * i64::try_from(invoices).unwrap();
        Self::create_many_with(deployment, users, invoices, funds).await
    }

    /// Several users with this balance each.
    pub async fn create_many_with(
        deployment: &Deployment,
        users: usize,
        invoices: usize,
        opening_micro: i64,
    ) -> Vec<Self> {
        futures::stream::iter(0..users)
            .map(|_| Self::create(deployment, opening_micro, invoices))
            .buffer_unordered(MAKERS)
            .collect()
            .await
    }

    /// The user's only invoice.
    pub fn invoice(&self) -> &str {
        assert_eq!(self.invoices.len(), 1);
        &self.invoices[0]
    }

    /// The user at each api, beginning with the one of this number.
    pub fn consoles(&self, deployment: &Deployment, first: usize) -> Vec<Console> {
        let apis = deployment.apis();
        let urls = apis.iter().cycle().skip(first % apis.len());
        urls.take(apis.len())
            .map(|api| self.console.at(api.url()))
            .collect()
    }
}

/// Creates an invoice of `PRICE`.
pub async fn create_invoice(console: &Console) -> String {
    let body = subscription_invoice("starter", 1);
    let answer = console.create_invoice(&body).await.unwrap();
    let created: Value = answer.parse(201, "create an invoice").unwrap();
    assert_eq!(created["amount_micro"], PRICE);
    created["id"].as_str().unwrap().to_owned()
}

/// Ends a test that stopped services itself: the books must be right, and every service that still runs must end
/// well.
pub async fn close(deployment: Deployment) {
    audit(&deployment).await;
    let services = deployment.apis().iter().chain(deployment.workers());
    let running = services.filter(|service| service.process().exited().is_none());
    let statuses: Vec<_> = futures::stream::iter(running)
        .map(stack::Service::terminate)
        .buffer_unordered(MAKERS)
        .try_collect()
        .await
        .unwrap();
    assert!(
        statuses.iter().all(std::process::ExitStatus::success),
        "{statuses:?}"
    );
}

/// Audits through the first api that runs.
pub async fn audit(deployment: &Deployment) {
    let mut apis = deployment.apis().iter();
    let api = apis.find(|api| api.process().exited().is_none()).unwrap();
    let audit = deployment.operator().at(api.url()).audit().await.unwrap();
    assert_eq!(audit["ok"], true, "{audit:#}");
}
