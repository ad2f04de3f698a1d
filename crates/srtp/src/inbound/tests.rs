use proptest::prelude::*;

use super::*;
use crate::Profile;
use crate::testing::{master_of, rtp_packet, sealed_rtcp, sealed_rtp};

const PROFILE: Profile = Profile::AesCm128HmacSha1_80;
const SSRC: u32 = 0xcafe_babe;

/// A receiver with the key that its sender uses.
struct Pair {
    policy: Policy,
    key: MasterKey,
    inbound: Inbound,
}

impl Pair {
    fn new(policy: Policy) -> Self {
        let key = master_of(policy.profile, 1);
        let inbound = Inbound::new(policy.clone(), std::slice::from_ref(&key)).unwrap();
        Self { policy, key, inbound }
    }

    /// The sender sends, the receiver opens; the index that the receiver sees.
    fn rtp(&mut self, ssrc: u32, index: u64) -> Result<u64, Rejection> {
        open_rtp(&mut self.inbound, sealed_rtp(&self.policy, &self.key, ssrc, index))
    }

    fn rtcp(&mut self, ssrc: u32, index: u32) -> Result<u64, Rejection> {
        open_rtcp(&mut self.inbound, sealed_rtcp(&self.policy, &self.key, ssrc, index))
    }

    fn forged(&mut self, ssrc: u32, sequence: u16) -> Result<u64, Rejection> {
        open_rtp(&mut self.inbound, rtp_packet(ssrc, sequence, 40))
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new(Policy::new(PROFILE))
    }
}

fn open_rtp(inbound: &mut Inbound, mut packet: Vec<u8>) -> Result<u64, Rejection> {
    let len = packet.len();
    inbound.unprotect_rtp(&mut packet, len).map(|opened| opened.index)
}

fn open_rtcp(inbound: &mut Inbound, mut packet: Vec<u8>) -> Result<u64, Rejection> {
    let len = packet.len();
    inbound.unprotect_rtcp(&mut packet, len).map(|opened| opened.index)
}

#[test]
fn of_five_identical_packets_one_is_accepted() {
    let mut pair = Pair::default();
    assert_eq!(pair.rtp(SSRC, 100), Ok(100));
    for _ in 0..4 {
        assert_eq!(pair.rtp(SSRC, 100), Err(Rejection::Replayed));
    }
    assert_eq!(pair.rtcp(SSRC, 1), Ok(1));
    assert_eq!(pair.rtcp(SSRC, 1), Err(Rejection::Replayed));
}

#[test]
fn a_packet_recorded_two_rollovers_ago_is_refused() {
    let mut pair = Pair::default();
    for index in (100..0x2_0200).step_by(0x4000) {
        assert_eq!(pair.rtp(SSRC, index), Ok(index));
    }
    assert!(pair.rtp(SSRC, 101).is_err());
    assert_eq!(pair.rtp(SSRC, 0x2_0201), Ok(0x2_0201));
}

#[test]
fn the_window_holds_at_its_edges_and_over_a_wrap() {
    for highest in [5000, 0x1_0000, 0x1_0003, 0x1_0400, 0x2_0200] {
        let mut pair = Pair::default();
        pair.inbound.set_rollover_counter(SSRC, (highest >> 16) as u32);
        assert_eq!(pair.rtp(SSRC, highest), Ok(highest));
        assert_eq!(pair.rtp(SSRC, highest - 1023), Ok(highest - 1023));
        assert_eq!(pair.rtp(SSRC, highest - 1023), Err(Rejection::Replayed));
        assert_eq!(pair.rtp(SSRC, highest - 1024), Err(Rejection::TooOld));
        assert_eq!(pair.rtp(SSRC, highest - 1022), Ok(highest - 1022));
    }
}

#[test]
fn a_flood_of_forged_ssrcs_leaves_nothing_behind() {
    let mut pair = Pair::default();
    assert_eq!(pair.rtp(SSRC, 1), Ok(1));
    for forged in 0..50_000 {
        assert_eq!(pair.forged(forged, forged as u16), Err(Rejection::BadTag));
    }
    assert_eq!(pair.inbound.streams().count(), 1);
    assert_eq!(pair.rtp(SSRC, 2), Ok(2));
    assert_eq!(pair.rtp(SSRC + 1, 7), Ok(7));
}

#[test]
fn forged_packets_of_a_stream_do_not_move_it() {
    let mut pair = Pair::default();
    assert_eq!(pair.rtp(SSRC, 10), Ok(10));
    for sequence in (0..40).map(|i| i * 1600) {
        assert_eq!(pair.forged(SSRC, sequence), Err(Rejection::BadTag));
    }
    for index in 11..31 {
        assert_eq!(pair.rtp(SSRC, index), Ok(index));
    }
}

#[test]
fn a_rejected_packet_keeps_its_bytes() {
    for profile in Profile::all() {
        let mut pair = Pair::new(Policy::new(profile));
        let mut packet = sealed_rtp(&pair.policy, &pair.key, SSRC, 5);
        let len = packet.len();
        packet[len - 1] ^= 1;
        let before = packet.clone();
        assert_eq!(pair.inbound.unprotect_rtp(&mut packet, len), Err(Rejection::BadTag));
        assert_eq!(packet, before);
    }
}

#[test]
fn every_bit_of_a_packet_is_authenticated() {
    for profile in Profile::all() {
        let pair = Pair::new(Policy::new(profile));
        let packets = [
            (Kind::Rtp, sealed_rtp(&pair.policy, &pair.key, SSRC, 5)),
            (Kind::Rtcp, sealed_rtcp(&pair.policy, &pair.key, SSRC, 5)),
        ];
        for (kind, packet) in packets {
            for bit in 0..packet.len() * 8 {
                let mut forged = packet.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                let mut inbound = Inbound::new(pair.policy.clone(), std::slice::from_ref(&pair.key)).unwrap();
                let opened = match kind {
                    Kind::Rtp => open_rtp(&mut inbound, forged),
                    Kind::Rtcp => open_rtcp(&mut inbound, forged),
                };
                assert!(opened.is_err(), "{profile:?} {kind:?} {bit}");
                assert_eq!(inbound.streams().count(), 0);
            }
        }
    }
}

#[test]
fn the_65th_authentic_ssrc_is_refused_and_the_others_go_on() {
    let mut pair = Pair::default();
    for ssrc in 0..64 {
        assert_eq!(pair.rtp(ssrc, 1), Ok(1));
    }
    assert_eq!(pair.rtp(64, 1), Err(Rejection::TooManyStreams));
    assert_eq!(pair.rtp(3, 2), Ok(2));
    assert_eq!(pair.rtcp(3, 2), Ok(2));
    assert_eq!(pair.inbound.streams().count(), 64);
}

// Rollover counter.

#[test]
fn a_wrap_under_loss_is_followed() {
    let mut pair = Pair::default();
    for index in (0xff00..0x3_0000).step_by(997) {
        assert_eq!(pair.rtp(SSRC, index), Ok(index));
    }
    assert_eq!(pair.inbound.rollover_counter(SSRC), Some(2));
    assert_eq!(pair.inbound.probe_count(), 0);
}

#[test]
fn a_first_packet_behind_a_wrap_is_found_by_probing() {
    let mut pair = Pair::default();
    assert_eq!(pair.rtp(SSRC, 0x1_0005), Ok(0x1_0005));
    assert_eq!((pair.inbound.probe_count(), pair.inbound.rollover_counter(SSRC)), (1, Some(1)));
    // Late packets from before the wrap are still good.
    assert_eq!(pair.rtp(SSRC, 0xfff0), Ok(0xfff0));
    // Two rollovers are beyond what is tried.
    assert_eq!(pair.rtp(SSRC + 1, 0x2_0005), Err(Rejection::BadTag));
}

#[test]
fn a_stream_goes_on_after_a_pause_of_40000_packets() {
    for before in (0..0x1_0000).step_by(1000) {
        let mut pair = Pair::default();
        assert_eq!(pair.rtp(SSRC, before), Ok(before));
        let after = before + 40_000;
        assert_eq!(pair.rtp(SSRC, after), Ok(after));
        assert_eq!(pair.rtp(SSRC, after + 1), Ok(after + 1));
    }
}

#[test]
fn a_long_pause_is_survived_amid_forgeries() {
    let mut pair = Pair::default();
    assert_eq!(pair.rtp(SSRC, 30_000), Ok(30_000));
    let mut received = 0;
    for index in 70_000..70_100 {
        for forged in 0..20 {
            assert!(pair.forged(SSRC, forged * 3000).is_err());
        }
        received += u32::from(pair.rtp(SSRC, index).is_ok());
    }
    assert!(received > 50, "{received}");
}

#[test]
fn probes_without_success_become_rare() {
    let mut pair = Pair::default();
    let mut probed = 0;
    for _ in 0..1000 {
        let credit = (pair.inbound.probe_credit, pair.inbound.probes_refused);
        assert_eq!(pair.forged(SSRC, 5), Err(Rejection::BadTag));
        probed += u32::from(credit.0 > 0 || pair.inbound.probes_refused == 0);
    }
    assert_eq!(probed, PROBE_CREDIT + (1000 - PROBE_CREDIT) / PROBE_INTERVAL);
}

#[test]
fn the_rollover_counter_is_readable_and_settable() {
    let mut pair = Pair::default();
    assert_eq!(pair.inbound.rollover_counter(SSRC), None);
    assert!(pair.inbound.set_rollover_counter(SSRC, 7));
    assert_eq!(pair.rtp(SSRC, 0x7_8000), Ok(0x7_8000));
    assert_eq!(pair.rtp(SSRC, 0x8_0001), Ok(0x8_0001));
    assert_eq!(pair.inbound.rollover_counter(SSRC), Some(8));
    assert!(pair.inbound.set_rollover_counter(SSRC, 8));
    assert_eq!(pair.rtp(SSRC, 0x8_0001), Err(Rejection::Replayed), "setting what it is forgets nothing");
    assert!(pair.inbound.set_rollover_counter(SSRC, 20));
    assert_eq!(pair.rtp(SSRC, 0x14_0002), Ok(0x14_0002));
    let stream = pair.inbound.streams().next().unwrap();
    assert_eq!((stream.ssrc, stream.rtp_index, stream.rtcp_index), (SSRC, Some(0x14_0002), None));
}

#[test]
fn the_end_of_48_bits_is_the_end_of_the_key() {
    let mut pair = Pair::default();
    pair.inbound.set_rollover_counter(SSRC, u32::MAX);
    assert_eq!(pair.rtp(SSRC, 0xffff_ffff_ffff), Ok(0xffff_ffff_ffff));
    assert_eq!(pair.forged(SSRC, 0), Err(Rejection::KeyExhausted));
}

/// What the new keys' first packet may be, by policy, after a stream at ROC 3.
#[test]
fn the_rollover_counter_after_a_rekey_is_as_the_policy_says() {
    let start = 0x3_1000;
    // (policy, index of the first packet under the new key, accepted, found by a probe)
    let table = [
        (RocPolicy::Keep, 0x3_1001, true, false),
        (RocPolicy::Keep, 0x0_1001, false, false),
        (RocPolicy::Reset, 0x0_1001, true, false),
        (RocPolicy::Reset, 0x3_1001, false, false),
        (RocPolicy::Probe, 0x3_1001, true, false),
        (RocPolicy::Probe, 0x0_1001, true, true),
        (RocPolicy::Probe, 0x2_1001, true, true),
        (RocPolicy::Probe, 0x4_1001, true, true),
        (RocPolicy::Probe, 0x7_1001, false, false),
    ];
    for (roc_on_rekey, first, accepted, probed) in table {
        for succession in [false, true] {
            let mut pair = Pair::default();
            pair.inbound.set_rollover_counter(SSRC, 3);
            assert_eq!(pair.rtp(SSRC, start), Ok(start));
            let policy = Policy { roc_on_rekey, ..pair.policy.clone() };
            let key = master_of(PROFILE, 2);
            if succession {
                pair.inbound.succeed(policy.clone(), std::slice::from_ref(&key)).unwrap();
            } else {
                pair.inbound.rekey(policy.clone(), std::slice::from_ref(&key)).unwrap();
            }
            (pair.policy, pair.key) = (policy, key);
            let expected = if accepted { Ok(first) } else { Err(Rejection::BadTag) };
            assert_eq!(pair.rtp(SSRC, first), expected, "{roc_on_rekey:?} {first:x} {succession}");
            assert_eq!(pair.inbound.probe_count(), u64::from(probed), "{roc_on_rekey:?} {first:x}");
            if accepted {
                assert_eq!(pair.rtp(SSRC, first), Err(Rejection::Replayed));
                assert_eq!(pair.rtp(SSRC, first + 1), Ok(first + 1));
                assert_eq!(pair.rtp(SSRC, first - 5), Ok(first - 5), "an index under another key is unused");
            }
        }
    }
}

#[test]
fn a_rekey_with_the_same_key_forgets_nothing() {
    let mut pair = Pair::default();
    assert_eq!(pair.rtp(SSRC, 5), Ok(5));
    assert_eq!(pair.rtcp(SSRC, 5), Ok(5));
    let policy = Policy { roc_on_rekey: RocPolicy::Reset, ..pair.policy.clone() };
    pair.inbound.rekey(policy.clone(), std::slice::from_ref(&pair.key)).unwrap();
    pair.inbound.succeed(policy, std::slice::from_ref(&pair.key)).unwrap();
    assert_eq!(pair.rtp(SSRC, 5), Err(Rejection::Replayed));
    assert_eq!(pair.rtcp(SSRC, 5), Err(Rejection::Replayed));
    assert_eq!(pair.inbound.key_usage().next().map(|usage| (usage.rtp_packets, usage.rtcp_packets)), Some((1, 1)));
}

#[test]
fn a_rekey_frees_the_places_of_streams_that_ended() {
    let mut pair = Pair::default();
    for ssrc in 0..64 {
        assert_eq!(pair.rtp(ssrc, 1), Ok(1));
    }
    pair.key = master_of(PROFILE, 2);
    pair.inbound.rekey(pair.policy.clone(), std::slice::from_ref(&pair.key)).unwrap();
    for ssrc in 100..164 {
        assert_eq!(pair.rtp(ssrc, 1), Ok(1));
    }
    assert_eq!(pair.rtp(164, 1), Err(Rejection::TooManyStreams));
    assert_eq!(pair.inbound.streams().count(), 64);
}

// Generations.

#[test]
fn old_keys_stay_valid_until_the_first_packet_under_the_new_ones() {
    for profile in Profile::all() {
        let mut old = Pair::default();
        assert_eq!(old.rtp(SSRC, 10), Ok(10));
        let policy = Policy { roc_on_rekey: RocPolicy::Reset, ..Policy::new(profile) };
        let key = master_of(profile, 9);
        old.inbound.succeed(policy.clone(), std::slice::from_ref(&key)).unwrap();
        assert_eq!(old.rtp(SSRC, 11), Ok(11));
        assert_eq!(old.rtp(SSRC, 11), Err(Rejection::Replayed));
        assert_eq!(old.rtcp(SSRC, 3), Ok(3));
        assert!(open_rtp(&mut old.inbound, rtp_packet(SSRC, 12, 60)).is_err());
        assert!(old.inbound.awaits_succession());

        let first = sealed_rtp(&policy, &key, SSRC, 11);
        assert_eq!(open_rtp(&mut old.inbound, first.clone()), Ok(11));
        assert!(!old.inbound.awaits_succession());
        assert_eq!(open_rtp(&mut old.inbound, first), Err(Rejection::Replayed));
        assert!(old.rtp(SSRC, 12).is_err());
        assert_eq!(open_rtcp(&mut old.inbound, sealed_rtcp(&policy, &key, SSRC, 1)), Ok(1));
        assert_eq!(old.inbound.streams().count(), 1);
    }
}

#[test]
fn an_rtcp_packet_establishes_a_generation_too() {
    let mut pair = Pair::default();
    assert_eq!(pair.rtp(SSRC, 10), Ok(10));
    let key = master_of(PROFILE, 2);
    pair.inbound.succeed(pair.policy.clone(), std::slice::from_ref(&key)).unwrap();
    assert_eq!(open_rtcp(&mut pair.inbound, sealed_rtcp(&pair.policy, &key, SSRC, 0)), Ok(0));
    assert_eq!(pair.rtp(SSRC, 11), Err(Rejection::BadTag));
}

#[test]
fn successions_that_nobody_follows_do_not_pile_up_nor_displace_the_keys_in_use() {
    let mut pair = Pair::default();
    assert_eq!(pair.rtp(SSRC, 10), Ok(10));
    for seed in 2..20 {
        pair.inbound.succeed(pair.policy.clone(), &[master_of(PROFILE, seed)]).unwrap();
        pair.inbound.succeed(pair.policy.clone(), &[master_of(PROFILE, seed)]).unwrap();
    }
    assert_eq!(pair.inbound.key_usage().count(), 3);
    assert_eq!(pair.rtp(SSRC, 11), Ok(11));
    pair.key = master_of(PROFILE, 18);
    assert_eq!(pair.rtp(SSRC, 12), Ok(12));
    assert_eq!(pair.inbound.key_usage().count(), 2, "the newest one still waits");
    pair.key = master_of(PROFILE, 19);
    assert_eq!(pair.rtp(SSRC, 13), Ok(13));
    assert_eq!(pair.inbound.key_usage().count(), 1);
}

// MKI.

#[test]
fn several_keys_are_told_apart_by_their_identifier() {
    for profile in [PROFILE, Profile::AeadAes256Gcm] {
        let policy = Policy::new(profile);
        let keys: Vec<MasterKey> =
            [1u8, 2].iter().map(|mki| master_of(profile, *mki).with_mki(&[0, *mki]).unwrap()).collect();
        let mut inbound = Inbound::new(policy.clone(), &keys).unwrap();
        assert_eq!(open_rtp(&mut inbound, sealed_rtp(&policy, &keys[0], SSRC, 1)), Ok(1));
        assert_eq!(open_rtp(&mut inbound, sealed_rtp(&policy, &keys[1], SSRC, 2)), Ok(2));
        assert_eq!(open_rtcp(&mut inbound, sealed_rtcp(&policy, &keys[1], SSRC, 1)), Ok(1));
        let stranger = master_of(profile, 3).with_mki(&[0, 3]).unwrap();
        assert_eq!(open_rtp(&mut inbound, sealed_rtp(&policy, &stranger, SSRC, 3)), Err(Rejection::UnknownMki));
        let usage: Vec<u64> = inbound.key_usage().map(|usage| usage.rtp_packets).collect();
        assert_eq!(usage, [1, 1]);
        assert_eq!(open_rtp(&mut inbound, sealed_rtp(&policy, &keys[0], SSRC, 1)), Err(Rejection::Replayed));
    }
}

// Lifetimes.

#[test]
fn a_lifetime_warns_at_nine_tenths_and_ends_the_key() {
    let mut pair = Pair::new(Policy { srtp_lifetime: 20, srtcp_lifetime: 10, ..Policy::new(PROFILE) });
    for index in 0..20 {
        assert_eq!(pair.rtp(SSRC, index), Ok(index));
        assert_eq!(pair.inbound.take_lifetime_warning(), index == 17);
    }
    assert_eq!(pair.rtp(SSRC, 20), Err(Rejection::KeyExhausted));
    for index in 0..10 {
        assert_eq!(pair.rtcp(SSRC, index), Ok(u64::from(index)));
        assert_eq!(pair.inbound.take_lifetime_warning(), index == 8);
    }
    assert_eq!(pair.rtcp(SSRC, 10), Err(Rejection::KeyExhausted));
    pair.key = master_of(PROFILE, 2);
    pair.inbound.rekey(pair.policy.clone(), std::slice::from_ref(&pair.key)).unwrap();
    assert_eq!(pair.rtp(SSRC, 20), Ok(20));
}

#[test]
fn the_longest_lifetimes_are_enforced() {
    let mut pair = Pair::default();
    pair.inbound.set_packets((1 << 48) - 1, (1 << 31) - 1);
    assert_eq!((pair.rtp(SSRC, 1), pair.rtcp(SSRC, 1)), (Ok(1), Ok(1)));
    assert_eq!(pair.rtp(SSRC, 2), Err(Rejection::KeyExhausted));
    assert_eq!(pair.rtcp(SSRC, 2), Err(Rejection::KeyExhausted));
}

// Encryption policy.

#[test]
fn an_unencrypted_srtcp_packet_is_refused_unless_it_is_allowed() {
    for profile in [PROFILE, Profile::AeadAes128Gcm] {
        let lax = Policy { encrypt_rtcp: false, ..Policy::new(profile) };
        let mut pair = Pair::new(Policy::new(profile));
        let clear = sealed_rtcp(&lax, &pair.key, SSRC, 1);
        assert_eq!(open_rtcp(&mut pair.inbound, clear.clone()), Err(Rejection::NotEncrypted));
        assert_eq!(pair.inbound.streams().count(), 0);
        assert_eq!(pair.rtcp(SSRC, 1), Ok(1));
        let tolerant = Policy { accept_unencrypted_rtcp: true, ..Policy::new(profile) };
        for policy in [lax, tolerant] {
            let mut pair = Pair::new(policy);
            assert_eq!(open_rtcp(&mut pair.inbound, clear.clone()), Ok(1));
            // The E bit decides, packet by packet.
            let sealed = sealed_rtcp(&Policy::new(profile), &pair.key, SSRC, 2);
            assert_eq!(open_rtcp(&mut pair.inbound, sealed), Ok(2));
        }
    }
}

#[test]
fn unauthenticated_srtp_has_no_tag_and_a_window_all_the_same() {
    let mut pair = Pair::new(Policy { authenticate_rtp: false, ..Policy::new(PROFILE) });
    assert_eq!(sealed_rtp(&pair.policy, &pair.key, SSRC, 1).len(), 12 + 20);
    assert_eq!(pair.rtp(SSRC, 1), Ok(1));
    assert_eq!(pair.rtp(SSRC, 1), Err(Rejection::Replayed));
    for ssrc in 0..100 {
        let _ = pair.forged(ssrc, 1);
    }
    assert_eq!(pair.inbound.streams().count(), 64);
}

// Key derivation rate.

#[test]
fn packets_reordered_over_a_key_derivation_boundary_are_opened() {
    for profile in [PROFILE, Profile::AeadAes128Gcm] {
        let mut pair = Pair::new(Policy { key_derivation_rate: 16, ..Policy::new(profile) });
        for index in [14, 17, 15, 16, 18, 31, 33, 30, 32, 100, 1, 101] {
            assert_eq!(pair.rtp(SSRC, index), Ok(index), "{profile:?} {index}");
            assert_eq!(pair.rtp(SSRC, index), Err(Rejection::Replayed));
            assert_eq!(pair.rtcp(SSRC, index as u32), Ok(index), "{profile:?} {index}");
        }
        // Another stream of the same key is at an index of its own.
        assert_eq!(pair.rtp(SSRC + 1, 5), Ok(5));
        assert_eq!(pair.rtp(SSRC, 102), Ok(102));
    }
}

#[test]
fn a_key_derivation_rate_changes_the_bytes_from_its_first_boundary_on() {
    let plain = Policy::new(PROFILE);
    let rated = Policy { key_derivation_rate: 16, ..plain.clone() };
    let key = master_of(PROFILE, 1);
    assert_eq!(sealed_rtp(&plain, &key, SSRC, 15), sealed_rtp(&rated, &key, SSRC, 15));
    assert_ne!(sealed_rtp(&plain, &key, SSRC, 16), sealed_rtp(&rated, &key, SSRC, 16));
}

// Arbitrary bytes.

fn any_policy() -> impl Strategy<Value = Policy> {
    let profiles: Vec<Profile> = Profile::all().collect();
    (prop::sample::select(profiles), any::<[bool; 3]>(), prop::sample::select(vec![0u64, 1, 16])).prop_map(
        |(profile, [encrypt_rtp, encrypt_rtcp, probe], key_derivation_rate)| Policy {
            encrypt_rtp,
            encrypt_rtcp,
            key_derivation_rate,
            roc_on_rekey: if probe { RocPolicy::Probe } else { RocPolicy::Keep },
            ..Policy::new(profile)
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_leave_state(
        policy in any_policy(),
        mki in 0usize..5,
        packets in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80), 0usize..100), 1..20),
    ) {
        let key = master_of(policy.profile, 1).with_mki(&vec![7; mki]).unwrap();
        let mut inbound = Inbound::new(policy, std::slice::from_ref(&key)).unwrap();
        for (rtp, mut packet, len) in packets {
            if let Some(first) = packet.first_mut() {
                *first = (*first & 0x3f) | 0x80;
            }
            let opened = if rtp { inbound.unprotect_rtp(&mut packet, len) } else { inbound.unprotect_rtcp(&mut packet, len) };
            prop_assert!(opened.is_err());
        }
        prop_assert_eq!(inbound.streams().count(), 0);
    }

    /// Random loss and reordering within the window: everything arrives once, under its true index.
    #[test]
    fn reordered_packets_arrive_under_their_true_index(
        start in 0u64..0x8000,
        steps in prop::collection::vec((0u64..300, 0u64..500), 1..120),
    ) {
        let mut pair = Pair::default();
        let mut seen = std::collections::BTreeSet::new();
        let mut head = start;
        for (ahead, back) in steps {
            head += ahead;
            let index = head.saturating_sub(back);
            let expected = if seen.insert(index) { Ok(index) } else { Err(Rejection::Replayed) };
            prop_assert_eq!(pair.rtp(SSRC, index), expected);
        }
    }
}
