//! One direction of a call: the packets that its sender makes, and what must become of them.

use std::net::SocketAddrV4;

use anyhow::Context as _;
use webrtc_srtp::context::Context;
use webrtc_srtp::option::srtp_replay_protection;
use webrtc_srtp::protection_profile::ProtectionProfile;

use crate::network::{NOBODY_MAC, RELAY_MAC};

/// 20 ms of G.711.
const PAYLOAD: usize = 160;
const RTP_HEADER: usize = 12;
/// Ethernet, IPv4 and UDP.
pub(crate) const OUTER_HEADERS: usize = 42;
/// Sequence numbers of this window are told apart.
const REPLAY_WINDOW: usize = 1024;

/// A crypto suite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    /// Its name in `a=crypto`.
    pub(crate) name: &'static str,
    /// Its name in the report.
    pub(crate) short: &'static str,
    profile: ProtectionProfile,
}

pub(crate) const CM80: Suite =
    Suite { name: "AES_CM_128_HMAC_SHA1_80", short: "CM128-SHA1-80", profile: ProtectionProfile::Aes128CmHmacSha1_80 };
pub(crate) const GCM128: Suite =
    Suite { name: "AEAD_AES_128_GCM", short: "GCM-128", profile: ProtectionProfile::AeadAes128Gcm };

impl Suite {
    /// Bytes of key and salt.
    pub(crate) fn key_len(self) -> usize {
        self.profile.key_len() + self.profile.salt_len()
    }

    /// An SRTP context of webrtc-srtp, for one direction.
    pub(crate) fn context(self, key: &[u8]) -> anyhow::Result<Context> {
        let (key, salt) = key.split_at_checked(self.profile.key_len()).context("a short key")?;
        Ok(Context::new(key, salt, self.profile, Some(srtp_replay_protection(REPLAY_WINDOW)), None)?)
    }
}

/// One direction of a call.
pub(crate) struct Stream {
    /// Who sends.
    pub(crate) source: SocketAddrV4,
    /// The relay's address that it sends to.
    pub(crate) target: SocketAddrV4,
    /// The relay's port from which it must leave.
    pub(crate) departure: u16,
    /// Where it must arrive.
    pub(crate) arrival: SocketAddrV4,
    pub(crate) ssrc: u32,
    /// For what is sent; `None`: in the clear.
    pub(crate) outbound: Option<Context>,
    /// For what arrives.
    pub(crate) inbound: Option<Context>,
    /// The next packet's sequence number.
    pub(crate) next: u16,
}

impl Stream {
    fn make(&mut self, train: &mut Vec<u8>) -> anyhow::Result<()> {
        let packet = self.packet(self.next);
        self.next = self.next.wrapping_add(1);
        let protected = match &mut self.outbound {
            Some(context) => context.encrypt_rtp(&packet)?.to_vec(),
            None => packet,
        };
        train.extend_from_slice(&outer_headers(self.source, self.target, protected.len()));
        train.extend_from_slice(&protected);
        Ok(())
    }

    fn packet(&self, sequence_number: u16) -> Vec<u8> {
        let mut packet = Vec::with_capacity(RTP_HEADER + PAYLOAD);
        packet.extend_from_slice(&[0x80, 0]);
        packet.extend_from_slice(&sequence_number.to_be_bytes());
        packet.extend_from_slice(&(u32::from(sequence_number) * PAYLOAD as u32).to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend((0..PAYLOAD).map(|at| (at as u32 ^ self.ssrc ^ u32::from(sequence_number)) as u8));
        packet
    }

    /// Authenticates and decrypts what has arrived. The packet's sequence number, if it is what was sent.
    pub(crate) fn accept(&mut self, datagram: &[u8]) -> Option<u16> {
        let decrypted;
        let packet = match &mut self.inbound {
            Some(context) => {
                decrypted = context.decrypt_rtp(datagram).ok()?;
                &decrypted[..]
            }
            None => datagram,
        };
        let sequence_number = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
        // The marker bit and all else as it was: nothing is lost in translation.
        (packet == self.packet(sequence_number)).then_some(sequence_number)
    }
}

/// The frames of several streams, in turn, and in one piece of memory.
pub(crate) struct Train {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
    /// Each stream's first sequence number in it.
    first: Vec<u16>,
}

impl Train {
    /// `rounds` packets of every stream.
    pub(crate) fn make(streams: &mut [Stream], rounds: usize) -> anyhow::Result<Self> {
        let first = streams.iter().map(|stream| stream.next).collect();
        let mut train = Self { bytes: Vec::new(), ends: Vec::with_capacity(rounds * streams.len()), first };
        for _ in 0..rounds {
            for stream in streams.iter_mut() {
                stream.make(&mut train.bytes)?;
                train.ends.push(train.bytes.len());
            }
        }
        Ok(train)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The frames from `from` on.
    pub(crate) fn frames(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        let begins = if from == 0 { 0 } else { self.ends[from - 1] };
        self.ends[from..].iter().scan(begins, |begin, &end| {
            let frame = &self.bytes[*begin..end];
            *begin = end;
            Some(frame)
        })
    }

    /// Which frame carried this packet of a stream.
    pub(crate) fn number(&self, stream: usize, sequence_number: u16) -> Option<usize> {
        let round = sequence_number.wrapping_sub(*self.first.get(stream)?);
        let number = usize::from(round) * self.first.len() + stream;
        (number < self.len()).then_some(number)
    }

    /// Addresses the frames to the relays' interface, or to none: then that interface drops them before IP.
    pub(crate) fn address(&mut self, to_relay: bool) {
        let mac = if to_relay { RELAY_MAC } else { NOBODY_MAC };
        let mut begin = 0;
        for &end in &self.ends {
            self.bytes[begin..begin + mac.len()].copy_from_slice(&mac);
            begin = end;
        }
    }
}

/// The UDP checksum is left out (zero), as if a network card had verified it.
fn outer_headers(source: SocketAddrV4, target: SocketAddrV4, payload: usize) -> [u8; OUTER_HEADERS] {
    let mut headers = [0; OUTER_HEADERS];
    headers[..6].copy_from_slice(&RELAY_MAC);
    headers[6..12].copy_from_slice(&crate::network::FAR_MAC);
    headers[12..14].copy_from_slice(&0x0800u16.to_be_bytes());
    let ip = &mut headers[14..34];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(28 + payload as u16).to_be_bytes());
    // Do not fragment.
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 17;
    ip[12..16].copy_from_slice(&source.ip().octets());
    ip[16..20].copy_from_slice(&target.ip().octets());
    let checksum = internet_checksum(ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let udp = &mut headers[34..42];
    udp[0..2].copy_from_slice(&source.port().to_be_bytes());
    udp[2..4].copy_from_slice(&target.port().to_be_bytes());
    udp[4..6].copy_from_slice(&(8 + payload as u16).to_be_bytes());
    headers
}

/// RFC 1071, for an even number of bytes.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 1071 §3: the sum of its example is ddf2.
    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        assert_eq!(internet_checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    fn stream(ssrc: u32, suite: Suite) -> Stream {
        let address = "198.18.0.1:4000".parse().unwrap();
        let key = vec![ssrc as u8; suite.key_len()];
        let (outbound, inbound) = (Some(suite.context(&key).unwrap()), Some(suite.context(&key).unwrap()));
        Stream {
            source: address,
            target: address,
            departure: 1,
            arrival: address,
            ssrc,
            outbound,
            inbound,
            next: 65_534,
        }
    }

    #[test]
    fn a_packet_is_accepted_once_and_only_as_it_was_made() {
        for suite in [CM80, GCM128] {
            let mut streams = [stream(1, suite), stream(2, suite)];
            let train = Train::make(&mut streams, 4).unwrap();
            let frames: Vec<&[u8]> = train.frames(0).collect();
            assert_eq!(train.frames(3).next(), Some(frames[3]));
            for (number, frame) in frames.iter().enumerate() {
                let mut forged = frame[OUTER_HEADERS..].to_vec();
                forged[20] ^= 1;
                let stream = number % 2;
                assert_eq!(streams[stream].accept(&forged), None);
                let sequence_number = streams[stream].accept(&frame[OUTER_HEADERS..]).unwrap();
                assert_eq!(train.number(stream, sequence_number), Some(number));
                assert_eq!(streams[stream].accept(&frame[OUTER_HEADERS..]), None);
            }
        }
    }
}
