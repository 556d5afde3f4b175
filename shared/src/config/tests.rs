//! Table of what is accepted and what each mistake answers.

use super::*;

const TOKEN: &str = "0123456789012345678901234567890123456789";

fn load(process: Process, extra: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let base = [
        ("DATABASE_URL", "postgres://q@127.0.0.1/q"),
        ("QUITTANCE_OPERATOR_TOKEN", TOKEN),
    ];
    let all = base
        .iter()
        .chain(extra)
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::from_variables(process, all)
}

#[test]
fn defaults_are_valid_and_digits_stay_text() {
    let config = load(
        Process::Api,
        &[("PATH", "/bin"), ("QUITTANCE_URL", "http://127.0.0.1:8080")],
    )
    .unwrap();
    assert_eq!(config.api.pay_wait_timeout_ms, 10_000);
    assert_eq!(
        secrecy::ExposeSecret::expose_secret(&config.api.operator_token),
        TOKEN
    );
    assert!(
        !format!("{config:?}").contains(TOKEN),
        "a secret must not print"
    );
}

/// Variable, value, and a part of the message.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "QUITTANCE_PAY_WAIT_TIMEOUT",
        "1",
        "did you mean QUITTANCE_PAY_WAIT_TIMEOUT_MS?",
    ),
    (
        "QUITTANCE_PAY_WAIT_TIMEOUT_MS",
        "soon",
        "QUITTANCE_PAY_WAIT_TIMEOUT_MS must be a whole number",
    ),
    (
        "QUITTANCE_PAY_WAIT_TIMEOUT_MS",
        "-1",
        "must be a whole number, 0 or more",
    ),
    (
        "QUITTANCE_CSRF_HEADER_REQUIRED",
        "maybe",
        "must be true or false",
    ),
    ("QUITTANCE_API_LISTEN", "here", "invalid socket address"),
    ("DATABASE_URL", "", "DATABASE_URL is required"),
    (
        "DATABASE_URL",
        "mysql://x",
        "DATABASE_URL must look like postgres://",
    ),
    ("REDIS_URL", "http://x", "REDIS_URL must look like redis://"),
    (
        "QUITTANCE_OPERATOR_TOKEN",
        "short",
        "at least 32 characters",
    ),
    (
        "QUITTANCE_QUEUE_VISIBILITY_TIMEOUT_MS",
        "100",
        "less than QUITTANCE_QUEUE_VISIBILITY_TIMEOUT_MS",
    ),
    (
        "QUITTANCE_API_REQUEST_TIMEOUT_MS",
        "10000",
        "less than QUITTANCE_API_REQUEST_TIMEOUT_MS",
    ),
    (
        "QUITTANCE_DB_LOCK_TIMEOUT_MS",
        "5001",
        "less than QUITTANCE_DB_STATEMENT_TIMEOUT_MS",
    ),
    (
        "QUITTANCE_QUEUE_BLOCK_MS",
        "2000",
        "less than QUITTANCE_REDIS_TIMEOUT_MS",
    ),
    ("QUITTANCE_SESSION_CACHE_MS", "1001", "at most 1000"),
    (
        "QUITTANCE_RATE_PER_USER_BURST",
        "1",
        "at least QUITTANCE_RATE_PER_USER_PER_SECOND",
    ),
    (
        "QUITTANCE_ALLOWED_ORIGINS",
        "console.example.com",
        "must list origins",
    ),
    ("QUITTANCE_SESSION_TTL_DAYS", "3000000", "at most 36500"),
    ("QUITTANCE_RETENTION_EVENTS_DAYS", "36501", "at most 36500"),
    ("QUITTANCE_DB_CONNECTIONS_MAX", "1", "at least 4"),
    ("QUITTANCE_PLAN_SCALE_MICRO", "0", "must be between 1 and"),
    ("QUITTANCE_PAY_SHARDS", "0", "must be more than 0"),
    (
        "QUITTANCE_SOLANA_DEPOSIT_ADDRESS",
        "xyz0",
        "must be a Solana address",
    ),
    ("QUITTANCE_USDC_MINT", "", "must be a mint's address"),
    ("QUITTANCE_REDIS_PREFIX", "a b", "must be letters"),
];

#[test]
fn every_mistake_names_the_variable_and_the_way_out() {
    for (variable, value, message) in MISTAKES {
        let error = load(Process::Api, &[(variable, value)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{variable}={value}: {error}");
    }
}

#[test]
fn only_the_api_needs_the_operator_token() {
    assert!(load(Process::Worker, &[("QUITTANCE_OPERATOR_TOKEN", "")]).is_ok());
    assert!(load(Process::Api, &[("QUITTANCE_OPERATOR_TOKEN", "")]).is_err());
}
