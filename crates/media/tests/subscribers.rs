//! One to many: who has subscribed to a call gets copies, made in the clear and encrypted under keys of their own.

mod bench;

use bench::*;
use control::*;
use datagram::PortId;

/// Alice and Bob talk; a recorder hears Alice on transport 3 and Bob on transport 4.
fn call(recorder: [Keying; 2]) -> (Bench, [PortId; 4], Plan, Peer, Peer) {
    let (mut bench, [one, two], mut plan, alice, bob) = sdes_call();
    let ports = [one, two, bench.open(3), bench.open(4)];
    for (id, keying) in [3, 4].into_iter().zip(recorder) {
        plan.transports.push(transport(id, Some(address(id as u8)), keying));
    }
    plan.flows.push(FlowPlan { rtcp: RtcpPolicy::WithoutFeedback, ..flow(3, 1, 3) });
    plan.flows.push(FlowPlan { rtcp: RtcpPolicy::WithoutFeedback, ..flow(4, 2, 4) });
    bench.apply(&plan);
    (bench, ports, plan, alice, bob)
}

fn sender_report(sender: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(sender.to_be_bytes());
    packet.extend([0; 20]);
    packet
}

fn recorder() -> [Peer; 2] {
    [Peer::new(3, GCM, 31, 32), Peer::new(4, CM, 41, 42)]
}

#[test]
fn a_subscriber_hears_both_parties_under_keys_of_its_own() {
    let (mut bench, ports, _, mut alice, mut bob) = call([sdes(GCM, 31, 32), sdes(CM, 41, 42)]);
    let [mut hears_alice, mut hears_bob] = recorder();
    for sequence in 0..30 {
        let arrival = alice.arrival(ports[0], 5, sequence, 0);
        let sent = bench.deliver(&[arrival]);
        assert_eq!(sent.len(), 2);
        assert_eq!(bob.open(&sent), [rtp(5, sequence)]);
        assert_eq!(hears_alice.open(&sent), [rtp(5, sequence)]);
        let arrival = bob.arrival(ports[1], 7, sequence, 0);
        let sent = bench.deliver(&[arrival]);
        assert_eq!(alice.open(&sent), [rtp(7, sequence)]);
        assert_eq!(hears_bob.open(&sent), [rtp(7, sequence)]);
    }
}

#[test]
fn a_subscriber_that_joins_late_begins_at_rollover_0() {
    let (mut bench, ports, plan, mut alice, mut bob) = call([sdes(GCM, 31, 32), sdes(CM, 41, 42)]);
    // The call has gone on for a rollover and more before somebody subscribes.
    for (rollovers, sequence) in [(0, 60_000), (0, 65_535), (1, 0), (1, 100)] {
        let arrival = alice.arrival(ports[0], 5, sequence, rollovers);
        assert_eq!(bob.sequences(&bench.deliver(&[arrival])), [sequence]);
    }
    let mut late = plan.clone();
    late.transports[2] = transport(3, Some(address(9)), sdes(GCM, 33, 34));
    bench.apply(&late);
    let mut newcomer = Peer::new(9, GCM, 33, 34);
    let arrival = alice.arrival(ports[0], 5, 101, 1);
    assert_eq!(newcomer.sequences(&bench.deliver(&[arrival])), [101]);
}

#[test]
fn reports_of_a_source_reach_whoever_hears_it_and_a_subscribers_word_reaches_nobody() {
    let (mut bench, ports, _, mut alice, mut bob) = call([sdes(GCM, 31, 32), sdes(CM, 41, 42)]);
    let [mut hears_alice, mut hears_bob] = recorder();
    let arrivals = [alice.arrival(ports[0], 5, 0, 0), bob.arrival(ports[1], 7, 0, 0)];
    let sent = bench.deliver(&arrivals);
    assert_eq!((hears_alice.open(&sent).len(), hears_bob.open(&sent).len()), (1, 1));
    assert_eq!((alice.open(&sent).len(), bob.open(&sent).len()), (1, 1));
    let report = alice.protect_rtcp(&sender_report(5));
    let sent = bench.deliver(&[(ports[0], address(1), report)]);
    assert_eq!(bob.open(&sent), [sender_report(5)]);
    assert_eq!(hears_alice.open(&sent), [sender_report(5)]);
    // What the subscriber says of it, and media that it was not asked for, go nowhere.
    let complaint = hears_alice.protect_rtcp(&nack(9, 5, 0));
    assert!(bench.deliver(&[(ports[2], address(3), complaint)]).is_empty());
    let unasked = hears_alice.arrival(ports[2], 9, 0, 0);
    assert!(bench.deliver(&[unasked]).is_empty());
    assert_eq!(bench.verdict(3, Verdict::NoFlow), 2);
    let arrival = alice.arrival(ports[0], 5, 1, 0);
    let sent = bench.deliver(&[arrival]);
    assert_eq!((bob.sequences(&sent), hears_alice.sequences(&sent)), (vec![1], vec![1]));
}

#[test]
fn a_subscriber_without_keys_gets_nothing_and_a_held_party_is_recorded_no_more() {
    let (mut bench, ports, mut plan, mut alice, mut bob) = call([Keying::Pending, sdes(CM, 41, 42)]);
    let [mut hears_alice, mut hears_bob] = recorder();
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    let sent = bench.deliver(&[arrival]);
    assert_eq!((bob.open(&sent).len(), sent.len()), (1, 1));
    plan.transports[2].keying = sdes(GCM, 31, 32);
    plan.flows[3].forward_media = false;
    bench.apply(&plan);
    let arrivals = [alice.arrival(ports[0], 5, 1, 0), bob.arrival(ports[1], 7, 0, 0)];
    let sent = bench.deliver(&arrivals);
    assert_eq!((bob.sequences(&sent), hears_alice.sequences(&sent)), (vec![1], vec![1]));
    assert_eq!((alice.sequences(&sent), hears_bob.open(&sent).len()), (vec![0], 0));
}
