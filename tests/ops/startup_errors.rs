//! A process that cannot start says why, and not with which secrets.

use std::collections::BTreeMap;

use futures::future::join_all;
use stack::Deployment;
use stack::service::{API, Service, WORKER, run_worker_command};
use stack::settings::ANY_PORT;

use crate::support::{finish, start};

const SECRET: &str = "canary0123456789canary0123456789canary";

/// A setting that keeps a process from starting, and what its complaint must name.
fn bad_settings() -> Vec<(&'static str, String, &'static str)> {
    let database = |rest: &str| format!("postgres://quittance_api_login:{SECRET}@{rest}");
    vec![
        ("DATABASE_URL", database("127.0.0.1:1/none"), "Postgres"),
        (
            "DATABASE_URL",
            database("no-such-host.invalid:5432/none"),
            "Postgres",
        ),
        (
            "DATABASE_URL",
            database("127.0.0.1:99999/none"),
            "DATABASE_URL",
        ),
        (
            "DATABASE_URL",
            format!("mysql://{SECRET}@127.0.0.1:1/none"),
            "DATABASE_URL",
        ),
        ("DATABASE_URL", SECRET.to_owned(), "DATABASE_URL"),
        (
            "REDIS_URL",
            format!("redis://:{SECRET}@127.0.0.1:1"),
            "REDIS_URL",
        ),
        ("REDIS_URL", SECRET.to_owned(), "REDIS_URL"),
        (
            "QUITTANCE_SOL_PRICE_MICRO",
            SECRET.to_owned(),
            "QUITTANCE_SOL_PRICE_MICRO",
        ),
        (
            "QUITTANCE_NONESUCH",
            SECRET.to_owned(),
            "QUITTANCE_NONESUCH",
        ),
    ]
}

async fn complaint(program: &str, environment: &BTreeMap<String, String>) -> String {
    let started = Service::start(program, environment, None).await;
    started.err().expect("it cannot start").to_string()
}

#[tokio::test]
async fn complaints_name_the_setting_and_no_secret() {
    let deployment = start(Deployment::builder().apis(0).workers(0)).await;
    let settings = deployment.settings();
    let mut starts = Vec::new();
    for (program, environment) in [
        (API, settings.for_api(ANY_PORT)),
        (WORKER, settings.for_worker(ANY_PORT)),
    ] {
        for (name, value, named) in bad_settings() {
            let mut environment = environment.clone();
            environment.insert(name.to_owned(), value.clone());
            starts.push(async move {
                let said = complaint(program, &environment).await;
                (format!("{program} with {name}={value}"), named, said)
            });
        }
    }
    for (what, named, said) in join_all(starts).await {
        assert!(said.contains(named), "{what}: {said}");
        for secret in [SECRET, settings.operator_token.as_str()] {
            assert!(!said.contains(secret), "{what}: {said}");
        }
    }
    finish(deployment).await;
}

#[tokio::test]
async fn a_short_operator_token_is_refused_without_being_told() {
    let deployment = start(Deployment::builder().apis(0).workers(0)).await;
    for token in ["", "short-canary-token"] {
        let mut environment = deployment.settings().for_api(ANY_PORT);
        environment.insert("QUITTANCE_OPERATOR_TOKEN".to_owned(), token.to_owned());
        let said = complaint(API, &environment).await;
        assert!(said.contains("QUITTANCE_OPERATOR_TOKEN"), "{said}");
        assert!(token.is_empty() || !said.contains(token), "{said}");
    }
    finish(deployment).await;
}

#[tokio::test]
async fn the_workers_commands_keep_quiet_about_secrets_too() {
    let deployment = start(Deployment::builder().apis(0).workers(0)).await;
    for command in ["migrate", "audit"] {
        let mut environment = deployment.settings().for_owner();
        let url = format!("postgres://postgres:{SECRET}@127.0.0.1:1/none");
        environment.insert("DATABASE_URL".to_owned(), url);
        let error = run_worker_command(command, &environment)
            .await
            .expect_err("no database");
        assert!(!error.to_string().contains(SECRET), "{error}");
    }
    // A role that is not the owner may not migrate; the complaint holds no secret either.
    let url = &deployment.settings().api_url;
    let mut environment = deployment.settings().for_owner();
    environment.insert("DATABASE_URL".to_owned(), url.clone());
    let password = reqwest::Url::parse(url)
        .expect("a URL")
        .password()
        .unwrap_or_default()
        .to_owned();
    assert!(!password.is_empty());
    let refused = run_worker_command("migrate", &environment).await;
    let error = refused.expect_err("not the owner").to_string();
    assert!(error.contains("permission denied"), "{error}");
    assert!(!error.contains(&password), "{error}");
    finish(deployment).await;
}
