//! Accepting connections, each within its limits, until a stop; then finishing the requests that are open.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use shared::config::Config;
use shared::telemetry::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How long to wait after accepting failed (usually: no file descriptors left).
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Serves until the stop, then gives open requests the configured time. Returns whether they all finished.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &Config,
    shutdown: Shutdown,
) -> bool {
    let slots = Arc::new(Semaphore::new(config.api.api_connections_max));
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.api.api_header_timeout_ms))
        .max_buf_size(config.api.api_header_bytes_max);

    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = shutdown.wait() => break,
        };
        let Some((stream, slot)) = accepted else {
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    let bound = Duration::from_millis(config.process.shutdown_timeout_ms);
    tokio::time::timeout(bound, graceful.shutdown())
        .await
        .is_ok()
}

/// The next connection that has a slot; the others wait in the kernel's backlog.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_RETRY).await;
            None
        }
    }
}
