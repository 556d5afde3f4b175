//! The `{id}` of a path. What is no id is no invoice: the answer is the endpoint's own 404.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use shared::ids::InvoiceId;

use crate::app::App;

/// The invoice that the path names, if any invoice can have that id.
pub struct InvoicePath(pub Option<InvoiceId>);

impl FromRequestParts<App> for InvoicePath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        Ok(Self(path.ok().and_then(|Path(id)| InvoiceId::parse(&id))))
    }
}
