//! What helps with NAT where there is no ICE.

mod bench;

use std::time::Duration;

use bench::*;
use control::{Keying, NatTraversal, TransportPlan, Verdict};

fn call(phone: Keying, nat: NatTraversal) -> (Bench, [datagram::PortId; 2]) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let phone = TransportPlan { nat, ..transport(1, Some(address(1)), phone) };
    let sent = bench
        .apply(&plan(vec![phone, transport(2, Some(address(2)), Keying::Plain)], vec![flow(1, 1, 2), flow(2, 2, 1)]));
    assert!(sent.is_empty());
    (bench, ports)
}

/// The other party's packets of these sequence numbers.
fn speak(bench: &mut Bench, port: datagram::PortId, sequences: std::ops::Range<u16>) -> Vec<Sent> {
    let arrivals: Vec<Arrival> = sequences.map(|sequence| (port, address(2), rtp(7, sequence))).collect();
    bench.deliver(&arrivals)
}

#[test]
fn an_empty_datagram_goes_to_the_peer_each_second_until_it_is_heard() {
    let (mut bench, ports) = call(sdes(CM, 11, 12), NatTraversal { pierce: true, wait: false });
    let sent = bench.pass(Duration::from_millis(3_500));
    assert_eq!(sent.len(), 4, "at once, and after each second");
    assert!(sent.iter().all(|sent| (sent.port, sent.remote) == (ports[0], address(1)) && sent.bytes.is_empty()));

    let mut phone = Peer::new(1, CM, 11, 12);
    let mut forged = phone.protect(&rtp(5, 1), 0);
    forged[14] ^= 1;
    bench.deliver(&[(ports[0], address(1), forged)]);
    assert_eq!(bench.verdict(1, Verdict::BadTag), 1);
    assert_eq!(bench.pass(Duration::from_secs(1)).len(), 1, "a forged packet is not the peer's");

    let arrival = phone.arrival(ports[0], 5, 2, 0);
    assert_eq!(bench.deliver(&[arrival]).len(), 1);
    assert!(bench.pass(Duration::from_secs(5)).is_empty());
}

#[test]
fn nothing_is_sent_to_a_peer_that_is_waited_for_before_it_is_heard() {
    let (mut bench, ports) = call(sdes(CM, 11, 12), NatTraversal { pierce: false, wait: true });
    assert!(speak(&mut bench, ports[1], 0..5).is_empty());
    assert!(bench.verdict(2, Verdict::EgressNotReady) > 0);

    let mut phone = Peer::new(1, CM, 11, 12);
    let arrival = phone.arrival(ports[0], 5, 1, 0);
    assert_eq!(bench.deliver(&[arrival]).len(), 1);
    let sent = speak(&mut bench, ports[1], 5..8);
    assert_eq!(phone.open(&sent), [rtp(7, 5), rtp(7, 6), rtp(7, 7)]);
}
