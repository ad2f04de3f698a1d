//! Failed packets are examined, in bounds, and what is found changes nothing.

mod bench;

use std::time::Duration;

use bench::*;
use control::{Hypothesis, TransportId, Verdict};
use sallyport_media::examine::{Evidence, examine};

fn evidence(bench: &mut Bench) -> Vec<Evidence> {
    std::iter::from_fn(|| bench.shard.poll_evidence()).collect()
}

#[test]
fn what_is_found_is_kept_and_accepts_nothing() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    // Alice's address, Bob's key and profile.
    let mut swapped = Peer::new(1, GCM, 21, 12);
    for sequence in 0..20 {
        let arrival = swapped.arrival(ports[0], 5, sequence, 0);
        assert!(bench.deliver(&[arrival]).is_empty());
        for evidence in evidence(&mut bench) {
            bench.shard.handle_finding(bench.now, &examine(&evidence));
        }
        bench.now += Duration::from_secs(1);
    }
    let statistics = bench.statistics(1);
    assert_eq!(statistics.verdicts.of(Verdict::BadTag), 20);
    assert_eq!((statistics.rtp_in.packets, statistics.last_packet_age), (0, None));
    assert!(statistics.streams_in.is_empty());
    let suspicion = statistics.diagnosis.suspicions[0];
    assert_eq!(suspicion.hypothesis, Hypothesis::PeerKeyOfLeg(control::LegId(2)));
    assert_eq!((suspicion.packets, suspicion.age), (20, Duration::from_secs(1)));
    let genuine = alice.arrival(ports[0], 5, 0, 0);
    assert_eq!(bob.open(&bench.deliver(&[genuine])), [rtp(5, 0)]);
}

#[test]
fn a_flood_of_forgeries_is_examined_three_times_a_second() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let mut examined = 0;
    for tick in 0..50_u16 {
        let forged: Vec<Arrival> = (0..64).map(|n| (ports[0], address(1), rtp(n, tick))).collect();
        bench.deliver(&forged);
        examined += evidence(&mut bench).len();
        let genuine = alice.arrival(ports[0], 5, tick, 0);
        assert_eq!(bob.open(&bench.deliver(&[genuine])).len(), 1);
        bench.now += Duration::from_millis(100);
    }
    assert_eq!(examined, 3 * 5, "five seconds");
    assert_eq!(bench.verdict(1, Verdict::BadTag), 50 * 64);
}

#[test]
fn nobody_has_to_take_what_is_to_be_examined() {
    let (mut bench, ports, _, _, _) = sdes_call();
    for second in 0..100_u16 {
        bench.deliver(&[(ports[0], address(1), rtp(9, second))]);
        bench.now += Duration::from_secs(1);
    }
    assert_eq!(evidence(&mut bench).len(), 8);
    assert_eq!(evidence(&mut bench).len(), 0);
}

#[test]
fn healthy_packets_are_never_examined() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    for sequence in 0..100 {
        let (there, back) = (alice.arrival(ports[0], 5, sequence, 0), bob.arrival(ports[1], 7, sequence, 0));
        bench.deliver(&[there, back]);
    }
    assert_eq!(evidence(&mut bench).len(), 0);
}

#[test]
fn a_finding_about_a_port_that_was_closed_is_ignored() {
    let (mut bench, ports, plan, _, _) = sdes_call();
    bench.deliver(&[(ports[0], address(1), rtp(9, 1))]);
    let late = evidence(&mut bench);
    assert_eq!(late.len(), 1);
    let without: Vec<_> = plan.transports.iter().filter(|one| one.id != TransportId(1)).cloned().collect();
    bench.apply(&self::plan(without, Vec::new()));
    bench.open(1);
    bench.apply(&plan);
    bench.shard.handle_finding(bench.now, &examine(&late[0]));
    assert_eq!(bench.statistics(1).diagnosis.suspicions, []);
}
