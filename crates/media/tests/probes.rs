//! Attacks and accidents: each asserts how the packet ended, and that genuine packets still arrive.

mod bench;

use bench::*;
use control::{Latching, Verdict};
use srtp::Outbound;

const SSRC: u32 = 0xcafe;

#[test]
fn packets_cross_between_two_sdes_legs_unchanged() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    for sequence in 100..200 {
        let arrival = alice.arrival(ports[0], SSRC, sequence, 0);
        let sent = bench.deliver(&[arrival]);
        assert_eq!(sent[0].port, ports[1]);
        assert_eq!(bob.open(&sent), [rtp(SSRC, sequence)]);
        let arrival = bob.arrival(ports[1], 7, sequence, 0);
        let sent = bench.deliver(&[arrival]);
        assert_eq!(alice.open(&sent), [rtp(7, sequence)]);
    }
    let statistics = bench.statistics(1);
    assert_eq!((statistics.rtp_in.packets, statistics.rtp_out.packets), (100, 100));
    assert_eq!(statistics.streams_in[0].sequence_number, 199);
    assert_eq!(statistics.streams_in[0].lost, 0);
}

#[test]
fn of_five_identical_packets_one_passes() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let first = alice.arrival(ports[0], SSRC, 1, 0);
    let sent = bench.deliver(&vec![first; 5]);
    assert_eq!(bob.sequences(&sent), [1]);
    assert_eq!(bench.verdict(1, Verdict::Replayed), 4);
    let genuine: Vec<_> = (2..22).map(|sequence| alice.arrival(ports[0], SSRC, sequence, 0)).collect();
    let sent = bench.deliver(&genuine);
    assert_eq!(bob.sequences(&sent), (2..22).collect::<Vec<_>>());
}

#[test]
fn a_packet_recorded_at_rollover_0_is_no_packet_at_rollover_2() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let recorded: Vec<_> = (0..20).map(|sequence| alice.arrival(ports[0], SSRC, sequence, 0)).collect();
    let mut arrived = bob.sequences(&bench.deliver(&recorded)).len();
    let mut sent_by_alice = recorded.len();
    for index in (100..2 * 65_536 + 100_u32).step_by(50) {
        let arrival = alice.arrival(ports[0], SSRC, index as u16, index >> 16);
        sent_by_alice += 1;
        arrived += bob.sequences(&bench.deliver(&[arrival])).len();
    }
    assert_eq!(bench.statistics(1).streams_in[0].rollover_counter, 2);
    let sent = bench.deliver(&recorded);
    assert!(sent.is_empty());
    assert_eq!(bench.verdict(1, Verdict::BadTag) + bench.verdict(1, Verdict::TooOld), 20);
    let genuine: Vec<_> = (200..220).map(|sequence| alice.arrival(ports[0], SSRC, sequence, 2)).collect();
    arrived += bob.sequences(&bench.deliver(&genuine)).len();
    assert_eq!(arrived, sent_by_alice + 20);
}

#[test]
fn forty_forged_packets_move_nothing() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let first = alice.arrival(ports[0], SSRC, 1, 0);
    bench.deliver(&[first]);
    let mut forger = Peer::new(9, CM, 99, 99);
    let forged: Vec<_> = (0..40_u16)
        .map(|number| {
            let (port, _, bytes) = forger.arrival(ports[0], SSRC, 2 + number * 1000, 0);
            (port, address(50 + number as u8), bytes)
        })
        .collect();
    assert!(bench.deliver(&forged).is_empty());
    assert_eq!(bench.verdict(1, Verdict::BadTag), 40);
    assert_eq!(bench.statistics(1).remote, Some(alice.address));
    let genuine: Vec<_> = (2..22).map(|sequence| alice.arrival(ports[0], SSRC, sequence, 0)).collect();
    let sent = bench.deliver(&genuine);
    assert_eq!(bob.sequences(&sent), (2..22).collect::<Vec<_>>());
}

#[test]
fn a_forged_packet_far_ahead_inside_a_batch_disturbs_no_genuine_one() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let mut forger = Peer::new(1, CM, 99, 99);
    let batch = [
        alice.arrival(ports[0], SSRC, 65_534, 0),
        forger.arrival(ports[0], SSRC, 30_000, 0),
        alice.arrival(ports[0], SSRC, 65_535, 0),
        forger.arrival(ports[0], SSRC, 5, 9),
        alice.arrival(ports[0], SSRC, 0, 1),
        alice.arrival(ports[0], SSRC, 1, 1),
    ];
    let sent = bench.deliver(&batch);
    assert_eq!(bob.sequences(&sent), [65_534, 65_535, 0, 1]);
    assert_eq!(bench.verdict(1, Verdict::BadTag), 2);
}

#[test]
fn plain_rtp_from_anywhere_never_enters_a_secure_leg() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    for source in [address(1), address(77)] {
        let injected: Vec<_> = (0..20).map(|sequence| (ports[0], source, rtp(SSRC, sequence))).collect();
        assert!(bench.deliver(&injected).is_empty());
    }
    assert_eq!(bench.verdict(1, Verdict::BadTag), 40);
    assert_eq!(bench.statistics(1).remote, Some(alice.address));
    let arrival = alice.arrival(ports[0], SSRC, 1, 0);
    assert_eq!(bob.sequences(&bench.deliver(&[arrival])), [1]);
}

#[test]
fn plain_rtp_from_another_address_does_not_enter_a_plain_leg() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    bench.apply(&plan(
        vec![transport(1, Some(address(1)), control::Keying::Plain), transport(2, Some(address(2)), sdes(CM, 21, 22))],
        vec![flow(1, 1, 2), flow(2, 2, 1)],
    ));
    let mut bob = Peer::new(2, CM, 21, 22);
    let mut heard = Vec::new();
    for sequence in 0..50 {
        let sent = bench.deliver(&[
            (ports[0], address(1), rtp(SSRC, sequence)),
            (ports[0], address(66), rtp(SSRC, sequence.wrapping_add(1))),
            (ports[0], address(67), rtp(0xbad, sequence)),
        ]);
        heard.extend(bob.open(&sent));
    }
    // The first packet is the probation of RFC 3550 A.1.
    assert_eq!(heard, (1..50).map(|sequence| rtp(SSRC, sequence)).collect::<Vec<_>>());
    assert_eq!(bench.verdict(1, Verdict::Probation), 1);
    assert_eq!(bench.verdict(1, Verdict::UnexpectedSource), 100);
}

#[test]
fn a_wrap_under_loss_is_followed() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let mut heard = Vec::new();
    let mut expected = Vec::new();
    for index in 65_000..66_500_u32 {
        let arrival = alice.arrival(ports[0], SSRC, index as u16, index >> 16);
        // A third is lost, the wrap itself with a hundred packets around it.
        if index % 3 == 0 || (65_490..65_590).contains(&index) {
            continue;
        }
        expected.push(index as u16);
        heard.extend(bob.sequences(&bench.deliver(&[arrival])));
    }
    assert_eq!(heard, expected);
    assert_eq!(bench.statistics(2).streams_out[0].rollover_counter, 1);
}

#[test]
fn a_stream_joined_at_rollover_5_reaches_a_fresh_peer() {
    let (mut bench, ports, plan, mut alice, mut bob) = sdes_call();
    // Held from the start: the stream is followed, but nothing reaches the other side.
    let mut held = plan.clone();
    held.flows[0].forward_media = false;
    bench.apply(&held);
    for index in (0..5 * 65_536_u32).step_by(500) {
        let arrival = alice.arrival(ports[0], SSRC, index as u16, index >> 16);
        assert!(bench.deliver(&[arrival]).is_empty());
    }
    bench.apply(&plan);
    for index in 5 * 65_536..5 * 65_536 + 20_u32 {
        let arrival = alice.arrival(ports[0], SSRC, index as u16, index >> 16);
        assert_eq!(bob.sequences(&bench.deliver(&[arrival])), [index as u16]);
    }
    assert_eq!(bob.inbound.rollover_counter(SSRC), Some(0));
}

#[test]
fn a_pause_of_forty_thousand_packets_breaks_nothing() {
    let (mut bench, ports, plan, mut alice, mut bob) = sdes_call();
    let first: Vec<_> = (0..100).map(|sequence| alice.arrival(ports[0], SSRC, sequence, 0)).collect();
    assert_eq!(bob.sequences(&bench.deliver(&first)).len(), 100);
    let mut held = plan.clone();
    held.flows[0].forward_media = false;
    bench.apply(&held);
    let paused: Vec<_> = (100..40_100).map(|sequence| alice.arrival(ports[0], SSRC, sequence, 0)).collect();
    assert!(bench.deliver(&paused).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Held), 40_000);
    bench.apply(&plan);
    // Far enough to cross the wrap afterwards.
    let mut heard = Vec::new();
    for index in 40_100..106_000_u32 {
        let arrival = alice.arrival(ports[0], SSRC, index as u16, index >> 16);
        heard.extend(bob.sequences(&bench.deliver(&[arrival])));
    }
    // The gap is closed, so that the receiver's guess of the rollover counter stays right.
    assert_eq!(heard, (100..66_000_u32).map(|index| index as u16).collect::<Vec<_>>());
    assert_eq!(bench.shard.counters().rebased, 1);
    // Bob's reports are about the numbers that he got; Alice hears of those that she sent.
    let report = bob.protect_rtcp(&receiver_report(7, SSRC, 66_000 - 1));
    let sent = bench.deliver(&[(ports[1], bob.address, report)]);
    assert_eq!(alice.open(&sent), [receiver_report(7, SSRC, 106_000 - 1)]);
    let missing = bob.protect_rtcp(&nack(7, SSRC, 60_000));
    let sent = bench.deliver(&[(ports[1], bob.address, missing)]);
    assert_eq!(alice.open(&sent), [nack(7, SSRC, (100_000_u32 % 65_536) as u16)]);
}

#[test]
fn another_source_with_the_same_ssrc_goes_on_where_the_first_stopped() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2), bench.open(3)];
    let legs = || {
        vec![
            transport(1, Some(address(1)), sdes(CM, 11, 12)),
            transport(2, Some(address(2)), sdes(CM, 21, 22)),
            transport(3, Some(address(3)), sdes(CM, 31, 32)),
        ]
    };
    bench.apply(&plan(legs(), vec![flow(1, 1, 2), flow(2, 2, 1)]));
    let mut alice = Peer::new(1, CM, 11, 12);
    let mut bob = Peer::new(2, CM, 21, 22);
    let mut carol = Peer::new(3, CM, 31, 32);
    let arrivals: Vec<_> = (30_000..30_020).map(|sequence| alice.arrival(ports[0], SSRC, sequence, 0)).collect();
    assert_eq!(bob.sequences(&bench.deliver(&arrivals)), (30_000..30_020).collect::<Vec<_>>());
    // The flow's ingress moves: the winner of a fork, or music on hold.
    bench.apply(&plan(legs(), vec![flow(1, 3, 2), flow(2, 2, 3)]));
    let arrivals: Vec<_> = (30_005..30_025).map(|sequence| carol.arrival(ports[2], SSRC, sequence, 0)).collect();
    let sent = bench.deliver(&arrivals);
    let opened = bob.open(&sent);
    assert_eq!(opened.iter().map(|packet| sequence(packet)).collect::<Vec<_>>(), (30_020..30_040).collect::<Vec<_>>());
    // Timestamp and payload are Carol's.
    assert_eq!(opened[0][4..], rtp(SSRC, 30_005)[4..]);
    let report = bob.protect_rtcp(&receiver_report(7, SSRC, 30_039));
    let sent = bench.deliver(&[(ports[1], bob.address, report)]);
    assert_eq!(carol.open(&sent), [receiver_report(7, SSRC, 30_024)]);
}

#[test]
fn a_plain_source_that_begins_anew_goes_on_forward() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    bench.apply(&plan(
        vec![transport(1, Some(address(1)), control::Keying::Plain), transport(2, Some(address(2)), sdes(CM, 21, 22))],
        vec![flow(1, 1, 2), flow(2, 2, 1)],
    ));
    let mut bob = Peer::new(2, CM, 21, 22);
    let phone = |sequence| (ports[0], address(1), rtp(SSRC, sequence));
    let arrivals: Vec<_> = (40_000..40_100).map(phone).collect();
    assert_eq!(bob.sequences(&bench.deliver(&arrivals)), (40_001..40_100).collect::<Vec<_>>());
    let arrivals: Vec<_> = (100..200).map(phone).collect();
    // The first packet of the new sequence is its probation.
    assert_eq!(bob.sequences(&bench.deliver(&arrivals)), (40_100..40_199).collect::<Vec<_>>());
    let report = bob.protect_rtcp(&receiver_report(7, SSRC, 40_198));
    let sent = bench.deliver(&[(ports[1], bob.address, report)]);
    assert_eq!(sent[0].bytes, receiver_report(7, SSRC, 199));
}

#[test]
fn a_peer_that_begins_anew_under_new_keys_is_heard_again() {
    let (mut bench, ports, mut plan, mut alice, mut bob) = sdes_call();
    let arrivals: Vec<_> = (50_000..50_100).map(|sequence| alice.arrival(ports[0], SSRC, sequence, 0)).collect();
    assert_eq!(bob.sequences(&bench.deliver(&arrivals)).len(), 100);
    plan.transports[0].keying = sdes(CM, 13, 12);
    bench.apply(&plan);
    alice.outbound = Outbound::new(control::Policy::new(CM), &key(CM, 13)).expect("key");
    let arrivals: Vec<_> = (49_500..49_600).map(|sequence| alice.arrival(ports[0], SSRC, sequence, 0)).collect();
    assert_eq!(bob.sequences(&bench.deliver(&arrivals)), (50_100..50_200).collect::<Vec<_>>());
}

#[test]
fn a_strict_leg_takes_nothing_from_elsewhere() {
    let (mut bench, ports, mut plan, mut alice, mut bob) = sdes_call();
    plan.transports[0].latching = Latching::Strict;
    bench.apply(&plan);
    let (port, _, bytes) = alice.arrival(ports[0], SSRC, 1, 0);
    assert!(bench.deliver(&[(port, address(80), bytes.clone())]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::UnexpectedSource), 1);
    assert_eq!(bob.sequences(&bench.deliver(&[(port, alice.address, bytes)])), [1]);
}
