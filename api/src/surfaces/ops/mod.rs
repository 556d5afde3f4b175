//! The operator API: `Authorization: Bearer`, flat errors, every action in the action log.

mod action;
mod adjust_balance;
mod attribute_deposit;
mod audit;
mod auth;
mod create_session;
mod create_user;
mod credit_deposit;
mod deposit;
mod dismiss_deposit;
mod dismiss_deposits;
mod list_actions;
mod list_dust;
mod list_parked;
mod list_queues;
mod list_unattributed;
mod lock_balance;
mod page;
mod path;
mod pause_queue;
mod reconciliation;
mod resolve_parked;
mod revoke_sessions;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::app::App;
use crate::http::frame::wrong_method;

/// Every route of this surface.
pub fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/ops/v1/users", post(create_user::create_user))
        .route(
            "/ops/v1/users/{id}/sessions",
            post(create_session::create_session).delete(revoke_sessions::revoke_sessions),
        )
        .route(
            "/ops/v1/users/{id}/adjustments",
            post(adjust_balance::adjust_balance),
        )
        .route("/ops/v1/users/{id}/lock", post(lock_balance::lock_balance))
        .route(
            "/ops/v1/users/{id}/unlock",
            post(lock_balance::unlock_balance),
        )
        .route("/ops/v1/audit", get(audit::run_audit))
        .route("/ops/v1/actions", get(list_actions::list_actions))
        .route("/ops/v1/queues", get(list_queues::list_queues))
        .route(
            "/ops/v1/queues/{queue}/pause",
            post(pause_queue::pause_queue),
        )
        .route(
            "/ops/v1/queues/{queue}/resume",
            post(pause_queue::resume_queue),
        )
        .route("/ops/v1/parked", get(list_parked::list_parked))
        .route(
            "/ops/v1/parked/{id}/retry",
            post(resolve_parked::retry_parked),
        )
        .route(
            "/ops/v1/parked/{id}/discard",
            post(resolve_parked::discard_parked),
        )
        .route("/ops/v1/dust", get(list_dust::list_dust))
        .route(
            "/ops/v1/reconciliation",
            get(reconciliation::show_reconciliation),
        )
        .merge(deposits())
        .route_layer(from_fn_with_state(app.clone(), auth::authorize))
        .method_not_allowed_fallback(wrong_method)
}

fn deposits() -> Router<App> {
    Router::new()
        .route(
            "/ops/v1/unattributed",
            get(list_unattributed::list_unattributed),
        )
        .route(
            "/ops/v1/unattributed/dismiss",
            post(dismiss_deposits::dismiss_deposits),
        )
        .route(
            "/ops/v1/unattributed/{id}/attribute",
            post(attribute_deposit::attribute),
        )
        .route(
            "/ops/v1/unattributed/{id}/credit",
            post(credit_deposit::credit),
        )
        .route(
            "/ops/v1/unattributed/{id}/dismiss",
            post(dismiss_deposit::dismiss),
        )
}
