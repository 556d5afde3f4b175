//! One open stream: subscribe, snapshot, then what is newer. Everything that is pending goes out in one write.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::value::RawValue;
use shared::events::Message;
use shared::telemetry::Shutdown;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::position::{Step, step};
use super::registry::{Place, Streams};
use super::subject::{Snapshot, Subject, is_terminal};
use crate::app::App;
use crate::http::flat::FlatError;
use crate::hub::{Signal, Subscription};
use crate::session::Session;

/// Tells proxies not to hold frames back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The comment of a silent stream (contract §5).
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

impl Streams {
    /// Opens a stream; `None` when the user has no such subject.
    pub async fn open(
        &self,
        app: App,
        session: &Session,
        subject: Subject,
    ) -> Result<Option<Response>, FlatError> {
        let place = self.enter(session)?;
        // Subscribed before the snapshot is read: what happens in between arrives as an event.
        let subscription = self
            .hub
            .subscribe(&subject.topic(), self.config.stream_lag_max)
            .await;
        let Some(snapshot) = subject.snapshot(&app).await? else {
            return Ok(None);
        };
        metrics::counter!("quittance_streams_opened_total", "subject" => subject.label())
            .increment(1);

        let shutdown = app.shutdown.clone();
        let mut stream = Stream {
            app,
            subject,
            subscription,
            reached: snapshot.position,
            ended: false,
            pending: Vec::new(),
            keep_alive: Duration::from_millis(self.config.stream_keepalive_ms),
            revoked: place.revoked.clone(),
            _place: place,
            shutdown,
        };
        stream.snapshot(&snapshot);
        let body = futures::stream::unfold(stream, |mut stream| async move {
            let bytes = stream.next().await?;
            Some((Ok::<_, std::convert::Infallible>(bytes), stream))
        });
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
        ];
        Ok(Some((headers, Body::from_stream(body)).into_response()))
    }
}

struct Stream {
    app: App,
    subject: Subject,
    subscription: Subscription,
    reached: i64,
    ended: bool,
    pending: Vec<u8>,
    keep_alive: Duration,
    revoked: watch::Receiver<bool>,
    _place: Place,
    shutdown: Shutdown,
}

impl Stream {
    /// The next bytes to send; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        let silence = Instant::now() + self.keep_alive;
        while self.pending.is_empty() && !self.ended {
            let signal = tokio::select! {
                signal = self.subscription.signals.recv() => signal,
                () = tokio::time::sleep_until(silence) => {
                    self.pending.extend_from_slice(KEEP_ALIVE);
                    continue;
                }
                // Only the sender's change ends it; a closed channel cannot be, the place keeps it open.
                _ = self.revoked.wait_for(|revoked| *revoked) => None,
                () = self.shutdown.wait() => None,
            };
            self.ended = signal.is_none();
            let mut waiting = signal;
            while let Some(signal) = waiting {
                if let Err(error) = self.take(signal).await {
                    // A client that reconnects gets a snapshot; one that is left open would miss an event.
                    tracing::warn!(?error, "a stream could not catch up and is closed");
                    self.ended = true;
                }
                waiting = if self.ended {
                    None
                } else {
                    self.subscription.signals.try_recv().ok()
                };
            }
        }
        (!self.pending.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.pending)))
    }

    async fn take(&mut self, signal: Signal) -> Result<(), FlatError> {
        match signal {
            Signal::Event(event) => match step(self.reached, event.previous, event.position) {
                Step::Drop => Ok(()),
                Step::Emit => {
                    self.emit(&event);
                    Ok(())
                }
                Step::Repair => {
                    let _turn = self.turn().await;
                    self.catch_up(event.position).await?;
                    if self.reached < event.position && !self.ended {
                        self.emit(&event);
                    }
                    Ok(())
                }
            },
            Signal::Resync => {
                let _turn = self.turn().await;
                self.catch_up(i64::MAX).await?;
                if !self.ended {
                    self.refresh().await?;
                }
                Ok(())
            }
        }
    }

    /// Waits for a turn at the database; never fails, the semaphore is never closed.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.app.streams.catching_up)
            .acquire_owned()
            .await
            .ok()
    }

    /// Emits what Postgres has before a position; a fresh snapshot when that is too much.
    async fn catch_up(&mut self, before: i64) -> Result<(), FlatError> {
        match self.subject.missed(&self.app, self.reached, before).await? {
            Some(messages) => {
                for message in messages {
                    if message.position > self.reached && !self.ended {
                        self.emit(&message);
                    }
                }
                Ok(())
            }
            None => self.refresh().await,
        }
    }

    async fn refresh(&mut self) -> Result<(), FlatError> {
        match self.subject.snapshot(&self.app).await? {
            Some(snapshot) if snapshot.position >= self.reached => self.snapshot(&snapshot),
            Some(_) => {}
            None => self.ended = true,
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        self.frame("snapshot", &snapshot.data);
        self.reached = snapshot.position;
        self.ended = snapshot.terminal;
    }

    fn emit(&mut self, message: &Message) {
        self.frame(&message.kind, &message.data);
        self.reached = message.position;
        self.ended = is_terminal(&message.kind);
    }

    fn frame(&mut self, event: &str, data: &RawValue) {
        let parts = ["event: ", event, "\ndata: ", data.get(), "\n\n"];
        self.pending
            .reserve(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.pending.extend_from_slice(part.as_bytes());
        }
    }
}
