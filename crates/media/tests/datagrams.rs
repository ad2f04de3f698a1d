//! Datagrams of another protocol than RTP: fax (UDPTL) in the middle of a call, and who may send it.

mod bench;

use std::net::SocketAddr;
use std::time::Duration;

use bench::*;
use control::{Component, Keying, KeyingState, Latching, Plan, TransportEvent, Verdict};
use datagram::PortId;

/// A UDPTL packet (T.38 §9.1): sequence number, one primary IFP packet, no redundancy.
fn udptl(sequence: u16) -> Vec<u8> {
    let mut packet = sequence.to_be_bytes().to_vec();
    packet.extend([0x01, 0x06, 0x00, 0x00]);
    packet
}

/// As a UDPTL packet its first bytes would be STUN, DTLS, RTP and RTCP to those who look.
const SEQUENCES: [u16; 4] = [0x0001, 0x16FE, 0x8000, 0x80C8];

/// Two fax legs, peers at hosts 1 and 2.
fn fax() -> (Bench, [PortId; 2], Plan) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let mut plan = plan(
        vec![transport(1, Some(address(1)), Keying::Plain), transport(2, Some(address(2)), Keying::Plain)],
        vec![flow(1, 1, 2), flow(2, 2, 1)],
    );
    for transport in &mut plan.transports {
        transport.component = Component::Datagrams;
    }
    bench.apply(&plan);
    (bench, ports, plan)
}

fn private(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, host], port))
}

#[test]
fn every_datagram_passes_as_it_is_whatever_its_first_byte_says() {
    let (mut bench, ports, _) = fax();
    for sequence in SEQUENCES {
        let sent = bench.deliver(&[(ports[0], address(1), udptl(sequence))]);
        assert_eq!(sent, [Sent { port: ports[1], remote: address(2), bytes: udptl(sequence) }]);
        let sent = bench.deliver(&[(ports[1], address(2), udptl(sequence))]);
        assert_eq!(sent, [Sent { port: ports[0], remote: address(1), bytes: udptl(sequence) }]);
    }
    let statistics = bench.statistics(1);
    assert_eq!(statistics.verdicts.of(Verdict::Relayed), 4);
    assert_eq!((statistics.datagrams_in.packets, statistics.datagrams_in.bytes), (4, 24));
    assert_eq!((statistics.datagrams_out.packets, statistics.datagrams_out.bytes), (4, 24));
    assert_eq!((statistics.rtp_in.packets, statistics.rtp_out.packets), (0, 0));
    assert_eq!(statistics.keying, KeyingState::Plain);
    assert_eq!(statistics.last_packet_age, Some(Duration::ZERO));
    assert_eq!(bench.shard.counters().datagrams_in.packets, 8);
}

#[test]
fn a_secure_leg_is_fed_by_no_datagram_leg_and_feeds_none() {
    let (mut bench, ports, mut plan) = fax();
    plan.transports[1] = transport(2, Some(address(2)), sdes(CM, 21, 22));
    bench.apply(&plan);
    let mut bob = Peer::new(2, CM, 21, 22);
    // Even what looks like RTP.
    assert!(bench.deliver(&[(ports[0], address(1), rtp(5, 1)), (ports[0], address(1), udptl(1))]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::EgressNotReady), 2);
    let arrival = bob.arrival(ports[1], 7, 0, 0);
    assert!(bench.deliver(&[arrival]).is_empty(), "no decrypted packet leaves as a datagram");
    assert_eq!(bench.verdict(2, Verdict::EgressNotReady), 1);
    // A plain RTP leg is not fed either, and a datagram leg with keys carries nothing at all.
    plan.transports[1] = transport(2, Some(address(2)), Keying::Plain);
    plan.transports[0].keying = sdes(CM, 11, 12);
    bench.apply(&plan);
    assert!(bench.deliver(&[(ports[0], address(1), udptl(2))]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::NotKeyed), 1);
    plan.transports[0].keying = Keying::Plain;
    bench.apply(&plan);
    assert!(bench.deliver(&[(ports[0], address(1), udptl(3))]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::EgressNotReady), 3);
    // Between two of a kind it passes.
    plan.transports[1].component = Component::Datagrams;
    bench.apply(&plan);
    assert_eq!(bench.deliver(&[(ports[0], address(1), udptl(4))]).len(), 1);
}

#[test]
fn audio_becomes_fax_and_audio_again() {
    let (mut bench, ports, audio, mut alice, mut bob) = sdes_call();
    let arrival = alice.arrival(ports[0], 5, 1, 0);
    assert_eq!(bob.sequences(&bench.deliver(&[arrival])), [1]);
    let mut fax = audio.clone();
    for transport in &mut fax.transports {
        transport.component = Component::Datagrams;
        transport.keying = Keying::Plain;
        transport.latch_generation += 1;
    }
    bench.apply(&fax);
    let late = alice.arrival(ports[0], 5, 2, 0);
    let sent = bench.deliver(&[(ports[0], address(1), udptl(0)), (ports[1], address(2), udptl(0))]);
    assert_eq!(sent.len(), 2);
    // A packet of the audio that was still on its way does not pass for fax.
    assert!(bench.deliver(&[late]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::WrongComponent), 1);
    // Back, under new keys.
    let mut again = audio;
    again.transports[0].keying = sdes(CM, 31, 32);
    again.transports[1].keying = sdes(GCM, 41, 42);
    bench.apply(&again);
    let (mut alice, mut bob) = (Peer::new(1, CM, 31, 32), Peer::new(2, GCM, 41, 42));
    assert!(bench.deliver(&[(ports[0], address(1), udptl(1))]).is_empty());
    let arrival = alice.arrival(ports[0], 5, 3, 0);
    assert_eq!(bob.sequences(&bench.deliver(&[arrival])), [3]);
    let arrival = bob.arrival(ports[1], 7, 9, 0);
    assert_eq!(alice.sequences(&bench.deliver(&[arrival])), [9]);
}

#[test]
fn plain_audio_becomes_fax_and_audio_again() {
    let (mut bench, ports, fax) = fax();
    let mut audio = fax.clone();
    for transport in &mut audio.transports {
        transport.component = Component::Muxed;
    }
    bench.apply(&audio);
    let arrivals: Vec<_> = (0..5).map(|sequence| (ports[0], address(1), rtp(5, sequence))).collect();
    assert_eq!(bench.deliver(&arrivals).len(), 4, "the first is on probation");
    bench.apply(&fax);
    assert_eq!(bench.deliver(&[(ports[0], address(1), udptl(0))]).len(), 1);
    let late = [(ports[0], address(1), rtp(5, 5)), (ports[0], address(1), receiver_report(5, 7, 1))];
    assert!(bench.deliver(&late).is_empty());
    assert_eq!(bench.verdict(1, Verdict::WrongComponent), 2);
    bench.apply(&audio);
    assert!(bench.deliver(&[(ports[0], address(1), udptl(1))]).is_empty());
    let arrivals: Vec<_> = (5..9).map(|sequence| (ports[0], address(1), rtp(5, sequence))).collect();
    assert_eq!(bench.deliver(&arrivals).len(), 3, "on probation again");
}

#[test]
fn the_peer_at_its_signalled_address_is_heard_at_once_and_nobody_else_after_it() {
    let (mut bench, ports, _) = fax();
    assert_eq!(bench.deliver(&[(ports[0], address(1), udptl(0))]).len(), 1);
    let strangers: Vec<_> = (0..10).map(|sequence| (ports[0], address(30), udptl(sequence))).collect();
    assert!(bench.deliver(&strangers).is_empty());
    assert_eq!(bench.verdict(1, Verdict::UnexpectedSource), 10);
    assert_eq!(bench.deliver(&[(ports[0], address(1), udptl(1))]).len(), 1);
    assert_eq!(bench.deliver(&[(ports[1], address(2), udptl(1))])[0].remote, address(1));
}

#[test]
fn another_host_is_never_taken_for_a_peer_that_signals_a_public_address() {
    let (mut bench, ports, _) = fax();
    let strangers: Vec<_> = (0..10).map(|sequence| (ports[0], address(30), udptl(sequence))).collect();
    assert!(bench.deliver(&strangers).is_empty());
    assert_eq!(bench.verdict(1, Verdict::UnexpectedSource), 10);
    // Another port of the same host is, after three datagrams.
    let moved = SocketAddr::new(address(1).ip(), 7777);
    let arrivals: Vec<_> = (0..4).map(|sequence| (ports[0], moved, udptl(sequence))).collect();
    assert_eq!(bench.deliver(&arrivals).len(), 2);
    assert_eq!(bench.verdict(1, Verdict::Probation), 2);
    assert_eq!(bench.take_events(), [(1, TransportEvent::Latched { remote: moved })]);
    assert_eq!(bench.deliver(&[(ports[1], address(2), udptl(0))])[0].remote, moved);
}

#[test]
fn a_peer_behind_nat_is_found_after_three_datagrams_in_a_row() {
    let (mut bench, ports, mut plan) = fax();
    plan.transports[0].remote = Some(private(5, 4000));
    bench.apply(&plan);
    let from = |host: u8| (ports[0], address(host), udptl(0));
    assert!(bench.deliver(&[from(30), from(30), from(31), from(30), from(30)]).is_empty(), "not in a row");
    assert_eq!(bench.deliver(&[from(30)]).len(), 1);
    assert_eq!(bench.take_events(), [(1, TransportEvent::Latched { remote: address(30) })]);
    assert!(bench.deliver(&[from(31), from(31), from(31), from(31)]).is_empty());
    // Signalling opens the latch; until somebody else has proved itself, the one that was learnt stays.
    plan.transports[0].latch_generation += 1;
    bench.apply(&plan);
    assert_eq!(bench.deliver(&[(ports[1], address(2), udptl(0))])[0].remote, address(30));
    assert_eq!(bench.deliver(&[from(31), from(31), from(31)]).len(), 1);
    assert_eq!(bench.deliver(&[(ports[1], address(2), udptl(1))])[0].remote, address(31));
}

#[test]
fn a_strict_leg_hears_the_signalled_address_alone_and_one_that_may_not_latch_hears_all() {
    let (mut bench, ports, mut plan) = fax();
    plan.transports[0].latching = Latching::Strict;
    bench.apply(&plan);
    let moved = SocketAddr::new(address(1).ip(), 7777);
    let arrivals: Vec<_> = (0..4).map(|sequence| (ports[0], moved, udptl(sequence))).collect();
    assert!(bench.deliver(&arrivals).is_empty());
    assert_eq!(bench.deliver(&[(ports[0], address(1), udptl(9))]).len(), 1);
    plan.transports[0].latching = Latching::Off;
    bench.apply(&plan);
    assert_eq!(bench.deliver(&arrivals).len(), 4);
    assert_eq!(bench.deliver(&[(ports[1], address(2), udptl(0))])[0].remote, address(1));
}

#[test]
fn fax_on_hold_is_counted_and_goes_nowhere() {
    let (mut bench, ports, mut plan) = fax();
    plan.flows[0].forward_media = false;
    bench.apply(&plan);
    assert!(bench.deliver(&[(ports[0], address(1), udptl(0))]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Held), 1);
    plan.flows.clear();
    bench.apply(&plan);
    assert!(bench.deliver(&[(ports[0], address(1), udptl(0))]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::NoFlow), 1);
}
