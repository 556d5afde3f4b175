//! Servers that the api calls, played by the test: a price feed and a Solana node.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

use crate::support::{LIMIT, until};

/// Where a price is read that nobody should be led to.
const ELSEWHERE: &str = "/elsewhere";
/// A part of the feed's URL that must not be told.
pub const FEED_KEY: &str = "k3y-of-the-feed";

/// A port that refuses connections until it is opened.
struct Port {
    address: SocketAddr,
    closed: Option<TcpSocket>,
    serving: Option<JoinHandle<()>>,
}

impl Port {
    fn closed() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(any).expect("a free port");
        Self {
            address: socket.local_addr().expect("an address"),
            closed: Some(socket),
            serving: None,
        }
    }

    fn open(&mut self, routes: Router) {
        let socket = self.closed.take().expect("it is opened once");
        let listener = socket.listen(64).expect("it listens");
        self.serving = Some(tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("it serves");
        }));
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// What a feed answers.
#[derive(Debug, Clone)]
pub enum Says {
    /// 200 with this body.
    Body(String),
    /// This status, with a good price.
    Status(u16),
    /// Look elsewhere, where a good price is.
    Redirect,
    /// Nothing, for longer than anybody waits.
    Nothing,
}

/// A price feed.
pub struct Feed {
    port: Port,
    script: Arc<Script>,
}

struct Script {
    says: Mutex<Says>,
    asked: AtomicUsize,
}

impl Feed {
    /// A feed that is not there yet.
    pub fn closed() -> Self {
        Self {
            port: Port::closed(),
            script: Arc::new(Script {
                says: Mutex::new(Says::Nothing),
                asked: AtomicUsize::new(0),
            }),
        }
    }

    pub fn url(&self) -> String {
        let address = self.port.address;
        format!("http://user:{FEED_KEY}@{address}/{FEED_KEY}?key={FEED_KEY}")
    }

    pub fn open(&mut self) {
        let routes = Router::new()
            .route(ELSEWHERE, get(async || Json(json!({"price": 1}))))
            .fallback(feed)
            .with_state(Arc::clone(&self.script));
        self.port.open(routes);
    }

    /// Says something else from now on, and waits until the api has dealt with it.
    pub async fn says(&self, says: Says) {
        *lock(&self.script.says) = says;
        let before = self.script.asked.load(Ordering::SeqCst);
        // The api asks again only once it has dealt with the last answer.
        until("the feed is read", LIMIT, async || {
            (self.script.asked.load(Ordering::SeqCst) >= before + 2).then_some(())
        })
        .await;
    }

    pub async fn says_price(&self, price: &str) {
        self.says(Says::Body(format!("{{\"price\": {price}}}")))
            .await;
    }
}

async fn feed(State(script): State<Arc<Script>>) -> Response {
    script.asked.fetch_add(1, Ordering::SeqCst);
    let says = lock(&script.says).clone();
    let good = || "{\"price\": 1}".to_owned();
    let mut response = match says {
        Says::Body(body) => body.into_response(),
        Says::Status(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, good()).into_response()
        }
        Says::Redirect => (StatusCode::FOUND, [(LOCATION, ELSEWHERE)], good()).into_response(),
        Says::Nothing => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            good().into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A Solana node that knows one account.
pub struct ChainNode {
    port: Port,
    account: Arc<Mutex<Account>>,
}

struct Account {
    key: String,
    lamports: Option<u64>,
    minimum: u64,
}

impl ChainNode {
    /// A node that is not there yet. What it will say: the rent-exempt minimum of an account without data.
    pub fn closed(minimum: u64) -> Self {
        Self {
            port: Port::closed(),
            account: Arc::new(Mutex::new(Account {
                key: String::new(),
                lamports: None,
                minimum,
            })),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.port.address)
    }

    /// Answers from here on, for the account of this key, which does not exist.
    pub fn open(&mut self, key: &str) {
        key.clone_into(&mut lock(&self.account).key);
        let routes = Router::new()
            .route("/", post(node))
            .with_state(Arc::clone(&self.account));
        self.port.open(routes);
    }

    pub fn fund(&self, lamports: u64) {
        lock(&self.account).lamports = Some(lamports);
    }
}

async fn node(State(account): State<Arc<Mutex<Account>>>, Json(call): Json<Value>) -> Json<Value> {
    let account = lock(&account);
    let params = &call["params"];
    let result = match call["method"].as_str() {
        Some("getMinimumBalanceForRentExemption") if params[0] == 0 => json!(account.minimum),
        Some("getAccountInfo") if params[0] == account.key => json!({
            "context": {"slot": 1},
            "value": account.lamports.map(|lamports| json!({
                "lamports": lamports,
                "owner": "11111111111111111111111111111111",
                "data": ["", "base64"],
                "executable": false,
                "rentEpoch": u64::MAX,
                "space": 0,
            })),
        }),
        _ => {
            let error = json!({"code": -32601, "message": "not in this test"});
            return Json(json!({"jsonrpc": "2.0", "id": call["id"], "error": error}));
        }
    };
    Json(json!({"jsonrpc": "2.0", "id": call["id"], "result": result}))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
