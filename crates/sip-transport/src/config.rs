//! What to bind, and the bounds.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sip::{SentBy, Transport};

use crate::{LocatorConfig, TlsConfig, WebConfig};

/// Everything that [`Transports::bind`](crate::Transports::bind) needs.
#[derive(Clone)]
pub struct TransportConfig {
    /// The sockets. A target is reached through the first that has its transport and address family; a loopback target through
    /// a loopback listener first, any other through one that is none.
    pub listeners: Vec<Listener>,
    /// Certificates and roots. Without it there is neither TLS nor WSS.
    pub tls: Option<TlsConfig>,
    /// What the WS and WSS listeners' ports say to a browser.
    pub web: WebConfig,
    /// The bounds.
    pub limits: TransportLimits,
    /// DNS.
    pub locator: LocatorConfig,
    /// Chooses among SRV records by weight (RFC 2782). Not secret.
    pub seed: [u8; 32],
}

impl TransportConfig {
    /// These listeners, no TLS, and defaults for the rest.
    pub fn new(listeners: Vec<Listener>) -> Self {
        Self {
            listeners,
            tls: None,
            web: WebConfig::default(),
            limits: TransportLimits::default(),
            locator: LocatorConfig::default(),
            seed: [0; 32],
        }
    }
}

/// One socket to bind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// How.
    pub transport: Transport,
    /// Where; port 0 takes any free one.
    pub address: SocketAddr,
    /// What our Via says for it; by default the bound address. Required if the address is unspecified (`0.0.0.0`, `::`).
    pub advertised: Option<SentBy>,
}

impl Listener {
    /// A listener that advertises its own address.
    pub fn new(transport: Transport, address: SocketAddr) -> Self {
        Self { transport, address, advertised: None }
    }
}

/// A listener that is bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BoundListener {
    /// How.
    pub transport: Transport,
    /// Where, with the port that was taken.
    pub address: SocketAddr,
    /// What our Via says for it.
    pub sent_by: SentBy,
}

/// Caps on what peers may cost. A source is an IPv4 address or an IPv6 /64; all /64 of a /48 have what eight of them have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransportLimits {
    /// Caps on one message; `head_bytes + body_bytes` bounds a WebSocket message too.
    pub message: sip::Limits,
    /// Connections of peers at one time; we may open as many.
    pub connections: usize,
    /// Connections of one source at one time.
    pub connections_per_source: usize,
    /// TLS and WebSocket handshakes at one time; those of one source are bounded by its connections.
    pub handshakes: usize,
    /// How long a handshake may take, TLS and WebSocket each.
    pub handshake_time: Duration,
    /// How long a TCP connection of ours may take to be made.
    pub connect_time: Duration,
    /// Messages, keep-alives and new connections of one source in a second, sustained.
    pub rate: u32,
    /// Messages that a source may send at once after a silence.
    pub burst: u32,
    /// Sources that are remembered for their rate; the longest silent are forgotten first.
    pub sources: usize,
    /// Networks (address and prefix length) without limits per source: trunks and proxies that speak for many.
    pub trusted: Vec<(IpAddr, u8)>,
    /// How long a connection may be open before it brings its first whole message or keep-alive.
    pub first_message: Duration,
    /// How long the peer of a connection may be silent.
    pub idle: Duration,
    /// How long a message may take from its first byte to its last, and how long a peer may not read what we write.
    pub message_time: Duration,
    /// Messages that wait to be sent on one connection or UDP socket.
    pub queue: usize,
    /// Bytes that wait to be sent on one connection.
    pub queue_bytes: usize,
    /// Messages that wait for [`Inbox::recv`](crate::Inbox::recv). Connections then wait; datagrams are dropped and counted.
    pub inbox: usize,
    /// Peers that are remembered by [`Transports::target`](crate::Transports::target), so that one can be connected to again. The
    /// longest unused is forgotten; a request by its flow then fails, and its URI is to be located again.
    pub destinations: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            message: sip::Limits::default(),
            connections: 8192,
            connections_per_source: 64,
            handshakes: 512,
            handshake_time: Duration::from_secs(5),
            connect_time: Duration::from_secs(4),
            rate: 100,
            burst: 400,
            sources: 65536,
            trusted: Vec::new(),
            first_message: Duration::from_secs(32),
            idle: Duration::from_secs(15 * 60),
            message_time: Duration::from_secs(15),
            queue: 256,
            queue_bytes: 1 << 20,
            inbox: 1024,
            destinations: 16384,
        }
    }
}
