//! Many open streams, and what they hear.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::chunks::{Answer, Frame};
use crate::failure::BenchError;
use crate::stock::Payer;

/// Opened at the same time.
const OPENING: usize = 128;
const BUFFER: usize = 4_096;
/// How long anything that must come may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How long to wait for what must not come.
const AFTERMATH: Duration = Duration::from_millis(300);

/// The payment of an invoice, as one stream has heard it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The stream's place in the fleet.
    pub stream: usize,
    /// What was paid.
    pub invoice: String,
    /// When it was read.
    pub at: SystemTime,
}

type News = Result<Heard, BenchError>;

/// Open streams. Dropping them closes them.
pub struct Fleet {
    news: UnboundedReceiver<News>,
    /// Held, not read.
    _readers: JoinSet<()>,
}

impl Fleet {
    /// Opens a stream of each of these users' balances; all have had their snapshots then.
    pub async fn open(
        address: SocketAddr,
        users: impl Iterator<Item = &Payer>,
    ) -> Result<Self, BenchError> {
        let requests: Vec<String> = users.map(|user| request(address, user)).collect();
        let opening = requests
            .into_iter()
            .map(|request| async move { open(address, &request).await });
        let open: Vec<(TcpStream, Answer)> = futures::stream::iter(opening)
            .buffered(OPENING)
            .try_collect()
            .await?;
        let (teller, news) = unbounded_channel();
        let mut readers = JoinSet::new();
        for (place, (stream, answer)) in open.into_iter().enumerate() {
            readers.spawn(listen(place, stream, answer, teller.clone()));
        }
        Ok(Self {
            news,
            _readers: readers,
        })
    }

    /// Waits until exactly this was heard, each by its stream and once.
    pub async fn hear(
        &mut self,
        expected: impl Iterator<Item = (usize, &str)>,
    ) -> Result<Vec<Heard>, BenchError> {
        let mut expected: Vec<(usize, &str)> = expected.collect();
        let mut heard = Vec::with_capacity(expected.len());
        let all = async {
            while heard.len() < expected.len()
                && let Some(news) = self.news.recv().await
            {
                heard.push(news?);
            }
            Ok::<(), BenchError>(())
        };
        let in_time = tokio::time::timeout(LIMIT, all).await;
        in_time.unwrap_or(Ok(()))?;
        tokio::time::sleep(AFTERMATH).await;
        while let Ok(news) = self.news.try_recv() {
            heard.push(news?);
        }
        let mut told: Vec<(usize, &str)> = heard.iter().map(Heard::what).collect();
        told.sort_unstable();
        expected.sort_unstable();
        if told == expected {
            return Ok(heard);
        }
        Err(BenchError::Stream(format!(
            "of {} frames {} came, or they came to others, or twice",
            expected.len(),
            told.len()
        )))
    }
}

impl Heard {
    fn what(&self) -> (usize, &str) {
        (self.stream, &self.invoice)
    }
}

/// About what a browser sends.
fn request(address: SocketAddr, user: &Payer) -> String {
    format!(
        "GET /v1/balance/events HTTP/1.1\r\nhost: {address}\r\nconnection: keep-alive\r\naccept: text/event-stream\r\n\
         cache-control: no-cache\r\naccept-encoding: gzip, deflate, br\r\naccept-language: en-US,en;q=0.5\r\n\
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         cookie: nl_session={}; nl_csrf={}\r\n\r\n",
        user.session, user.csrf
    )
}

async fn open(address: SocketAddr, request: &str) -> Result<(TcpStream, Answer), BenchError> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Answer::default();
    loop {
        let (frames, _) = read(&stream, &mut answer).await?;
        match frames.as_slice() {
            [] => {}
            [Frame::Snapshot] => return Ok((stream, answer)),
            _ => return Err(BenchError::Stream(format!("it began with {frames:?}"))),
        }
    }
}

async fn listen(
    place: usize,
    stream: TcpStream,
    mut answer: Answer,
    teller: UnboundedSender<News>,
) {
    loop {
        let (frames, at) = match read(&stream, &mut answer).await {
            Ok(read) => read,
            Err(error) => {
                let _ = teller.send(Err(error));
                return;
            }
        };
        for frame in frames {
            let news = match frame {
                Frame::KeepAlive => continue,
                Frame::Debit(invoice) => Ok(Heard {
                    stream: place,
                    invoice,
                    at,
                }),
                Frame::Snapshot => Err(BenchError::Stream("it told its state again".into())),
            };
            // Nobody listens any more only when the fleet is being closed.
            let _ = teller.send(news);
        }
    }
}

/// Reads once; returns the frames that are whole now, and when it was.
async fn read(
    stream: &TcpStream,
    answer: &mut Answer,
) -> Result<(Vec<Frame>, SystemTime), BenchError> {
    loop {
        stream.readable().await?;
        // Not kept while waiting: ten thousand of them would be in each other's way.
        let mut buffer = [0; BUFFER];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(BenchError::Stream("the api closed it".into())),
            Ok(length) => {
                let at = SystemTime::now();
                return Ok((answer.take(buffer.get(..length).unwrap_or_default())?, at));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
