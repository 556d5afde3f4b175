//! An invoice as the console shows it (contract §2.1). Empty fields are left out.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use shared::ids::{InvoiceId, UserId};
use shared::invoices::{
    BillAction, Channel, Invoice, InvoicePayment, InvoiceStatus, Progress, Rail, RailRegistry,
    progress,
};
use shared::money::{decimal, usd};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::App;
use crate::http::flat::FlatError;

/// The base object of lists; the single view adds how to pay.
#[derive(Debug, Serialize)]
pub struct InvoiceView {
    id: InvoiceId,
    user_id: UserId,
    amount_micro: i64,
    status: &'static str,
    description: String,
    channel: Channel,
    rail: &'static str,
    bill_action: BillAction,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fx_rate_micro_per_atomic: Option<Box<RawValue>>,
    reference_pubkey: String,
    #[serde(serialize_with = "rfc3339")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "rfc3339")]
    expires_at: OffsetDateTime,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "rfc3339_option"
    )]
    paid_at: Option<OffsetDateTime>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "rfc3339_option"
    )]
    processed_at: Option<OffsetDateTime>,
    amount_usd: String,
    #[serde(flatten)]
    payment: Option<PaymentView>,
}

#[derive(Debug, Serialize)]
struct PaymentView {
    address: AddressView,
    #[serde(skip_serializing_if = "Option::is_none")]
    qr_uri: Option<String>,
    payments_received_micro: i64,
    remaining_micro: i64,
    payments: Vec<PaymentRow>,
}

/// One transaction that named the invoice.
#[derive(Debug, Serialize)]
struct PaymentRow {
    signature: String,
    amount_micro: i64,
    state: String,
    #[serde(serialize_with = "rfc3339")]
    seen_at: OffsetDateTime,
}

impl From<InvoicePayment> for PaymentRow {
    fn from(payment: InvoicePayment) -> Self {
        Self {
            signature: payment.signature,
            amount_micro: payment.amount_micro,
            state: payment.state,
            seen_at: payment.seen_at,
        }
    }
}

#[derive(Debug, Serialize)]
struct AddressView {
    address: String,
    rail: &'static str,
    network: &'static str,
    token: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mint: Option<String>,
}

impl InvoiceView {
    /// The base object.
    pub fn base(invoice: Invoice) -> Self {
        let fx_rate_micro_per_atomic = invoice
            .fx_micro_per_token
            .and_then(|rate| per_atomic(rate, invoice.rail));
        Self {
            amount_usd: usd(invoice.amount_micro),
            status: invoice.status.name(),
            rail: invoice.rail.id(),
            bill_action: invoice.action,
            id: invoice.id,
            user_id: invoice.user_id,
            amount_micro: invoice.amount_micro,
            description: invoice.description,
            channel: invoice.channel,
            client_request_id: invoice.client_request_id,
            fx_rate_micro_per_atomic,
            reference_pubkey: invoice.reference_pubkey,
            created_at: invoice.created_at,
            expires_at: invoice.expires_at,
            paid_at: invoice.paid_at,
            processed_at: invoice.processed_at,
            payment: None,
        }
    }

    /// The single view: its URI asks for what is missing, and is left out when nothing is.
    pub async fn single(app: &App, invoice: Invoice) -> Result<Self, FlatError> {
        // Whatever is worth a micro-dollar gives an invoice another version.
        let untouched = invoice.version == 1 && invoice.status == InvoiceStatus::Pending;
        let known = Progress::none(&invoice).filter(|_| untouched);
        let progress = match known {
            Some(progress) => progress,
            None => progress(&app.pool, &invoice.id).await?,
        };
        Ok(Self::with_payment(invoice, &app.rails, progress))
    }

    fn with_payment(invoice: Invoice, rails: &RailRegistry, progress: Progress) -> Self {
        let rail = invoice.rail;
        let target = rails.target(
            rail,
            &invoice.address,
            &invoice.reference_pubkey,
            progress.remaining_units,
        );
        let address = AddressView {
            address: invoice.address.clone(),
            rail: rail.id(),
            network: rail.network(),
            token: rail.token(),
            mint: target.mint,
        };
        let payments = progress.payments.into_iter().map(PaymentRow::from);
        let payment = PaymentView {
            address,
            qr_uri: (progress.remaining_units > 0).then_some(target.qr_uri),
            payments_received_micro: invoice.payments_received_micro,
            remaining_micro: progress.remaining_micro,
            payments: payments.collect(),
        };
        Self {
            payment: Some(payment),
            ..Self::base(invoice)
        }
    }
}

/// The locked rate as an exact JSON number: micro-USD per base unit.
fn per_atomic(micro_per_token: i64, rail: Rail) -> Option<Box<RawValue>> {
    RawValue::from_string(decimal(micro_per_token.unsigned_abs(), rail.decimals(), 0)).ok()
}

fn rfc3339<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.format(&Rfc3339).map_err(serde::ser::Error::custom)?)
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn rfc3339_option<S: Serializer>(
    at: &Option<OffsetDateTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}
