//! Edits of decrypted RTCP in place.

use super::feedback::NACK;
use super::{BYE, PSFB, RR, RTPFB, RtcpCompound, RtcpPacket, SDES, SR, XR, half, word, xr};

/// In which role an SSRC stands in RTCP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// It sends this RTCP: its own stream, seen in the direction of travel.
    Sender,
    /// The RTCP is about it: a stream that travels the other way.
    Subject,
}

/// Says how a stream is called on the other leg. What is not overridden stays as it is.
pub trait Translate {
    /// The SSRC to write in place of `ssrc`.
    fn ssrc(&mut self, role: Role, ssrc: u32) -> u32 {
        let _ = role;
        ssrc
    }

    /// A sequence number of the stream `ssrc` (its name before the translation), which travels the other way.
    fn sequence_number(&mut self, ssrc: u32, sequence_number: u16) -> u16 {
        let _ = ssrc;
        sequence_number
    }

    /// A sequence number with its cycles above it, of the stream `ssrc`, which travels the other way.
    fn extended_sequence_number(&mut self, ssrc: u32, extended: u32) -> u32 {
        let _ = ssrc;
        extended
    }

    /// The RTP timestamp in the sender report of the stream `ssrc`.
    fn timestamp(&mut self, ssrc: u32, timestamp: u32) -> u32 {
        let _ = ssrc;
        timestamp
    }
}

/// Rewrites SSRCs, sequence numbers and timestamps wherever RTCP carries them.
///
/// Of a [`Role::Sender`] these are the SSRCs of reports, source descriptions, goodbyes and feedback, and the RTP timestamp
/// of a sender report. Of a [`Role::Subject`]: report blocks with their extended highest sequence number, the media SSRC of
/// feedback, the packet ids of generic NACKs (RFC 4585), the entries of TMMBR, TMMBN and FIR (RFC 5104) and of REMB,
/// the blocks of RFC 8888, and in extended reports the SSRCs, the sequence ranges (RFC 3611 §4.1 to 4.3, 4.6) and the
/// measurement interval (RFC 6776). Sequence numbers inside APP packets and of transport-wide congestion control, which
/// counts by itself, stay; so does an SSRC of zero, which names no stream.
///
/// False, and nothing is changed, when [`RtcpCompound::parse`] refuses the packet.
pub fn translate(compound: &mut [u8], translation: &mut impl Translate) -> bool {
    if RtcpCompound::parse(compound).is_none() {
        return false;
    }
    let mut at = 0;
    while let Some(packet) = packet_at(compound, at) {
        let (packet_type, count, body_len) = (packet.packet_type, packet.count, packet.body.len());
        let next = at + packet.len;
        if let Some(body) = compound.get_mut(at + 4..at + 4 + body_len) {
            translate_packet(packet_type, count, body, translation);
        }
        at = next;
    }
    true
}

/// Takes transport-layer and payload-specific feedback (types 205 and 206) out, for legs without AVPF. Returns the new
/// length. 0 means that nothing may be sent: nothing was left, or what was left does not begin with a report, as a
/// compound packet must (RFC 3550 §6.1) where reduced size is not agreed, or [`RtcpCompound::parse`] refuses the packet.
pub fn without_feedback(compound: &mut [u8]) -> usize {
    if RtcpCompound::parse(compound).is_none() {
        return 0;
    }
    let (mut from, mut to) = (0, 0);
    while let Some(packet) = packet_at(compound, from) {
        let (len, keep) = (packet.len, !packet.is_feedback());
        if keep {
            compound.copy_within(from..from + len, to);
            to += len;
        }
        from += len;
    }
    if matches!(compound.get(..to), Some([_, SR | RR, ..])) { to } else { 0 }
}

fn translate_packet(packet_type: u8, count: u8, body: &mut [u8], translation: &mut dyn Translate) {
    match packet_type {
        SR => {
            if let Some(ssrc) = rename(body, 0, Role::Sender, translation) {
                edit_word(body, 12, |timestamp| translation.timestamp(ssrc, timestamp));
            }
            translate_report_blocks(body.get_mut(24..), count, translation);
        }
        RR => {
            rename(body, 0, Role::Sender, translation);
            translate_report_blocks(body.get_mut(4..), count, translation);
        }
        SDES => translate_sdes(count, body, translation),
        BYE => {
            for at in 0..usize::from(count) {
                rename(body, at * 4, Role::Sender, translation);
            }
        }
        RTPFB | PSFB => translate_feedback(packet_type, count, body, translation),
        XR => {
            rename(body, 0, Role::Sender, translation);
            translate_xr(body, translation);
        }
        _ => {
            rename(body, 0, Role::Sender, translation);
        }
    }
}

fn translate_report_blocks(blocks: Option<&mut [u8]>, count: u8, translation: &mut dyn Translate) {
    let blocks = blocks.unwrap_or_default().chunks_exact_mut(super::report::BLOCK_LEN);
    for block in blocks.take(usize::from(count)) {
        if let Some(ssrc) = rename(block, 0, Role::Subject, translation) {
            edit_word(block, 8, |extended| translation.extended_sequence_number(ssrc, extended));
        }
    }
}

fn translate_sdes(count: u8, body: &mut [u8], translation: &mut dyn Translate) {
    let mut at = 0;
    for left in (1..=count).rev() {
        let mut chunks = super::SdesChunks::over(left, body.get(at..).unwrap_or_default());
        if !matches!(chunks.next(), Some(Some(_))) {
            return;
        }
        let next = body.len() - chunks.rest_len();
        rename(body, at, Role::Sender, translation);
        at = next;
    }
}

fn translate_feedback(packet_type: u8, format: u8, body: &mut [u8], translation: &mut dyn Translate) {
    rename(body, 0, Role::Sender, translation);
    let media = rename(body, 4, Role::Subject, translation);
    let Some(control) = body.get_mut(8..) else { return };
    match (packet_type, format) {
        (RTPFB, NACK) => {
            if let Some(ssrc) = media {
                for entry in control.as_chunks_mut::<4>().0 {
                    edit_half(entry, 0, |packet_id| translation.sequence_number(ssrc, packet_id));
                }
            }
        }
        // TMMBR and TMMBN (RFC 5104 §4.2), FIR (§4.3.1): eight bytes each, the SSRC first.
        (RTPFB, 3 | 4) | (PSFB, 4) => {
            for entry in control.as_chunks_mut::<8>().0 {
                rename(entry, 0, Role::Subject, translation);
            }
        }
        (RTPFB, 11) => translate_congestion_control(control, translation),
        // REMB: "REMB", number of SSRCs, bit rate, the SSRCs.
        (PSFB, 15) => {
            if let [b'R', b'E', b'M', b'B', count, _, _, _, ssrcs @ ..] = control {
                for ssrc in ssrcs.as_chunks_mut::<4>().0.iter_mut().take(usize::from(*count)) {
                    rename(ssrc, 0, Role::Subject, translation);
                }
            }
        }
        _ => {}
    }
}

/// RFC 8888 §3.1: per stream SSRC, first sequence number, number of reports, two bytes each, filled to a word; a
/// timestamp at the end.
fn translate_congestion_control(control: &mut [u8], translation: &mut dyn Translate) {
    let Some(mut blocks) = control.len().checked_sub(4).and_then(|end| control.get_mut(..end)) else { return };
    while let Some(reports) = half(blocks, 6) {
        let len = 8 + (usize::from(reports) * 2).next_multiple_of(4);
        let Some((block, rest)) = std::mem::take(&mut blocks).split_at_mut_checked(len) else { return };
        if let Some(ssrc) = rename(block, 0, Role::Subject, translation) {
            edit_half(block, 4, |first| translation.sequence_number(ssrc, first));
        }
        blocks = rest;
    }
}

fn translate_xr(body: &mut [u8], translation: &mut dyn Translate) {
    let mut blocks = body.get_mut(4..).unwrap_or_default();
    while let Some(&[block_type, _, high, low]) = blocks.first_chunk::<4>() {
        let len = 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
        let Some((block, rest)) = std::mem::take(&mut blocks).split_at_mut_checked(len) else { return };
        if let Some(block) = block.get_mut(4..) {
            translate_xr_block(block_type, block, translation);
        }
        blocks = rest;
    }
}

fn translate_xr_block(block_type: u8, block: &mut [u8], translation: &mut dyn Translate) {
    match block_type {
        xr::RECEIVER_REFERENCE_TIME => {}
        // Sub-blocks of twelve bytes about receivers whose reference time came (RFC 3611 §4.5).
        xr::DLRR => {
            for sub_block in block.as_chunks_mut::<12>().0 {
                rename(sub_block, 0, Role::Subject, translation);
            }
        }
        _ => {
            let Some(ssrc) = rename(block, 0, Role::Subject, translation) else { return };
            if xr::has_sequence_range(block_type) {
                edit_half(block, 4, |first| translation.sequence_number(ssrc, first));
                edit_half(block, 6, |end| translation.sequence_number(ssrc, end));
            } else if block_type == xr::MEASUREMENT_INFORMATION {
                edit_half(block, 6, |first| translation.sequence_number(ssrc, first));
                edit_word(block, 8, |first| translation.extended_sequence_number(ssrc, first));
                edit_word(block, 12, |last| translation.extended_sequence_number(ssrc, last));
            }
        }
    }
}

/// Translates the SSRC at `at`; gives the one that stood there.
fn rename(bytes: &mut [u8], at: usize, role: Role, translation: &mut dyn Translate) -> Option<u32> {
    let before = word(bytes, at)?;
    if before != 0 {
        edit_word(bytes, at, |ssrc| translation.ssrc(role, ssrc));
    }
    Some(before)
}

fn edit_word(bytes: &mut [u8], at: usize, edit: impl FnOnce(u32) -> u32) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *field = edit(u32::from_be_bytes(*field)).to_be_bytes();
    }
}

fn edit_half(bytes: &mut [u8], at: usize, edit: impl FnOnce(u16) -> u16) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *field = edit(u16::from_be_bytes(*field)).to_be_bytes();
    }
}

fn packet_at(compound: &[u8], at: usize) -> Option<RtcpPacket<'_>> {
    RtcpPacket::split(compound.get(at..)?).map(|(packet, _)| packet)
}
