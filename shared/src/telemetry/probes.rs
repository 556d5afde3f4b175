//! `/healthz`, `/readyz`, `/metrics`.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::timeout;

use super::Shutdown;
use crate::queue::RedisLink;

/// A dependency that does not answer within this time counts as down.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a process needs to be of use.
#[derive(Clone)]
pub struct Readiness {
    /// The process' pool.
    pub pool: PgPool,
    /// A Redis connection.
    pub redis: RedisLink,
    /// A stopping process is not ready.
    pub shutdown: Shutdown,
}

#[derive(Clone)]
struct Probes {
    metrics: PrometheusHandle,
    readiness: Readiness,
}

/// The routes. Health says that the process runs; readiness that it can reach what it needs.
pub fn probes<S: Clone + Send + Sync + 'static>(
    metrics: PrometheusHandle,
    readiness: Readiness,
) -> Router<S> {
    Router::new()
        .route("/healthz", get(async || Json(json!({"ok": true}))))
        .route("/readyz", get(readyz))
        .route(
            "/metrics",
            get(async |State(probes): State<Probes>| probes.metrics.render()),
        )
        .with_state(Probes { metrics, readiness })
}

async fn readyz(State(Probes { readiness, .. }): State<Probes>) -> impl IntoResponse {
    let Readiness {
        pool,
        mut redis,
        shutdown,
    } = readiness;
    let (postgres, redis) = tokio::join!(
        timeout(PROBE_TIMEOUT, sqlx::query("select 1").execute(&pool)),
        timeout(PROBE_TIMEOUT, async move {
            redis::cmd("PING").query_async::<String>(&mut redis).await
        }),
    );
    let (postgres, redis) = (matches!(postgres, Ok(Ok(_))), matches!(redis, Ok(Ok(_))));
    let stopping = shutdown.is_stopping();
    let ready = postgres && redis && !stopping;
    let body: Value =
        json!({"ok": ready, "postgres": postgres, "redis": redis, "stopping": stopping});
    (
        if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        Json(body),
    )
}
