//! Where messages come from and go to.

use std::fmt;
use std::net::SocketAddr;

/// The transport of a hop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// RFC 3261 §18.
    Udp,
    /// RFC 3261 §18.
    Tcp,
    /// RFC 3261 §26.
    Tls,
    /// RFC 7118.
    Ws,
    /// RFC 7118.
    Wss,
}

impl Transport {
    /// As it stands in a Via.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Whether what is sent arrives or the connection fails: no retransmission above it.
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// Whether nobody on the way can read along.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One hop: a connection, or a pair of UDP addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// How.
    pub transport: Transport,
    /// Our address; of the socket for UDP.
    pub local: SocketAddr,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The transport layer's number of the connection; 0 for UDP, or for a connection that is still to be made.
    pub connection: u64,
}

impl Flow {
    /// A pair of UDP addresses.
    pub fn udp(local: SocketAddr, peer: SocketAddr) -> Self {
        Self { transport: Transport::Udp, local, peer, connection: 0 }
    }
}
