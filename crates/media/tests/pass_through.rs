//! Legs whose parties key each other (RFC 7879 §3.1.1): relayed as they are, by kind, and never mixed with other legs.

mod bench;

use bench::*;
use control::*;
use datagram::PortId;
use dtls::Identity;

/// Alice and Bob key each other; we hold no keys.
fn call() -> (Bench, [PortId; 2], Plan, Peer, Peer) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let legs = [1, 2].map(|id| transport(id, Some(address(id as u8)), Keying::PassThrough));
    let plan = plan(legs.into(), vec![flow(1, 1, 2), flow(2, 2, 1)]);
    bench.apply(&plan);
    (bench, ports, plan, Peer::new(1, GCM, 11, 21), Peer::new(2, GCM, 21, 11))
}

fn zrtp() -> Vec<u8> {
    let mut hello = vec![0x10, 0, 0, 1, 0x5a, 0x52, 0x54, 0x50];
    hello.extend([7; 120]);
    hello
}

#[test]
fn srtp_and_srtcp_pass_byte_for_byte_from_the_first_packet() {
    let (mut bench, ports, _, mut alice, mut bob) = call();
    for sequence in 0..50 {
        let arrival = alice.arrival(ports[0], 5, sequence, 0);
        let sent = bench.deliver(std::slice::from_ref(&arrival));
        assert_eq!(sent, [Sent { port: ports[1], remote: address(2), bytes: arrival.2 }]);
        assert_eq!(bob.open(&sent), [rtp(5, sequence)]);
        let arrival = bob.arrival(ports[1], 7, sequence, 0);
        assert_eq!(alice.open(&bench.deliver(&[arrival])), [rtp(7, sequence)]);
    }
    let report = alice.protect_rtcp(&receiver_report(5, 7, 49));
    let sent = bench.deliver(&[(ports[0], address(1), report.clone())]);
    assert_eq!(sent, [Sent { port: ports[1], remote: address(2), bytes: report }]);
    let statistics = bench.statistics(1);
    assert_eq!(statistics.keying, KeyingState::PassThrough);
    assert_eq!((statistics.rtp_in.packets, statistics.rtcp_in.packets), (50, 1));
    assert_eq!((statistics.rtp_out.packets, statistics.verdicts.of(Verdict::Forwarded)), (50, 51));
    assert!(bench.take_events().is_empty(), "nothing is secured by us");
}

#[test]
fn a_handshake_goes_through_and_what_it_keys_as_well() {
    let (mut bench, ports, ..) = call();
    let (own, other) = (Identity::generate().expect("an identity"), Identity::generate().expect("an identity"));
    let mut alice = DtlsPeer::new(&bench, 1, DtlsRole::Client, &own, &other);
    let mut bob = DtlsPeer::new(&bench, 2, DtlsRole::Server, &other, &own);
    alice.start(&bench);
    while alice.keyed.is_none() || bob.keyed.is_none() {
        let mut moved = false;
        for (port, there, from) in [(ports[0], 1, 0), (ports[1], 0, 1)] {
            let source = [&mut alice, &mut bob][from].address;
            let flights: Vec<Arrival> = std::iter::from_fn(|| {
                if from == 0 { alice.endpoint.poll_transmit() } else { bob.endpoint.poll_transmit() }
            })
            .map(|transmit| (port, source, transmit.bytes))
            .collect();
            moved |= !flights.is_empty();
            let sent = bench.deliver(&flights);
            assert_eq!(sent.len(), flights.len());
            for (sent, (_, _, bytes)) in sent.iter().zip(&flights) {
                assert_eq!(&sent.bytes, bytes);
                let peer = if there == 0 { &mut alice } else { &mut bob };
                assert_eq!(sent.remote, peer.address);
                peer.endpoint.handle_datagram(bench.now, DtlsPeer::relay(), dtls::Standing::Signalled, &sent.bytes);
            }
            for peer in [&mut alice, &mut bob] {
                while let Some(event) = peer.endpoint.poll_event() {
                    if let dtls::EndpointEvent::Keyed(keyed) = event {
                        peer.keyed = Some(keyed);
                    }
                }
            }
        }
        assert!(moved, "the handshake goes on");
    }
    assert!(bench.inputs().is_empty(), "no association of ours");
    let (mut alice, mut bob) = (alice.peer(), bob.peer());
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    assert_eq!(bob.open(&bench.deliver(&[arrival])), [rtp(5, 0)]);
    let arrival = bob.arrival(ports[1], 7, 0, 0);
    assert_eq!(alice.open(&bench.deliver(&[arrival])), [rtp(7, 0)]);
}

#[test]
fn zrtp_passes_and_junk_does_not() {
    let (mut bench, ports, _, mut alice, mut bob) = call();
    let sent = bench.deliver(&[(ports[0], address(1), zrtp())]);
    assert_eq!(sent, [Sent { port: ports[1], remote: address(2), bytes: zrtp() }]);
    assert!(bench.deliver(&[(ports[0], address(1), vec![0xff; 40])]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Malformed), 1);
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    assert_eq!(bob.open(&bench.deliver(&[arrival])), [rtp(5, 0)]);
}

#[test]
fn a_stranger_gets_in_only_as_on_a_plain_leg() {
    let (mut bench, ports, _, mut alice, mut bob) = call();
    let mut mallory = Peer::new(66, GCM, 99, 98);
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    assert_eq!(bench.deliver(&[arrival]).len(), 1);
    for sequence in 0..10 {
        let arrival = mallory.arrival(ports[0], 5, sequence, 0);
        assert!(bench.deliver(&[arrival]).is_empty());
    }
    assert!(bench.deliver(&[(ports[0], address(66), zrtp())]).is_empty());
    assert!(bench.deliver(&[(ports[0], address(66), vec![22, 0xfe, 0xfd, 0, 0])]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::UnexpectedSource), 12);
    let arrival = alice.arrival(ports[0], 5, 1, 0);
    assert_eq!(bob.open(&bench.deliver(&[arrival])), [rtp(5, 1)]);
    let arrival = bob.arrival(ports[1], 7, 0, 0);
    assert_eq!(bench.deliver(&[arrival])[0].remote, address(1), "where Alice is");
}

#[test]
fn a_peer_behind_nat_is_found_by_its_handshake() {
    let (mut bench, ports, _, mut alice, mut bob) = call();
    let hello = |number| (ports[0], address(40), vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, number, 0, 1, 0]);
    assert_eq!((0..4).map(|number| bench.deliver(&[hello(number)]).len()).collect::<Vec<_>>(), [0, 0, 1, 1]);
    assert_eq!(bench.take_events(), [(1, TransportEvent::Latched { remote: address(40) })]);
    let arrival = bob.arrival(ports[1], 7, 0, 0);
    assert_eq!(bench.deliver(&[arrival])[0].remote, address(40));
    alice.address = address(40);
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    assert_eq!(bob.open(&bench.deliver(&[arrival])), [rtp(5, 0)]);
}

#[test]
fn what_is_clear_never_leaves_there_and_what_is_sealed_leaves_nowhere_else() {
    let (mut bench, ports, mut plan, mut alice, mut bob) = call();
    for other in [Keying::Plain, sdes(CM, 31, 32)] {
        plan.transports[1].keying = other;
        bench.apply(&plan);
        let refused = bench.verdict(1, Verdict::EgressNotReady);
        let arrival = alice.arrival(ports[0], 5, 1, 0);
        assert!(bench.deliver(&[arrival]).is_empty());
        let report = alice.protect_rtcp(&receiver_report(5, 7, 1));
        assert!(bench.deliver(&[(ports[0], address(1), report)]).is_empty());
        assert!(bench.deliver(&[(ports[0], address(1), zrtp())]).is_empty());
        assert_eq!(bench.verdict(1, Verdict::EgressNotReady), refused + 3);
        alice = Peer::new(1, GCM, 11, 21);
    }
    plan.transports[1].keying = Keying::Plain;
    bench.apply(&plan);
    let before = bench.verdict(2, Verdict::EgressNotReady);
    let arrivals: Vec<Arrival> = (0..5).map(|sequence| (ports[1], address(2), rtp(7, sequence))).collect();
    assert!(bench.deliver(&arrivals).is_empty());
    assert!(bench.verdict(2, Verdict::EgressNotReady) >= before + 4);
    plan.transports[1].keying = Keying::PassThrough;
    bench.apply(&plan);
    let arrival = bob.arrival(ports[1], 7, 9, 0);
    assert_eq!(alice.open(&bench.deliver(&[arrival])), [rtp(7, 9)]);
}
