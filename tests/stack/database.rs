//! Databases and login roles on a private Postgres.

use std::path::Path;
use std::str::FromStr;

use reqwest::Url;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, raw_sql};

use crate::secret::derived_token;

/// The migrated database that tests' databases are copies of.
pub const TEMPLATE: &str = "quittance_template";
/// The group role that the schema grants to, and the login role that a process uses, one pair per
/// process.
const ROLES: [(&str, &str); 3] = [
    ("quittance_api", API_LOGIN),
    ("quittance_worker", WORKER_LOGIN),
    ("quittance_watcher", WATCHER_LOGIN),
];
/// The login role of api processes.
pub const API_LOGIN: &str = "quittance_api_login";
/// The login role of worker processes.
pub const WORKER_LOGIN: &str = "quittance_worker_login";
/// The login role of watcher processes.
pub const WATCHER_LOGIN: &str = "quittance_watcher_login";
/// Any number will do, as long as all test processes use the same: the bytes of "qtc-tmpl".
const TEMPLATE_LOCK: i64 = 0x7174_632d_746d_706c;
const POOL_SIZE: u32 = 5;

/// Why a database could not be made, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL is not one.
    #[error(
        "`{0}` is not the URL of a PostgreSQL superuser \
         (postgres://user:password@host:port/database)"
    )]
    NotAUrl(String),
    /// A name holds more than lower-case letters, digits and underscores.
    #[error("`{0}` cannot name a database here: use lower-case letters, digits and underscores")]
    BadName(String),
    /// The statement failed.
    #[error("cannot {doing}: {source}")]
    Sql {
        /// What was being done.
        doing: String,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("cannot apply the migrations: {0}")]
    Migrate(#[from] MigrateError),
    /// The files of its functions.
    #[error("cannot read the functions: {0}")]
    Folder(#[source] std::io::Error),
}

fn doing(doing: impl Into<String>) -> impl FnOnce(sqlx::Error) -> DatabaseError {
    let doing = doing.into();
    move |source| DatabaseError::Sql { doing, source }
}

/// A Postgres server, seen by its superuser.
#[derive(Debug, Clone)]
pub struct DatabaseServer {
    url: Url,
}

impl DatabaseServer {
    /// The server that the superuser's URL leads to, whatever database it names.
    pub fn new(superuser_url: &str) -> Result<Self, DatabaseError> {
        match Url::parse(superuser_url) {
            Ok(url) if url.scheme().starts_with("postgres") && url.password().is_some() => {
                Ok(Self { url })
            }
            _ => Err(DatabaseError::NotAUrl(without_password(superuser_url))),
        }
    }

    /// Where the superuser finds the database.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        let mut url = self.url.clone();
        url.set_path(database);
        url.into()
    }

    /// Where a login role finds the database.
    pub fn login_url(&self, login: &str, database: &str) -> Result<String, DatabaseError> {
        let mut url = self.url.clone();
        url.set_path(database);
        let named = url
            .set_username(login)
            .and_then(|()| url.set_password(Some(&self.login_password(login))));
        named.map_err(|()| DatabaseError::NotAUrl(login.to_owned()))?;
        Ok(url.into())
    }

    /// Follows from the superuser's random password, so that test processes need to be told only
    /// that one.
    fn login_password(&self, login: &str) -> String {
        derived_token(self.url.password().unwrap_or_default(), login)
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, DatabaseError> {
        let url = self.superuser_url(database);
        PgConnection::connect(&url)
            .await
            .map_err(doing(format!("connect to the database `{database}`")))
    }

    /// Creates an empty database unless it exists.
    pub async fn create_if_missing(&self, database: &str) -> Result<(), DatabaseError> {
        let name = checked(database)?;
        let mut connection = self.connect("postgres").await?;
        let task = || doing(format!("create the database `{name}`"));
        let exists = sqlx::query_scalar::<_, bool>(
            "select exists (select from pg_database where datname = $1)",
        );
        if !exists
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .map_err(task())?
        {
            execute(&mut connection, format!("create database {name}"))
                .await
                .map_err(task())?;
        }
        connection.close().await.map_err(task())
    }

    /// Creates a database as a copy of the template.
    pub async fn clone_template(&self, database: &str) -> Result<(), DatabaseError> {
        let name = checked(database)?;
        let task = || doing(format!("copy the database `{TEMPLATE}`"));
        let mut connection = self.connect("postgres").await?;
        // Copies of one template get in each other's way. The lock ends with the connection.
        let lock = sqlx::query("select pg_advisory_lock($1)").bind(TEMPLATE_LOCK);
        lock.execute(&mut connection).await.map_err(task())?;
        let copy = format!("create database {name} template {TEMPLATE}");
        execute(&mut connection, copy).await.map_err(task())?;
        connection.close().await.map_err(task())
    }

    /// Removes a database, cutting whoever is connected.
    pub async fn drop_database(&self, database: &str) -> Result<(), DatabaseError> {
        let name = checked(database)?;
        let task = || doing(format!("remove the database `{name}`"));
        let mut connection = self.connect("postgres").await?;
        execute(
            &mut connection,
            format!("drop database if exists {name} with (force)"),
        )
        .await
        .map_err(task())?;
        connection.close().await.map_err(task())
    }

    /// Makes the login roles of the processes, as members of the group roles that the schema grants
    /// to.
    pub async fn create_logins(&self) -> Result<(), DatabaseError> {
        let mut connection = self.connect("postgres").await?;
        for (group, login) in ROLES {
            let task = || doing(format!("create the role `{login}` in `{group}`"));
            let exists = sqlx::query_scalar::<_, bool>(
                "select exists (select from pg_roles where rolname = $1)",
            );
            if !exists
                .bind(login)
                .fetch_one(&mut connection)
                .await
                .map_err(task())?
            {
                execute(&mut connection, format!("create role {login}"))
                    .await
                    .map_err(task())?;
            }
            let password = self.login_password(login);
            let alter =
                format!("alter role {login} login password '{password}'; grant {group} to {login}");
            execute(&mut connection, alter).await.map_err(task())?;
        }
        connection
            .close()
            .await
            .map_err(doing("close the connection"))
    }

    /// Closes the template to connections, since one would stand in the way of a copy.
    pub async fn seal_template(&self) -> Result<(), DatabaseError> {
        let mut connection = self.connect("postgres").await?;
        let task = || doing(format!("close the database `{TEMPLATE}`"));
        let seal = format!("alter database {TEMPLATE} is_template true allow_connections false");
        execute(&mut connection, seal).await.map_err(task())?;
        connection.close().await.map_err(task())
    }

    /// Applies the migrations in the folder as they are now, without the program that has them
    /// built in.
    pub async fn migrate_from(&self, folder: &Path, database: &str) -> Result<(), DatabaseError> {
        let migrations = Migrator::new(folder).await?;
        let mut connection = self.connect(database).await?;
        migrations.run(&mut connection).await?;
        let unchecked = "set check_function_bodies = off".to_owned();
        execute(&mut connection, unchecked)
            .await
            .map_err(doing("apply the functions"))?;
        let files = std::fs::read_dir(folder.join("functions")).map_err(DatabaseError::Folder)?;
        for file in files {
            let path = file.map_err(DatabaseError::Folder)?.path();
            let text = std::fs::read_to_string(&path).map_err(DatabaseError::Folder)?;
            let task = doing(format!("apply {}", path.display()));
            execute(&mut connection, text).await.map_err(task)?;
        }
        connection
            .close()
            .await
            .map_err(doing("close the connection"))
    }

    /// A small pool of the superuser's connections to the database.
    pub async fn pool(&self, database: &str) -> Result<PgPool, DatabaseError> {
        let task = || doing(format!("connect to the database `{database}`"));
        let options = PgConnectOptions::from_str(&self.superuser_url(database)).map_err(task())?;
        PgPoolOptions::new()
            .max_connections(POOL_SIZE)
            .connect_with(options)
            .await
            .map_err(task())
    }
}

/// Identifiers cannot be parameters, so a name must be harmless as it stands.
fn checked(name: &str) -> Result<&str, DatabaseError> {
    let harmless = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.is_empty() && name.bytes().all(harmless) {
        Ok(name)
    } else {
        Err(DatabaseError::BadName(name.to_owned()))
    }
}

/// Runs a statement that cannot have parameters. Callers pass only names from `checked`, constants
/// and hexadecimal digits.
async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map(|_| ())
}

fn without_password(url: &str) -> String {
    let shown = Url::parse(url).map_err(drop).and_then(|mut url| {
        url.set_password(None)?;
        Ok(url.into())
    });
    shown.unwrap_or_else(|()| "(not a URL)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_role_and_the_database() {
        let server =
            DatabaseServer::new("postgres://postgres:secret@127.0.0.1:5/postgres").expect("a URL");
        assert_eq!(
            server.superuser_url("x"),
            "postgres://postgres:secret@127.0.0.1:5/x"
        );
        let login = server.login_url(API_LOGIN, "x").expect("a URL");
        assert!(
            login.starts_with("postgres://quittance_api_login:"),
            "{login}"
        );
        assert!(
            login.ends_with("@127.0.0.1:5/x") && !login.contains("secret"),
            "{login}"
        );
    }

    #[test]
    fn bad_names_and_urls_are_refused_without_the_password() {
        assert!(checked("quittance_1").is_ok());
        assert!(
            checked("x; drop database y").is_err()
                && checked("").is_err()
                && checked("\"").is_err()
        );
        let message = DatabaseServer::new("http://u:secret@h/")
            .expect_err("not Postgres")
            .to_string();
        assert!(!message.contains("secret"), "{message}");
    }
}
