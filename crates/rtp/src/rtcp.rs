//! RTCP as views over bytes: compound (RFC 3550 §6.1) and reduced-size packets (RFC 5506), read and edited in place, and reports of our own.

mod edit;
mod feedback;
mod report;
mod sdes;
mod write;
mod xr;

pub use edit::{Role, Translate, translate, without_feedback};
pub use feedback::{Nack, Nacks};
pub use report::{ReportBlock, ReportBlocks, SenderInformation};
pub use sdes::{SdesChunk, SdesChunks, SdesItem, SdesItems};
pub use write::{Report, encode_report};
pub use xr::{XrBlock, XrBlocks};

/// Sender report (RFC 3550 §6.4.1).
pub const SR: u8 = 200;
/// Receiver report (RFC 3550 §6.4.2).
pub const RR: u8 = 201;
/// Source description (RFC 3550 §6.5).
pub const SDES: u8 = 202;
/// Goodbye (RFC 3550 §6.6).
pub const BYE: u8 = 203;
/// Application-defined (RFC 3550 §6.7).
pub const APP: u8 = 204;
/// Transport-layer feedback (RFC 4585 §6.2).
pub const RTPFB: u8 = 205;
/// Payload-specific feedback (RFC 4585 §6.3).
pub const PSFB: u8 = 206;
/// Extended report (RFC 3611).
pub const XR: u8 = 207;

/// One or more RTCP packets in one datagram, decrypted. All lengths are checked.
#[derive(Clone, Copy)]
pub struct RtcpCompound<'a> {
    bytes: &'a [u8],
}

impl<'a> RtcpCompound<'a> {
    /// `None` unless the bytes are one or more whole packets of version 2 without a rest, only the last of them
    /// padded, each long enough for its type and count.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        loop {
            let (packet, behind) = RtcpPacket::split(rest)?;
            if packet.is_padded && !behind.is_empty() || !packet.is_well_formed() {
                return None;
            }
            if behind.is_empty() {
                return Some(Self { bytes });
            }
            rest = behind;
        }
    }

    /// The packets, at least one.
    pub fn packets(&self) -> Packets<'a> {
        Packets { rest: self.bytes }
    }

    /// True when the first packet is a report, as RFC 3550 §6.1 asks of a compound packet. False: reduced-size, allowed
    /// only where `a=rtcp-rsize` was agreed (RFC 5506).
    pub fn is_compound(&self) -> bool {
        matches!(self.bytes, [_, SR | RR, ..])
    }

    /// SSRC of the first packet: who sent the whole.
    pub fn sender_ssrc(&self) -> Option<u32> {
        self.packets().next()?.sender_ssrc()
    }
}

/// Iterates over the packets of a compound packet.
#[derive(Clone)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<RtcpPacket<'a>> {
        let (packet, rest) = RtcpPacket::split(self.rest)?;
        self.rest = rest;
        Some(packet)
    }
}

/// One RTCP packet.
#[derive(Clone, Copy)]
pub struct RtcpPacket<'a> {
    packet_type: u8,
    count: u8,
    is_padded: bool,
    /// Behind the four bytes of the header, without padding.
    body: &'a [u8],
    len: usize,
}

impl<'a> RtcpPacket<'a> {
    /// Takes the first packet off; `None` when it is not whole.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let &[first, packet_type, high, low] = bytes.first_chunk::<4>()?;
        if first >> 6 != 2 {
            return None;
        }
        let len = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let (packet, rest) = bytes.split_at_checked(len)?;
        let mut body = packet.get(4..)?;
        let is_padded = first & 0x20 != 0;
        if is_padded {
            // RFC 3550 §6.4.1: a multiple of four, the count itself included.
            let padding = usize::from(*body.last()?);
            if padding == 0 || !padding.is_multiple_of(4) {
                return None;
            }
            body = body.get(..body.len().checked_sub(padding)?)?;
        }
        Some((Self { packet_type, count: first & 0x1f, is_padded, body, len }, rest))
    }

    /// 200 to 207 are known here.
    pub fn packet_type(&self) -> u8 {
        self.packet_type
    }

    /// Report count, source count, subtype or feedback message type: the header's five bits.
    pub fn count_or_format(&self) -> u8 {
        self.count
    }

    /// SSRC of whoever sent the packet: the first word, which every type but a source description or goodbye without
    /// chunks has. Of those two it is the first source.
    pub fn sender_ssrc(&self) -> Option<u32> {
        word(self.body, 0)
    }

    /// Everything behind the four bytes of the header, the sender's SSRC included, padding not.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Length in bytes with header and padding.
    pub fn wire_len(&self) -> usize {
        self.len
    }

    /// True for transport-layer and payload-specific feedback (RFC 4585).
    pub fn is_feedback(&self) -> bool {
        matches!(self.packet_type, RTPFB | PSFB)
    }

    /// The sources that leave; none when the packet is no goodbye.
    pub fn bye_ssrcs(&self) -> impl Iterator<Item = u32> + 'a {
        let count = if self.packet_type == BYE { usize::from(self.count) } else { 0 };
        self.body.as_chunks::<4>().0.iter().take(count).map(|&bytes| u32::from_be_bytes(bytes))
    }

    fn is_well_formed(&self) -> bool {
        let count = usize::from(self.count);
        match self.packet_type {
            SR => self.body.len() >= 24 + count * report::BLOCK_LEN,
            RR => self.body.len() >= 4 + count * report::BLOCK_LEN,
            SDES => self.sdes_chunks().filter(Option::is_some).count() == count,
            BYE => self.body.len() >= count * 4 && bye_reason_fits(self.body, count),
            APP | RTPFB | PSFB => self.body.len() >= 8,
            XR => self.body.len() >= 4 && self.xr_blocks().all(|block| block.is_some()),
            _ => true,
        }
    }
}

fn bye_reason_fits(body: &[u8], count: usize) -> bool {
    match body.get(count * 4..) {
        Some([len, reason @ ..]) => usize::from(*len) <= reason.len(),
        _ => true,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|&bytes| u32::from_be_bytes(bytes))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|&bytes| u16::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
