//! What workers count, and how a scrape reads it while they run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use control::{Counters, TransportFailure, WorkerId};
use media::ShardCounters;

/// Upper bounds of [`WorkerCounters::batch_sizes`], in datagrams.
pub const BATCH_BUCKETS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// What a worker has counted since it began. All but [`WorkerCounters::transports`] and [`WorkerCounters::calls`] only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounters {
    /// What its shard has counted.
    pub shard: ShardCounters,
    /// Datagrams received, by whatever end.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that the network did not take.
    pub send_failures: u64,
    /// Batches with at least one datagram received.
    pub batches: u64,
    /// Those batches by size: each counted once, under the smallest of [`BATCH_BUCKETS`] that holds it.
    pub batch_sizes: [u64; BATCH_BUCKETS.len()],
    /// System calls of the backend.
    pub system_calls: u64,
    /// Turns of the worker's loop.
    pub turns: u64,
    /// Nanoseconds spent working. With [`WorkerCounters::waited_nanoseconds`] it gives the load.
    pub busy_nanoseconds: u64,
    /// Nanoseconds spent waiting.
    pub waited_nanoseconds: u64,
    /// Commands dealt with.
    pub commands: u64,
    /// Transports that are open, each with its port.
    pub transports: u64,
    /// Calls.
    pub calls: u64,
    /// Handshakes begun.
    pub handshakes_started: u64,
    /// Handshakes that gave keys.
    pub handshakes_keyed: u64,
    /// Handshakes that failed, in the order of [`TransportFailure::ALL`].
    pub handshakes_failed: [u64; TransportFailure::ALL.len()],
    /// Times that a handshake thread had no room and datagrams had to wait in the shard.
    pub handshake_stalls: u64,
    /// News of transports that the session did not take in time.
    pub notices_dropped: u64,
}

impl WorkerCounters {
    /// Handshakes that failed, by reason.
    pub fn handshake_failures(&self) -> impl Iterator<Item = (TransportFailure, u64)> + '_ {
        TransportFailure::ALL.into_iter().zip(self.handshakes_failed)
    }

    pub(crate) fn count_batch(&mut self, datagrams: usize) {
        self.received += datagrams as u64;
        self.batches += 1;
        let bucket = BATCH_BUCKETS.iter().position(|&bound| datagrams <= bound).unwrap_or(BATCH_BUCKETS.len() - 1);
        self.batch_sizes[bucket] += 1;
    }

    pub(crate) fn count_handshake_failure(&mut self, failure: TransportFailure) {
        let place = TransportFailure::ALL.iter().position(|known| known.label() == failure.label());
        if let Some(count) = place.and_then(|place| self.handshakes_failed.get_mut(place)) {
            *count += 1;
        }
    }

    /// Calls `visit` for every number, always in the same order.
    fn visit(&mut self, mut visit: impl FnMut(&mut u64)) {
        // Without `..`: a new counter of the shard must not be forgotten here.
        let ShardCounters {
            verdicts,
            rtp_in,
            rtcp_in,
            rtp_out,
            rtcp_out,
            datagrams_in,
            datagrams_out,
            stun_out,
            dtls_out,
            transmit_dropped,
            rebased,
        } = &mut self.shard;
        verdicts.as_mut_slice().iter_mut().for_each(&mut visit);
        for Counters { packets, bytes } in [rtp_in, rtcp_in, rtp_out, rtcp_out, datagrams_in, datagrams_out] {
            visit(packets);
            visit(bytes);
        }
        for count in [stun_out, dtls_out, transmit_dropped, rebased] {
            visit(count);
        }
        let Self {
            shard: _,
            received,
            sent,
            send_failures,
            batches,
            batch_sizes,
            system_calls,
            turns,
            busy_nanoseconds,
            waited_nanoseconds,
            commands,
            transports,
            calls,
            handshakes_started,
            handshakes_keyed,
            handshakes_failed,
            handshake_stalls,
            notices_dropped,
        } = self;
        for count in [
            received,
            sent,
            send_failures,
            batches,
            system_calls,
            turns,
            busy_nanoseconds,
            waited_nanoseconds,
            commands,
            transports,
            calls,
            handshakes_started,
            handshakes_keyed,
            handshake_stalls,
            notices_dropped,
        ] {
            visit(count);
        }
        batch_sizes.iter_mut().for_each(&mut visit);
        handshakes_failed.iter_mut().for_each(&mut visit);
    }
}

/// A worker as a scrape sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerReport {
    /// Which.
    pub worker: WorkerId,
    /// Its backend's name.
    pub backend: &'static str,
    /// True once it has ended by a panic or a broken backend.
    pub failed: bool,
    /// Its counters.
    pub counters: WorkerCounters,
}

/// A copy of the counters that the worker refreshes once a turn and others read at any time. Numbers of one reading may
/// be a turn apart from each other.
pub(crate) struct Published {
    numbers: Box<[AtomicU64]>,
    failed: AtomicBool,
}

impl Published {
    pub(crate) fn new() -> Self {
        let mut count = 0;
        WorkerCounters::default().visit(|_| count += 1);
        Self { numbers: (0..count).map(|_| AtomicU64::new(0)).collect(), failed: AtomicBool::new(false) }
    }

    pub(crate) fn publish(&self, counters: &mut WorkerCounters) {
        let mut cells = self.numbers.iter();
        counters.visit(|number| {
            if let Some(cell) = cells.next() {
                cell.store(*number, Ordering::Relaxed);
            }
        });
    }

    pub(crate) fn read(&self) -> WorkerCounters {
        let mut counters = WorkerCounters::default();
        let mut cells = self.numbers.iter();
        counters.visit(|number| {
            if let Some(cell) = cells.next() {
                *number = cell.load(Ordering::Relaxed);
            }
        });
        counters
    }

    pub(crate) fn set_failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use control::Verdict;

    use super::*;

    #[test]
    fn what_is_published_is_what_is_read() {
        let mut counters = WorkerCounters::default();
        let mut next = 0;
        counters.visit(|number| {
            next += 1;
            *number = next;
        });
        let published = Published::new();
        published.publish(&mut counters);
        assert_eq!(published.read(), counters);
        assert_eq!(counters.shard.verdicts.of(Verdict::ALL[0]), 1);
        let distinct: std::collections::HashSet<_> = counters.batch_sizes.into_iter().collect();
        assert!(distinct.len() == BATCH_BUCKETS.len() && !distinct.contains(&0));
    }

    #[test]
    fn a_batch_falls_into_the_smallest_bucket_that_holds_it() {
        let mut counters = WorkerCounters::default();
        for size in [1, 2, 3, 4, 33, 64] {
            counters.count_batch(size);
        }
        assert_eq!(counters.batch_sizes, [1, 1, 2, 0, 0, 0, 2]);
        assert_eq!((counters.batches, counters.received), (6, 107));
    }

    #[test]
    fn every_alert_counts_under_one_reason() {
        let mut counters = WorkerCounters::default();
        counters.count_handshake_failure(TransportFailure::AlertReceived(40));
        counters.count_handshake_failure(TransportFailure::AlertReceived(80));
        let alerts = counters.handshake_failures().find(|(failure, _)| failure.label() == "alert_received");
        assert_eq!(alerts.map(|(_, count)| count), Some(2));
    }
}
