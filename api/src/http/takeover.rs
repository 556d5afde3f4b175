//! Answers of unknown length, which are the live streams: once the head of one is out, its connection is taken from
//! hyper, whose two buffers of 8 KiB and whose request machinery an open stream would keep for nothing.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::response::Response;
use bytes::{Buf as _, Bytes};
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

const CHUNK_END: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What the parts of one connection tell each other; all of them run in its task.
#[derive(Clone, Default)]
pub struct Takeover(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The body of an answer whose head hyper was given.
    body: Mutex<Option<Body>>,
    /// Whether the socket did not take all that hyper had for it.
    is_blocked: AtomicBool,
}

impl Takeover {
    /// The socket for hyper.
    pub fn socket(&self, stream: TcpStream) -> Socket {
        Socket {
            io: TokioIo::new(stream),
            shared: Arc::clone(&self.0),
        }
    }

    /// The answer for hyper: of one that is to be taken over only the head.
    pub fn answer(&self, version: Version, response: Response) -> Response {
        // HTTP/1.0 knows no chunks.
        if version != Version::HTTP_11 || response.body().size_hint().exact().is_some() {
            return response;
        }
        let never = futures::stream::pending::<Result<Bytes, io::Error>>();
        let (mut head, body) = response.into_parts();
        // Whoever takes the connection does not give it back.
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("close"));
        *self.0.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        Response::from_parts(head, Body::from_stream(never))
    }

    /// Has hyper serve the connection to its end, or until there is a body to take over.
    pub async fn serve<C>(&self, connection: &mut C) -> hyper::Result<Option<Body>>
    where
        C: Future<Output = hyper::Result<()>> + Unpin,
    {
        poll_fn(|context| match connection.poll_unpin(context) {
            Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
            Poll::Pending => match self.taken() {
                Some(body) => Poll::Ready(Ok(Some(body))),
                None => Poll::Pending,
            },
        })
        .await
    }

    /// The body, once hyper has nothing left to write: it has tried to, whenever it is pending.
    fn taken(&self) -> Option<Body> {
        if self.0.is_blocked.load(Ordering::Relaxed) {
            return None;
        }
        self.0
            .body
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A socket that knows whether its last write went through.
pub struct Socket {
    io: TokioIo<TcpStream>,
    shared: Arc<Shared>,
}

impl Socket {
    /// Sends the rest of an answer: each portion in one write, until the body ends, the client leaves, or a portion takes
    /// it too long.
    pub async fn send(self, body: Body, write_timeout: Duration) {
        let mut stream = self.io.into_inner();
        let (reader, writer) = stream.split();
        let ended = tokio::select! {
            ended = write(writer, body, write_timeout) => ended,
            ended = until_closed(reader) => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }

    fn noted<T>(&self, written: Poll<T>) -> Poll<T> {
        self.shared
            .is_blocked
            .store(written.is_pending(), Ordering::Relaxed);
        written
    }
}

async fn write(
    mut socket: WriteHalf<'_>,
    mut body: Body,
    write_timeout: Duration,
) -> io::Result<()> {
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(io::Error::other)?.into_data();
        // A chunk without data would be the last one.
        if let Ok(data) = data
            && !data.is_empty()
        {
            let size = format!("{:x}\r\n", data.len());
            let mut chunk = size.as_bytes().chain(data).chain(CHUNK_END);
            // While it waits it cannot see that the body was cut.
            timeout(write_timeout, socket.write_all_buf(&mut chunk)).await??;
        }
    }
    timeout(write_timeout, socket.write_all(LAST_CHUNK)).await??;
    socket.shutdown().await
}

/// Waits until the client closes the connection. One that says something instead is heard no more.
async fn until_closed(socket: ReadHalf<'_>) -> io::Result<()> {
    loop {
        socket.readable().await?;
        match socket.try_read(&mut [0]) {
            Ok(0) => return Ok(()),
            Ok(_) => return std::future::pending().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, parts);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
