//! Where a leg without ICE sends, and whom it hears.

mod bench;

use std::time::Duration;

use bench::*;
use control::{Component, Keying, Latching, Plan, TransportEvent, Verdict};
use datagram::PortId;

/// Leg 1 plain, leg 2 SDES.
fn call() -> (Bench, [PortId; 2], Plan, Peer) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let plan = plan(
        vec![transport(1, Some(address(1)), Keying::Plain), transport(2, Some(address(2)), sdes(CM, 21, 22))],
        vec![flow(1, 1, 2), flow(2, 2, 1)],
    );
    bench.apply(&plan);
    bench.take_events();
    (bench, ports, plan, Peer::new(2, CM, 21, 22))
}

#[test]
fn a_secure_leg_follows_authenticated_packets_only() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    bench.take_events();
    let arrival = bob.arrival(ports[1], 7, 0, 0);
    assert_eq!(bench.deliver(&[arrival])[0].remote, address(1), "signalled");
    alice.address = address(40);
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    bench.deliver(std::slice::from_ref(&arrival));
    assert_eq!(bench.take_events(), [(1, TransportEvent::Latched { remote: address(40) })]);
    let reply = bob.arrival(ports[1], 7, 1, 0);
    assert_eq!(bench.deliver(&[reply])[0].remote, address(40));
    // A copy from elsewhere is a replay.
    bench.deliver(&[(arrival.0, address(66), arrival.2)]);
    // A packet that was held back arrives first from elsewhere, late.
    let late = alice.arrival(ports[0], 5, 1, 0);
    let newer = alice.arrival(ports[0], 5, 2, 0);
    bench.deliver(&[newer, (late.0, address(66), late.2)]);
    let reply = bob.arrival(ports[1], 7, 2, 0);
    assert_eq!(bench.deliver(&[reply])[0].remote, address(40));
}

#[test]
fn a_report_that_was_held_back_moves_no_latch_whoever_else_reports_between() {
    let (mut bench, ports, mut changed, mut alice, mut bob) = sdes_call();
    // A leg that only listens: its reports say where it is. It has two SSRCs.
    let report = |bench: &mut Bench, alice: &mut Peer, sender, source| {
        let packet = alice.protect_rtcp(&receiver_report(sender, 7, 1));
        bench.deliver(&[(ports[0], source, packet)]).len()
    };
    assert_eq!(report(&mut bench, &mut alice, 5, address(40)), 1);
    let held = alice.protect_rtcp(&receiver_report(5, 7, 1));
    assert_eq!(report(&mut bench, &mut alice, 5, address(40)), 1);
    assert_eq!(report(&mut bench, &mut alice, 6, address(40)), 1);
    assert_eq!(bench.deliver(&[(ports[0], address(66), held)]).len(), 1, "authentic and new, but late");
    let reply = bob.arrival(ports[1], 7, 0, 0);
    assert_eq!(bench.deliver(&[reply])[0].remote, address(40));
    // Under new keys reports count from 0 again, and the first of them says where the leg is.
    changed.transports[0].keying = sdes(CM, 13, 12);
    bench.apply(&changed);
    let mut renewed = Peer::new(1, CM, 13, 12);
    assert_eq!(report(&mut bench, &mut renewed, 5, address(41)), 1);
    let reply = bob.arrival(ports[1], 7, 1, 0);
    assert_eq!(bench.deliver(&[reply])[0].remote, address(41));
}

#[test]
fn a_plain_leg_behind_nat_locks_after_three_packets() {
    let (mut bench, ports, _, mut bob) = call();
    let mut heard = Vec::new();
    for sequence in 10..20 {
        heard.extend(bob.sequences(&bench.deliver(&[(ports[0], address(30), rtp(5, sequence))])));
    }
    assert_eq!(heard, (12..20).collect::<Vec<_>>());
    assert_eq!(bench.take_events(), [(1, TransportEvent::Latched { remote: address(30) })]);
    assert_eq!(bench.verdict(1, Verdict::Probation), 2);
    let reply = bob.arrival(ports[1], 7, 0, 0);
    assert_eq!(bench.deliver(&[reply])[0].remote, address(30));
    // Nobody else gets in, not even the signalled address, until signalling says so.
    for source in [address(31), address(1)] {
        let arrivals: Vec<_> = (20..30).map(|sequence| (ports[0], source, rtp(5, sequence))).collect();
        assert!(bench.deliver(&arrivals).is_empty());
    }
    assert_eq!(bench.verdict(1, Verdict::UnexpectedSource), 20);
    assert_eq!(bob.sequences(&bench.deliver(&[(ports[0], address(30), rtp(5, 20))])), [20]);
}

#[test]
fn signalling_opens_the_latch_again() {
    let (mut bench, ports, mut plan, mut bob) = call();
    for sequence in 10..15 {
        bench.deliver(&[(ports[0], address(30), rtp(5, sequence))]);
    }
    bench.apply(&plan);
    assert!(bench.deliver(&[(ports[0], address(31), rtp(5, 15))]).is_empty());
    plan.transports[0].latch_generation = 1;
    bench.apply(&plan);
    let arrivals: Vec<_> = (15..20).map(|sequence| (ports[0], address(31), rtp(5, sequence))).collect();
    let sent = bench.deliver(&arrivals);
    assert_eq!(bob.sequences(&sent), [17, 18, 19]);
    assert_eq!(bench.statistics(1).remote, Some(address(31)));
}

#[test]
fn a_leg_that_may_not_latch_sends_to_the_signalled_address() {
    let (mut bench, ports, mut plan, mut bob) = call();
    plan.transports[0].latching = Latching::Off;
    bench.apply(&plan);
    let arrivals: Vec<_> = (0..5).map(|sequence| (ports[0], address(30), rtp(5, sequence))).collect();
    assert_eq!(bob.sequences(&bench.deliver(&arrivals)), [1, 2, 3, 4]);
    assert_eq!(bench.statistics(1).remote, Some(address(1)));
    plan.transports[0].latching = Latching::Strict;
    bench.apply(&plan);
    assert!(bench.deliver(&[(ports[0], address(30), rtp(5, 5))]).is_empty());
    assert_eq!(bob.sequences(&bench.deliver(&[(ports[0], address(1), rtp(5, 5))])), [5]);
}

#[test]
fn a_plain_rtcp_port_finds_its_peer_by_itself() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let mut rtcp = transport(1, Some(address(1)), Keying::Plain);
    rtcp.component = Component::Rtcp;
    bench.apply(&plan(vec![rtcp, transport(2, Some(address(2)), Keying::Plain)], vec![flow(1, 1, 2)]));
    let report = receiver_report(5, 7, 1);
    let arrival = (ports[0], address(30), report);
    assert!(bench.deliver(&vec![arrival.clone(); 2]).is_empty());
    assert_eq!(bench.deliver(&[arrival]).len(), 1);
    assert_eq!(bench.statistics(1).remote, Some(address(30)));
}

#[test]
fn a_leg_without_address_is_sent_nothing() {
    let (mut bench, ports, mut plan, mut bob) = call();
    plan.transports[0].remote = None;
    bench.apply(&plan);
    let reply = bob.arrival(ports[1], 7, 0, 0);
    assert!(bench.deliver(&[reply]).is_empty());
    assert_eq!(bench.verdict(2, Verdict::EgressNotReady), 1);
}

#[test]
fn packets_still_on_their_way_from_the_old_address_do_not_take_a_moved_leg_back() {
    let (mut bench, ports, mut plan, mut alice, mut bob) = sdes_call();
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    bench.deliver(&[arrival]);
    plan.transports[0].remote = Some(address(20));
    bench.apply(&plan);
    let late = alice.arrival(ports[0], 5, 1, 0);
    assert_eq!(bob.sequences(&bench.deliver(&[late])), [1], "it is heard all the same");
    assert_eq!(bench.statistics(1).remote, Some(address(20)));
    // Should the signalled address be wrong, the peer is found where its packets come from.
    bench.pass(Duration::from_secs(3));
    let arrival = alice.arrival(ports[0], 5, 2, 0);
    bench.deliver(&[arrival]);
    assert_eq!(bench.statistics(1).remote, Some(address(1)));
}

#[test]
fn a_plain_leg_that_moves_is_not_taken_back_either() {
    let (mut bench, ports, mut plan, mut bob) = call();
    let old: Vec<_> = (0..10).map(|sequence| (ports[0], address(1), rtp(5, sequence))).collect();
    bench.deliver(&old);
    plan.transports[0].remote = Some(address(20));
    bench.apply(&plan);
    let late: Vec<_> = (10..20).map(|sequence| (ports[0], address(1), rtp(5, sequence))).collect();
    assert!(bench.deliver(&late).is_empty());
    assert_eq!(bench.statistics(1).remote, Some(address(20)));
    let new: Vec<_> = (0..10).map(|sequence| (ports[0], address(20), rtp(6, sequence))).collect();
    assert_eq!(bob.sequences(&bench.deliver(&new)), (1..10).collect::<Vec<_>>());
}
