//! Accepting connections, each within its limits. A stopping process first asks its clients to move on, still
//! answering, and only then leaves its port; requests that are open then are finished.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use futures::FutureExt as _;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use shared::config::Config;
use shared::telemetry::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::takeover::{Socket, Takeover};

/// How long to wait after accepting failed (usually: no file descriptors left).
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How long a new connection may take with its first request once the process leaves.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Serves until the stop, then gives open requests the configured time and drops what is left: a client that sends half
/// a request, or reads nothing, must not hold the process. Returns whether everything was finished.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &Config,
    shutdown: Shutdown,
) -> bool {
    let slots = Arc::new(Semaphore::new(config.api.api_connections_max));
    let (leave, leaving) = watch::channel(false);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.api.api_header_timeout_ms))
        .max_buf_size(config.api.api_header_bytes_max);
    let (abandon, abandoned) = watch::channel(false);
    let write_timeout = Duration::from_millis(config.stream.stream_write_timeout_ms);
    let serve = |(stream, slot)| {
        let connection = connection(builder.clone(), stream, router.clone(), leaving.clone());
        // Boxed, so that a stream, which may stay open for days, does not keep the room for it.
        let connection = Box::pin(connection);
        let mut abandoned = abandoned.clone();
        let served = async move {
            if let Some((socket, body)) = connection.await {
                socket.send(body, write_timeout).await;
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                () = served => {}
                _ = abandoned.wait_for(|abandoned| *abandoned) => {}
            }
            drop::<OwnedSemaphorePermit>(slot);
        });
    };

    let drained = async {
        shutdown.wait().await;
        // Until then answers say `Connection: close`, so that clients move on before the port is gone.
        tokio::time::sleep(Duration::from_millis(config.api.api_drain_ms)).await;
    };
    let mut drained = pin!(drained);
    loop {
        tokio::select! {
            accepted = accept(&listener, &slots) => accepted.into_iter().for_each(serve),
            () = &mut drained => break,
        }
    }
    // Connections that the kernel has made already are ours, too.
    while let Some(Some(accepted)) = accept(&listener, &slots).now_or_never() {
        serve(accepted);
    }
    drop(listener);
    leave.send_replace(true);
    let bound = Duration::from_millis(config.process.shutdown_timeout_ms);
    let all = u32::try_from(config.api.api_connections_max).unwrap_or(u32::MAX);
    let finished = tokio::time::timeout(bound, slots.acquire_many(all))
        .await
        .is_ok();
    abandon.send_replace(true);
    finished
}

/// Serves one connection; once `leaving` holds, until its open request is answered. A connection without a request so
/// far gets a moment: its first one is on its way. Returns a stream that somebody else is to send.
async fn connection(
    builder: http1::Builder,
    stream: TcpStream,
    router: Router,
    mut leaving: watch::Receiver<bool>,
) -> Option<(Socket, Body)> {
    let (asked, mut was_asked) = watch::channel(false);
    let inner = TowerToHyperService::new(router);
    let takeover = Takeover::default();
    let service = {
        let takeover = takeover.clone();
        service_fn(move |request: Request<hyper::body::Incoming>| {
            asked.send_replace(true);
            let (takeover, version) = (takeover.clone(), request.version());
            let answer = inner.call(request);
            async move { Ok::<_, Infallible>(takeover.answer(version, answer.await?)) }
        })
    };
    let mut connection = builder.serve_connection(takeover.socket(stream), service);
    let leave = async {
        let _ = leaving.wait_for(|leaving| *leaving).await;
        let _ = tokio::time::timeout(FIRST_REQUEST, was_asked.wait_for(|asked| *asked)).await;
    };
    let served = tokio::select! {
        served = takeover.serve(&mut connection) => Some(served),
        () = leave => None,
    };
    let served = if let Some(served) = served {
        served
    } else {
        Pin::new(&mut connection).graceful_shutdown();
        takeover.serve(&mut connection).await
    };
    match served {
        Ok(body) => body.map(|body| (connection.into_parts().io, body)),
        Err(error) => {
            tracing::debug!(%error, "connection ended");
            None
        }
    }
}

/// The next connection that has a slot; the others wait in the kernel's backlog.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
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
