use proptest::prelude::*;

use super::*;
use crate::testing::{master_of, rtcp_packet, rtp_packet};
use crate::{Inbound, Profile};

const PROFILE: Profile = Profile::AeadAes128Gcm;
const SSRC: u32 = 0x1234_5678;

fn outbound(policy: Policy) -> Outbound {
    let key = master_of(policy.profile, 1);
    Outbound::new(policy, &key).unwrap()
}

fn send(outbound: &mut Outbound, index: u64) -> Result<Vec<u8>, Rejection> {
    let mut packet = rtp_packet(SSRC, index as u16, 30);
    let len = packet.len();
    packet.resize(len + outbound.rtp_overhead(), 0);
    outbound.protect_rtp(&mut packet, len, (index >> 16) as u32)?;
    Ok(packet)
}

fn send_rtcp(outbound: &mut Outbound, ssrc: u32) -> Result<Vec<u8>, Rejection> {
    let mut packet = rtcp_packet(ssrc, 20);
    let len = packet.len();
    packet.resize(len + outbound.rtcp_overhead(), 0);
    outbound.protect_rtcp(&mut packet, len)?;
    Ok(packet)
}

#[test]
fn an_index_is_used_once() {
    let mut outbound = outbound(Policy::new(PROFILE));
    assert!(send(&mut outbound, 0x1_0005).is_ok());
    assert_eq!(send(&mut outbound, 0x1_0005), Err(Rejection::IndexReused));
    assert!(send(&mut outbound, 0xfffe).is_ok(), "late, but unused");
    assert_eq!(send(&mut outbound, 0xfffe), Err(Rejection::IndexReused));
    assert_eq!(send(&mut outbound, 0x0_fc00), Err(Rejection::TooOld), "beyond what the window remembers");
    assert_eq!((outbound.rollover_counter(SSRC), outbound.highest_index(SSRC)), (Some(1), Some(0x1_0005)));
}

#[test]
fn the_reuse_window_is_per_key() {
    let mut outbound = outbound(Policy::new(PROFILE));
    let first = send(&mut outbound, 7).unwrap();
    let same = master_of(PROFILE, 1);
    outbound.rekey(Policy { roc_on_rekey: RocPolicy::Reset, ..Policy::new(PROFILE) }, &same).unwrap();
    assert_eq!(send(&mut outbound, 7), Err(Rejection::IndexReused));
    outbound.rekey(Policy::new(PROFILE), &master_of(PROFILE, 2)).unwrap();
    let second = send(&mut outbound, 7).unwrap();
    assert_ne!(first, second);
    assert_eq!(send(&mut outbound, 7), Err(Rejection::IndexReused));
    assert_eq!(outbound.key_usage().next().map(|usage| usage.rtp_packets), Some(1));
}

#[test]
fn the_srtcp_index_continues_or_starts_over_with_a_new_key() {
    for (policy, expected) in [(RocPolicy::Keep, 3), (RocPolicy::Probe, 3), (RocPolicy::Reset, 0)] {
        let mut outbound = outbound(Policy::new(PROFILE));
        for (number, ssrc) in [1, 2, 1].into_iter().enumerate() {
            assert_eq!(outbound.rtcp_index() as usize, number);
            assert!(send_rtcp(&mut outbound, ssrc).is_ok());
        }
        outbound.rekey(Policy { roc_on_rekey: policy, ..Policy::new(PROFILE) }, &master_of(PROFILE, 2)).unwrap();
        assert_eq!(outbound.rtcp_index(), expected);
    }
}

#[test]
fn the_srtcp_index_wraps_at_31_bits_and_never_goes_back() {
    let mut outbound = outbound(Policy::new(PROFILE));
    outbound.advance_rtcp_index(u32::MAX);
    outbound.advance_rtcp_index(5);
    let packet = send_rtcp(&mut outbound, SSRC).unwrap();
    assert_eq!(packet[packet.len() - 4..], [0xff; 4], "E bit and the last index");
    assert_eq!(outbound.rtcp_index(), 0);
}

#[test]
fn a_lifetime_warns_at_nine_tenths_and_ends_the_key() {
    let mut outbound = outbound(Policy { srtp_lifetime: 10, srtcp_lifetime: 10, ..Policy::new(PROFILE) });
    for index in 0..10 {
        assert!(send(&mut outbound, index).is_ok());
        assert_eq!(outbound.take_lifetime_warning(), index == 8);
    }
    assert_eq!(send(&mut outbound, 10), Err(Rejection::KeyExhausted));
    for number in 0..10 {
        assert!(send_rtcp(&mut outbound, SSRC).is_ok());
        assert_eq!(outbound.take_lifetime_warning(), number == 8);
    }
    assert_eq!(send_rtcp(&mut outbound, SSRC), Err(Rejection::KeyExhausted));
    outbound.rekey(Policy::new(PROFILE), &master_of(PROFILE, 2)).unwrap();
    assert!(send(&mut outbound, 10).is_ok());
    assert!(send_rtcp(&mut outbound, SSRC).is_ok());
}

#[test]
fn the_longest_lifetimes_are_enforced() {
    let mut outbound = outbound(Policy::new(PROFILE));
    outbound.set_packets((1 << 48) - 1, (1 << 31) - 1);
    assert!(send(&mut outbound, 1).is_ok() && send_rtcp(&mut outbound, SSRC).is_ok());
    assert_eq!(send(&mut outbound, 2), Err(Rejection::KeyExhausted));
    assert_eq!(send_rtcp(&mut outbound, SSRC), Err(Rejection::KeyExhausted));
}

#[test]
fn a_packet_without_room_is_refused_and_its_index_stays_unused() {
    let mut outbound = outbound(Policy::new(PROFILE));
    let packet = rtp_packet(SSRC, 9, 30);
    let len = packet.len();
    for room in 0..outbound.rtp_overhead() {
        let mut buffer = packet.clone();
        buffer.resize(len + room, 0);
        let before = buffer.clone();
        assert_eq!(outbound.protect_rtp(&mut buffer, len, 0), Err(Rejection::TooLong));
        assert_eq!(buffer, before);
    }
    assert!(send(&mut outbound, 9).is_ok());
    assert_eq!(outbound.protect_rtp(&mut [0x80; 20], 30, 0), Err(Rejection::TooShort));
    assert_eq!(outbound.protect_rtcp(&mut [0x80; 40], 7), Err(Rejection::TooShort));
}

#[test]
fn the_65th_ssrc_is_refused() {
    let mut outbound = outbound(Policy::new(PROFILE));
    for ssrc in 0..65 {
        let mut packet = rtp_packet(ssrc, 1, 30);
        packet.resize(100, 0);
        let sent = outbound.protect_rtp(&mut packet, 42, 0);
        assert_eq!(sent.is_ok(), ssrc < 64);
    }
}

proptest! {
    /// Any header and payload, every profile, policy and MKI: what was protected is opened to what it was.
    #[test]
    fn what_is_protected_is_opened(
        profile in prop::sample::select(Profile::all().collect::<Vec<_>>()),
        csrcs in 0u8..16,
        extension in prop::option::of(0usize..20),
        payload in prop::collection::vec(any::<u8>(), 0..1300),
        header in any::<[u8; 12]>(),
        mki in prop::collection::vec(any::<u8>(), 0..6),
        encrypt in any::<bool>(),
        key_derivation_rate in prop::sample::select(vec![0u64, 64]),
    ) {
        let policy = Policy { encrypt_rtp: encrypt, encrypt_rtcp: encrypt, key_derivation_rate, ..Policy::new(profile) };
        let key = master_of(profile, 1).with_mki(&mki).unwrap();
        let mut outbound = Outbound::new(policy.clone(), &key).unwrap();
        let mut inbound = Inbound::new(policy, std::slice::from_ref(&key)).unwrap();

        let mut plain = header.to_vec();
        plain[0] = 0x80 | csrcs | if extension.is_some() { 0x10 } else { 0 };
        plain.extend(vec![0xc5; 4 * usize::from(csrcs)]);
        if let Some(words) = extension {
            plain.extend([0xbe, 0xde, 0, words as u8]);
            plain.extend(vec![0xe7; 4 * words]);
        }
        let header_len = plain.len();
        plain.extend(payload);
        let mut buffer = plain.clone();
        buffer.resize(plain.len() + outbound.rtp_overhead(), 0);
        let len = outbound.protect_rtp(&mut buffer, plain.len(), 0).unwrap();
        prop_assert_eq!(&buffer[..header_len], &plain[..header_len]);
        let opened = inbound.unprotect_rtp(&mut buffer, len).unwrap();
        prop_assert_eq!(&buffer[..opened.len], &plain[..]);

        let mut rtcp = plain;
        rtcp[0] = 0x80;
        let mut buffer = rtcp.clone();
        buffer.resize(rtcp.len() + outbound.rtcp_overhead(), 0);
        let len = outbound.protect_rtcp(&mut buffer, rtcp.len()).unwrap();
        let opened = inbound.unprotect_rtcp(&mut buffer, len).unwrap();
        prop_assert_eq!(&buffer[..opened.len], &rtcp[..]);
    }

    #[test]
    fn no_bytes_make_it_panic(mut packet in prop::collection::vec(any::<u8>(), 0..80), len in 0usize..100, roc in any::<u32>()) {
        let mut outbound = outbound(Policy::new(PROFILE));
        let _ = outbound.protect_rtp(&mut packet, len, roc);
        let _ = outbound.protect_rtcp(&mut packet, len);
    }
}

#[test]
fn a_context_for_one_kind_takes_no_other_until_it_is_told_to() {
    let key = master_of(PROFILE, 1);
    for (kind, other) in [(Kind::Rtp, Kind::Rtcp), (Kind::Rtcp, Kind::Rtp)] {
        let kinds = Kinds::Only(kind);
        let mut sender = Outbound::with_kinds(Policy::new(PROFILE), &key, kinds).unwrap();
        let mut receiver = Inbound::with_kinds(Policy::new(PROFILE), std::slice::from_ref(&key), kinds).unwrap();
        let seal = |outbound: &mut Outbound, kind, index| match kind {
            Kind::Rtp => send(outbound, index),
            Kind::Rtcp => send_rtcp(outbound, SSRC),
        };
        let open = |inbound: &mut Inbound, kind, mut packet: Vec<u8>| {
            let len = packet.len();
            match kind {
                Kind::Rtp => inbound.unprotect_rtp(&mut packet, len).map(|_| ()),
                Kind::Rtcp => inbound.unprotect_rtcp(&mut packet, len).map(|_| ()),
            }
        };
        let sealed = seal(&mut sender, kind, 1).unwrap();
        assert_eq!(open(&mut receiver, kind, sealed), Ok(()));
        assert_eq!(seal(&mut sender, other, 2), Err(Rejection::NoContext));
        let foreign = seal(&mut outbound(Policy::new(PROFILE)), other, 3).unwrap();
        assert_eq!(open(&mut receiver, other, foreign), Err(Rejection::NoContext));

        sender.set_kinds(Kinds::Both);
        receiver.set_kinds(Kinds::Both);
        for (kind, index) in [(kind, 4), (other, 5)] {
            let sealed = seal(&mut sender, kind, index).unwrap();
            assert_eq!(open(&mut receiver, kind, sealed), Ok(()), "{kind:?}");
        }
        sender.rekey(Policy::new(PROFILE), &master_of(PROFILE, 2)).unwrap();
        assert!(seal(&mut sender, other, 6).is_ok(), "a new key is for the same kinds");
    }
}
