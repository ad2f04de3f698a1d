//! Source descriptions (RFC 3550 §6.5).

use super::{RtcpPacket, SDES};

/// One source and what is said of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SdesChunk<'a> {
    /// The source.
    pub ssrc: u32,
    /// The items' bytes, their end mark and padding left out.
    items: &'a [u8],
}

impl<'a> SdesChunk<'a> {
    /// CNAME.
    pub const CNAME: u8 = 1;

    /// What is said of the source.
    pub fn items(&self) -> SdesItems<'a> {
        SdesItems { rest: self.items }
    }
}

/// One item of a source description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SdesItem<'a> {
    /// 1 is CNAME, 15 is MID (RFC 9143).
    pub item_type: u8,
    /// UTF-8 as a rule.
    pub text: &'a [u8],
}

impl<'a> RtcpPacket<'a> {
    /// The chunks of a source description; none of other types. `None` where one does not fit, which ends them: not
    /// met in a packet that [`RtcpCompound::parse`](super::RtcpCompound::parse) has let through.
    pub fn sdes_chunks(&self) -> SdesChunks<'a> {
        if self.packet_type == SDES { SdesChunks::over(self.count, self.body) } else { SdesChunks::over(0, &[]) }
    }
}

/// Iterates over the chunks of a source description.
#[derive(Clone)]
pub struct SdesChunks<'a> {
    left: u8,
    rest: &'a [u8],
}

impl<'a> Iterator for SdesChunks<'a> {
    type Item = Option<SdesChunk<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let chunk = self.take();
        if chunk.is_none() {
            self.left = 0;
        }
        Some(chunk)
    }
}

impl<'a> SdesChunks<'a> {
    pub(super) fn over(count: u8, chunks: &'a [u8]) -> Self {
        Self { left: count, rest: chunks }
    }

    fn take(&mut self) -> Option<SdesChunk<'a>> {
        let (&ssrc, behind) = self.rest.split_first_chunk::<4>()?;
        let mut end = 0;
        // RFC 3550 §6.5 wants a null behind the items. Of the last chunk it is not missed: the packet's end will do.
        while end < behind.len() || self.left > 0 {
            match behind.get(end)? {
                0 => break,
                _ => end = end + 2 + usize::from(*behind.get(end + 1)?),
            }
        }
        let items = behind.get(..end)?;
        self.rest = behind.get((end / 4 + 1) * 4..).unwrap_or_default();
        Some(SdesChunk { ssrc: u32::from_be_bytes(ssrc), items })
    }

    /// Bytes behind the chunks taken so far.
    pub(super) fn rest_len(&self) -> usize {
        self.rest.len()
    }
}

/// Iterates over the items of a chunk.
#[derive(Clone)]
pub struct SdesItems<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for SdesItems<'a> {
    type Item = SdesItem<'a>;

    fn next(&mut self) -> Option<SdesItem<'a>> {
        let (&[item_type, len], rest) = self.rest.split_first_chunk::<2>()?;
        let (text, rest) = rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some(SdesItem { item_type, text })
    }
}
