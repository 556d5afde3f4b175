//! Enqueueing, bounded. Jobs that come while an earlier round trip is under way go together in the next one: no timer,
//! at low load a round trip carries one job.

use std::time::{Duration, Instant};

use redis::{RedisError, Script};
use tokio::sync::{mpsc, oneshot};

use super::{Keys, Queue, RATE_KEPT_SECONDS, RedisLink, unix_seconds};
use crate::telemetry::supervised;

/// Jobs sent in one round trip at most, and waiting for theirs at most.
const BATCH: usize = 256;
const WAITING_MAX: usize = 4096;

/// Why a job was not enqueued.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EnqueueError {
    /// The queue holds as many jobs as it may.
    #[error("the queue is full")]
    Full,
    /// Redis did not take it; it may be there all the same.
    #[error("Redis did not confirm the job")]
    Redis(#[from] RedisError),
    /// The process is ending.
    #[error("the process is ending")]
    Ending,
}

/// Length check and append in one step, so that the bound is exact; counts the jobs for the rates. A job that was sent
/// before is not sent again while its entry waits unread, or a worker took it only just now. Each job is a payload, the
/// entry it was sent as, if it was, and the silence after which that one is given up; the answer is the time by Redis'
/// clock, then for each job an entry, or nothing when the queue is full.
///
/// A call that took longer than we wait for its answer, as when Redis was frozen, appends nothing: its jobs were given up,
/// but would be as good as new by the time of their entries.
const ENQUEUE: &str = r"
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] ~= '' and now_ms - tonumber(ARGV[3]) > tonumber(ARGV[4]) then
  return redis.error_reply('LATE the call was given up')
end
local function is_good(sent, silence_ms)
  if #redis.call('XRANGE', KEYS[1], sent, sent) == 0 then return false end
  local held = redis.pcall('XPENDING', KEYS[1], 'workers', sent, sent, 1)
  return held.err or #held == 0 or held[1][3] < silence_ms
end
local length, added, entries = redis.call('XLEN', KEYS[1]), 0, {}
for at = 5, #ARGV, 3 do
  local entry = ''
  if ARGV[at + 1] ~= '' and is_good(ARGV[at + 1], tonumber(ARGV[at + 2])) then
    entry = ARGV[at + 1]
  elseif length + added < tonumber(ARGV[1]) then
    entry = redis.call('XADD', KEYS[1], '*', 'p', ARGV[at])
    added = added + 1
  end
  entries[#entries + 1] = entry
end
if added > 0 and redis.call('HINCRBY', KEYS[2], 'enqueued', added) == added then
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
return {now_ms, entries}
";

/// What the script says then.
const LATE: &str = "LATE";

/// A job's entry, to send the job again only when that entry is lost or in dead hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    entry_id: String,
}

struct Request {
    payload: String,
    sent: Option<Sent>,
    silence: Duration,
    answer: oneshot::Sender<Result<Sent, EnqueueError>>,
}

/// Appends jobs to one queue. Cheap to clone; its task ends with the last clone.
#[derive(Clone)]
pub struct Producer {
    requests: mpsc::Sender<Request>,
}

impl Producer {
    /// A producer for `queue` that lets it hold at most `length_max` jobs.
    #[must_use]
    pub fn spawn(redis: RedisLink, prefix: &str, queue: Queue, length_max: u64) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let line = Line {
            redis,
            keys: Keys::new(prefix, queue),
            length_max,
            script: Script::new(ENQUEUE),
            clock: None,
        };
        supervised("producer", line.run(waiting));
        Self { requests }
    }

    /// Appends a payload, or says that the queue is full.
    pub async fn enqueue(&self, payload: String) -> Result<Sent, EnqueueError> {
        self.enqueue_again(payload, None, Duration::ZERO).await
    }

    /// Appends a payload unless the entry `sent` for the same job is still good: not read yet, or read less than
    /// `silence` ago.
    pub async fn enqueue_again(
        &self,
        payload: String,
        sent: Option<Sent>,
        silence: Duration,
    ) -> Result<Sent, EnqueueError> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            payload,
            sent,
            silence,
            answer,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_| EnqueueError::Ending)?;
        answered.await.map_err(|_| EnqueueError::Ending)?
    }
}

/// The way to Redis.
struct Line {
    redis: RedisLink,
    keys: Keys,
    length_max: u64,
    script: Script,
    /// What Redis' clock showed, and when, if that is known.
    clock: Option<(u64, Instant)>,
}

impl Line {
    async fn run(mut self, mut waiting: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            // Whoever has stopped waiting was told so, and must not find the job done after all.
            batch.retain(|request: &Request| !request.answer.is_closed());
            if batch.is_empty() {
                continue;
            }
            let entries = self.append(&batch).await;
            for (place, request) in batch.drain(..).enumerate() {
                let answer = match &entries {
                    Ok(entries) => match entries.get(place) {
                        Some(entry_id) if !entry_id.is_empty() => Ok(Sent {
                            entry_id: entry_id.clone(),
                        }),
                        _ => Err(EnqueueError::Full),
                    },
                    Err(error) => Err(EnqueueError::Redis(error.clone())),
                };
                let _ = request.answer.send(answer);
            }
        }
    }

    async fn append(&mut self, batch: &[Request]) -> Result<Vec<String>, RedisError> {
        let mut call = self.script.prepare_invoke();
        call.key(&self.keys.stream)
            .key(self.keys.rate(unix_seconds()))
            .arg(self.length_max)
            .arg(RATE_KEPT_SECONDS);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.map(|(then_ms, read_at)| {
            let now_ms = then_ms.saturating_add(millis(read_at.elapsed()));
            now_ms.to_string()
        });
        call.arg(now.unwrap_or_default())
            .arg(millis(self.redis.timeout()));
        for request in batch {
            let sent = request.sent.as_ref();
            call.arg(&request.payload)
                .arg(sent.map_or("", |sent| sent.entry_id.as_str()))
                .arg(millis(request.silence));
        }
        let answer: Result<(u64, Vec<String>), RedisError> =
            call.invoke_async(&mut self.redis).await;
        match answer {
            Ok((now_ms, entries)) => {
                self.clock = Some((now_ms, Instant::now()));
                Ok(entries)
            }
            Err(error) => {
                // Unless it was Redis' clock that was set forward.
                if error.code() == Some(LATE) {
                    self.clock = None;
                }
                Err(error)
            }
        }
    }
}
