//! The end of a test: the books must be right, and every process must stop cleanly.

use std::fmt::Write;

use serde_json::Value;

use super::{Deployment, DeploymentError};
use crate::chain::{Chain, ChainError};
use crate::offspring::is_alive;
use crate::process::QUOTED_LINES;
use crate::service::{Service, run_audit};

impl Deployment {
    /// Audits the books, stops everything and removes the database. Fails when an invariant does
    /// not hold, or when a process that was not killed on purpose does not stop cleanly; stops
    /// everything even then.
    pub async fn finish(self) -> Result<(), DeploymentError> {
        let mut problems = Vec::new();
        problems.extend(self.check_books().await.err());
        problems.extend(self.stop_services().await.err());
        problems.extend(self.remove_data().await.err());
        match problems.len() {
            0 => Ok(()),
            1 => problems.pop().map_or(Ok(()), Err),
            _ => {
                let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Err(DeploymentError::Several(messages.join("\n")))
            }
        }
    }

    /// Asks a living api process, or else the worker's command.
    async fn check_books(&self) -> Result<(), DeploymentError> {
        let living = self.apis.iter().find(|api| is_alive(api.process().pid()));
        let audit = match living {
            Some(api) => self.operator.at(api.url()).audit().await?,
            None => run_audit(&self.settings.for_owner()).await?,
        };
        if audit["ok"] == true {
            Ok(())
        } else {
            Err(DeploymentError::Audit(failed_checks(&audit)))
        }
    }

    async fn stop_services(&self) -> Result<(), DeploymentError> {
        let services = self
            .apis
            .iter()
            .chain(&self.workers)
            .chain(&self.watchers)
            .filter(|service| !service.was_killed());
        let complaints = futures::future::join_all(services.map(stop)).await;
        let complaints: String = complaints.into_iter().flatten().collect();
        if complaints.is_empty() {
            Ok(())
        } else {
            Err(DeploymentError::Unclean(complaints))
        }
    }

    async fn remove_data(&self) -> Result<(), DeploymentError> {
        self.pool.close().await;
        if let Some(redis) = &self.redis {
            redis.stop().await?;
        }
        // The test run's chain has no server here, and a test may have killed its own.
        if let Some(server) = self.chain.as_ref().and_then(Chain::server)
            && server.process().is_some()
        {
            server.stop().await.map_err(ChainError::from)?;
        }
        match &self.postgres {
            Some(postgres) => Ok(postgres.stop().await?),
            None => Ok(self.server.drop_database(&self.database).await?),
        }
    }
}

/// Stops a process; returns what is wrong with how it ended.
async fn stop(service: &Service) -> Option<String> {
    let name = service.process().name();
    let ended_before = service.process().exited().is_some();
    match service.terminate().await {
        Ok(status) if status.success() && !ended_before => None,
        Ok(status) => {
            let how = if ended_before {
                "ended by itself"
            } else {
                "ended"
            };
            let tail = service.process().lines().tail(QUOTED_LINES);
            Some(format!("\n  {name} {how} ({status}):{tail}"))
        }
        Err(error) => Some(format!("\n  {error}")),
    }
}

fn failed_checks(audit: &Value) -> String {
    let checks = audit["checks"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut failed = String::new();
    for check in checks.iter().filter(|check| check["ok"] != true) {
        let name = check["name"].as_str().unwrap_or("(nameless)");
        let detail = check["detail"].as_str().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(failed, "\n  {name}: {detail}");
    }
    if failed.is_empty() {
        format!(" {audit}")
    } else {
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn failed_checks_are_named() {
        let audit = json!({"ok": false, "checks": [
            {"name": "debits equal credits", "ok": true, "detail": "holds"},
            {"name": "no negative balance", "ok": false, "detail": "1 violations, such as: x"},
        ]});
        assert_eq!(
            failed_checks(&audit),
            "\n  no negative balance: 1 violations, such as: x"
        );
        assert_eq!(failed_checks(&json!({"error": "x"})), r#" {"error":"x"}"#);
    }
}
