//! Counters.

use std::sync::atomic::{AtomicU64, Ordering};

use sip::Transport;

/// All transports, in the order of the arrays of [`Stats`].
pub const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// Why something was refused, dropped or closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The source is above its rate: a message was dropped, or a connection closed.
    Rate,
    /// The source has its connections: another was closed.
    ConnectionsPerSource,
    /// All connections are taken: another was closed.
    Connections,
    /// All handshakes are taken: a connection was closed.
    Handshakes,
    /// A handshake took too long.
    HandshakeTime,
    /// A TLS handshake failed: no common version or cipher, or a certificate that was not accepted.
    Tls,
    /// An HTTP request that is neither for a page nor a WebSocket.
    Http,
    /// A WebSocket of a page that is not on the list of origins.
    Origin,
    /// A WebSocket without the sub-protocol `sip`.
    Subprotocol,
    /// A WebSocket frame against RFC 6455, or too large.
    WebSocket,
    /// A message with a [`sip::Fault`].
    Message,
    /// A response whose Via is not ours (RFC 3261 §18.1.2).
    SentBy,
    /// A connection that was silent too long, or began a message and did not end it.
    Silence,
    /// A peer that does not read what we write.
    Stalled,
    /// The inbox was full: a datagram was dropped.
    Inbox,
    /// A queue towards a peer was full: a message of ours was not sent.
    Queue,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Rate,
        Self::ConnectionsPerSource,
        Self::Connections,
        Self::Handshakes,
        Self::HandshakeTime,
        Self::Tls,
        Self::Http,
        Self::Origin,
        Self::Subprotocol,
        Self::WebSocket,
        Self::Message,
        Self::SentBy,
        Self::Silence,
        Self::Stalled,
        Self::Inbox,
        Self::Queue,
    ];

    /// As a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::ConnectionsPerSource => "connections_per_source",
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::HandshakeTime => "handshake_time",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Origin => "origin",
            Self::Subprotocol => "subprotocol",
            Self::WebSocket => "websocket",
            Self::Message => "message",
            Self::SentBy => "sent_by",
            Self::Silence => "silence",
            Self::Stalled => "stalled",
            Self::Inbox => "inbox",
            Self::Queue => "queue",
        }
    }
}

/// Counters since the start, but for `connections`. The arrays are in the order of [`TRANSPORTS`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Connections at this moment, those in their handshake included.
    pub connections: [u64; 5],
    /// Messages that came, faulty ones and those above the rate included.
    pub messages_in: [u64; 5],
    /// Messages that were written.
    pub messages_out: [u64; 5],
    /// Messages of ours that could not be sent.
    pub send_failures: [u64; 5],
    refusals: [u64; Refusal::ALL.len()],
}

impl Stats {
    /// How often.
    pub fn refusals(&self, reason: Refusal) -> u64 {
        self.refusals.get(reason as usize).copied().unwrap_or(0)
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    connections: [AtomicU64; 5],
    messages_in: [AtomicU64; 5],
    messages_out: [AtomicU64; 5],
    send_failures: [AtomicU64; 5],
    refusals: [AtomicU64; Refusal::ALL.len()],
}

impl Counters {
    pub(crate) fn connection_opened(&self, transport: Transport) {
        self.connections[index(transport)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_closed(&self, transport: Transport) {
        self.connections[index(transport)].fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn message_in(&self, transport: Transport) {
        self.messages_in[index(transport)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn message_out(&self, transport: Transport) {
        self.messages_out[index(transport)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn send_failed(&self, transport: Transport) {
        self.send_failures[index(transport)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, reason: Refusal) {
        self.refusals[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            connections: read(&self.connections),
            messages_in: read(&self.messages_in),
            messages_out: read(&self.messages_out),
            send_failures: read(&self.send_failures),
            refusals: read(&self.refusals),
        }
    }
}

fn index(transport: Transport) -> usize {
    match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls => 2,
        Transport::Ws => 3,
        Transport::Wss => 4,
    }
}

fn read<const N: usize>(counters: &[AtomicU64; N]) -> [u64; N] {
    std::array::from_fn(|index| counters[index].load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_label() {
        let counters = Counters::default();
        for reason in Refusal::ALL {
            counters.refused(reason);
        }
        let stats = counters.snapshot();
        assert!(Refusal::ALL.iter().all(|&reason| stats.refusals(reason) == 1));
        let mut labels = Refusal::ALL.map(Refusal::as_str).to_vec();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Refusal::ALL.len());
    }
}
