//! Configuration: `default.toml` documents every setting and is the default; environment variables override it;
//! everything is checked before a process does anything, settings that depend on each other together.

mod checks;
mod sections;

use serde::Deserialize;
use toml::{Table, Value};

pub use checks::Process;
pub use sections::{
    ApiConfig, BillingConfig, ChainConfig, DatabaseConfig, ProcessConfig, QueueConfig, RedisConfig,
    StreamConfig, SweepConfig, WatcherConfig, WorkerConfig,
};

/// Every setting with its default, as documented for operators.
pub const DEFAULTS: &str = include_str!("default.toml");

const PREFIX: &str = "QUITTANCE_";
/// The settings whose variables everybody knows without our prefix.
const UNPREFIXED: [&str; 4] = [
    "database_url",
    "redis_url",
    "solana_rpc_url",
    "solana_ws_url",
];
/// Variables that the local stack offers to scripts; they are no settings, and may be in a developer's shell.
const NOT_SETTINGS: [&str; 3] = ["URL", "PORT", "FAUCET_URL"];
const NOT_SETTINGS_PREFIXES: [&str; 2] = ["TEST_", "CI_"];

/// Why the configuration was refused. Messages name the variable and how to mend it, never a secret's value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// No setting has this name.
    #[error("{variable} is no setting of Quittance{hint}; see shared/src/config/default.toml")]
    Unknown {
        /// The environment variable.
        variable: String,
        /// What may have been meant.
        hint: String,
    },
    /// The value is not of the setting's type.
    #[error("{variable} must be {expected}")]
    Type {
        /// The environment variable.
        variable: String,
        /// What it takes.
        expected: &'static str,
    },
    /// A value out of its bounds, or not fitting another.
    #[error("{variable} {rule}")]
    Rule {
        /// The environment variable.
        variable: String,
        /// What it must satisfy, in words.
        rule: String,
    },
    /// The embedded defaults do not fit the sections (a defect of this binary).
    #[error("the settings do not fit together: {0}")]
    Shape(String),
}

/// All settings of a deployment. A process loads all of them, so that a wrong one is found by whichever starts first.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// What every process has.
    #[serde(flatten)]
    pub process: ProcessConfig,
    /// Postgres.
    #[serde(flatten)]
    pub database: DatabaseConfig,
    /// Redis.
    #[serde(flatten)]
    pub redis: RedisConfig,
    /// Queues.
    #[serde(flatten)]
    pub queue: QueueConfig,
    /// The api's HTTP side.
    #[serde(flatten)]
    pub api: ApiConfig,
    /// The api's live streams.
    #[serde(flatten)]
    pub stream: StreamConfig,
    /// The worker.
    #[serde(flatten)]
    pub worker: WorkerConfig,
    /// The worker's sweeps.
    #[serde(flatten)]
    pub sweep: SweepConfig,
    /// Solana nodes, in-app payments and their relay.
    #[serde(flatten)]
    pub chain: ChainConfig,
    /// The watcher.
    #[serde(flatten)]
    pub watcher: WatcherConfig,
    /// Prices, rails, limits of invoices.
    #[serde(flatten)]
    pub billing: BillingConfig,
}

impl Config {
    /// Reads the environment of this process and checks everything that `process` needs.
    pub fn load(process: Process) -> Result<Self, ConfigError> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        });
        Self::from_variables(process, variables)
    }

    /// The same from given variables.
    pub fn from_variables(
        process: Process,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut settings: Table = DEFAULTS
            .parse()
            .map_err(|e| ConfigError::Shape(format!("{e}")))?;
        for (variable, value) in variables {
            if let Some(name) = setting_name(&variable) {
                let Some(slot) = settings.get_mut(&name) else {
                    return Err(ConfigError::Unknown {
                        hint: hint(&name),
                        variable,
                    });
                };
                *slot = parse_like(slot, variable, value.trim())?;
            }
        }
        let config: Self = settings
            .try_into()
            .map_err(|e| ConfigError::Shape(format!("{e}")))?;
        checks::check(process, &config)?;
        Ok(config)
    }
}

/// The setting a variable means; `None` when it is none of ours.
fn setting_name(variable: &str) -> Option<String> {
    let lower = variable.to_ascii_lowercase();
    if UNPREFIXED.contains(&lower.as_str()) {
        return Some(lower);
    }
    let name = variable.strip_prefix(PREFIX)?;
    let excepted =
        NOT_SETTINGS.contains(&name) || NOT_SETTINGS_PREFIXES.iter().any(|p| name.starts_with(p));
    (!excepted).then(|| name.to_ascii_lowercase())
}

/// The variable that sets a setting.
fn variable_of(setting: &str) -> String {
    let upper = setting.to_ascii_uppercase();
    if UNPREFIXED.contains(&setting) {
        upper
    } else {
        format!("{PREFIX}{upper}")
    }
}

/// Reads a value by the type of the setting's default.
fn parse_like(default: &Value, variable: String, value: &str) -> Result<Value, ConfigError> {
    match default {
        Value::Integer(_) => match value.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(Value::Integer(number)),
            _ => Err(ConfigError::Type {
                variable,
                expected: "a whole number, 0 or more",
            }),
        },
        Value::Boolean(_) => match value {
            "true" | "1" => Ok(Value::Boolean(true)),
            "false" | "0" => Ok(Value::Boolean(false)),
            _ => Err(ConfigError::Type {
                variable,
                expected: "true or false",
            }),
        },
        _ => Ok(Value::String(value.to_owned())),
    }
}

/// A known setting that shares the longest start with the unknown one.
fn hint(name: &str) -> String {
    let shared = |known: &str| {
        known
            .bytes()
            .zip(name.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    DEFAULTS
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(known, _)| known))
        .filter(|known| !known.starts_with('#') && shared(known) >= 4)
        .max_by_key(|known| shared(known))
        .map(|known| format!(" (did you mean {}?)", variable_of(known)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
