//! Where a request goes (RFC 3263).

mod dns;
mod penalties;
mod search;
mod weights;

pub(crate) use dns::Locator;
pub use search::{Answer, Naptr, Question, RecordKind, Search, Srv, Step};

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sip::{SipUri, StatusCode, Target, Transport};

/// Which transports will do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Security {
    /// What the URI asks for: TLS for `sips:`, any for `sip:`.
    #[default]
    AsAsked,
    /// TLS, whatever the URI says.
    Required,
}

/// One server to try.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// The host of the URI, before any look-up: what the server's certificate must say (RFC 5922 §7.3).
    pub domain: String,
}

/// How names are looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocatorConfig {
    /// DNS servers; the system's (`/etc/resolv.conf`) if there is none here.
    pub servers: Vec<SocketAddr>,
    /// How long one location may take, all questions together. What was found until then counts.
    pub time: Duration,
    /// Where SRV records offer several transports and NAPTR says nothing, they are tried in this order. Transports without a
    /// listener are left out.
    pub preference: Vec<Transport>,
    /// Locations at one time; more fail as if DNS did not answer.
    pub at_once: usize,
    /// How long a server that failed is tried after all others.
    pub penalty: Duration,
}

impl Default for LocatorConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            time: Duration::from_secs(4),
            preference: vec![Transport::Tls, Transport::Udp, Transport::Tcp],
            at_once: 256,
            penalty: Duration::from_secs(60),
        }
    }
}

/// Why there is no target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocateError {
    /// The URI asks for a transport that cannot be had: unknown, insecure with `sips:`, WebSocket (which only its client opens),
    /// or one without a listener of ours.
    Transport,
    /// The name has no address, or the domain says by SRV that it has no SIP (RFC 2782: target `.`).
    NotFound,
    /// DNS did not answer in time.
    TimedOut,
}

impl fmt::Display for LocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transport => "no such transport",
            Self::NotFound => "no such server",
            Self::TimedOut => "DNS did not answer",
        })
    }
}

impl std::error::Error for LocateError {}

/// How a request to one target ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It could not be sent.
    Unreachable,
    /// No final response came.
    TimedOut,
    /// A final response.
    Answered(StatusCode),
}

impl Outcome {
    /// Whether the next target is tried (RFC 3263 §4.3): a failed transport, silence, or 503.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut => true,
            Self::Answered(status) => status == StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Targets in their order. Each one that is tried is a client transaction of its own (RFC 3261 §16.6): send the request anew.
#[derive(Clone, Debug)]
pub struct Failover {
    targets: std::vec::IntoIter<Target>,
}

impl Failover {
    /// From what [`Transports::locate`](crate::Transports::locate) found.
    pub fn new(targets: Vec<Target>) -> Self {
        Self { targets: targets.into_iter() }
    }

    /// The first target to try.
    pub fn first(&mut self) -> Option<Target> {
        self.targets.next()
    }

    /// The next one, if this outcome asks for it and there is one.
    pub fn after(&mut self, outcome: Outcome) -> Option<Target> {
        if outcome.is_failure() { self.targets.next() } else { None }
    }
}

/// The host whose records are asked for: `maddr` goes before the host (RFC 3263 §4).
fn target_host(uri: &SipUri) -> Option<sip::Host> {
    match uri.param("maddr") {
        Some(maddr) => sip::Host::parse(maddr),
        None => Some(uri.host.clone()),
    }
}
