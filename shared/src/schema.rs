//! The schema: tables are history, in numbered files of `migrations/`; functions are code, in `migrations/functions/`,
//! where each has one text, the current one. See `migrations/README.md`.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::config::DatabaseConfig;
use crate::db::{DatabaseError, options};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");
const HISTORY: &str = "_sqlx_migrations";

/// One migration at a time ("migrate" in ASCII).
const MIGRATE_LOCK: i64 = 0x6d_69_67_72_61_74_65;
/// How long a migration waits for a lock, and so holds up whoever comes after it in the queue.
const LOCK_TIMEOUT_MS: u32 = 200;
/// How often it tries again, and the pause before the first time; each is a half longer than the one before.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A file of `migrations/functions`.
struct Functions {
    name: &'static str,
    text: &'static str,
}

impl Functions {
    fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.text).to_vec()
    }
}

macro_rules! functions {
    ($($name:literal),* $(,)?) => {
        [$(Functions {
            name: $name,
            text: include_str!(concat!("../../migrations/functions/", $name, ".sql")),
        }),*]
    };
}

/// In any order: bodies are not looked into while they are applied.
static FUNCTIONS: &[Functions] = &functions![
    "balance_settlement",
    "chain_payments",
    "chain_settlement",
    "chain_signatures",
    "deposits",
    "events",
    "expiry",
    "invoices",
    "ledger",
    "operations",
    "reconciliation",
    "references",
    "submissions",
    "worth",
];

/// Why the schema could not be made what this program needs.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The connection.
    #[error(transparent)]
    Connect(#[from] DatabaseError),
    /// A statement.
    #[error("the migration failed")]
    Database(#[from] sqlx::Error),
    /// A migration.
    #[error("the migration failed")]
    Migrate(#[from] MigrateError),
    /// Somebody held what the migration needs.
    #[error(
        "the migration got no lock in {TRIES} tries: somebody holds a table or another migration runs; end long \
         transactions (see pg_stat_activity) and run `quittance-worker migrate` again"
    )]
    Busy,
    /// The schema is older than this program.
    #[error("the database lacks {0}; run `quittance-worker migrate` first")]
    Outdated(String),
    /// The schema was made by other migrations than this program's.
    #[error(
        "migration {0} of the database is another one than this program's: it was made by another history. For the \
         local one run `make clean`; else check that database and program belong together"
    )]
    Foreign(i64),
}

/// Brings the schema up to date. Several processes may do this at once: an advisory lock orders them. It never waits
/// for a lock for long, since others would wait behind it; it tries again instead.
pub async fn migrate(config: &DatabaseConfig) -> Result<(), SchemaError> {
    let options = options(config.database_url(), "quittance-migrate")?;
    let mut connection = PgConnection::connect_with(&options)
        .await
        .map_err(DatabaseError::Connect)?;
    let mut pause = PAUSE;
    for _ in 0..TRIES {
        match try_migrate(&mut connection).await {
            Err(error) if is_busy(&error) => {
                tracing::info!(
                    pause_ms = pause.as_millis(),
                    "the migration waits for a lock"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(PAUSE_MAX);
            }
            other => return other,
        }
    }
    Err(SchemaError::Busy)
}

async fn try_migrate(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let timeout = format!("set lock_timeout = {LOCK_TIMEOUT_MS}");
    sqlx::raw_sql(AssertSqlSafe(timeout))
        .execute(&mut *connection)
        .await?;
    sqlx::query("select pg_advisory_lock($1)")
        .bind(MIGRATE_LOCK)
        .execute(&mut *connection)
        .await?;
    let outcome = apply(connection).await;
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(MIGRATE_LOCK)
        .execute(&mut *connection)
        .await?;
    outcome
}

/// What is missing goes in one transaction, the functions with the last of it, except for a file that says
/// `-- no-transaction`.
async fn apply(connection: &mut PgConnection) -> Result<(), SchemaError> {
    connection.ensure_migrations_table(HISTORY).await?;
    let missing = missing(connection).await?;
    let mut rest = missing.as_slice();
    while let Some(alone) = rest.iter().position(|migration| migration.no_tx) {
        in_one_transaction(connection, &rest[..alone], &[]).await?;
        connection.apply(HISTORY, rest[alone]).await?;
        rest = &rest[alone + 1..];
    }
    in_one_transaction(connection, rest, FUNCTIONS).await
}

async fn in_one_transaction(
    connection: &mut PgConnection,
    migrations: &[&Migration],
    functions: &[Functions],
) -> Result<(), SchemaError> {
    let mut transaction = connection.begin().await?;
    for migration in migrations {
        transaction.apply(HISTORY, migration).await?;
    }
    if !functions.is_empty() {
        apply_functions(&mut transaction, functions).await?;
    }
    Ok(transaction.commit().await?)
}

/// Applies the files whose text is not what was applied last.
async fn apply_functions(
    connection: &mut PgConnection,
    functions: &[Functions],
) -> Result<(), SchemaError> {
    sqlx::raw_sql("set local check_function_bodies = off")
        .execute(&mut *connection)
        .await?;
    for file in functions {
        let last: Option<Vec<u8>> = sqlx::query_scalar(
            "select checksum from function_files where name = $1 order by applied_at desc limit 1",
        )
        .bind(file.name)
        .fetch_optional(&mut *connection)
        .await?;
        let checksum = file.checksum();
        if last.as_ref() == Some(&checksum) {
            continue;
        }
        sqlx::raw_sql(AssertSqlSafe(file.text))
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "insert into function_files (name, checksum) values ($1, $2)
             on conflict (name, checksum) do update set applied_at = clock_timestamp()",
        )
        .bind(file.name)
        .bind(checksum)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The migrations that the database lacks; its own must be of this history, and may be newer.
async fn missing(connection: &mut PgConnection) -> Result<Vec<&'static Migration>, SchemaError> {
    let applied = connection.list_applied_migrations(HISTORY).await?;
    let mut missing = Vec::new();
    for migration in MIGRATIONS.iter() {
        match applied.iter().find(|row| row.version == migration.version) {
            Some(row) if row.checksum == migration.checksum => {}
            Some(row) => return Err(SchemaError::Foreign(row.version)),
            None => missing.push(migration),
        }
    }
    Ok(missing)
}

/// Whether everything of this program was applied, as this program knows it. Newer things may have been, too.
pub async fn check(pool: &PgPool) -> Result<(), SchemaError> {
    let rows = known(
        sqlx::query!("select version, checksum from _sqlx_migrations where success")
            .fetch_all(pool)
            .await,
    )?;
    for migration in MIGRATIONS.iter() {
        let row = rows.iter().find(|row| row.version == migration.version);
        match row {
            Some(row) if row.checksum == *migration.checksum => {}
            Some(_) => return Err(SchemaError::Foreign(migration.version)),
            None => {
                let what = format!("migration {}", migration.version);
                return Err(SchemaError::Outdated(what));
            }
        }
    }
    let rows = known(
        sqlx::query!("select name, checksum from function_files")
            .fetch_all(pool)
            .await,
    )?;
    for file in FUNCTIONS {
        let checksum = file.checksum();
        if !rows
            .iter()
            .any(|row| row.name == file.name && row.checksum == checksum)
        {
            let what = format!("this program's functions of {}", file.name);
            return Err(SchemaError::Outdated(what));
        }
    }
    Ok(())
}

/// Rows of a table that a database lacks on which no migration, or not the first one, has run.
fn known<T>(rows: Result<Vec<T>, sqlx::Error>) -> Result<Vec<T>, SchemaError> {
    match rows {
        // No such table, or no right to read it.
        Err(sqlx::Error::Database(error))
            if matches!(error.code().as_deref(), Some("42P01" | "42501")) =>
        {
            Ok(Vec::new())
        }
        other => Ok(other.map_err(DatabaseError::Connect)?),
    }
}

/// Whether a lock was not to be had.
fn is_busy(error: &SchemaError) -> bool {
    let (SchemaError::Database(error)
    | SchemaError::Migrate(
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
    )) = error
    else {
        return false;
    };
    matches!(error, sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("55P03" | "40P01")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_functions_is_applied() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/functions");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let listed = FUNCTIONS.iter().map(|file| format!("{}.sql", file.name));
        assert_eq!(files, listed.collect());
    }

    #[test]
    fn every_function_has_one_text() {
        let mut names = BTreeSet::new();
        for file in FUNCTIONS {
            for line in file.text.lines() {
                let Some(rest) = line.strip_prefix("create or replace function ") else {
                    assert!(
                        !line.starts_with("create function"),
                        "{}: {line}",
                        file.name
                    );
                    continue;
                };
                let name = rest.split('(').next().unwrap();
                assert!(names.insert(name), "{name} has two texts");
            }
        }
        assert!(names.len() > 70, "{}", names.len());
    }
}
