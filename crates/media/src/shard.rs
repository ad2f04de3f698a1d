//! One worker's calls.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::{CallKey, CallStatistics, Counters, Event, Plan, TransportId, VerdictCounts};
use datagram::{Batch, PortId, SendRight};

use crate::handshake::{Input, Output};

/// Bounds of a shard.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// This shard's number; comes back in every [`Handle`](crate::handshake::Handle).
    pub shard: u16,
    /// DTLS datagrams that may wait for [`Shard::poll_handshake`].
    pub handshake_queue: usize,
    /// DTLS datagrams of one transport among them.
    pub handshake_queue_per_transport: usize,
    /// Datagrams that may wait for [`Shard::poll_transmit`].
    pub transmit_queue: usize,
    /// How long SRTP that came before its keys may wait for them.
    pub early_media: Duration,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            shard: 0,
            handshake_queue: 1024,
            handshake_queue_per_transport: 32,
            transmit_queue: 1024,
            early_media: Duration::from_millis(200),
        }
    }
}

/// What a shard has seen since it began. Counters only ever grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardCounters {
    /// Every datagram received, by its end.
    pub verdicts: VerdictCounts,
    /// RTP received and authenticated (plain: from a valid source).
    pub rtp_in: Counters,
    /// RTCP received and authenticated (plain: from a valid source).
    pub rtcp_in: Counters,
    /// RTP sent.
    pub rtp_out: Counters,
    /// RTCP sent.
    pub rtcp_out: Counters,
    /// STUN responses sent.
    pub stun_out: u64,
    /// DTLS datagrams sent.
    pub dtls_out: u64,
    /// Datagrams that found the queue of [`Shard::poll_transmit`] full.
    pub transmit_queue_full: u64,
    /// Streams whose sequence numbers were re-based.
    pub rebased: u64,
}

/// The calls of one worker.
pub struct Shard {
    counters: ShardCounters,
}

#[allow(missing_docs, unused_variables)]
impl Shard {
    pub fn new(config: ShardConfig, seed: [u8; 32]) -> Self {
        Self { counters: ShardCounters::default() }
    }
    pub fn open_transport(
        &mut self,
        now: Instant,
        call: CallKey,
        transport: TransportId,
        port: PortId,
        right: SendRight,
        local: SocketAddr,
    ) {
    }
    pub fn apply(&mut self, now: Instant, call: CallKey, plan: &Plan) {}
    pub fn remove(&mut self, now: Instant, call: CallKey) {}
    pub fn statistics(&self, now: Instant, call: CallKey) -> Option<CallStatistics> {
        None
    }
    pub fn calls(&self) -> impl Iterator<Item = CallKey> + '_ {
        std::iter::empty()
    }
    /// The plan last applied: what a restarted session is told.
    pub fn plan(&self, call: CallKey) -> Option<&Plan> {
        None
    }
    pub fn handle_batch(&mut self, now: Instant, batch: &mut Batch) {}
    pub fn handle_handshake(&mut self, now: Instant, output: Output) {}
    /// Take inputs only while there is room for them.
    pub fn poll_handshake(&mut self) -> Option<Input> {
        None
    }
    /// Puts an input back that the handshake thread had no room for; it comes first at the next `poll_handshake`.
    pub fn return_handshake(&mut self, input: Input) {}
    pub fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) -> bool {
        false
    }
    pub fn handle_timeout(&mut self, now: Instant) {}
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    pub fn poll_close(&mut self) -> Option<PortId> {
        None
    }
    pub fn counters(&self) -> &ShardCounters {
        &self.counters
    }
}
