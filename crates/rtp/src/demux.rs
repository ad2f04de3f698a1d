//! What kind of packet a datagram holds: by its first byte (RFC 7983, RFC 9443), RTP and RTCP apart by the second (RFC 5761).

/// What a datagram on a media port holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// First byte 0 to 3, the magic cookie, and a length that fits (RFC 8489 §5).
    Stun,
    /// First byte 16 to 19 and the ZRTP cookie (RFC 6189 §5).
    Zrtp,
    /// First byte 20 to 63: DTLS records of every version, with and without connection id.
    Dtls,
    /// First byte 64 to 79: TURN channel data.
    Turn,
    /// First byte 128 to 191 and no RTCP packet type behind it; at least a whole fixed header.
    Rtp,
    /// First byte 128 to 191, second byte 192 to 223 (RFC 5761 §4); at least header and SSRC.
    Rtcp,
    /// Everything else, QUIC (80 to 127 and 192 to 255, RFC 9443) included.
    Unknown,
}

/// Classifies a datagram. Looks at no more than its first 20 bytes.
pub fn classify(packet: &[u8]) -> Class {
    match packet {
        [0..=3, ..] if is_stun(packet) => Class::Stun,
        [16..=19, _, _, _, b'Z', b'R', b'T', b'P', ..] => Class::Zrtp,
        [20..=63, ..] => Class::Dtls,
        [64..=79, ..] => Class::Turn,
        [128..=191, 192..=223, ..] if packet.len() >= RTCP_MIN => Class::Rtcp,
        [128..=191, 0..=191 | 224..=255, ..] if packet.len() >= RTP_MIN => Class::Rtp,
        _ => Class::Unknown,
    }
}

const RTP_MIN: usize = 12;
const RTCP_MIN: usize = 8;
const STUN_HEADER: usize = 20;

fn is_stun(packet: &[u8]) -> bool {
    let [_, _, high, low, 0x21, 0x12, 0xa4, 0x42, ..] = *packet else { return false };
    let length = usize::from(u16::from_be_bytes([high, low]));
    length.is_multiple_of(4) && packet.len() >= STUN_HEADER && packet.len() - STUN_HEADER == length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for every kind, with the STUN cookie and a STUN length of zero where STUN has them.
    fn stun_like(first: u8) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = first;
        packet[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        packet
    }

    fn zrtp_like(first: u8) -> Vec<u8> {
        let mut packet = vec![0; 28];
        packet[0] = first;
        packet[4..8].copy_from_slice(b"ZRTP");
        packet
    }

    /// RFC 7983 §7 and RFC 9443 §4.
    fn expected(first: u8) -> Class {
        match first {
            0..=3 => Class::Stun,
            16..=19 => Class::Zrtp,
            20..=63 => Class::Dtls,
            64..=79 => Class::Turn,
            128..=191 => Class::Rtp,
            4..=15 | 80..=127 | 192..=255 => Class::Unknown,
        }
    }

    #[test]
    fn every_first_byte_has_the_class_of_rfc_7983() {
        for first in 0..=255 {
            let packet = if (16..=19).contains(&first) { zrtp_like(first) } else { stun_like(first) };
            assert_eq!(classify(&packet), expected(first), "first byte {first}");
        }
    }

    #[test]
    fn every_second_byte_tells_rtcp_from_rtp_behind_every_version_2_byte() {
        for first in 128..=191 {
            for second in 0..=255u8 {
                let mut packet = [0; 12];
                packet[0] = first;
                packet[1] = second;
                let expected = if (192..=223).contains(&second) { Class::Rtcp } else { Class::Rtp };
                assert_eq!(classify(&packet), expected, "bytes {first} {second}");
            }
        }
    }

    #[test]
    fn stun_needs_cookie_and_a_length_that_fits() {
        assert_eq!(classify(&stun_like(0)), Class::Stun);
        let mut wrong_cookie = stun_like(0);
        wrong_cookie[7] ^= 1;
        assert_eq!(classify(&wrong_cookie), Class::Unknown);
        let mut odd_length = stun_like(0);
        odd_length[3] = 3;
        odd_length.extend([0; 3]);
        assert_eq!(classify(&odd_length), Class::Unknown);
        let mut too_long = stun_like(0);
        too_long[3] = 4;
        assert_eq!(classify(&too_long), Class::Unknown);
        assert_eq!(classify(&stun_like(0)[..19]), Class::Unknown);
    }

    #[test]
    fn zrtp_needs_its_cookie() {
        let mut packet = zrtp_like(16);
        packet[4] = b'z';
        assert_eq!(classify(&packet), Class::Unknown);
        assert_eq!(classify(&packet[..4]), Class::Unknown);
    }

    #[test]
    fn packets_too_short_for_their_kind_are_unknown() {
        assert_eq!(classify(&[]), Class::Unknown);
        assert_eq!(classify(&[0x80]), Class::Unknown);
        let mut packet = [0; 12];
        packet[0] = 0x80;
        assert_eq!(classify(&packet), Class::Rtp);
        assert_eq!(classify(&packet[..11]), Class::Unknown);
        packet[1] = 200;
        assert_eq!(classify(&packet[..8]), Class::Rtcp);
        assert_eq!(classify(&packet[..7]), Class::Unknown);
    }
}
