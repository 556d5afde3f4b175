//! Clients that send a request and go away.

use std::time::Duration;

use futures::StreamExt as _;
use stack::{Console, Deployment};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::client::Connections;
use crate::support::database::api_connections;
use crate::support::storm::Storm;
use crate::support::truth::check_all_paid;
use crate::support::wait::eventually;
use crate::support::world::{Debtor, PRICE, quick};

/// Connections the api may hold; a few lost ones would stop it.
const POOL: i64 = 4;
const AT_ONCE: usize = 16;

/// Sends the head and body of a request, stays for a moment, and closes without reading.
async fn send_and_leave(console: &Console, url: &str, path: &str, body: &str, stay: Duration) {
    let address = url.strip_prefix("http://").unwrap();
    let tokens = console.tokens();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncookie: nl_session={}; nl_csrf={}\r\n\
         x-csrf-token: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        tokens.session,
        tokens.csrf,
        tokens.csrf,
        body.len()
    );
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    sleep(stay).await;
    drop(connection);
}

/// From at once to after the usual duration of a call, so that each step of a call is interrupted some time.
fn stays() -> impl Iterator<Item = Duration> {
    (0..10)
        .cycle()
        .map(|step| Duration::from_micros(step * step * 150))
}

async fn assert_api_is_whole(deployment: &Deployment, debtor: &Debtor) {
    eventually(
        "no connection is left in a transaction",
        Duration::from_secs(5),
        async || {
            let (connections, in_transaction) = api_connections(deployment.pool()).await;
            assert!(connections <= POOL, "{connections} connections");
            (in_transaction == 0).then_some(())
        },
    )
    .await;
    // More reads at once than the pool has connections, all answered: none was lost.
    let reads =
        futures::stream::iter(0..100).map(async |_| debtor.console.balance().await.unwrap());
    let statuses = reads
        .buffer_unordered(AT_ONCE)
        .map(|answer| answer.status)
        .collect::<Vec<_>>();
    let statuses = timeout(Duration::from_secs(10), statuses)
        .await
        .expect("the api answers");
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[tokio::test]
async fn three_hundred_payers_who_leave_find_the_truth_when_they_return() {
    let deployment = quick()
        .env("QUITTANCE_DB_CONNECTIONS_MAX", POOL.to_string())
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 15, 20).await;
    let invoices = debtors
        .iter()
        .flat_map(|one| one.invoices.iter().map(move |id| (one, id)));
    let url = deployment.api(0).url();
    let leaving = futures::stream::iter(invoices.zip(stays())).map(async |((debtor, id), stay)| {
        let path = format!("/v1/billing/invoices/{id}/pay-from-balance");
        send_and_leave(&debtor.console, url, &path, "", stay).await;
    });
    assert_eq!(leaving.buffer_unordered(AT_ONCE).count().await, 300);

    assert_api_is_whole(&deployment, &debtors[0]).await;
    let settled = Storm::start(&deployment, &debtors, 32, Connections::Hold)
        .end()
        .await;
    check_all_paid(deployment.pool(), &debtors, &settled).await;
    deployment.finish().await.unwrap();
}

#[tokio::test]
async fn callers_who_leave_inside_a_transaction_lose_no_connection() {
    let deployment = quick()
        .env("QUITTANCE_DB_CONNECTIONS_MAX", POOL.to_string())
        .start()
        .await
        .unwrap();
    let debtors = Debtor::create_many(&deployment, 15, 10).await;
    let body = stack::client::console::subscription_invoice("starter", 1).to_string();
    let url = deployment.api(0).url();
    let invoices = debtors
        .iter()
        .flat_map(|one| one.invoices.iter().map(move |id| (one, id)));
    let leaving = futures::stream::iter(invoices.zip(stays())).map(async |((debtor, id), stay)| {
        let cancel = format!("/v1/billing/invoices/{id}/cancel");
        send_and_leave(&debtor.console, url, &cancel, "", stay).await;
        send_and_leave(&debtor.console, url, "/v1/billing/invoices", &body, stay).await;
    });
    assert_eq!(leaving.buffer_unordered(AT_ONCE).count().await, 150);

    assert_api_is_whole(&deployment, &debtors[0]).await;
    for debtor in &debtors {
        for invoice in &debtor.invoices {
            // Cancelled when the first caller left, or now: never both, never neither.
            let before = debtor.console.get_invoice(invoice).await.unwrap().body["status"].clone();
            let answer = debtor.console.cancel(invoice).await.unwrap();
            assert_eq!(
                answer.status,
                if before == "pending" { 204 } else { 404 },
                "{before}"
            );
        }
        let balance = debtor.console.balance().await.unwrap().body["amount_micro"].as_i64();
        assert_eq!(balance, Some(PRICE * 10));
    }
    deployment.finish().await.unwrap();
}
