//! Datagrams that wait a moment for keys or for a role.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a short queue may hold.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) datagrams: usize,
    pub(crate) bytes: usize,
}

/// A short bounded queue. It owns memory only while something waits.
pub(crate) struct ShortQueue {
    queue: Option<Box<Queue>>,
    bounds: &'static Bounds,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// One that waits.
pub(crate) struct Waiting {
    pub(crate) since: Instant,
    pub(crate) source: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl ShortQueue {
    /// An empty queue.
    pub(crate) fn new(bounds: &'static Bounds) -> Self {
        Self { queue: None, bounds }
    }

    /// Takes a copy. False: full.
    pub(crate) fn push(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) -> bool {
        let queue = self.queue.get_or_insert_default();
        if queue.waiting.len() >= self.bounds.datagrams || queue.bytes + bytes.len() > self.bounds.bytes {
            return false;
        }
        queue.bytes += bytes.len();
        queue.waiting.push_back(Waiting { since: now, source, bytes: bytes.to_vec() });
        true
    }

    /// The oldest.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let queue = self.queue.as_mut()?;
        let waiting = queue.waiting.pop_front();
        queue.bytes = queue.bytes.saturating_sub(waiting.as_ref().map_or(0, |waiting| waiting.bytes.len()));
        if queue.waiting.is_empty() {
            self.queue = None;
        }
        waiting
    }

    /// Drops those that have waited longer than `longest`; returns how many.
    pub(crate) fn expire(&mut self, now: Instant, longest: Duration) -> usize {
        let mut expired = 0;
        while let Some(first) = self.queue.as_ref().and_then(|queue| queue.waiting.front())
            && now.saturating_duration_since(first.since) > longest
        {
            self.pop();
            expired += 1;
        }
        expired
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.waiting.is_empty())
    }

    pub(crate) fn clear(&mut self) {
        self.queue = None;
    }
}
