//! What a stream says, taken apart at little cost: the readers take their time from what they measure.

use httparse::Status;

use crate::failure::BenchError;

const HEADERS_MAX: usize = 32;
const OK: u16 = 200;
const END_OF_CHUNK: usize = "\r\n".len();
const END_OF_FRAME: &str = "\n\n";
const INVOICE: &str = "\"ref_invoice_id\"";

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// The state at the beginning.
    Snapshot,
    /// The payment of this invoice.
    Debit(String),
    /// A comment.
    KeepAlive,
}

/// The answer to a stream's request, as far as it has come.
#[derive(Debug, Default)]
pub struct Answer {
    /// Bytes of something that is not whole.
    rest: Vec<u8>,
    began: bool,
}

impl Answer {
    /// Takes what was read; returns the frames that are whole now.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, BenchError> {
        self.rest.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut begin = if self.began { 0 } else { self.take_head()? };
        while self.began
            && let Some(bytes) = self.rest.get(begin..)
            && let Some((from, to)) = first_chunk(bytes)?
        {
            let text = bytes.get(from..to).unwrap_or_default();
            for frame in String::from_utf8_lossy(text).split_terminator(END_OF_FRAME) {
                frames.push(parse(frame)?);
            }
            begin += to + END_OF_CHUNK;
        }
        self.rest.drain(..begin);
        Ok(frames)
    }

    /// The head's length once it is whole.
    fn take_head(&mut self) -> Result<usize, BenchError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        match head.parse(&self.rest) {
            Ok(Status::Complete(length)) if head.code == Some(OK) => {
                self.began = true;
                Ok(length)
            }
            Ok(Status::Partial) => Ok(0),
            _ => Err(refused(&String::from_utf8_lossy(&self.rest))),
        }
    }
}

/// Where the data of a chunk begins and ends, once it is whole.
fn first_chunk(bytes: &[u8]) -> Result<Option<(usize, usize)>, BenchError> {
    let Ok(size) = httparse::parse_chunk_size(bytes) else {
        return Err(refused(&String::from_utf8_lossy(bytes)));
    };
    let Status::Complete((begin, length)) = size else {
        return Ok(None);
    };
    let end = begin + usize::try_from(length).unwrap_or(usize::MAX);
    Ok((bytes.len() >= end.saturating_add(END_OF_CHUNK)).then_some((begin, end)))
}

fn parse(frame: &str) -> Result<Frame, BenchError> {
    if frame.starts_with(':') {
        return Ok(Frame::KeepAlive);
    }
    if frame.starts_with("event: snapshot\n") {
        return Ok(Frame::Snapshot);
    }
    let invoice = frame
        .strip_prefix("event: balance_debit\n")
        .and_then(|data| data.split_once(INVOICE))
        .and_then(|(_, rest)| rest.split('"').nth(1));
    invoice
        .map(|invoice| Frame::Debit(invoice.to_owned()))
        .ok_or_else(|| refused(frame))
}

fn refused(said: &str) -> BenchError {
    BenchError::Stream(format!("it said {said:?}"))
}
