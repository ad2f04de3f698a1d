//! A worker's calls for a session that has just begun.

use std::ops::Bound::{Excluded, Unbounded};
use std::time::Instant;

use control::{CallKey, CallSnapshot};

use super::Shard;

/// Most calls of a page: a worker writes it between two batches of packets.
const PAGE_CALLS: usize = 32;

/// A page is full when its memos have this many bytes.
const PAGE_BYTES: usize = 128 * 1024;

impl Shard {
    /// The calls with keys above `after`, as many as fit a page, and whether there are more.
    pub fn snapshot(&self, now: Instant, after: Option<CallKey>) -> (Vec<CallSnapshot>, bool) {
        let mut calls = self.calls.range((after.map_or(Unbounded, Excluded), Unbounded));
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < PAGE_CALLS && bytes < PAGE_BYTES {
            let Some((&key, call)) = calls.next() else { break };
            bytes += call.memo.len();
            page.push(CallSnapshot {
                call: key,
                media_timeout: call.media_timeout.flatten(),
                memo: call.memo.to_vec(),
                statistics: self.statistics(now, key).unwrap_or_default(),
            });
        }
        (page, calls.next().is_some())
    }
}
