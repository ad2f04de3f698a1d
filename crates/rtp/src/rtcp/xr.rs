//! Extended reports (RFC 3611).

use super::{RtcpPacket, XR, half, word};

pub(super) const LOSS_RLE: u8 = 1;
pub(super) const DUPLICATE_RLE: u8 = 2;
pub(super) const PACKET_RECEIPT_TIMES: u8 = 3;
pub(super) const RECEIVER_REFERENCE_TIME: u8 = 4;
pub(super) const DLRR: u8 = 5;
pub(super) const STATISTICS_SUMMARY: u8 = 6;
/// RFC 6776: the measurement interval that further blocks refer to.
pub(super) const MEASUREMENT_INFORMATION: u8 = 14;

/// One block of an extended report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XrBlock<'a> {
    /// 1 to 7 in RFC 3611, more at IANA.
    pub block_type: u8,
    /// What the type makes of the header's second byte.
    pub type_specific: u8,
    /// Behind the four bytes of the header.
    pub body: &'a [u8],
}

impl XrBlock<'_> {
    /// The source reported on, of types that begin with one.
    pub fn ssrc(&self) -> Option<u32> {
        match self.block_type {
            RECEIVER_REFERENCE_TIME | DLRR => None,
            _ => word(self.body, 0),
        }
    }

    /// First sequence number of the range and the one behind its last, of types 1, 2, 3 and 6 (RFC 3611 §4.1).
    pub fn sequence_range(&self) -> Option<(u16, u16)> {
        if has_sequence_range(self.block_type) { Some((half(self.body, 4)?, half(self.body, 6)?)) } else { None }
    }
}

pub(super) fn has_sequence_range(block_type: u8) -> bool {
    matches!(block_type, LOSS_RLE | DUPLICATE_RLE | PACKET_RECEIPT_TIMES | STATISTICS_SUMMARY)
}

impl<'a> RtcpPacket<'a> {
    /// The blocks of an extended report; none of other types. `None` where one does not fit, which ends them: not met
    /// in a packet that [`RtcpCompound::parse`](super::RtcpCompound::parse) has let through.
    pub fn xr_blocks(&self) -> XrBlocks<'a> {
        let rest = if self.packet_type == XR { self.body.get(4..).unwrap_or_default() } else { &[] };
        XrBlocks { rest }
    }
}

/// Iterates over the blocks of an extended report.
#[derive(Clone)]
pub struct XrBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for XrBlocks<'a> {
    type Item = Option<XrBlock<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let block = self.take();
        if block.is_none() {
            self.rest = &[];
        }
        Some(block)
    }
}

impl<'a> XrBlocks<'a> {
    fn take(&mut self) -> Option<XrBlock<'a>> {
        let (&[block_type, type_specific, high, low], rest) = self.rest.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([high, low])) * 4;
        let (body, rest) = rest.split_at_checked(len)?;
        let fits = match block_type {
            LOSS_RLE | DUPLICATE_RLE | PACKET_RECEIPT_TIMES => len >= 8,
            RECEIVER_REFERENCE_TIME => len == 8,
            DLRR => len.is_multiple_of(12),
            STATISTICS_SUMMARY => len == 36,
            _ => true,
        };
        self.rest = rest;
        fits.then_some(XrBlock { block_type, type_specific, body })
    }
}
