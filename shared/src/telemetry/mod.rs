//! Logs, metrics and health answers, the same in every process.

mod probes;
mod shutdown;
mod supervise;

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

pub use probes::{Readiness, probes};
pub use shutdown::{Shutdown, on_signal};
pub use supervise::supervised;

/// Upper bounds of duration histograms, seconds.
const DURATION_BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper bounds of batch size histograms.
const SIZE_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// How often samples are folded into their histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is malformed.
    #[error("QUITTANCE_LOG is no log filter; try info, or quittance_api=debug,info")]
    Filter(#[from] ParseError),
    /// The metrics recorder was refused.
    #[error("metrics cannot be recorded")]
    Metrics(#[from] BuildError),
}

/// Logs JSON lines to standard output and records metrics from here on. Call it inside the runtime.
pub fn start(filter: &str) -> Result<PrometheusHandle, TelemetryError> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(EnvFilter::try_new(filter)?)
        .init();
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &DURATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZE_BUCKETS)?
        .install_recorder()?;
    // Without it, samples pile up until somebody scrapes.
    let handle = recorder.clone();
    supervised("metrics", async move {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            handle.run_upkeep();
        }
    });
    Ok(recorder)
}

/// Logs a failure with its whole chain of causes, once, at the boundary where it ends.
pub fn log_failure(context: &str, error: &dyn std::error::Error) {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    tracing::error!(%error, ?causes, "{context}");
}
