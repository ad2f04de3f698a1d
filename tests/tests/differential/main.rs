//! Our SRTP beside two that share no line with it: libsrtp (C) and webrtc-srtp. Every profile, both directions, with random
//! headers, extensions, CSRCs, payloads and order.

mod libsrtp;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use srtp::{Inbound, MasterKey, Outbound, Policy, Profile};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

const PACKETS: usize = 400;
/// Packets overtake each other by at most this many: less than every window.
const REORDER: usize = 30;
const SSRCS: [u32; 3] = [0xcafe_babe, 1, 0xffff_fffe];

struct Packet {
    ssrc: u32,
    roc: u32,
    bytes: Vec<u8>,
}

/// Packets of three sources in sending order, each over a rollover of its sequence number.
fn rtp_packets(rng: &mut StdRng) -> Vec<Packet> {
    let first = 65_536 - rng.random_range(10..100u64);
    rtp_packets_from(rng, first)
}

/// Packets of three sources in sending order, from this index on.
fn rtp_packets_from(rng: &mut StdRng, first: u64) -> Vec<Packet> {
    let mut indices = SSRCS.map(|_| first);
    (0..PACKETS)
        .map(|_| {
            let source = rng.random_range(0..SSRCS.len());
            let index = indices[source];
            indices[source] += rng.random_range(1..4u64);
            let (csrcs, has_extension) = (rng.random_range(0..=15u8), rng.random::<bool>());
            let mut bytes = vec![0x80 | u8::from(has_extension) << 4 | csrcs, rng.random::<u8>() & 0xbf];
            bytes.extend_from_slice(&(index as u16).to_be_bytes());
            bytes.extend_from_slice(&rng.random::<u32>().to_be_bytes());
            bytes.extend_from_slice(&SSRCS[source].to_be_bytes());
            for _ in 0..csrcs {
                bytes.extend_from_slice(&rng.random::<u32>().to_be_bytes());
            }
            if has_extension {
                let words = rng.random_range(0..8u16);
                // Not a profile of RFC 8285, whose elements webrtc-srtp would read and write anew.
                bytes.extend_from_slice(&[0x12, 0x34]);
                bytes.extend_from_slice(&words.to_be_bytes());
                bytes.extend((0..4 * words).map(|_| rng.random::<u8>()));
            }
            bytes.extend((0..rng.random_range(0..1200)).map(|_| rng.random::<u8>()));
            Packet { ssrc: SSRCS[source], roc: (index >> 16) as u32, bytes }
        })
        .collect()
}

/// Sender reports with random content.
fn rtcp_packets(rng: &mut StdRng) -> Vec<Packet> {
    (0..PACKETS)
        .map(|_| {
            let ssrc = SSRCS[rng.random_range(0..SSRCS.len())];
            let reports = rng.random_range(0..4u8);
            let words = 6 + 6 * u16::from(reports);
            let mut bytes = vec![0x80 | reports, 200];
            bytes.extend_from_slice(&words.to_be_bytes());
            bytes.extend_from_slice(&ssrc.to_be_bytes());
            bytes.extend((0..4 * (words - 1)).map(|_| rng.random::<u8>()));
            Packet { ssrc, roc: 0, bytes }
        })
        .collect()
}

/// An order of arrival in which no packet is overtaken by more than [`REORDER`] others. The first packets stay first,
/// because a receiver takes the first packet of a source for the start of it.
fn arrival_order(rng: &mut StdRng, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order[REORDER..].sort_by_cached_key(|&position| position + rng.random_range(0..REORDER));
    order
}

struct Keys {
    profile: Profile,
    key: Vec<u8>,
    salt: Vec<u8>,
    mki: Vec<u8>,
}

impl Keys {
    fn random(rng: &mut StdRng, profile: Profile, mki_len: usize) -> Self {
        let mut bytes = |count: usize| (0..count).map(|_| rng.random::<u8>()).collect::<Vec<u8>>();
        Self { profile, key: bytes(profile.key_len()), salt: bytes(profile.salt_len()), mki: bytes(mki_len) }
    }

    fn master(&self) -> MasterKey {
        let master = MasterKey::new(self.profile, &self.key, &self.salt).unwrap();
        if self.mki.is_empty() { master } else { master.with_mki(&self.mki).unwrap() }
    }

    fn outbound(&self) -> Outbound {
        Outbound::new(Policy::new(self.profile), &self.master()).unwrap()
    }

    fn inbound(&self) -> Inbound {
        Inbound::new(Policy::new(self.profile), &[self.master()]).unwrap()
    }

    fn libsrtp(&self, direction: libsrtp::Direction) -> libsrtp::Session {
        libsrtp::Session::new(direction, self.profile, &[&self.key[..], &self.salt].concat(), &self.mki)
    }

    fn webrtc_srtp(&self, profile: ProtectionProfile) -> Context {
        let replay = webrtc_srtp::option::srtp_replay_protection(1024);
        let replay_rtcp = webrtc_srtp::option::srtcp_replay_protection(1024);
        Context::new(&self.key, &self.salt, profile, Some(replay), Some(replay_rtcp)).unwrap()
    }
}

/// Our two directions, one packet at a time, on buffers of their own.
fn protect(outbound: &mut Outbound, packet: &Packet, is_rtcp: bool) -> Vec<u8> {
    let mut buffer = packet.bytes.clone();
    buffer.resize(packet.bytes.len() + 256, 0);
    let length = match is_rtcp {
        true => outbound.protect_rtcp(&mut buffer, packet.bytes.len()),
        false => outbound.protect_rtp(&mut buffer, packet.bytes.len(), packet.roc),
    };
    buffer.truncate(length.unwrap());
    buffer
}

fn unprotect(inbound: &mut Inbound, packet: &[u8], is_rtcp: bool) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    let opened = match is_rtcp {
        true => inbound.unprotect_rtcp(&mut buffer, packet.len()),
        false => inbound.unprotect_rtp(&mut buffer, packet.len()),
    };
    buffer.truncate(opened.unwrap().len);
    buffer
}

/// The profiles, each without an MKI and with MKIs of two lengths.
fn cases() -> impl Iterator<Item = (Profile, usize)> {
    let profiles = Profile::all().filter(|profile| profile.key_len() != 24 || libsrtp_follows_rfc6188());
    profiles.flat_map(|profile| [0, 1, 4].map(|mki_len| (profile, mki_len)))
}

/// Whether this build of libsrtp makes the AES-192 packet of libsrtp's own driver (its keys are RFC 6188 §7.4's). Debian's
/// build, which uses NSS, makes another one. Ours is held to the RFC's vectors by the tests of `srtp`.
fn libsrtp_follows_rfc6188() -> bool {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let keys = Keys {
        profile: Profile::AesCm192HmacSha1_80,
        key: bytes("73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1"),
        salt: bytes("c8522f3acd4ce86d5add78edbb11"),
        mki: Vec::new(),
    };
    let packet = bytes("800f0000decafbad00000000abababababababababababababababab");
    let ours = protect(&mut keys.outbound(), &Packet { ssrc: 0, roc: 0, bytes: packet.clone() }, false);
    assert_eq!(ours[12..], bytes("d98865552f2762c3ef37f837acfdb7122d6bc4dc84c76f74aea5"));
    keys.libsrtp(libsrtp::Direction::Outbound).protect_rtp(&packet) == ours
}

#[test]
fn libsrtp_makes_the_same_srtp_packets_and_opens_ours() {
    for (seed, (profile, mki_len)) in cases().enumerate() {
        let mut rng = StdRng::seed_from_u64(seed as u64);
        let keys = Keys::random(&mut rng, profile, mki_len);
        let packets = rtp_packets(&mut rng);
        let (mut ours, mut theirs) = (keys.outbound(), keys.libsrtp(libsrtp::Direction::Outbound));
        let protected: Vec<Vec<u8>> = packets.iter().map(|packet| protect(&mut ours, packet, false)).collect();
        for (packet, ours) in packets.iter().zip(&protected) {
            assert_eq!(theirs.protect_rtp(&packet.bytes), *ours, "{profile:?} with an MKI of {mki_len} bytes");
        }
        let mut receiver = keys.libsrtp(libsrtp::Direction::Inbound);
        for position in arrival_order(&mut rng, packets.len()) {
            assert_eq!(
                receiver.unprotect_rtp(&protected[position]),
                Ok(packets[position].bytes.clone()),
                "{profile:?}"
            );
        }
    }
}

#[test]
fn we_open_the_srtp_packets_of_libsrtp_in_any_order() {
    for (seed, (profile, mki_len)) in cases().enumerate() {
        let mut rng = StdRng::seed_from_u64(1000 + seed as u64);
        let keys = Keys::random(&mut rng, profile, mki_len);
        let packets = rtp_packets(&mut rng);
        let mut sender = keys.libsrtp(libsrtp::Direction::Outbound);
        let protected: Vec<Vec<u8>> = packets.iter().map(|packet| sender.protect_rtp(&packet.bytes)).collect();
        let mut receiver = keys.inbound();
        for position in arrival_order(&mut rng, packets.len()) {
            assert_eq!(unprotect(&mut receiver, &protected[position], false), packets[position].bytes, "{profile:?}");
        }
        for packet in packets.iter().rev().take(1) {
            assert_eq!(receiver.rollover_counter(packet.ssrc), Some(1), "{profile:?}: each source has rolled over");
        }
    }
}

#[test]
fn srtcp_goes_both_ways_between_libsrtp_and_us() {
    // libsrtp looks for the MKI of SRTCP where the tag of SRTP would put it, and finds none when the two differ in length.
    let cases = cases().filter(|(profile, mki_len)| *mki_len == 0 || profile.rtp_tag_len() == profile.rtcp_tag_len());
    for (seed, (profile, mki_len)) in cases.enumerate() {
        let mut rng = StdRng::seed_from_u64(2000 + seed as u64);
        let keys = Keys::random(&mut rng, profile, mki_len);
        let packets = rtcp_packets(&mut rng);
        let (mut ours, mut theirs) = (keys.outbound(), keys.libsrtp(libsrtp::Direction::Outbound));
        let from_us: Vec<Vec<u8>> = packets.iter().map(|packet| protect(&mut ours, packet, true)).collect();
        let from_them: Vec<Vec<u8>> = packets.iter().map(|packet| theirs.protect_rtcp(&packet.bytes)).collect();
        let (mut our_receiver, mut their_receiver) = (keys.inbound(), keys.libsrtp(libsrtp::Direction::Inbound));
        for position in arrival_order(&mut rng, packets.len()) {
            let plain = &packets[position].bytes;
            assert_eq!(their_receiver.unprotect_rtcp(&from_us[position]), Ok(plain.clone()), "{profile:?}");
            assert_eq!(unprotect(&mut our_receiver, &from_them[position], true), *plain, "{profile:?}");
        }
    }
}

#[test]
fn libsrtp_refuses_what_we_altered() {
    for (seed, (profile, mki_len)) in cases().enumerate() {
        let mut rng = StdRng::seed_from_u64(3000 + seed as u64);
        let keys = Keys::random(&mut rng, profile, mki_len);
        let packets = rtp_packets(&mut rng);
        let (mut ours, mut receiver) = (keys.outbound(), keys.libsrtp(libsrtp::Direction::Inbound));
        for packet in packets.iter().take(50) {
            let genuine = protect(&mut ours, packet, false);
            let mut altered = genuine.clone();
            let position = altered.len() - 1 - mki_len.min(altered.len() - 1) - rng.random_range(0..4);
            altered[position] ^= 1 << rng.random_range(0..8);
            assert!(receiver.unprotect_rtp(&altered).is_err(), "{profile:?}");
            assert_eq!(receiver.unprotect_rtp(&genuine), Ok(packet.bytes.clone()), "{profile:?}");
        }
    }
}

/// What webrtc-srtp speaks.
const WEBRTC_SRTP: [(Profile, ProtectionProfile); 6] = [
    (Profile::AesCm128HmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80),
    (Profile::AesCm128HmacSha1_32, ProtectionProfile::Aes128CmHmacSha1_32),
    (Profile::AesCm256HmacSha1_80, ProtectionProfile::Aes256CmHmacSha1_80),
    (Profile::AesCm256HmacSha1_32, ProtectionProfile::Aes256CmHmacSha1_32),
    (Profile::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
    (Profile::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm),
];

#[test]
fn webrtc_srtp_and_we_open_each_others_srtp() {
    for (seed, (profile, their_profile)) in WEBRTC_SRTP.into_iter().enumerate() {
        let mut rng = StdRng::seed_from_u64(4000 + seed as u64);
        let keys = Keys::random(&mut rng, profile, 0);
        // webrtc-srtp takes a first sequence number in the upper half for one before the first rollover.
        let packets = rtp_packets_from(&mut rng, 32_000);
        let (mut ours, mut theirs) = (keys.outbound(), keys.webrtc_srtp(their_profile));
        let from_us: Vec<Vec<u8>> = packets.iter().map(|packet| protect(&mut ours, packet, false)).collect();
        for (packet, ours) in packets.iter().zip(&from_us) {
            assert_eq!(theirs.encrypt_rtp(&packet.bytes).unwrap(), *ours, "{profile:?}");
        }
        let (mut our_receiver, mut their_receiver) = (keys.inbound(), keys.webrtc_srtp(their_profile));
        for position in arrival_order(&mut rng, packets.len()) {
            let plain = &packets[position].bytes;
            assert_eq!(their_receiver.decrypt_rtp(&from_us[position]).unwrap(), *plain, "{profile:?}");
            assert_eq!(unprotect(&mut our_receiver, &from_us[position], false), *plain, "{profile:?}");
        }
    }
}

#[test]
fn webrtc_srtp_and_we_open_each_others_srtcp() {
    for (seed, (profile, their_profile)) in WEBRTC_SRTP.into_iter().enumerate() {
        let mut rng = StdRng::seed_from_u64(5000 + seed as u64);
        let keys = Keys::random(&mut rng, profile, 0);
        let packets = rtcp_packets(&mut rng);
        let (mut ours, mut theirs) = (keys.outbound(), keys.webrtc_srtp(their_profile));
        let from_us: Vec<Vec<u8>> = packets.iter().map(|packet| protect(&mut ours, packet, true)).collect();
        let from_them: Vec<_> = packets.iter().map(|packet| theirs.encrypt_rtcp(&packet.bytes).unwrap()).collect();
        let (mut our_receiver, mut their_receiver) = (keys.inbound(), keys.webrtc_srtp(their_profile));
        for position in arrival_order(&mut rng, packets.len()) {
            let plain = &packets[position].bytes;
            assert_eq!(their_receiver.decrypt_rtcp(&from_us[position]).unwrap(), *plain, "{profile:?}");
            assert_eq!(unprotect(&mut our_receiver, &from_them[position], true), *plain, "{profile:?}");
        }
    }
}
