//! Datagrams that wait a moment for keys or for a role.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A short bounded queue.
pub(crate) struct ShortQueue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    max_datagrams: usize,
    max_bytes: usize,
}

/// One that waits.
pub(crate) struct Waiting {
    pub(crate) since: Instant,
    pub(crate) source: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl ShortQueue {
    /// An empty queue, which owns no memory yet.
    pub(crate) fn new(max_datagrams: usize, max_bytes: usize) -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, max_datagrams, max_bytes }
    }

    /// Takes a copy. False: full.
    pub(crate) fn push(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) -> bool {
        if self.waiting.len() >= self.max_datagrams || self.bytes + bytes.len() > self.max_bytes {
            return false;
        }
        self.bytes += bytes.len();
        self.waiting.push_back(Waiting { since: now, source, bytes: bytes.to_vec() });
        true
    }

    /// The oldest.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(waiting.bytes.len());
        Some(waiting)
    }

    /// Drops those that have waited longer than `longest`; returns how many.
    pub(crate) fn expire(&mut self, now: Instant, longest: Duration) -> usize {
        let mut expired = 0;
        while let Some(first) = self.waiting.front()
            && now.saturating_duration_since(first.since) > longest
        {
            self.pop();
            expired += 1;
        }
        expired
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.bytes = 0;
    }
}
