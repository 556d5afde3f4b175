//! The console API (contract §4, §5): session cookies, micro-USD, flat errors.

mod auth;
mod balance_events;
mod build_inapp_tx;
mod cancel_invoice;
mod create_invoice;
mod get_balance;
mod get_invoice;
mod inapp;
mod invoice_events;
pub mod invoice_view;
mod list_entries;
mod list_invoices;
mod list_rails;
mod path;
mod pay_from_balance;
mod query;
mod submit_inapp_tx;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::App;
use crate::http::frame::wrong_method;

/// The header that repeats the CSRF cookie.
const X_CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// Every route of this surface.
pub fn routes(app: &App) -> Router<App> {
    let authenticated = Router::new()
        .route(
            "/v1/billing/invoices",
            post(create_invoice::create_invoice).get(list_invoices::list_invoices),
        )
        .route("/v1/billing/invoices/{id}", get(get_invoice::get_invoice))
        .route(
            "/v1/billing/invoices/{id}/cancel",
            post(cancel_invoice::cancel_invoice),
        )
        .route(
            "/v1/billing/invoices/{id}/events",
            get(invoice_events::invoice_events),
        )
        .route(
            "/v1/billing/invoices/{id}/pay-from-balance",
            post(pay_from_balance::pay_from_balance),
        )
        .route("/v1/balance", get(get_balance::get_balance))
        .route("/v1/balance/entries", get(list_entries::list_entries))
        .route("/v1/balance/events", get(balance_events::balance_events))
        .route_layer(from_fn_with_state(app.clone(), auth::authenticate))
        .method_not_allowed_fallback(wrong_method);
    let open = Router::new()
        .route("/v1/billing/rails", get(list_rails::list_rails))
        .method_not_allowed_fallback(wrong_method);
    authenticated.merge(inapp_routes(app)).merge(open)
}

/// In-app payments. Where they are not configured nobody is asked to sign in first (contract §4.7).
fn inapp_routes(app: &App) -> Router<App> {
    let signed_in = || from_fn_with_state(app.clone(), auth::authenticate);
    let build = Router::new()
        .route(
            "/v1/billing/invoices/{id}/inapp/build",
            post(build_inapp_tx::build_inapp_tx),
        )
        .route_layer(signed_in())
        .route_layer(from_fn_with_state(app.clone(), inapp::can_build));
    let submit = Router::new()
        .route(
            "/v1/billing/invoices/{id}/inapp/submit",
            post(submit_inapp_tx::submit_inapp_tx),
        )
        .route_layer(signed_in())
        .route_layer(from_fn_with_state(app.clone(), inapp::can_submit));
    build
        .merge(submit)
        .method_not_allowed_fallback(wrong_method)
}

/// Pages of the configured origins may call with cookies.
pub fn cors(app: &App) -> CorsLayer {
    let origins: Vec<HeaderValue> = app
        .config
        .api
        .allowed_origins()
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([CONTENT_TYPE, X_CSRF_TOKEN])
}
