//! A live stream of events.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::Response;
use serde_json::Value;

use super::ClientError;
use super::frame_parser::{FrameParser, RawFrame};

/// One thing that a stream said.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// An event.
    Event {
        /// Its name.
        event: String,
        /// Its data.
        data: Value,
    },
    /// A comment, which keeps the connection alive.
    Comment(String),
}

impl Frame {
    /// The event's name; empty for a comment.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Event { event, .. } => event,
            Self::Comment(_) => "",
        }
    }

    /// The event's data; null for a comment.
    #[must_use]
    pub fn data(&self) -> &Value {
        match self {
            Self::Event { data, .. } => data,
            Self::Comment(_) => &Value::Null,
        }
    }
}

type Bytes = Pin<Box<dyn Stream<Item = Result<Vec<u8>, reqwest::Error>> + Send>>;

/// A live stream, read as it comes. Dropping it closes the connection.
pub struct Frames {
    bytes: Bytes,
    parser: FrameParser,
    waiting: VecDeque<RawFrame>,
}

impl Frames {
    pub(super) fn new(response: Response) -> Self {
        let bytes = response.bytes_stream().map_ok(|portion| portion.to_vec());
        Self {
            bytes: bytes.boxed(),
            parser: FrameParser::default(),
            waiting: VecDeque::new(),
        }
    }

    /// The next frame; `None` once the server has closed the stream.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<Frame>, ClientError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return decode(frame).map(Some);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.bytes.next()).await {
                Err(_) => return Err(ClientError::Silent(limit)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(ClientError::Cut(error)),
                Ok(Some(Ok(bytes))) => self.waiting.extend(self.parser.push(&bytes)),
            }
        }
    }

    /// The next event, past any comments: its name and data. `None` once the server has closed the
    /// stream.
    pub async fn next_event(
        &mut self,
        limit: Duration,
    ) -> Result<Option<(String, Value)>, ClientError> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next(left).await {
                Ok(Some(Frame::Event { event, data })) => return Ok(Some((event, data))),
                Ok(Some(Frame::Comment(_))) => {}
                Ok(None) => return Ok(None),
                Err(ClientError::Silent(_)) => return Err(ClientError::Silent(limit)),
                Err(error) => return Err(error),
            }
        }
    }

    /// All frames until the server closes the stream, which it must do within the limit.
    pub async fn collect_until_closed(
        &mut self,
        limit: Duration,
    ) -> Result<Vec<Frame>, ClientError> {
        let deadline = Instant::now() + limit;
        let mut frames = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next(left).await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return Ok(frames),
                Err(ClientError::Silent(_)) => return Err(ClientError::Silent(limit)),
                Err(error) => return Err(error),
            }
        }
    }
}

fn decode(frame: RawFrame) -> Result<Frame, ClientError> {
    match frame {
        RawFrame::Comment(text) => Ok(Frame::Comment(text)),
        RawFrame::Event { event, data } => match serde_json::from_str(&data) {
            Ok(data) => Ok(Frame::Event { event, data }),
            Err(_) => Err(ClientError::NotJson { event, data }),
        },
    }
}
