//! Free loopback ports.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

const LOWEST: u16 = 10_000;
const TRIES: u32 = 100;

/// Finds a port that nobody listens on.
///
/// It lies below the range that the system gives to outgoing connections: a server that is down for
/// a while, as crash tests want it, would otherwise lose its port to one of the very connections
/// that try to reach it again.
pub fn free_port() -> io::Result<u16> {
    let ceiling = lowest_outgoing_port();
    if ceiling > LOWEST {
        for _ in 0..TRIES {
            let port = rand::random_range(LOWEST..ceiling);
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_can_be_listened_on_and_is_not_for_outgoing_connections() {
        let port = free_port().expect("a free port");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        assert!(port < lowest_outgoing_port() || lowest_outgoing_port() <= LOWEST);
    }
}
