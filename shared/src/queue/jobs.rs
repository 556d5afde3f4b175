//! What travels on a stream: the envelope, the jobs, the replies. Old payloads must stay readable:
//! add fields with defaults, never rename or remove one while entries may wait.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{InvoiceId, TraceId, UserId};

/// The envelope version this binary writes and reads.
const VERSION: u8 = 1;

/// A payload that no handler can read; the job is parked.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON of the expected shape.
    #[error("undecodable payload: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer binary.
    #[error("unknown envelope version {0}")]
    Version(u8),
}

/// A job with what it needs on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<J> {
    /// Envelope version.
    pub v: u8,
    /// The waiter in the enqueuing process that the reply is for.
    pub id: u64,
    /// The channel that awaits the reply.
    pub reply_to: String,
    /// Ties the job to the request's log lines and to its events.
    pub trace_id: TraceId,
    /// How long after being enqueued it may still be done, milliseconds. A caller that was refused must not find its
    /// invoice paid by a forgotten copy of the job later. None: at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What to do.
    pub job: J,
}

impl<J: Serialize + DeserializeOwned> Envelope<J> {
    /// Wraps a job in the current version.
    pub fn new(id: u64, reply_to: String, trace_id: TraceId, ttl_ms: Option<u64>, job: J) -> Self {
        Self {
            v: VERSION,
            id,
            reply_to,
            trace_id,
            ttl_ms,
            job,
        }
    }

    /// The payload of a stream entry.
    pub fn encode(&self) -> Result<String, EnvelopeError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads a payload back.
    pub fn decode(payload: &str) -> Result<Self, EnvelopeError> {
        let envelope: Self = serde_json::from_str(payload)?;
        if envelope.v == VERSION {
            Ok(envelope)
        } else {
            Err(EnvelopeError::Version(envelope.v))
        }
    }
}

/// The same payload with another time to live; one that is no envelope stays as it is.
#[must_use]
pub fn with_ttl(payload: &str, ttl_ms: Option<u64>) -> String {
    match serde_json::from_str(payload) {
        Ok(Value::Object(mut fields)) => {
            let before = match ttl_ms {
                Some(ttl_ms) => fields.insert("ttl_ms".to_owned(), ttl_ms.into()),
                None => fields.remove("ttl_ms"),
            };
            if before.is_none() && ttl_ms.is_none() {
                return payload.to_owned();
            }
            Value::Object(fields).to_string()
        }
        _ => payload.to_owned(),
    }
}

/// Settle this invoice from this user's balance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PayJob {
    /// The invoice to settle.
    pub invoice_id: InvoiceId,
    /// Who pays: the user of the session, not necessarily the owner.
    pub user_id: UserId,
}

/// Broadcast this stored transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RelayJob {
    /// What names it (base58).
    pub signature: String,
}

/// The answer to a job, for the waiter `id` of the process that listens on the reply channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply<O> {
    /// The waiter.
    pub id: u64,
    /// What became of the job.
    pub outcome: O,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload as version 1 writes it; it must stay readable for as long as this version is.
    const PAYLOAD_V1: &str = r#"{"v":1,"id":7,"reply_to":"q:reply:a","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","job":{"invoice_id":"inv_8f2a1c9d4e6b40f1","user_id":"7f9c24e8-3b12-4fef-91d0-2a6a0a0b3b1c"}}"#;

    #[test]
    fn the_wire_format_holds() {
        let envelope = Envelope::<PayJob>::decode(PAYLOAD_V1).unwrap();
        assert_eq!(envelope.job.invoice_id.as_str(), "inv_8f2a1c9d4e6b40f1");
        assert_eq!(envelope.encode().unwrap(), PAYLOAD_V1);
        let hurried = with_ttl(PAYLOAD_V1, Some(5));
        assert_eq!(
            Envelope::<PayJob>::decode(&hurried).unwrap().ttl_ms,
            Some(5)
        );
        let patient = Envelope::<PayJob>::decode(&with_ttl(&hurried, None)).unwrap();
        assert_eq!(patient, envelope);
        assert_eq!(with_ttl("{", None), "{");
        let foreign = r#"{"v":1,"a":2}"#;
        assert_eq!(with_ttl(foreign, None), foreign);
    }

    #[test]
    fn the_wire_format_of_broadcasts_holds() {
        let payload = r#"{"v":1,"id":7,"reply_to":"q:reply:a","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","ttl_ms":9,"job":{"signature":"5VErh5"}}"#;
        let envelope = Envelope::<RelayJob>::decode(payload).unwrap();
        assert_eq!(envelope.job.signature, "5VErh5");
        assert_eq!(envelope.encode().unwrap(), payload);
    }

    #[test]
    fn foreign_payloads_are_refused() {
        for payload in [
            "",
            "{}",
            "null",
            r#"{"v":1}"#,
            &PAYLOAD_V1.replace("\"v\":1", "\"v\":2"),
        ] {
            assert!(Envelope::<PayJob>::decode(payload).is_err(), "{payload}");
        }
    }
}
