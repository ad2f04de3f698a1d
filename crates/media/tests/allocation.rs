//! No allocation per packet, and none for strangers. One test: the counter is that of the whole process.

mod bench;

use std::alloc::System;
use std::num::NonZeroU32;

use bench::*;
use control::{DtlsRole, EchoPlan, FlowPlan, Keying, Verdict};
use sallyport_media::handshake::Handshakes;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Hands batches to the shard and asserts that nothing was allocated meanwhile and every packet left.
fn assert_no_allocation(bench: &mut Bench, arrivals: &[Arrival]) {
    for chunk in arrivals.chunks(datagram::BATCH_CAPACITY) {
        bench.fill(chunk);
        let region = Region::new(ALLOCATOR);
        bench.shard.handle_batch(bench.now, &mut bench.batch);
        let change = region.change();
        assert_eq!((change.allocations, change.reallocations), (0, 0));
        assert!(bench.batch.datagrams().iter().all(|datagram| datagram.route().is_some()));
    }
}

fn sdes_to_sdes() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let first = [alice.arrival(ports[0], 5, 0, 0), bob.arrival(ports[1], 7, 0, 0)];
    bench.deliver(&first);
    let arrivals: Vec<_> = (1..1000)
        .flat_map(|sequence| [alice.arrival(ports[0], 5, sequence, 0), bob.arrival(ports[1], 7, sequence, 0)])
        .collect();
    assert_no_allocation(&mut bench, &arrivals);
    let reports: Vec<Arrival> =
        (0..100).map(|number| (ports[0], alice.address, alice.protect_rtcp(&receiver_report(5, 7, number)))).collect();
    bench.deliver(&reports[..1]);
    assert_no_allocation(&mut bench, &reports[1..]);
}

fn plain_to_sdes() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    bench.apply(&plan(
        vec![transport(1, Some(address(1)), Keying::Plain), transport(2, Some(address(2)), sdes(CM, 21, 22))],
        vec![flow(1, 1, 2), flow(2, 2, 1)],
    ));
    let mut bob = Peer::new(2, CM, 21, 22);
    let phone = |sequence| (ports[0], address(1), rtp(5, sequence));
    let first = [phone(0), phone(1), phone(2), bob.arrival(ports[1], 7, 0, 0)];
    bench.deliver(&first);
    let arrivals: Vec<_> =
        (3..1000).flat_map(|sequence| [phone(sequence), bob.arrival(ports[1], 7, sequence, 0)]).collect();
    assert_no_allocation(&mut bench, &arrivals);
}

fn dtls_to_sdes() {
    let identity = dtls::Identity::generate().expect("an identity");
    let mut bench = Bench::new();
    bench.handshakes = Some(Handshakes::new(identity.clone(), 1200));
    let ports = [bench.open(1), bench.open(2)];
    let mut browser = transport(1, None, dtls_plan(1, Some(DtlsRole::Server), &identity));
    browser.ice = Some(ice_plan(false));
    bench.apply(&plan(
        vec![browser, transport(2, Some(address(2)), sdes(CM, 21, 22))],
        vec![flow(1, 1, 2), flow(2, 2, 1)],
    ));
    bench.deliver(&[(ports[0], address(1), check(&credentials("L"), true, 1))]);
    let mut client = DtlsPeer::new(&bench, 1, DtlsRole::Client, &identity, &identity);
    client.start(&bench);
    client.converse(&mut bench, ports[0], Vec::new());
    let (mut browser, mut phone) = (client.peer(), Peer::new(2, CM, 21, 22));
    let first = [browser.arrival(ports[0], 5, 0, 0), phone.arrival(ports[1], 7, 0, 0)];
    bench.deliver(&first);
    let arrivals: Vec<_> = (1..1000)
        .flat_map(|sequence| [browser.arrival(ports[0], 5, sequence, 0), phone.arrival(ports[1], 7, sequence, 0)])
        .collect();
    assert_no_allocation(&mut bench, &arrivals);
}

fn back_to_the_caller() {
    let mut bench = Bench::new();
    let port = bench.open(1);
    let echo = EchoPlan { ssrc_mask: NonZeroU32::MIN, cname: "sallyport".into() };
    let back = FlowPlan { echo: Some(echo), ..flow(1, 1, 1) };
    bench.apply(&plan(vec![transport(1, Some(address(1)), sdes(CM, 11, 12))], vec![back]));
    let mut caller = Peer::new(1, CM, 11, 12);
    let report = |number: u64| sender_report(5, number << 32, 0, &[]);
    let first = [caller.arrival(port, 5, 0, 0), (port, address(1), caller.protect_rtcp(&report(1)))];
    assert_eq!(bench.deliver(&first).len(), 2);
    let arrivals: Vec<_> = (1..1000).map(|sequence| caller.arrival(port, 5, sequence, 0)).collect();
    assert_no_allocation(&mut bench, &arrivals);
    let reports: Vec<Arrival> =
        (2..100).map(|number| (port, address(1), caller.protect_rtcp(&report(number)))).collect();
    assert_no_allocation(&mut bench, &reports);
}

fn fifty_thousand_forged_ssrcs() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let first = alice.arrival(ports[0], 5, 0, 0);
    assert_eq!(bob.open(&bench.deliver(&[first])).len(), 1);
    let forged: Vec<Arrival> = (0..50_000).map(|ssrc| (ports[0], alice.address, rtp(ssrc + 1000, 1))).collect();
    let region = Region::new(ALLOCATOR);
    for chunk in forged.chunks(datagram::BATCH_CAPACITY) {
        bench.fill(chunk);
        bench.shard.handle_batch(bench.now, &mut bench.batch);
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    assert_eq!(bench.verdict(1, Verdict::BadTag), 50_000);
    assert_eq!(bench.statistics(1).streams_in.len(), 1);
    let genuine: Vec<_> = (1..21).map(|sequence| alice.arrival(ports[0], 5, sequence, 0)).collect();
    assert_eq!(bob.sequences(&bench.deliver(&genuine)), (1..21).collect::<Vec<_>>());
}

fn fifty_thousand_forged_ssrcs_on_a_plain_leg() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    bench.apply(&plan(
        vec![transport(1, Some(address(1)), Keying::Plain), transport(2, Some(address(2)), sdes(CM, 21, 22))],
        vec![flow(1, 1, 2)],
    ));
    let mut bob = Peer::new(2, CM, 21, 22);
    let phone = |sequence| (ports[0], address(1), rtp(5, sequence));
    let first: Vec<_> = (0..4).map(phone).collect();
    assert_eq!(bob.sequences(&bench.deliver(&first)), [1, 2, 3]);
    // Even from the peer's own address, as somebody on the path may send them.
    let forged: Vec<Arrival> = (0..50_000).map(|ssrc| (ports[0], address(1), rtp(ssrc + 1000, 1))).collect();
    bench.deliver(&forged[..1000]);
    let region = Region::new(ALLOCATOR);
    for chunk in forged[1000..].chunks(datagram::BATCH_CAPACITY) {
        bench.fill(chunk);
        bench.shard.handle_batch(bench.now, &mut bench.batch);
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    let genuine: Vec<_> = (4..24).map(phone).collect();
    assert_eq!(bob.sequences(&bench.deliver(&genuine)), (4..24).collect::<Vec<_>>());
}

#[test]
fn packets_cost_no_allocation_and_forgeries_no_memory() {
    sdes_to_sdes();
    plain_to_sdes();
    dtls_to_sdes();
    back_to_the_caller();
    fifty_thousand_forged_ssrcs();
    fifty_thousand_forged_ssrcs_on_a_plain_leg();
}
