//! ICE on a leg: nomination, sources, consent.

mod bench;

use std::net::SocketAddr;
use std::time::Duration;

use bench::*;
use control::{IceState, Keying, Plan, TransportEvent, Verdict};
use datagram::PortId;

/// Leg 1 has ICE and is secure, leg 2 is plain.
fn call(remote_lite: bool, remote: Option<SocketAddr>) -> (Bench, [PortId; 2], Plan, Peer) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let mut browser = transport(1, remote, sdes(CM, 11, 12));
    browser.ice = Some(ice_plan(remote_lite));
    let phone = transport(2, Some(address(2)), Keying::Plain);
    let plan = plan(vec![browser, phone], vec![flow(1, 1, 2), flow(2, 2, 1)]);
    bench.apply(&plan);
    bench.take_events();
    (bench, ports, plan, Peer::new(1, CM, 11, 12))
}

/// Two packets of the phone, the first of them the probation.
fn from_phone(port: PortId, sequence: u16) -> [Arrival; 2] {
    [(port, address(2), rtp(7, sequence)), (port, address(2), rtp(7, sequence + 1))]
}

#[test]
fn nothing_is_sent_before_a_pair_is_nominated() {
    // The signalled address is a candidate like any other.
    let (mut bench, ports, _, mut browser) = call(false, Some(address(1)));
    assert!(bench.deliver(&from_phone(ports[1], 0)).is_empty());
    assert_eq!(bench.verdict(2, Verdict::EgressNotReady), 1);
    let arrival = browser.arrival(ports[0], 5, 0, 0);
    assert!(bench.deliver(&[arrival]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::UnexpectedSource), 1);

    let sent = bench.deliver(&[(ports[0], address(1), check(&credentials("L"), false, 1))]);
    assert_eq!((sent.len(), sent[0].remote), (1, address(1)));
    assert_eq!(bench.statistics(1).ice, IceState::Validated);
    let arrival = browser.arrival(ports[0], 5, 1, 0);
    assert_eq!(bench.deliver(&[arrival])[0].bytes, rtp(5, 1), "a validated pair may send");
    assert!(bench.deliver(&from_phone(ports[1], 2)).is_empty());

    bench.deliver(&[(ports[0], address(1), check(&credentials("L"), true, 2))]);
    assert_eq!(bench.take_events(), [(1, TransportEvent::Nominated { remote: address(1) })]);
    assert_eq!(browser.sequences(&bench.deliver(&from_phone(ports[1], 4))), [4, 5]);
    assert_eq!(bench.verdict(1, Verdict::Stun), 2);
}

#[test]
fn a_check_with_a_wrong_password_is_answered_with_an_error_and_changes_nothing() {
    let (mut bench, ports, _, _) = call(false, None);
    let mut wrong = credentials("L");
    wrong.pwd = "x".repeat(24);
    bench.deliver(&[(ports[0], address(6), check(&wrong, true, 1))]);
    assert_eq!(bench.verdict(1, Verdict::BadStun), 1);
    assert_eq!(bench.statistics(1).ice, IceState::Waiting);
    assert_eq!(bench.statistics(1).remote, None);
}

#[test]
fn stun_on_a_leg_without_ice_gets_no_answer() {
    let (mut bench, ports, ..) = sdes_call();
    assert!(bench.deliver(&[(ports[0], address(1), check(&credentials("L"), true, 1))]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::UnexpectedStun), 1);
}

#[test]
fn authenticated_packets_renew_consent_and_without_it_sending_stops() {
    let (mut bench, ports, _, mut browser) = call(false, None);
    bench.deliver(&[(ports[0], address(1), check(&credentials("L"), true, 1))]);
    bench.deliver(&from_phone(ports[1], 0));
    for sequence in 0..6 {
        bench.pass(Duration::from_secs(20));
        let arrival = browser.arrival(ports[0], 5, sequence, 0);
        bench.deliver(&[arrival]);
        assert_eq!(bench.deliver(&from_phone(ports[1], 10 + 2 * sequence)).len(), 2);
    }
    bench.take_events();
    bench.pass(Duration::from_secs(29));
    assert_eq!(bench.deliver(&from_phone(ports[1], 40)).len(), 2);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.take_events(), [(1, TransportEvent::ConsentLost)]);
    assert_eq!(bench.statistics(1).ice, IceState::ConsentLost);
    assert!(bench.deliver(&from_phone(ports[1], 50)).is_empty());
    bench.deliver(&[(ports[0], address(1), check(&credentials("L"), true, 2))]);
    assert_eq!(bench.take_events(), [(1, TransportEvent::Nominated { remote: address(1) })]);
    assert_eq!(bench.deliver(&from_phone(ports[1], 60)).len(), 2);
}

#[test]
fn a_restart_keeps_media_on_the_old_pair_until_the_new_one_is_nominated() {
    let (mut bench, ports, mut plan, mut browser) = call(false, None);
    bench.deliver(&[(ports[0], address(1), check(&credentials("L"), true, 1))]);
    bench.deliver(&from_phone(ports[1], 0));
    plan.transports[0].ice.as_mut().expect("ice").local = credentials("N");
    bench.apply(&plan);
    let sent = bench.deliver(&from_phone(ports[1], 2));
    assert_eq!(browser.sequences(&sent), [2, 3]);
    bench.deliver(&[(ports[0], address(3), check(&credentials("N"), true, 2))]);
    browser.address = address(3);
    // The contexts are the same: a restart of ICE is no new key.
    let sent = bench.deliver(&from_phone(ports[1], 4));
    assert_eq!(browser.sequences(&sent), [4, 5]);
    let arrival = browser.arrival(ports[0], 5, 0, 0);
    assert_eq!(bench.deliver(&[arrival]).len(), 1);
}

#[test]
fn between_two_lite_agents_the_candidate_is_used_and_an_authenticated_packet_latches() {
    let (mut bench, ports, _, mut peer) = call(true, Some(address(4)));
    let sent = bench.deliver(&from_phone(ports[1], 0));
    assert_eq!(sent[0].remote, address(4));
    let mut forger = Peer::new(9, CM, 99, 99);
    let arrival = forger.arrival(ports[0], 5, 0, 0);
    bench.deliver(&[arrival]);
    assert_eq!(bench.statistics(1).remote, Some(address(4)));
    let arrival = peer.arrival(ports[0], 5, 0, 0);
    bench.deliver(&[arrival]);
    assert_eq!(bench.statistics(1).remote, Some(address(1)));
    assert_eq!(bench.deliver(&from_phone(ports[1], 2))[0].remote, address(1));
}
