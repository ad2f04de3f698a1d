//! What a plan changes, and what it leaves alone.

mod bench;

use std::time::Duration;

use bench::*;
use control::*;
use datagram::PortId;
use srtp::Outbound;

fn both_ways(bench: &mut Bench, ports: [PortId; 2], alice: &mut Peer, bob: &mut Peer, range: std::ops::Range<u16>) {
    for sequence in range {
        let arrival = alice.arrival(ports[0], 5, sequence, 0);
        assert_eq!(bob.open(&bench.deliver(&[arrival])), [rtp(5, sequence)]);
        let arrival = bob.arrival(ports[1], 7, sequence, 0);
        assert_eq!(alice.open(&bench.deliver(&[arrival])), [rtp(7, sequence)]);
    }
}

#[test]
fn both_keys_of_an_sdes_leg_secure_it() {
    let (mut bench, ..) = sdes_call();
    let secured = |outbound, inbound| TransportEvent::Secured(SecuredBy::Sdes { outbound, inbound });
    assert_eq!(bench.take_events(), [(1, secured(CM, CM)), (2, secured(GCM, GCM))]);
}

#[test]
fn the_same_plan_twice_changes_nothing() {
    let (mut bench, ports, plan, mut alice, mut bob) = sdes_call();
    both_ways(&mut bench, ports, &mut alice, &mut bob, 0..10);
    bench.take_events();
    let before = bench.shard.statistics(bench.now, CALL);
    let recorded = alice.arrival(ports[0], 5, 10, 0);
    assert_eq!(bench.deliver(std::slice::from_ref(&recorded)).len(), 1);
    for _ in 0..3 {
        assert!(bench.apply(&plan).is_empty());
    }
    assert!(bench.take_events().is_empty());
    assert!(bench.inputs().is_empty());
    let after = bench.shard.statistics(bench.now, CALL);
    assert_eq!(
        before.map(|call| call.transports[1].clone().streams_in),
        after.map(|call| call.transports[1].clone().streams_in)
    );
    // Replay windows and indices are as they were.
    assert!(bench.deliver(&[recorded]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Replayed), 1);
    both_ways(&mut bench, ports, &mut alice, &mut bob, 11..20);
}

#[test]
fn a_held_flow_authenticates_counts_and_drops_and_its_rtcp_passes() {
    let (mut bench, ports, plan, mut alice, mut bob) = sdes_call();
    both_ways(&mut bench, ports, &mut alice, &mut bob, 0..10);
    let mut held = plan.clone();
    held.flows[0].forward_media = false;
    bench.apply(&held);
    let arrival = alice.arrival(ports[0], 5, 10, 0);
    assert!(bench.deliver(std::slice::from_ref(&arrival)).is_empty());
    assert!(bench.deliver(&[arrival]).is_empty());
    assert_eq!((bench.verdict(1, Verdict::Held), bench.verdict(1, Verdict::Replayed)), (1, 1));
    assert_eq!(bench.statistics(1).rtp_in.packets, 11);
    let report = alice.protect_rtcp(&receiver_report(5, 7, 9));
    let sent = bench.deliver(&[(ports[0], alice.address, report)]);
    assert_eq!(bob.open(&sent).len(), 1);
    bench.apply(&plan);
    both_ways(&mut bench, ports, &mut alice, &mut bob, 11..20);
}

#[test]
fn new_sdes_keys_overlap_with_the_old_ones() {
    let (mut bench, ports, mut plan, mut alice, mut bob) = sdes_call();
    both_ways(&mut bench, ports, &mut alice, &mut bob, 0..10);
    plan.transports[0].keying = sdes(CM, 13, 14);
    bench.apply(&plan);
    // Alice has not seen the answer yet.
    let late = alice.arrival(ports[0], 5, 10, 0);
    assert_eq!(bob.sequences(&bench.deliver(&[late])), [10]);
    let mut renewed = Peer::new(1, CM, 13, 14);
    both_ways(&mut bench, ports, &mut renewed, &mut bob, 11..20);
    let late = alice.arrival(ports[0], 5, 21, 0);
    assert!(bench.deliver(&[late]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::BadTag), 1);
}

#[test]
fn a_new_key_goes_on_at_the_rollover_counter_of_the_old_one() {
    let (mut bench, ports, mut plan, mut alice, mut bob) = sdes_call();
    for index in (65_000..66_000_u32).step_by(10) {
        let arrival = alice.arrival(ports[0], 5, index as u16, index >> 16);
        bob.open(&bench.deliver(&[arrival]));
    }
    assert_eq!(bob.inbound.rollover_counter(5), Some(1));
    plan.transports[1].keying = sdes(GCM, 21, 23);
    bench.apply(&plan);
    bob.inbound.rekey(Policy::new(GCM), &[key(GCM, 23)]).expect("key");
    let arrival = alice.arrival(ports[0], 5, 1000, 1);
    assert_eq!(bob.sequences(&bench.deliver(&[arrival])), [1000]);
    // A peer that is known to begin at 0 gets that.
    let mut keys =
        SdesKeys { inbound: Some((Policy::new(GCM), vec![key(GCM, 21)])), outbound: (Policy::new(GCM), key(GCM, 24)) };
    keys.outbound.0.roc_on_rekey = RocPolicy::Reset;
    plan.transports[1].keying = Keying::Sdes(Box::new(keys));
    bench.apply(&plan);
    let mut fresh = Peer::new(2, GCM, 21, 24);
    let arrival = alice.arrival(ports[0], 5, 1001, 1);
    assert_eq!(fresh.sequences(&bench.deliver(&[arrival])), [1001]);
    assert_eq!(fresh.inbound.rollover_counter(5), Some(0));
}

#[test]
fn keys_that_go_and_come_back_repeat_no_index_and_forget_no_packet() {
    let (mut bench, ports, plan, mut alice, mut bob) = sdes_call();
    both_ways(&mut bench, ports, &mut alice, &mut bob, 0..10);
    let recorded = alice.arrival(ports[0], 5, 10, 0);
    assert_eq!(bob.sequences(&bench.deliver(std::slice::from_ref(&recorded))), [10]);
    for between in [Keying::Pending, Keying::Plain] {
        let mut without = plan.clone();
        without.transports[0].keying = between.clone();
        without.transports[1].keying = between;
        bench.apply(&without);
        bench.apply(&plan);
        let replayed = bench.verdict(1, Verdict::Replayed);
        assert!(bench.deliver(std::slice::from_ref(&recorded)).is_empty());
        assert_eq!(bench.verdict(1, Verdict::Replayed), replayed + 1);
    }
    // Bob's window is as it was: the next index is the only one that he can get.
    alice.outbound = Outbound::new(Policy::new(CM), &key(CM, 11)).expect("key");
    let arrival = alice.arrival(ports[0], 5, 11, 0);
    assert_eq!(bob.sequences(&bench.deliver(&[arrival])), [11]);
}

#[test]
fn pending_accepts_and_sends_nothing() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    bench.apply(&plan(
        vec![transport(1, Some(address(1)), Keying::Pending), transport(2, Some(address(2)), sdes(CM, 21, 22))],
        vec![flow(1, 1, 2), flow(2, 2, 1)],
    ));
    let mut bob = Peer::new(2, CM, 21, 22);
    assert!(bench.deliver(&[(ports[0], address(1), rtp(5, 0)), (ports[0], address(1), vec![22; 20])]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::NotKeyed), 2);
    let arrival = bob.arrival(ports[1], 7, 0, 0);
    assert!(bench.deliver(&[arrival]).is_empty());
    assert_eq!(bench.verdict(2, Verdict::EgressNotReady), 1);
}

#[test]
fn packets_that_come_before_their_sdes_key_wait_for_it() {
    let (mut bench, ports, plan, mut alice, mut bob) = sdes_call();
    let mut before = plan.clone();
    before.transports[0].keying =
        Keying::Sdes(Box::new(SdesKeys { inbound: None, outbound: (Policy::new(CM), key(CM, 12)) }));
    bench.apply(&before);
    let early: Vec<_> = (0..40).map(|sequence| alice.arrival(ports[0], 5, sequence, 0)).collect();
    assert!(bench.deliver(&early).is_empty());
    assert_eq!((bench.verdict(1, Verdict::Queued), bench.verdict(1, Verdict::NotKeyed)), (32, 8));
    let sent = bench.apply(&plan);
    assert_eq!(bob.sequences(&sent), (0..32).collect::<Vec<_>>());
}

#[test]
fn a_transport_that_is_not_named_is_closed() {
    let (mut bench, ports, mut plan, mut alice, _) = sdes_call();
    plan.transports.remove(0);
    bench.apply(&plan);
    assert_eq!(bench.closed, [ports[0]]);
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    assert!(bench.deliver(&[arrival]).is_empty());
    assert_eq!(bench.shard.counters().verdicts.of(Verdict::NoFlow), 1);
    bench.shard.remove(bench.now, CALL);
    bench.settle();
    assert_eq!(bench.closed, [ports[0], ports[1]]);
    assert!(
        matches!(&bench.events[..], [.., Event::Removed { call: CALL, statistics }] if statistics.transports.len() == 1)
    );
    let events = bench.events.len();
    bench.shard.remove(bench.now, CALL);
    bench.settle();
    assert_eq!(bench.events.len(), events);
    assert_eq!(bench.shard.poll_timeout(), None);
}

#[test]
fn silence_is_told_once_and_again_after_media() {
    let (mut bench, ports, mut plan, mut alice, _) = sdes_call();
    plan.media_timeout = Some(Duration::from_secs(60));
    bench.apply(&plan);
    let idle = |bench: &mut Bench| {
        std::mem::take(&mut bench.events).iter().filter(|event| matches!(event, Event::Idle { .. })).count()
    };
    bench.pass(Duration::from_secs(59));
    assert_eq!(idle(&mut bench), 0);
    bench.pass(Duration::from_secs(120));
    assert_eq!(idle(&mut bench), 1);
    // Forgeries are no media.
    bench.deliver(&[(ports[0], address(1), rtp(5, 0))]);
    bench.pass(Duration::from_secs(120));
    assert_eq!(idle(&mut bench), 0);
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    bench.deliver(&[arrival]);
    bench.pass(Duration::from_secs(30));
    assert_eq!(idle(&mut bench), 0);
    bench.pass(Duration::from_secs(31));
    assert_eq!(idle(&mut bench), 1);
}

#[test]
fn a_key_that_is_nearly_spent_is_told() {
    let (mut bench, ports, mut plan, mut alice, _) = sdes_call();
    let mut policy = Policy::new(CM);
    policy.srtp_lifetime = 100;
    plan.transports[0].keying = Keying::Sdes(Box::new(SdesKeys {
        inbound: Some((policy.clone(), vec![key(CM, 11)])),
        outbound: (policy, key(CM, 12)),
    }));
    bench.apply(&plan);
    bench.take_events();
    let arrivals: Vec<_> = (0..101).map(|sequence| alice.arrival(ports[0], 5, sequence, 0)).collect();
    bench.deliver(&arrivals);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.take_events(), [(1, TransportEvent::KeyNearlySpent { outbound: false })]);
    assert_eq!(bench.verdict(1, Verdict::KeyExhausted), 1);
}

#[test]
fn the_traffic_class_is_told_when_it_changes() {
    let (mut bench, ports, mut plan, ..) = sdes_call();
    plan.transports[1].traffic_class = Some(0xb8);
    bench.apply(&plan);
    bench.apply(&plan);
    assert_eq!(bench.shard.poll_traffic_class(), Some((ports[1], 0xb8)));
    assert_eq!(bench.shard.poll_traffic_class(), None);
}

#[test]
fn more_streams_than_the_bound_are_refused() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    alice.outbound = Outbound::new(Policy { max_streams: 100, ..Policy::new(CM) }, &key(CM, 11)).expect("key");
    let arrivals: Vec<_> = (0..70).map(|ssrc| alice.arrival(ports[0], ssrc, 1, 0)).collect();
    assert_eq!(bob.open(&bench.deliver(&arrivals)).len(), 64);
    assert_eq!(bench.verdict(1, Verdict::TooManyStreams), 6);
    assert_eq!(bench.statistics(1).streams_in.len(), 64);
}

#[test]
fn streams_that_fell_silent_make_room() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    bench.apply(&plan(
        vec![transport(1, Some(address(1)), Keying::Plain), transport(2, Some(address(2)), Keying::Plain)],
        vec![flow(1, 1, 2)],
    ));
    for round in 0..5 {
        for ssrc in round * 64..(round + 1) * 64 {
            let arrivals: Vec<_> = (0..3).map(|sequence| (ports[0], address(1), rtp(ssrc, sequence))).collect();
            assert_eq!(bench.deliver(&arrivals).len(), 2);
        }
        bench.pass(Duration::from_secs(31));
    }
    assert_eq!(bench.statistics(1).streams_in.len(), 64);
    assert_eq!(bench.verdict(1, Verdict::TooManyStreams), 0);
}
