//! What a child process said: its last lines, kept in memory and, when asked, in a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const LINES_KEPT: usize = 10_000;
const END_POLL: Duration = Duration::from_millis(5);

/// The last lines of a process's output, shared between the threads that read it and whoever looks.
#[derive(Clone, Default)]
pub struct Lines(Arc<Inner>);

#[derive(Default)]
struct Inner {
    kept: Mutex<VecDeque<String>>,
    file: Mutex<Option<File>>,
    open_pipes: AtomicUsize,
}

impl Lines {
    /// Starts an empty record; with a file, every line also goes there.
    #[must_use]
    pub fn new(file: Option<File>) -> Self {
        let lines = Self::default();
        *lines.0.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        lines
    }

    /// Reads the pipe until it ends, in a thread of its own: a child whose pipe is full would stop.
    pub(crate) fn drain(&self, pipe: impl Read + Send + 'static) {
        let lines = self.clone();
        lines.0.open_pipes.fetch_add(1, Ordering::SeqCst);
        thread::spawn(move || {
            lines.read_all(pipe);
            lines.0.open_pipes.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn read_all(&self, pipe: impl Read) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            self.push(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }

    /// Adds a line.
    pub fn push(&self, line: &str) {
        if let Some(file) = self
            .0
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            // A full disk must not stop the process whose output this is.
            let _ = writeln!(file, "{line}");
        }
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LINES_KEPT {
            kept.pop_front();
        }
        kept.push_back(line.to_owned());
    }

    /// All lines kept, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// The last few lines, each on a line of its own and indented, for an error message.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_empty() {
            return "\n    (it said nothing)".to_owned();
        }
        let skipped = kept.len().saturating_sub(count);
        kept.iter()
            .skip(skipped)
            .flat_map(|line| ["\n    ", line])
            .collect()
    }

    /// The first line kept for which `wanted` finds something.
    pub fn find<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find_map(|line| wanted(line))
    }

    /// Waits until the pipes of an ended process are read to their end, so that its last words are
    /// here. Bounded, because a grandchild may hold the pipe open.
    pub(crate) async fn ended(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.0.open_pipes.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            tokio::time::sleep(END_POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_give_way() {
        let lines = Lines::default();
        for number in 0..LINES_KEPT + 2 {
            lines.push(&number.to_string());
        }
        let all = lines.all();
        assert_eq!(all.len(), LINES_KEPT);
        assert_eq!(all.first().map(String::as_str), Some("2"));
        assert_eq!(lines.tail(1), "\n    10001");
    }

    #[test]
    fn output_that_is_not_text_is_kept_readable() {
        let lines = Lines::default();
        lines.read_all(&b"good\n\xff bad\r\nno newline"[..]);
        assert_eq!(lines.all(), ["good", "\u{fffd} bad", "no newline"]);
    }
}
