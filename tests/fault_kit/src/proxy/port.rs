//! A port that stays free while nobody listens on it.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use tokio::net::TcpListener;

const LOWEST: u16 = 10_000;
const TRIES: u32 = 100;

/// Listens below the ports that the system gives to outgoing connections, so that no client takes the
/// port while the proxy refuses connections.
pub async fn listen() -> io::Result<TcpListener> {
    let ceiling = lowest_outgoing_port();
    if ceiling > LOWEST {
        for _ in 0..TRIES {
            let port = rand::random_range(LOWEST..ceiling);
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                return Ok(listener);
            }
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

fn lowest_outgoing_port() -> u16 {
    const USUAL: u16 = 32_768;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range
        .split_whitespace()
        .next()
        .and_then(|low| low.parse().ok())
        .unwrap_or(USUAL)
}
