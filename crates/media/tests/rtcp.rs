//! RTCP between legs, one port and two, and sections that share a port.

mod bench;

use bench::*;
use control::{Component, FlowPlan, Keying, Plan, RtcpPolicy, Selector, TransportId, Verdict};
use datagram::PortId;

/// Leg 1 muxed on transport 1; leg 2 on two ports, transports 2 and 3.
fn two_port_call() -> (Bench, [PortId; 3], Peer, Peer, Peer) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2), bench.open(3)];
    bench.apply(&two_port_plan());
    (bench, ports, Peer::new(1, GCM, 11, 12), Peer::new(2, CM, 21, 22), Peer::new(3, CM, 21, 22))
}

fn two_port_plan() -> Plan {
    let mut rtp = transport(2, Some(address(2)), sdes(CM, 21, 22));
    rtp.component = Component::Rtp;
    let mut rtcp = transport(3, Some(address(3)), sdes(CM, 21, 22));
    rtcp.component = Component::Rtcp;
    let out = FlowPlan { egress_rtcp: TransportId(3), ..flow(1, 1, 2) };
    let back = FlowPlan { ingress_rtcp: TransportId(3), ..flow(2, 2, 1) };
    plan(vec![transport(1, Some(address(1)), sdes(GCM, 11, 12)), rtp, rtcp], vec![out, back])
}

#[test]
fn rtcp_leaves_a_muxed_leg_for_a_port_of_its_own_and_comes_back() {
    let (mut bench, ports, mut browser, mut phone, mut phone_rtcp) = two_port_call();
    let report = browser.protect_rtcp(&receiver_report(5, 7, 1));
    let arrival = browser.arrival(ports[0], 5, 1, 0);
    let sent = bench.deliver(&[(ports[0], browser.address, report), arrival]);
    assert_eq!(phone.open(&sent), [rtp(5, 1)]);
    assert_eq!(phone_rtcp.open(&sent), [receiver_report(5, 7, 1)]);
    assert_eq!(sent.iter().map(|sent| sent.port).collect::<Vec<_>>(), [ports[2], ports[1]]);
    let report = phone_rtcp.protect_rtcp(&receiver_report(7, 5, 1));
    let sent = bench.deliver(&[(ports[2], phone_rtcp.address, report)]);
    assert_eq!(browser.open(&sent), [receiver_report(7, 5, 1)]);
    assert_eq!(sent[0].port, ports[0]);
}

/// The SRTCP index of a packet of a CM profile with an 80-bit tag (RFC 3711 §3.4).
fn srtcp_index(packet: &[u8]) -> u32 {
    let trailer = packet.len() - 14;
    u32::from_be_bytes(packet[trailer..trailer + 4].try_into().expect("four bytes")) & 0x7fff_ffff
}

#[test]
fn no_srtcp_index_comes_again_when_rtp_and_rtcp_come_together_and_part() {
    let (mut bench, ports, mut browser, mut phone, mut phone_rtcp) = two_port_call();
    let apart = two_port_plan();
    let mut indices = Vec::new();
    let mut report = |bench: &mut Bench, receiver: &mut Peer| {
        let report = browser.protect_rtcp(&receiver_report(5, 7, 1));
        let sent = bench.deliver(&[(ports[0], browser.address, report)]);
        indices.push(srtcp_index(&sent[0].bytes));
        assert_eq!(receiver.open(&sent), [receiver_report(5, 7, 1)]);
    };
    (0..3).for_each(|_| report(&mut bench, &mut phone_rtcp));
    let mut together = apart.clone();
    together.transports.retain(|transport| transport.id != TransportId(3));
    together.transports[1].component = Component::Muxed;
    together.flows[0].egress_rtcp = TransportId(2);
    together.flows[1].ingress_rtcp = TransportId(2);
    bench.apply(&together);
    (0..2).for_each(|_| report(&mut bench, &mut phone));
    bench.open(3);
    bench.apply(&apart);
    (0..2).for_each(|_| report(&mut bench, &mut phone_rtcp));
    assert_eq!(indices, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn an_index_used_on_one_port_is_not_used_on_another_under_the_same_key() {
    let (mut bench, ports, mut browser, mut phone, _) = two_port_call();
    let apart = two_port_plan();
    let recorded = browser.arrival(ports[0], 5, 10, 0);
    assert_eq!(phone.open(&bench.deliver(&[recorded])), [rtp(5, 10)]);
    // As when a bundle parts: another port goes on with the key, and a stream of the same SSRC begins anew there.
    let mut moved = apart.clone();
    moved.transports[1].component = Component::Rtcp;
    moved.transports[2].component = Component::Rtp;
    moved.flows = vec![
        FlowPlan { egress_rtcp: TransportId(2), ..flow(1, 1, 3) },
        FlowPlan { ingress_rtcp: TransportId(2), ..flow(2, 3, 1) },
    ];
    bench.apply(&moved);
    let mut other = Peer::new(1, GCM, 11, 12);
    let again = other.protect(&rtp(5, 9), 0);
    assert!(bench.deliver(&[(ports[0], browser.address, again)]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::IndexReused), 1);
    let next = browser.arrival(ports[0], 5, 11, 0);
    assert_eq!(bench.deliver(&[next]).len(), 1);
}

#[test]
fn a_packet_on_the_other_components_port_is_not_taken() {
    let (mut bench, ports, _, mut phone, mut phone_rtcp) = two_port_call();
    let report = phone.protect_rtcp(&receiver_report(7, 5, 1));
    let media = phone_rtcp.protect(&rtp(7, 1), 0);
    assert!(bench.deliver(&[(ports[1], phone.address, report), (ports[2], phone_rtcp.address, media)]).is_empty());
    assert_eq!(bench.verdict(2, Verdict::WrongComponent), 1);
    assert_eq!(bench.verdict(3, Verdict::WrongComponent), 1);
    let arrival = phone.arrival(ports[1], 7, 1, 0);
    assert_eq!(bench.deliver(&[arrival]).len(), 1);
}

#[test]
fn reports_are_translated_on_a_leg_of_two_ports_as_well() {
    let (mut bench, ports, mut browser, mut phone, mut phone_rtcp) = two_port_call();
    // Leaps that are too long for the phone are closed.
    for sequence in [100, 20_000, 40_000] {
        let arrival = browser.arrival(ports[0], 5, sequence, 0);
        phone.open(&bench.deliver(&[arrival]));
    }
    let report = phone_rtcp.protect_rtcp(&receiver_report(7, 5, 102));
    let sent = bench.deliver(&[(ports[2], phone_rtcp.address, report)]);
    assert_eq!(browser.open(&sent), [receiver_report(7, 5, 40_000)]);
}

#[test]
fn a_leg_without_avpf_gets_no_feedback_and_one_that_wants_none_gets_no_rtcp() {
    let (mut bench, ports, plan, mut alice, mut bob) = sdes_call();
    let compound = [receiver_report(5, 7, 1), nack(5, 7, 3)].concat();
    let mut filtered = plan.clone();
    filtered.flows[0].rtcp = RtcpPolicy::WithoutFeedback;
    bench.apply(&filtered);
    let packet = alice.protect_rtcp(&compound);
    let sent = bench.deliver(&[(ports[0], alice.address, packet)]);
    assert_eq!(bob.open(&sent), [receiver_report(5, 7, 1)]);
    let packet = alice.protect_rtcp(&nack(5, 7, 3));
    assert!(bench.deliver(&[(ports[0], alice.address, packet)]).is_empty());
    filtered.flows[0].rtcp = RtcpPolicy::Drop;
    bench.apply(&filtered);
    let packet = alice.protect_rtcp(&compound);
    assert!(bench.deliver(&[(ports[0], alice.address, packet)]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Filtered), 2);
    bench.apply(&plan);
    let packet = alice.protect_rtcp(&compound);
    let sent = bench.deliver(&[(ports[0], alice.address, packet)]);
    assert_eq!(bob.open(&sent), [compound]);
}

#[test]
fn what_is_not_rtcp_inside_is_not_passed_on() {
    let (mut bench, ports, _, mut alice, mut bob) = sdes_call();
    let mut broken = receiver_report(5, 7, 1);
    broken[3] = 200;
    let packet = alice.protect_rtcp(&broken);
    assert!(bench.deliver(&[(ports[0], alice.address, packet)]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Malformed), 1);
    let packet = alice.protect_rtcp(&receiver_report(5, 7, 1));
    let sent = bench.deliver(&[(ports[0], alice.address, packet)]);
    assert_eq!(bob.open(&sent).len(), 1);
}

const MID: u8 = 4;

/// Sections on transport 1, each to a phone leg of its own: audio to 2, video to 3.
fn bundle(selectors: [Selector; 2]) -> (Bench, [PortId; 3], Plan, Peer) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2), bench.open(3)];
    let [audio, video] = selectors;
    let plan = plan(
        vec![
            transport(1, Some(address(1)), sdes(GCM, 11, 12)),
            transport(2, Some(address(2)), Keying::Plain),
            transport(3, Some(address(3)), Keying::Plain),
        ],
        vec![
            FlowPlan { selector: audio, ..flow(1, 1, 2) },
            FlowPlan { selector: video, ..flow(2, 1, 3) },
            flow(3, 2, 1),
            flow(4, 3, 1),
        ],
    );
    bench.apply(&plan);
    (bench, ports, plan, Peer::new(1, GCM, 11, 12))
}

fn by_mid(mid: &str, payload_type: u8) -> Selector {
    Selector {
        mid: Some(mid.into()),
        mid_extension: Some(MID),
        payload_types: vec![payload_type],
        ..Selector::default()
    }
}

/// An RTP packet with a MID in a one-byte extension (RFC 8285).
fn with_mid(mid: &str, payload_type: u8, ssrc: u32, sequence: u16) -> Vec<u8> {
    let plain = rtp_of(payload_type, ssrc, sequence);
    let mut extension = vec![MID << 4 | (mid.len() as u8 - 1)];
    extension.extend(mid.as_bytes());
    extension.resize(extension.len().next_multiple_of(4), 0);
    let mut packet = plain[..12].to_vec();
    packet[0] |= 0x10;
    packet.extend([0xbe, 0xde, 0, (extension.len() / 4) as u8]);
    packet.extend(extension);
    packet.extend(&plain[12..]);
    packet
}

fn destination(bench: &mut Bench, port: PortId, peer: &mut Peer, packet: &[u8]) -> Option<PortId> {
    let protected = peer.protect(packet, 0);
    bench.deliver(&[(port, peer.address, protected)]).first().map(|sent| sent.port)
}

#[test]
fn sections_are_told_apart_by_mid_and_the_ssrc_is_remembered() {
    let (mut bench, ports, plan, mut browser) = bundle([by_mid("0", 111), by_mid("1", 96)]);
    let [port, audio, video] = ports;
    // The MID wins over the payload type, and binds the SSRC for packets without it.
    assert_eq!(destination(&mut bench, port, &mut browser, &with_mid("1", 111, 70, 1)), Some(video));
    assert_eq!(destination(&mut bench, port, &mut browser, &rtp_of(111, 70, 2)), Some(video));
    // A plan with the same flows leaves what was learnt.
    bench.apply(&plan);
    assert_eq!(destination(&mut bench, port, &mut browser, &rtp_of(111, 70, 3)), Some(video));
    assert_eq!(destination(&mut bench, port, &mut browser, &rtp_of(111, 71, 1)), Some(audio));
    assert_eq!(destination(&mut bench, port, &mut browser, &with_mid("7", 111, 72, 1)), None);
    assert_eq!(destination(&mut bench, port, &mut browser, &rtp_of(100, 73, 1)), None);
    assert_eq!(bench.verdict(1, Verdict::NoFlow), 2);
}

#[test]
fn sections_are_told_apart_by_signalled_ssrc() {
    let by_ssrc = |ssrc| Selector { ssrcs: vec![ssrc], ..Selector::default() };
    let (mut bench, ports, _, mut browser) = bundle([by_ssrc(70), by_ssrc(71)]);
    assert_eq!(destination(&mut bench, ports[0], &mut browser, &rtp_of(96, 71, 1)), Some(ports[2]));
    assert_eq!(destination(&mut bench, ports[0], &mut browser, &rtp_of(96, 70, 1)), Some(ports[1]));
}

#[test]
fn rtcp_on_a_bundle_goes_where_its_streams_go_and_to_all_when_that_is_unknown() {
    let (mut bench, ports, _, mut browser) = bundle([by_mid("0", 111), by_mid("1", 96)]);
    let [port, audio, video] = ports;
    destination(&mut bench, port, &mut browser, &with_mid("0", 111, 70, 1));
    destination(&mut bench, port, &mut browser, &with_mid("1", 96, 71, 1));
    let where_to = |bench: &mut Bench, browser: &mut Peer, packet: &[u8]| {
        let packet = browser.protect_rtcp(packet);
        let sent = bench.deliver(&[(port, browser.address, packet)]);
        let mut to: Vec<_> = sent.iter().map(|sent| sent.port).collect();
        to.sort();
        to
    };
    // By its sender.
    assert_eq!(where_to(&mut bench, &mut browser, &receiver_report(71, 0, 0)), [video]);
    // By the stream that it is about, which came from the audio leg.
    bench.deliver(&[(audio, address(2), rtp(80, 1)), (audio, address(2), rtp(80, 2))]);
    assert_eq!(where_to(&mut bench, &mut browser, &nack(1, 80, 1)), [audio]);
    assert_eq!(where_to(&mut bench, &mut browser, &receiver_report(1, 2, 0)), [audio, video]);
}

#[test]
fn a_second_flow_gets_a_copy_under_its_own_key() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2), bench.open(3)];
    bench.apply(&plan(
        vec![
            transport(1, Some(address(1)), sdes(CM, 11, 12)),
            transport(2, Some(address(2)), sdes(CM, 21, 22)),
            transport(3, Some(address(3)), sdes(GCM, 31, 32)),
        ],
        vec![flow(1, 1, 2), flow(2, 1, 3)],
    ));
    let mut alice = Peer::new(1, CM, 11, 12);
    let mut bob = Peer::new(2, CM, 21, 22);
    let mut carol = Peer::new(3, GCM, 31, 32);
    let arrivals: Vec<_> = (0..100).map(|sequence| alice.arrival(ports[0], 5, sequence, 0)).collect();
    let sent = bench.deliver(&arrivals);
    assert_eq!(bob.sequences(&sent), (0..100).collect::<Vec<_>>());
    assert_eq!(carol.sequences(&sent), (0..100).collect::<Vec<_>>());
    assert_eq!(bench.verdict(1, Verdict::Forwarded), 100);
}
