//! Edits of decrypted RTCP in place.

use super::feedback::NACK;
use super::{BYE, PSFB, RR, RTPFB, RtcpCompound, RtcpPacket, SDES, SR, XR, half, word, xr};

/// How a stream's numbers change on the way. All additions wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Translation {
    /// The SSRC to write in place of the one that was looked up.
    pub ssrc: u32,
    /// Added to sequence numbers; of 16-bit ones the lower half.
    pub sequence_offset: u32,
    /// Added to RTP timestamps.
    pub timestamp_offset: u32,
}

/// In which role an SSRC stands in RTCP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// It sends this RTCP: its own stream, seen in the direction of travel.
    Sender,
    /// The RTCP is about it: a stream that travels the other way.
    Subject,
}

/// Rewrites SSRCs, sequence numbers and timestamps wherever RTCP carries them. `lookup` gives the change for an SSRC in
/// a role; `None` leaves it as it is.
///
/// Of a [`Role::Sender`] these are the SSRCs of reports, source descriptions, goodbyes and feedback, and the RTP timestamp
/// of a sender report. Of a [`Role::Subject`]: report blocks with their extended highest sequence number, the media SSRC of
/// feedback, the packet ids of generic NACKs (RFC 4585), the entries of TMMBR, TMMBN and FIR (RFC 5104) and of REMB,
/// the blocks of RFC 8888, and in extended reports the SSRCs, the sequence ranges (RFC 3611 §4.1 to 4.3, 4.6) and the
/// measurement interval (RFC 6776). Sequence numbers inside APP packets and of transport-wide congestion control, which
/// counts by itself, stay.
///
/// False, and nothing is changed, when [`RtcpCompound::parse`] refuses the packet.
pub fn translate(compound: &mut [u8], mut lookup: impl FnMut(Role, u32) -> Option<Translation>) -> bool {
    if RtcpCompound::parse(compound).is_none() {
        return false;
    }
    let mut at = 0;
    while let Some(packet) = packet_at(compound, at) {
        let (packet_type, count, body_len) = (packet.packet_type, packet.count, packet.body.len());
        let next = at + packet.len;
        if let Some(body) = compound.get_mut(at + 4..at + 4 + body_len) {
            translate_packet(packet_type, count, body, &mut lookup);
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

type Lookup<'a> = &'a mut dyn FnMut(Role, u32) -> Option<Translation>;

fn translate_packet(packet_type: u8, count: u8, body: &mut [u8], lookup: Lookup<'_>) {
    match packet_type {
        SR => {
            if let Some(translation) = rewrite_ssrc(body, 0, Role::Sender, lookup) {
                add_word(body, 12, translation.timestamp_offset);
            }
            translate_report_blocks(body.get_mut(24..), count, lookup);
        }
        RR => {
            rewrite_ssrc(body, 0, Role::Sender, lookup);
            translate_report_blocks(body.get_mut(4..), count, lookup);
        }
        SDES => translate_sdes(count, body, lookup),
        BYE => {
            for at in 0..usize::from(count) {
                rewrite_ssrc(body, at * 4, Role::Sender, lookup);
            }
        }
        RTPFB | PSFB => translate_feedback(packet_type, count, body, lookup),
        XR => {
            rewrite_ssrc(body, 0, Role::Sender, lookup);
            translate_xr(body, lookup);
        }
        _ => {
            rewrite_ssrc(body, 0, Role::Sender, lookup);
        }
    }
}

fn translate_report_blocks(blocks: Option<&mut [u8]>, count: u8, lookup: Lookup<'_>) {
    let blocks = blocks.unwrap_or_default().chunks_exact_mut(super::report::BLOCK_LEN);
    for block in blocks.take(usize::from(count)) {
        if let Some(translation) = rewrite_ssrc(block, 0, Role::Subject, lookup) {
            add_word(block, 8, translation.sequence_offset);
        }
    }
}

fn translate_sdes(count: u8, body: &mut [u8], lookup: Lookup<'_>) {
    let mut at = 0;
    for left in (1..=count).rev() {
        let mut chunks = super::SdesChunks::over(left, body.get(at..).unwrap_or_default());
        if !matches!(chunks.next(), Some(Some(_))) {
            return;
        }
        let next = body.len() - chunks.rest_len();
        rewrite_ssrc(body, at, Role::Sender, lookup);
        at = next;
    }
}

fn translate_feedback(packet_type: u8, format: u8, body: &mut [u8], lookup: Lookup<'_>) {
    rewrite_ssrc(body, 0, Role::Sender, lookup);
    let media = rewrite_ssrc(body, 4, Role::Subject, lookup);
    let Some(control) = body.get_mut(8..) else { return };
    match (packet_type, format) {
        (RTPFB, NACK) => {
            if let Some(translation) = media {
                for entry in control.as_chunks_mut::<4>().0 {
                    add_half(entry, 0, translation.sequence_offset);
                }
            }
        }
        // TMMBR and TMMBN (RFC 5104 §4.2), FIR (§4.3.1): eight bytes each, the SSRC first.
        (RTPFB, 3 | 4) | (PSFB, 4) => {
            for entry in control.as_chunks_mut::<8>().0 {
                rewrite_ssrc(entry, 0, Role::Subject, lookup);
            }
        }
        (RTPFB, 11) => translate_congestion_control(control, lookup),
        // REMB: "REMB", number of SSRCs, bit rate, the SSRCs.
        (PSFB, 15) => {
            if let [b'R', b'E', b'M', b'B', count, _, _, _, ssrcs @ ..] = control {
                for ssrc in ssrcs.as_chunks_mut::<4>().0.iter_mut().take(usize::from(*count)) {
                    rewrite_ssrc(ssrc, 0, Role::Subject, lookup);
                }
            }
        }
        _ => {}
    }
}

/// RFC 8888 §3.1: per stream SSRC, first sequence number, number of reports, two bytes each, filled to a word; a
/// timestamp at the end.
fn translate_congestion_control(control: &mut [u8], lookup: Lookup<'_>) {
    let Some(mut blocks) = control.len().checked_sub(4).and_then(|end| control.get_mut(..end)) else { return };
    while let Some(reports) = half(blocks, 6) {
        let len = 8 + (usize::from(reports) * 2).next_multiple_of(4);
        let Some((block, rest)) = std::mem::take(&mut blocks).split_at_mut_checked(len) else { return };
        if let Some(translation) = rewrite_ssrc(block, 0, Role::Subject, lookup) {
            add_half(block, 4, translation.sequence_offset);
        }
        blocks = rest;
    }
}

fn translate_xr(body: &mut [u8], lookup: Lookup<'_>) {
    let mut blocks = body.get_mut(4..).unwrap_or_default();
    while let Some(&[block_type, _, high, low]) = blocks.first_chunk::<4>() {
        let len = 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
        let Some((block, rest)) = std::mem::take(&mut blocks).split_at_mut_checked(len) else { return };
        if let Some(block) = block.get_mut(4..) {
            translate_xr_block(block_type, block, lookup);
        }
        blocks = rest;
    }
}

fn translate_xr_block(block_type: u8, block: &mut [u8], lookup: Lookup<'_>) {
    match block_type {
        xr::RECEIVER_REFERENCE_TIME => {}
        // Sub-blocks of twelve bytes about receivers whose reference time came (RFC 3611 §4.5).
        xr::DLRR => {
            for sub_block in block.as_chunks_mut::<12>().0 {
                rewrite_ssrc(sub_block, 0, Role::Subject, lookup);
            }
        }
        _ => {
            let Some(translation) = rewrite_ssrc(block, 0, Role::Subject, lookup) else { return };
            if xr::has_sequence_range(block_type) {
                add_half(block, 4, translation.sequence_offset);
                add_half(block, 6, translation.sequence_offset);
            } else if block_type == xr::MEASUREMENT_INFORMATION {
                add_half(block, 6, translation.sequence_offset);
                add_word(block, 8, translation.sequence_offset);
                add_word(block, 12, translation.sequence_offset);
            }
        }
    }
}

fn rewrite_ssrc(bytes: &mut [u8], at: usize, role: Role, lookup: Lookup<'_>) -> Option<Translation> {
    let translation = lookup(role, word(bytes, at)?)?;
    write_word(bytes, at, translation.ssrc);
    Some(translation)
}

fn add_word(bytes: &mut [u8], at: usize, offset: u32) {
    if let Some(value) = word(bytes, at) {
        write_word(bytes, at, value.wrapping_add(offset));
    }
}

fn add_half(bytes: &mut [u8], at: usize, offset: u32) {
    if let Some(value) = half(bytes, at)
        && let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut())
    {
        *field = value.wrapping_add(offset as u16).to_be_bytes();
    }
}

fn write_word(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value.to_be_bytes();
    }
}

fn packet_at(compound: &[u8], at: usize) -> Option<RtcpPacket<'_>> {
    RtcpPacket::split(compound.get(at..)?).map(|(packet, _)| packet)
}
