//! What several test modules share.

use crate::{MasterKey, Outbound, Policy, Profile};

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.bytes().filter(|b| !b.is_ascii_whitespace()).map(|b| (b as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The master key and salt of RFC 3711 B.3.
pub(crate) fn master_3711() -> MasterKey {
    MasterKey::new(
        Profile::AesCm128HmacSha1_80,
        &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &hex("0EC675AD498AFEEBB6960B3AABE6"),
    )
    .unwrap()
}

/// Some master key for any profile.
pub(crate) fn master_of(profile: Profile, seed: u8) -> MasterKey {
    let bytes: Vec<u8> = (0..46).map(|i: u8| i.wrapping_mul(37) ^ seed).collect();
    MasterKey::new(profile, &bytes[..profile.key_len()], &bytes[32..32 + profile.salt_len()]).unwrap()
}

/// A plain RTP packet of 12 bytes of header and `payload` bytes.
pub(crate) fn rtp_packet(ssrc: u32, sequence: u16, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0x00];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..payload).map(|i| (i as u8).wrapping_mul(7) ^ sequence as u8));
    packet
}

/// A receiver report of that sender, followed by `more` bytes.
pub(crate) fn rtcp_packet(ssrc: u32, more: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0xc9];
    packet.extend(((more / 4 + 1) as u16).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..more).map(|i| i as u8));
    packet
}

/// An RTP packet, protected under that index by a sender that has sent nothing else.
pub(crate) fn sealed_rtp(policy: &Policy, key: &MasterKey, ssrc: u32, index: u64) -> Vec<u8> {
    let mut packet = rtp_packet(ssrc, index as u16, 20);
    let len = packet.len();
    packet.resize(len + 200, 0);
    let mut outbound = Outbound::new(policy.clone(), key).unwrap();
    let len = outbound.protect_rtp(&mut packet, len, (index >> 16) as u32).unwrap();
    packet.truncate(len);
    packet
}

/// An RTCP packet, protected under that index by a sender that has sent nothing else.
pub(crate) fn sealed_rtcp(policy: &Policy, key: &MasterKey, ssrc: u32, index: u32) -> Vec<u8> {
    let mut packet = rtcp_packet(ssrc, 24);
    let len = packet.len();
    packet.resize(len + 200, 0);
    let mut outbound = Outbound::new(policy.clone(), key).unwrap();
    outbound.advance_rtcp_index(index);
    let len = outbound.protect_rtcp(&mut packet, len).unwrap();
    packet.truncate(len);
    packet
}
