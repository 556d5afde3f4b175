//! `GET /v1/billing/rails` (contract §4.9): what this deployment can settle. Open to everybody.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::invoices::{Channel, Rail};

use crate::app::App;

/// The answer.
#[derive(Serialize)]
pub struct RailList {
    rails: Vec<RailInfo>,
}

#[derive(Serialize)]
struct RailInfo {
    id: &'static str,
    display_name: &'static str,
    network: &'static str,
    token: &'static str,
    decimals: u8,
    confirmations: u32,
    channels: &'static [Channel],
    requires_fx_rate: bool,
}

impl From<Rail> for RailInfo {
    fn from(rail: Rail) -> Self {
        Self {
            id: rail.id(),
            display_name: rail.display_name(),
            network: rail.network(),
            token: rail.token(),
            decimals: rail.decimals(),
            confirmations: rail.confirmations(),
            channels: rail.channels(),
            requires_fx_rate: rail.needs_fx(),
        }
    }
}

/// Lists the rails.
pub async fn list_rails(State(app): State<App>) -> Json<RailList> {
    let offered = app.rails.enabled().filter(|rail| app.offers(*rail));
    Json(RailList {
        rails: offered.map(RailInfo::from).collect(),
    })
}
