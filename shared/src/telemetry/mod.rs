//! Logs, metrics and health answers, the same in every process.

mod probes;
mod shutdown;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

pub use probes::{Readiness, probes};
pub use shutdown::{Shutdown, on_signal};

/// Upper bounds of duration histograms, seconds.
const DURATION_BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper bounds of batch size histograms.
const SIZE_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

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

/// Logs JSON lines to standard output and records metrics from here on.
pub fn start(filter: &str) -> Result<PrometheusHandle, TelemetryError> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(EnvFilter::try_new(filter)?)
        .init();
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &DURATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZE_BUCKETS)?
        .install_recorder()?;
    Ok(handle)
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
