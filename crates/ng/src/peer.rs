//! Who asks.

use std::net::SocketAddr;

/// Longest UDP payload over IPv4; IPv6 would take 20 bytes more.
const MAX_DATAGRAM: usize = 65_507;

/// Longest message on a connection, in either direction. A description may take a megabyte; a list of 100,000 calls
/// is shortened.
pub const MAX_STREAM_MESSAGE: usize = 2 << 20;

/// Who asks: where a reply goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Peer {
    /// A UDP socket. A reply must fit a datagram.
    Datagram(SocketAddr),
    /// A connection, by the number that its owner has given it.
    Connection(u64),
}

impl Peer {
    /// Longest reply, in bytes.
    pub(crate) fn max_reply(self) -> usize {
        match self {
            Self::Datagram(_) => MAX_DATAGRAM,
            Self::Connection(_) => MAX_STREAM_MESSAGE,
        }
    }
}
