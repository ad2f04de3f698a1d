//! What a call's statistics say.

mod bench;

use std::time::Duration;

use bench::*;
use control::{KeyingState, SecuredBy, Verdict};

#[test]
fn loss_jitter_and_age_are_those_of_the_stream() {
    let (mut bench, ports, _, mut alice, _) = sdes_call();
    let began = bench.now;
    for sequence in 0..200_u16 {
        bench.now = began + Duration::from_millis(20) * u32::from(sequence);
        let arrival = alice.arrival(ports[0], 5, sequence, 0);
        if sequence % 10 != 5 {
            bench.deliver(&[arrival]);
        }
    }
    bench.now += Duration::from_millis(300);
    let statistics = bench.statistics(1);
    let stream = &statistics.streams_in[0];
    assert_eq!((stream.ssrc, stream.payload_type, stream.sequence_number, stream.timestamp), (5, 0, 199, 199 * 160));
    assert_eq!((stream.rtp.packets, stream.rtp.bytes), (180, 180 * 172));
    assert_eq!((stream.lost, stream.jitter), (20, 0));
    assert_eq!(statistics.last_packet_age, Some(Duration::from_millis(300)));
    assert_eq!(statistics.keying, KeyingState::Secured(SecuredBy::Sdes { outbound: CM, inbound: CM }));
    assert_eq!(bench.statistics(2).streams_out[0].rtp.packets, 180);
    assert_eq!(bench.statistics(2).last_packet_age, None);
}

#[test]
fn the_jitter_of_an_unknown_clock_is_found_out() {
    let (mut bench, ports, _, mut alice, _) = sdes_call();
    let began = bench.now;
    for sequence in 0..400_u16 {
        // Every other packet is 10 ms late: a jitter of 10 ms, 480 units at 48 kHz.
        let late = Duration::from_millis(if sequence % 2 == 0 { 0 } else { 10 });
        bench.now = began + Duration::from_millis(20) * u32::from(sequence) + late;
        let mut packet = rtp_of(111, 5, sequence);
        packet[4..8].copy_from_slice(&(u32::from(sequence) * 960).to_be_bytes());
        let protected = alice.protect(&packet, 0);
        bench.deliver(&[(ports[0], alice.address, protected)]);
    }
    let jitter = bench.statistics(1).streams_in[0].jitter;
    assert!((440..=480).contains(&jitter), "{jitter}");
}

#[test]
fn a_shard_counts_what_its_transports_count() {
    let (mut bench, ports, _, mut alice, _) = sdes_call();
    let arrival = alice.arrival(ports[0], 5, 0, 0);
    bench.deliver(&[arrival.clone(), arrival, (ports[1], address(9), vec![250; 30])]);
    let counters = bench.shard.counters().clone();
    let of = |verdict| counters.verdicts.of(verdict);
    assert_eq!((of(Verdict::Forwarded), of(Verdict::Replayed), of(Verdict::Malformed)), (1, 1, 1));
    assert_eq!((counters.rtp_in.packets, counters.rtp_out.packets), (1, 1));
}
