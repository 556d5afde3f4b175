//! What a socket asks for.

use std::future::pending;
use std::sync::Arc;

use serde_json::{Value, json};

use super::registry::Condition;
use super::subscription::{Topic, TopicKind};
use crate::node::core::Core;
use crate::node::dispatch::envelope;
use crate::node::failure::PARSE_ERROR;
use crate::node::fault::{Call, Reply};
use crate::node::params::Params;
use crate::node::{RpcFailure, RpcMethod};

/// Notes a request in the order of arrival.
pub fn arrived(core: &Core, socket: u64, text: &str) -> Option<(Value, Call)> {
    let Ok(request) = serde_json::from_str::<Value>(text) else {
        let failure = RpcFailure::new(PARSE_ERROR, "Parse error");
        answer(core, socket, &Value::Null, Err(failure));
        return None;
    };
    let name = request["method"].as_str().unwrap_or_default();
    let call = core.record(name, request["params"].clone(), Some(socket));
    Some((request["id"].clone(), call))
}

/// Answers a request, as far as the faults let it.
pub async fn handle(core: Arc<Core>, socket: u64, id: Value, call: Call) {
    let core = &*core;
    match core.decide(&call).await {
        Reply::Hang => pending().await,
        Reply::Disconnect | Reply::Http { .. } => {
            core.lock().sockets.set(Some(socket), Condition::Dropped);
        }
        Reply::Garbage(text) => core.lock().sockets.send(socket, Value::String(text)),
        Reply::Error(failure) => answer(core, socket, &id, Err(failure)),
        Reply::Value(value) => answer(core, socket, &id, Ok(value)),
        Reply::Null => answer(core, socket, &id, Ok(Value::Null)),
        Reply::PassThrough | Reply::Delay(_) => serve(core, socket, &id, &call),
    }
}

fn answer(core: &Core, socket: u64, id: &Value, result: Result<Value, RpcFailure>) {
    core.lock().sockets.send(socket, envelope(id, result));
}

fn serve(core: &Core, socket: u64, id: &Value, call: &Call) {
    let method = RpcMethod::named(&call.method);
    if let Some(kind) = method.and_then(TopicKind::subscribed_by) {
        match Topic::asked(kind, &Params::of(&call.params)) {
            Ok(topic) => subscribe(core, socket, id, topic),
            Err(failure) => answer(core, socket, id, Err(failure)),
        }
    } else if method.and_then(TopicKind::unsubscribed_by).is_some() {
        let number = call.params.get(0).and_then(Value::as_u64);
        let mut inner = core.lock();
        let known = number.is_some_and(|number| inner.sockets.unsubscribe(socket, number));
        drop(inner);
        let invalid = || RpcFailure::invalid_params("Invalid subscription id.");
        let result = known.then_some(Value::Bool(true)).ok_or_else(invalid);
        answer(core, socket, id, result);
    } else {
        answer(core, socket, id, Err(RpcFailure::method_not_found()));
    }
    core.stir();
}

/// Acknowledges before the first notification can go out.
fn subscribe(core: &Core, socket: u64, id: &Value, topic: Topic) {
    let state = core.chain.lock();
    let mut inner = core.lock();
    let subscription = inner.sockets.subscribe(socket, topic);
    let acknowledged = envelope(id, Ok(json!(subscription.id)));
    inner.sockets.send(socket, acknowledged);
    let Topic::Signature(signature, commitment) = topic else {
        return;
    };
    let view = inner.view.clone();
    if let Some((landed, _)) = view.find(&state, &signature, commitment) {
        inner
            .sockets
            .tell_signature(&view, &state, &landed, subscription);
    }
}
