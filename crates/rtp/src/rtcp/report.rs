//! Sender and receiver reports (RFC 3550 §6.4).

use super::{RR, RtcpPacket, SR, word};

pub(super) const BLOCK_LEN: usize = 24;

/// What a sender says of itself (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderInformation {
    /// Wall clock, in NTP's 32.32 seconds since 1900.
    pub ntp_timestamp: u64,
    /// The same moment in RTP timestamp units.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// What a receiver says of one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Of the last interval, in 1/256.
    pub fraction_lost: u8,
    /// Since the beginning, 24 bits with sign.
    pub cumulative_lost: i32,
    /// Cycles and highest sequence number.
    pub highest_sequence_number: u32,
    /// In timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP timestamp; 0 when there was none.
    pub last_sr: u32,
    /// Since then, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl<'a> RtcpPacket<'a> {
    /// `None` when the packet is no sender report.
    pub fn sender_information(&self) -> Option<SenderInformation> {
        if self.packet_type != SR {
            return None;
        }
        let body = self.body;
        Some(SenderInformation {
            ntp_timestamp: u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?),
            rtp_timestamp: word(body, 12)?,
            packets: word(body, 16)?,
            octets: word(body, 20)?,
        })
    }

    /// The blocks of a sender or receiver report; none of other types.
    pub fn report_blocks(&self) -> ReportBlocks<'a> {
        let blocks = match self.packet_type {
            SR => self.body.get(24..),
            RR => self.body.get(4..),
            _ => None,
        };
        let blocks = blocks.and_then(|blocks| blocks.get(..usize::from(self.count) * BLOCK_LEN));
        ReportBlocks { blocks: blocks.unwrap_or_default() }
    }
}

/// Iterates over report blocks.
#[derive(Clone)]
pub struct ReportBlocks<'a> {
    blocks: &'a [u8],
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.blocks.split_first_chunk::<BLOCK_LEN>()?;
        self.blocks = rest;
        let lost = word(block, 4)?;
        Some(ReportBlock {
            ssrc: word(block, 0)?,
            fraction_lost: (lost >> 24) as u8,
            // Shifted up and down again to carry the sign of 24 bits.
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_sequence_number: word(block, 8)?,
            jitter: word(block, 12)?,
            last_sr: word(block, 16)?,
            delay_since_last_sr: word(block, 20)?,
        })
    }
}
