//! Feedback messages (RFC 4585 §6).

use super::{RTPFB, RtcpPacket, word};

/// Generic NACK's message type.
pub(super) const NACK: u8 = 1;

/// One entry of a generic NACK (RFC 4585 §6.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nack {
    /// Sequence number of the first lost packet.
    pub packet_id: u16,
    /// Bit n set: packet `packet_id + n + 1` is lost too.
    pub following: u16,
}

impl Nack {
    /// Every lost sequence number.
    pub fn sequence_numbers(self) -> impl Iterator<Item = u16> {
        let following = (0..16u16).filter(move |bit| self.following & (1 << bit) != 0);
        std::iter::once(self.packet_id).chain(following.map(move |bit| self.packet_id.wrapping_add(bit + 1)))
    }
}

impl<'a> RtcpPacket<'a> {
    /// The stream that feedback is about; `None` when the packet is no feedback. Zero where the message names its
    /// streams itself (FIR, TMMBR, REMB).
    pub fn media_ssrc(&self) -> Option<u32> {
        if self.is_feedback() { word(self.body, 4) } else { None }
    }

    /// The message behind the two SSRCs; empty when the packet is no feedback.
    pub fn feedback_control(&self) -> &'a [u8] {
        if self.is_feedback() { self.body.get(8..).unwrap_or_default() } else { &[] }
    }

    /// The entries of a generic NACK; none of other types.
    pub fn nacks(&self) -> Nacks<'a> {
        let is_nack = self.packet_type == RTPFB && self.count == NACK;
        Nacks { rest: if is_nack { self.feedback_control() } else { &[] } }
    }
}

/// Iterates over the entries of a generic NACK.
#[derive(Clone)]
pub struct Nacks<'a> {
    rest: &'a [u8],
}

impl Iterator for Nacks<'_> {
    type Item = Nack;

    fn next(&mut self) -> Option<Nack> {
        let (&[p0, p1, b0, b1], rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(Nack { packet_id: u16::from_be_bytes([p0, p1]), following: u16::from_be_bytes([b0, b1]) })
    }
}
