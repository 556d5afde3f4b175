//! One task per socket.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use futures::{SinkExt, StreamExt, poll};
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, accept_hdr_async};

use super::registry::Condition;
use super::requests;
use crate::node::core::Core;
use crate::node::settings::Handshakes;

/// The longest message that a node reads.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Serves until it is dropped.
pub async fn serve(core: Arc<Core>, listener: TcpListener) -> Infallible {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    sessions.spawn(greet(Arc::clone(&core), stream));
                }
            }
            Some(_) = sessions.join_next() => {}
        }
    }
}

async fn greet(core: Arc<Core>, stream: TcpStream) {
    let handshakes = core.lock().settings.handshakes;
    if handshakes != Handshakes::Accept {
        core.lock().turned_away += 1;
        core.stir();
    }
    match handshakes {
        Handshakes::Accept => {
            let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX));
            if let Ok(socket) = accept_async_with_config(stream, Some(config)).await {
                run(core, socket).await;
            }
        }
        Handshakes::Status(status, retry_after) => refuse(stream, status, retry_after).await,
        Handshakes::Drop => {}
        Handshakes::Hang => {
            let _kept = stream;
            pending::<()>().await;
        }
    }
}

async fn refuse(stream: TcpStream, status: u16, retry_after: Option<u64>) {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    #[expect(
        clippy::result_large_err,
        reason = "the handshake wants its own response type"
    )]
    let callback = move |_: &Request, _: Response| -> Result<Response, ErrorResponse> {
        let mut response = ErrorResponse::new(None);
        *response.status_mut() = status;
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        Err(response)
    };
    // The refusal is what the handshake ends with.
    let _ = accept_hdr_async(stream, callback).await;
}

/// Leaves the node when the session ends, however it ends.
struct Entered {
    core: Arc<Core>,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.core.lock().sockets.leave(self.id);
        self.core.stir();
    }
}

async fn run(core: Arc<Core>, mut socket: WebSocketStream<TcpStream>) {
    let (outgoing, mut messages) = mpsc::unbounded_channel();
    let (id, mut condition) = core.lock().sockets.enter(outgoing);
    let entered = Entered {
        core: Arc::clone(&core),
        id,
    };
    core.stir();
    let mut late = JoinSet::new();
    loop {
        if !awake(&mut condition, &mut socket).await {
            break;
        }
        tokio::select! {
            biased;
            changed = condition.changed() => if changed.is_err() { break },
            Some(_) = late.join_next() => {}
            message = messages.recv() => {
                let Some(message) = message else { break };
                if socket.send(written(message)).await.is_err() { break }
            }
            incoming = socket.next() => {
                let Some(text) = read(incoming) else { break };
                if text.is_empty() { continue }
                let request = requests::arrived(&core, id, &text);
                if let Some((request, call)) = request {
                    let mut handling = Box::pin(requests::handle(Arc::clone(&core), id, request, call));
                    // In order of arrival, unless a fault holds one up.
                    if poll!(handling.as_mut()).is_pending() {
                        late.spawn(handling);
                    }
                }
            }
        }
    }
    drop(entered);
}

/// Waits while the socket is frozen; whether it is to go on.
async fn awake(
    condition: &mut watch::Receiver<Condition>,
    socket: &mut WebSocketStream<TcpStream>,
) -> bool {
    loop {
        let now = *condition.borrow_and_update();
        match now {
            Condition::Live => return true,
            Condition::Dropped => return false,
            Condition::Closing => {
                // The other side may have gone first.
                let _ = socket.close(None).await;
                return false;
            }
            Condition::Frozen => {
                if condition.changed().await.is_err() {
                    return false;
                }
            }
        }
    }
}

/// Strings are sent as they are: that is how garbage is written.
fn written(message: Value) -> Message {
    match message {
        Value::String(text) => Message::text(text),
        message => Message::text(message.to_string()),
    }
}

/// The text of a message; empty for frames without text, and none at the end.
fn read(incoming: Option<Result<Message, Error>>) -> Option<String> {
    match incoming?.ok()? {
        Message::Text(text) => Some(text.to_string()),
        Message::Close(_) => None,
        _ => Some(String::new()),
    }
}
