//! One HTTP/1.1 connection that is kept open. Written for little cost, since it takes its time from what it measures.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::failure::BenchError;

const HEADERS_MAX: usize = 32;
const BUFFER: usize = 2_048;

/// A connection to an api.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(BUFFER),
        })
    }

    /// Sends one request and reads its whole answer; returns the status.
    pub async fn call(&mut self, request: &[u8]) -> Result<u16, BenchError> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(BenchError::Answer("the api closed the connection".into()));
            }
            if let Some((status, length)) = head_and_length(&self.buffer)?
                && self.buffer.len() >= length
            {
                return Ok(status);
            }
        }
    }

    /// The last answer, head included.
    pub fn answer(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

/// The status and the length of the whole answer, once its head is there.
fn head_and_length(bytes: &[u8]) -> Result<Option<(u16, usize)>, BenchError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let parsed = head
        .parse(bytes)
        .map_err(|error| BenchError::Answer(error.to_string()))?;
    let httparse::Status::Complete(head_length) = parsed else {
        return Ok(None);
    };
    let status = head.code.unwrap_or_default();
    let body = head
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| {
            std::str::from_utf8(header.value)
                .ok()?
                .parse::<usize>()
                .ok()
        })
        .ok_or_else(|| BenchError::Answer("an answer without content-length".into()))?;
    Ok(Some((status, head_length + body)))
}
