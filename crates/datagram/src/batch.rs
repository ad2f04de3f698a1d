//! Fixed slots for datagrams, and the right to send from a port.

use std::net::{Ipv4Addr, SocketAddr};

/// Bytes of one slot.
pub const SLOT_SIZE: usize = 2048;

/// Bytes kept free behind a received datagram, so that encryption can grow it in place: authentication tag (16),
/// SRTCP index (4) and the longest MKI that RFC 4568 §6.1 allows (128).
pub const TAIL_ROOM: usize = 148;

/// Longest datagram that is accepted; a longer one arrives marked [`Datagram::is_truncated`].
pub const MAX_DATAGRAM: usize = SLOT_SIZE - TAIL_ROOM;

/// Datagrams in one batch. 64 is where `recvmmsg` and `sendmmsg` stop gaining.
pub const BATCH_CAPACITY: usize = 64;

/// Names a bound local port. Not the UDP port number, and never used again while its backend lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortId(pub u32);

/// The right to send from one port. One exists per bound port; it can be moved and lent, not copied.
#[derive(Debug, PartialEq, Eq)]
pub struct SendRight(PortId);

impl SendRight {
    /// Makes the right for a port. For backends, which call it once when they bind.
    pub fn issue(port: PortId) -> Self {
        Self(port)
    }

    /// The port that this right sends from.
    pub fn port(&self) -> PortId {
        self.0
    }
}

/// One datagram in its slot: where it came in, who sent it, its bytes, and where it leaves, if it does.
pub struct Datagram {
    port: PortId,
    remote: SocketAddr,
    len: usize,
    truncated: bool,
    transmit: Option<(PortId, SocketAddr)>,
    slot: Box<[u8; SLOT_SIZE]>,
}

impl Datagram {
    fn empty() -> Self {
        Self {
            port: PortId(0),
            remote: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            len: 0,
            truncated: false,
            transmit: None,
            slot: Box::new([0; SLOT_SIZE]),
        }
    }

    /// The local port it arrived on.
    pub fn port(&self) -> PortId {
        self.port
    }

    /// Who sent it. Not authenticated.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for an empty datagram, which UDP allows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when the sender's datagram was longer than [`MAX_DATAGRAM`]; the bytes are not whole.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The datagram's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.slot[..self.len]
    }

    /// The whole slot: the datagram's bytes and the room behind them.
    pub fn slot_mut(&mut self) -> &mut [u8; SLOT_SIZE] {
        &mut self.slot
    }

    /// Sets the length after an edit in place.
    ///
    /// # Panics
    /// When `len` is beyond the slot.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= SLOT_SIZE, "a datagram stays inside its slot");
        self.len = len;
    }

    /// Replaces the bytes.
    ///
    /// # Panics
    /// When `bytes` are longer than the slot.
    pub fn fill(&mut self, bytes: &[u8]) {
        self.slot[..bytes.len()].copy_from_slice(bytes);
        self.len = bytes.len();
    }

    /// Makes this the record of a datagram that has just arrived in the slot. For backends.
    pub fn set_received(&mut self, port: PortId, remote: SocketAddr, len: usize, truncated: bool) {
        self.port = port;
        self.remote = remote;
        self.len = len.min(SLOT_SIZE);
        self.truncated = truncated;
        self.transmit = None;
    }

    /// Marks the datagram to leave from `right`'s port to `remote` with the next [`Backend::send`](crate::Backend::send).
    pub fn transmit(&mut self, right: &SendRight, remote: SocketAddr) {
        self.transmit = Some((right.port(), remote));
    }

    /// Takes the mark away again.
    pub fn withhold(&mut self) {
        self.transmit = None;
    }

    /// Where the datagram leaves: local port and destination. `None`: it does not.
    pub fn route(&self) -> Option<(PortId, SocketAddr)> {
        self.transmit
    }
}

/// Up to [`BATCH_CAPACITY`] datagrams. Allocated once and used again and again.
pub struct Batch {
    datagrams: Vec<Datagram>,
    len: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch with all its memory.
    pub fn new() -> Self {
        Self { datagrams: (0..BATCH_CAPACITY).map(|_| Datagram::empty()).collect(), len: 0 }
    }

    /// Forgets the datagrams; keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Slots that are still free.
    pub fn remaining(&self) -> usize {
        BATCH_CAPACITY - self.len
    }

    /// Adds an empty datagram with no route. `None` when the batch is full.
    pub fn push(&mut self) -> Option<&mut Datagram> {
        let datagram = self.datagrams.get_mut(self.len)?;
        self.len += 1;
        datagram.len = 0;
        datagram.truncated = false;
        datagram.transmit = None;
        Some(datagram)
    }

    /// The slots behind the last datagram, for a backend that receives several at once; [`Batch::commit`] takes the
    /// first of them in.
    pub fn free_slots(&mut self) -> &mut [Datagram] {
        &mut self.datagrams[self.len..]
    }

    /// Takes the first `count` free slots in as received datagrams.
    ///
    /// # Panics
    /// When fewer are free.
    pub fn commit(&mut self, count: usize) {
        assert!(count <= self.remaining(), "a batch holds at most BATCH_CAPACITY datagrams");
        self.len += count;
    }

    /// The datagrams in order of arrival.
    pub fn datagrams(&self) -> &[Datagram] {
        &self.datagrams[..self.len]
    }

    /// The datagrams in order of arrival, to be edited.
    pub fn datagrams_mut(&mut self) -> &mut [Datagram] {
        &mut self.datagrams[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_full_at_its_capacity_and_empty_after_clear() {
        let mut batch = Batch::new();
        for _ in 0..BATCH_CAPACITY {
            assert!(batch.push().is_some());
        }
        assert!(batch.push().is_none());
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.remaining(), BATCH_CAPACITY);
    }

    #[test]
    fn a_reused_slot_carries_no_route_of_its_former_datagram() {
        let mut batch = Batch::new();
        let right = SendRight::issue(PortId(7));
        let remote = SocketAddr::from(([192, 0, 2, 1], 5004));
        batch.push().expect("room").transmit(&right, remote);
        assert_eq!(batch.datagrams()[0].route(), Some((PortId(7), remote)));
        batch.clear();
        assert_eq!(batch.push().expect("room").route(), None);
        batch.clear();
        batch.free_slots()[0].transmit(&right, remote);
        batch.free_slots()[0].set_received(PortId(1), remote, 12, false);
        batch.commit(1);
        assert_eq!(batch.datagrams()[0].route(), None);
    }

    #[test]
    fn the_longest_datagram_leaves_room_for_tag_index_and_mki() {
        assert_eq!(MAX_DATAGRAM + 16 + 4 + 128, SLOT_SIZE);
    }
}
