//! Where the parts of a protected packet lie.
//!
//! ```text
//! SRTP          header | payload | MKI | tag                  (RFC 3711 §3.1)
//! SRTP, AEAD    header | payload | tag | MKI                  (RFC 7714 §8.2)
//! SRTCP         8 bytes | rest | E + index | MKI | tag        (RFC 3711 §3.4)
//! SRTCP, AEAD   8 bytes | rest | tag | E + index | MKI        (RFC 7714 §9.2)
//! ```

use crate::{Policy, Rejection};

/// The bit of SRTCP's trailer that says that the packet is encrypted.
pub(crate) const E_BIT: u32 = 1 << 31;
/// SRTCP's clear part: the first header and the sender's SSRC, in bytes.
pub(crate) const RTCP_CLEAR: usize = 8;
/// Bytes of SRTCP's E bit and index.
pub(crate) const TRAILER: usize = 4;
/// RTP's fixed header, in bytes.
const RTP_FIXED: usize = 12;
/// The most bytes that one IV may encrypt: the block counter has 16 bits (RFC 3711 §4.1.1).
pub(crate) const MAX_PACKET: usize = 1 << 20;

/// What SRTP needs of an RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RtpHeader {
    /// Fixed header, CSRCs and extension together, in bytes.
    pub(crate) len: usize,
    pub(crate) sequence: u16,
    pub(crate) ssrc: u32,
}

impl RtpHeader {
    /// Reads the header; `packet` may still have its tag.
    #[inline]
    pub(crate) fn read(packet: &[u8]) -> Result<Self, Rejection> {
        let (&[first, _, s0, s1, _, _, _, _, c0, c1, c2, c3], _) =
            packet.split_first_chunk::<RTP_FIXED>().ok_or(Rejection::TooShort)?;
        if first >> 6 != 2 {
            return Err(Rejection::Malformed);
        }
        let mut len = RTP_FIXED + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let extension = packet.get(len..).and_then(<[u8]>::first_chunk::<4>).ok_or(Rejection::Malformed)?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        if len > packet.len() {
            return Err(Rejection::Malformed);
        }
        Ok(Self { len, sequence: u16::from_be_bytes([s0, s1]), ssrc: u32::from_be_bytes([c0, c1, c2, c3]) })
    }
}

/// The sender's SSRC of an RTCP packet.
#[inline]
pub(crate) fn read_rtcp_sender(packet: &[u8]) -> Result<u32, Rejection> {
    let (&[first, _, _, _, s0, s1, s2, s3], _) = packet.split_first_chunk::<RTCP_CLEAR>().ok_or(Rejection::TooShort)?;
    if first >> 6 != 2 {
        return Err(Rejection::Malformed);
    }
    Ok(u32::from_be_bytes([s0, s1, s2, s3]))
}

/// Where the parts lie behind the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Start of what is encrypted.
    pub(crate) clear: usize,
    /// End of header and payload: the length of the plain packet.
    pub(crate) body: usize,
    pub(crate) tag: (usize, usize),
    pub(crate) mki: (usize, usize),
    /// Start of SRTCP's E bit and index.
    pub(crate) trailer: usize,
    /// Length of the protected packet.
    pub(crate) end: usize,
}

impl Shape {
    /// The shape of the SRTP packet whose plain packet is `body` bytes long.
    #[inline]
    pub(crate) fn rtp(policy: &Policy, mki_len: usize, clear: usize, body: usize) -> Self {
        let tag_len = policy.rtp_tag_len();
        let end = body + tag_len + mki_len;
        let (tag, mki) = if policy.profile.is_aead() {
            ((body, body + tag_len), (body + tag_len, end))
        } else {
            ((body + mki_len, end), (body, body + mki_len))
        };
        Self { clear, body, tag, mki, trailer: body, end }
    }

    /// The shape of the SRTCP packet whose plain packet is `body` bytes long.
    #[inline]
    pub(crate) fn rtcp(policy: &Policy, mki_len: usize, body: usize) -> Self {
        let tag_len = policy.profile.rtcp_tag_len();
        let end = body + tag_len + TRAILER + mki_len;
        let (tag, trailer, mki) = if policy.profile.is_aead() {
            ((body, body + tag_len), body + tag_len, (end - mki_len, end))
        } else {
            ((end - tag_len, end), body, (body + TRAILER, body + TRAILER + mki_len))
        };
        Self { clear: RTCP_CLEAR, body, tag, mki, trailer, end }
    }

    /// The shape of a received SRTP packet.
    #[inline]
    pub(crate) fn of_rtp(policy: &Policy, mki_len: usize, header: usize, len: usize) -> Result<Self, Rejection> {
        let body = len.checked_sub(policy.rtp_overhead(mki_len)).filter(|body| *body >= header);
        Ok(Self::rtp(policy, mki_len, header, body.ok_or(Rejection::TooShort)?))
    }

    /// The shape of a received SRTCP packet.
    #[inline]
    pub(crate) fn of_rtcp(policy: &Policy, mki_len: usize, len: usize) -> Result<Self, Rejection> {
        let body = len.checked_sub(policy.rtcp_overhead(mki_len)).filter(|body| *body >= RTCP_CLEAR);
        Ok(Self::rtcp(policy, mki_len, body.ok_or(Rejection::TooShort)?))
    }

    #[inline]
    pub(crate) fn mki_of<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.mki.0..self.mki.1).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn tag_of<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.tag.0..self.tag.1).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn trailer_of(&self, packet: &[u8]) -> u32 {
        packet.get(self.trailer..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

/// Copies `from` to `at`; a caller that has checked the room loses nothing.
#[inline]
pub(crate) fn write_at(buffer: &mut [u8], at: usize, from: &[u8]) {
    if let Some(to) = buffer.get_mut(at..).and_then(|rest| rest.get_mut(..from.len())) {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn a_header_counts_its_csrcs_and_its_extension() {
        // RFC 9335 A.1.3's plain packet: two CSRCs, an extension of one word.
        let packet = hex("920f1238decafbadcafebabe0001e2400000b26ebede000151000200abab");
        let header = RtpHeader::read(&packet).unwrap();
        assert_eq!(header, RtpHeader { len: 28, sequence: 0x1238, ssrc: 0xcafe_babe });
        assert_eq!(RtpHeader::read(&packet[..28]).map(|header| header.len), Ok(28));
    }

    #[test]
    fn a_header_that_promises_more_than_there_is_is_malformed() {
        let packet = hex("920f1238decafbadcafebabe0001e2400000b26ebede000151000200");
        for len in 12..packet.len() {
            assert_eq!(RtpHeader::read(&packet[..len]), Err(Rejection::Malformed), "{len}");
        }
        for len in 0..12 {
            assert_eq!(RtpHeader::read(&packet[..len]), Err(Rejection::TooShort), "{len}");
        }
        assert_eq!(RtpHeader::read(&[0x40; 20]), Err(Rejection::Malformed));
    }

    #[test]
    fn the_parts_lie_where_the_rfcs_put_them() {
        let cm = Policy::new(crate::Profile::AesCm128HmacSha1_80);
        let gcm = Policy::new(crate::Profile::AeadAes128Gcm);
        let shape = Shape::rtp(&cm, 4, 12, 100);
        assert_eq!((shape.mki, shape.tag, shape.end), ((100, 104), (104, 114), 114));
        let shape = Shape::rtp(&gcm, 4, 12, 100);
        assert_eq!((shape.tag, shape.mki, shape.end), ((100, 116), (116, 120), 120));
        let shape = Shape::rtcp(&cm, 4, 100);
        assert_eq!((shape.trailer, shape.mki, shape.tag, shape.end), (100, (104, 108), (108, 118), 118));
        let shape = Shape::rtcp(&gcm, 4, 100);
        assert_eq!((shape.tag, shape.trailer, shape.mki, shape.end), ((100, 116), 116, (120, 124), 124));
        assert_eq!(Shape::of_rtcp(&gcm, 4, 124), Ok(shape));
        assert_eq!(Shape::of_rtp(&cm, 0, 12, 21), Err(Rejection::TooShort));
    }
}
