//! What is noticed of a transport beside counting.

mod bench;

use std::time::Duration;

use bench::*;
use control::{DtlsPlan, DtlsRole, IceState, Keying, LatchState, Latching, Verdict};

#[test]
fn losses_are_told_by_their_pattern_and_scored_every_five_seconds() {
    let (mut bench, ports, _, mut alice, _) = sdes_call();
    let began = bench.now;
    // 50 packets a second for 21 s, of which 500 to 524 are lost in one run.
    for sequence in 0..1050_u16 {
        bench.now = began + Duration::from_millis(20) * u32::from(sequence);
        let arrival = alice.arrival(ports[0], 5, sequence, 0);
        if !(500..525).contains(&sequence) {
            bench.deliver(&[arrival]);
        }
    }
    let stream = bench.statistics(1).streams_in[0].clone();
    let runs = stream.loss_runs;
    assert_eq!((runs.lost, runs.runs, runs.longest_run, runs.bursts, runs.lost_in_bursts), (25, 1, 25, 1, 25));
    assert_eq!(stream.clock_rate, 8000);
    let quality = stream.quality.expect("samples");
    assert_eq!(quality.samples, 4);
    // R = 93.2 - 0.24 (10 ms) without loss.
    assert_eq!((quality.latest.mos, quality.latest.loss), (440, 0));
    assert_eq!(quality.highest.mos, 440);
    // A tenth lost in one run of 25: Ie,eff = 95 * 10 / (10 / 22.5 + 25.1) = 37.2, R = 55.8, MOS = 2.88.
    assert!(quality.lowest.mos.abs_diff(288) <= 2, "{}", quality.lowest.mos);
    assert!(quality.lowest.loss.abs_diff(1000) <= 40, "{}", quality.lowest.loss);
    // Samples end at 5, 10.5 (when the run is over), 15.5 and 20.5 s; a loss is counted 32 packets later.
    assert_eq!(quality.lowest.age, Duration::from_millis(20_980 - 15_500));
    assert_eq!(bench.statistics(1).diagnosis.last_rtp_age, Some(Duration::ZERO));
}

#[test]
fn the_round_trip_of_a_leg_is_that_of_its_reports() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let mut report = vec![0x80, 200, 0, 6, 0, 0, 0, 5];
    report.extend(0xb44d_b705_2000_0000_u64.to_be_bytes());
    report.extend([0; 12]);
    let report = alice.protect_rtcp(&report);
    assert_eq!(bench.deliver(&[(ports[0], alice.address, report)]).len(), 1);
    // 80 ms later the answer of a peer that kept it for half of that.
    bench.now += Duration::from_millis(80);
    let mut answer = receiver_report(7, 5, 1);
    answer[24..28].copy_from_slice(&0xb705_2000_u32.to_be_bytes());
    answer[28..32].copy_from_slice(&(65_536_u32 / 25).to_be_bytes());
    let answer = bob.protect_rtcp(&answer);
    bench.deliver(&[(ports[1], bob.address, answer)]);
    let round_trip = bench.statistics(2).diagnosis.round_trip.expect("a round trip");
    assert!(round_trip.abs_diff(Duration::from_millis(40)) < Duration::from_millis(1), "{round_trip:?}");
    assert_eq!(bench.statistics(1).diagnosis.round_trip, None);
}

#[test]
fn the_latest_rejection_names_verdict_and_source() {
    let (mut bench, ports, _, mut alice, _) = sdes_call();
    assert_eq!(bench.statistics(1).diagnosis.last_rejection, None);
    assert_eq!(bench.statistics(1).diagnosis.latch, LatchState::Signalled);
    let genuine = alice.arrival(ports[0], 5, 0, 0);
    bench.deliver(&[(ports[0], address(9), genuine.2.clone())]);
    assert_eq!(bench.statistics(1).diagnosis.latch, LatchState::Learnt);
    bench.deliver(&[genuine]);
    bench.now += Duration::from_secs(3);
    let rejection = bench.statistics(1).diagnosis.last_rejection.expect("a repeated packet");
    assert_eq!((rejection.verdict, rejection.source), (Verdict::Replayed, alice.address));
    assert_eq!(rejection.age, Duration::from_secs(3));
    let next = alice.arrival(ports[0], 5, 1, 0);
    assert_eq!(bench.deliver(&[next]).len(), 1, "genuine packets pass");
}

#[test]
fn a_latch_that_is_turned_off_says_so() {
    let mut bench = Bench::new();
    bench.open(1);
    let mut leg = transport(1, Some(address(1)), sdes(CM, 11, 12));
    leg.latching = Latching::Strict;
    bench.apply(&plan(vec![leg], vec![]));
    assert_eq!(bench.statistics(1).diagnosis.latch, LatchState::Disabled);
}

#[test]
fn checks_are_counted_by_what_is_wrong_with_them() {
    let mut bench = Bench::new();
    let port = bench.open(1);
    let mut browser = transport(1, None, sdes(CM, 11, 12));
    browser.ice = Some(ice_plan(false));
    bench.apply(&plan(vec![browser], vec![]));
    let mut wrong_password = credentials("L");
    wrong_password.pwd = "x".repeat(24);
    bench.deliver(&[
        (port, address(6), check(&wrong_password, true, 1)),
        (port, address(7), check(&credentials("Z"), true, 2)),
    ]);
    let checks = bench.statistics(1).diagnosis.checks;
    assert_eq!((checks.valid, checks.bad_integrity, checks.unknown_user), (0, 1, 1));
    assert_eq!(checks.last_refused, Some(address(7)));
    assert_eq!(bench.statistics(1).diagnosis.last_rejection, None);
    bench.deliver(&[(port, address(1), check(&credentials("L"), true, 3))]);
    assert_eq!(bench.statistics(1).diagnosis.checks.valid, 1);
    assert_eq!(bench.statistics(1).ice, IceState::Nominated);
}

#[test]
fn a_handshake_tells_who_has_said_what() {
    let mut bench = Bench::new();
    let port = bench.open(1);
    let identity = dtls::Identity::generate().expect("an identity");
    let keying = Keying::Dtls(Box::new(DtlsPlan {
        generation: 1,
        role: Some(DtlsRole::Client),
        fingerprints: vec![identity.fingerprint(control::HashAlgorithm::Sha256)],
        profiles: vec![CM],
        deadline: Duration::from_secs(20),
    }));
    bench.apply(&plan(vec![transport(1, Some(address(1)), keying)], vec![]));
    bench.inputs();
    // A record of a ClientHello by its first bytes (RFC 6347 §4.1, §4.2.2), and one of an alert.
    let mut hello = vec![22, 254, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1];
    hello.resize(53, 0);
    let alert = vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
    bench.deliver(&[(port, address(1), hello), (port, address(1), alert)]);
    let progress = bench.statistics(1).diagnosis.dtls;
    assert_eq!(progress.role, Some(DtlsRole::Client));
    assert_eq!((progress.datagrams_in, progress.client_hellos_in, progress.closed_by_peer), (2, 1, false));
}
