//! A shard with a secure and a plain leg, and whatever comes in.

#[path = "../../../crates/media/tests/bench/mod.rs"]
mod bench;

use std::num::NonZeroU32;
use std::time::Duration;

use self::bench::{Arrival, Bench, CM, Peer, address, flow, plan, rtp, sdes, transport};
use control::{EchoPlan, FlowPlan, Keying, Verdict};

/// Datagrams of one input, at most.
const MAX_DATAGRAMS: usize = 200;

/// An input is a row of datagrams: port and host in one byte, the length in another, then the bytes. Every datagram ends in
/// one verdict, nothing leaves the secure leg but what its peer can open, and afterwards its peer's packet still passes.
pub(crate) fn run(input: &[u8]) {
    relay(input);
    echo(input);
}

/// The same to two ports whose peers hear themselves, one of them secure: no more leaves than has come, and what leaves the
/// secure port its peer can open.
fn echo(input: &[u8]) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let transports =
        vec![transport(1, Some(address(1)), sdes(CM, 11, 12)), transport(2, Some(address(2)), Keying::Plain)];
    let echo = EchoPlan { ssrc_mask: NonZeroU32::MIN, cname: "sixteen letters!".into() };
    let back = |id| FlowPlan { echo: Some(echo.clone()), ..flow(id, id, id) };
    bench.apply(&plan(transports, vec![back(1), back(2)]));
    let mut peer = Peer::new(1, CM, 11, 12);
    let mut arrivals = arrivals(input, ports);
    // Streams that there are, for packets and reports to belong to.
    let first: Vec<_> = (1..4).map(|sequence| (ports[1], address(2), rtp(0, sequence))).collect();
    arrivals.splice(0..0, first);
    let before = verdicts(&bench);
    let mut sent = bench.deliver(&arrivals);
    assert_eq!(verdicts(&bench) - before, arrivals.len() as u64, "every datagram ends in one verdict");
    sent.append(&mut bench.pass(Duration::from_secs(1)));
    assert!(sent.len() <= arrivals.len(), "no more leaves than has come");
    let came: usize = arrivals.iter().map(|(.., bytes)| bytes.len()).sum();
    let left: usize = sent.iter().map(|left| left.bytes.len()).sum();
    assert!(left <= 3 * came, "{left} bytes have left for {came}");
    for left in sent.iter().filter(|left| left.port == ports[0]) {
        peer.unprotect(left);
    }
    let genuine = peer.arrival(ports[0], 0xABCD, 1, 0);
    let back = bench.deliver(&[genuine]);
    assert_eq!(peer.open(&back).len(), 1, "the genuine packet comes back");
}

fn relay(input: &[u8]) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let transports =
        vec![transport(1, Some(address(1)), sdes(CM, 11, 12)), transport(2, Some(address(2)), Keying::Plain)];
    bench.apply(&plan(transports, vec![flow(1, 1, 2), flow(2, 2, 1)]));
    let mut peer = Peer::new(1, CM, 11, 12);

    let arrivals = arrivals(input, ports);
    let before = verdicts(&bench);
    let mut sent = bench.deliver(&arrivals);
    assert_eq!(verdicts(&bench) - before, arrivals.len() as u64, "every datagram ends in one verdict");
    sent.append(&mut bench.pass(Duration::from_secs(1)));
    for left in sent.iter().filter(|left| left.port == ports[0]) {
        // Panics when it is not authentic.
        peer.unprotect(left);
    }

    let forwarded = bench.verdict(1, Verdict::Forwarded);
    let genuine = peer.arrival(ports[0], 0xABCD, 1, 0);
    let plain = rtp(0xABCD, 1);
    let sent = bench.deliver(&[genuine]);
    assert_eq!(bench.verdict(1, Verdict::Forwarded), forwarded + 1, "the genuine packet is accepted");
    let passed = sent.iter().filter(|left| left.port == ports[1] && left.bytes[12..] == plain[12..]).count();
    assert_eq!(passed, 1, "it leaves on the other leg");
}

fn verdicts(bench: &Bench) -> u64 {
    bench.shard.counters().verdicts.iter().map(|(_, count)| count).sum()
}

fn arrivals(mut input: &[u8], ports: [datagram::PortId; 2]) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    while let Some((&[place, length], rest)) = input.split_first_chunk::<2>()
        && arrivals.len() < MAX_DATAGRAMS
    {
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(length)));
        arrivals.push((ports[usize::from(place & 1)], address(1 + (place >> 1 & 3)), bytes.to_vec()));
        input = rest;
    }
    arrivals
}
