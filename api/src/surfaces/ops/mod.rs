//! The operator API: `Authorization: Bearer`, flat errors, every action in the action log.

mod action;
mod adjust_balance;
mod audit;
mod auth;
mod create_session;
mod create_user;
mod list_actions;
mod list_queues;
mod lock_balance;
mod parked_jobs;
mod path;
mod pause_queue;
mod revoke_sessions;
mod unattributed;

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
        .route("/ops/v1/parked", get(parked_jobs::list_parked))
        .route("/ops/v1/parked/{id}/retry", post(parked_jobs::retry_parked))
        .route(
            "/ops/v1/parked/{id}/discard",
            post(parked_jobs::discard_parked),
        )
        .route("/ops/v1/unattributed", get(unattributed::list_unattributed))
        .route(
            "/ops/v1/unattributed/{id}/attribute",
            post(unattributed::attribute),
        )
        .route(
            "/ops/v1/unattributed/{id}/dismiss",
            post(unattributed::dismiss),
        )
        .route_layer(from_fn_with_state(app.clone(), auth::authorize))
        .method_not_allowed_fallback(wrong_method)
}
