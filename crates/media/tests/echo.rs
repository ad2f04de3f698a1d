//! A peer that hears itself: under SSRCs, keys and reports of ours, each packet once, and nothing that is not its own.

mod bench;

use std::num::NonZeroU32;
use std::time::Duration;

use ::rtp::RtcpCompound;
use ::rtp::rtcp::{ReportBlock, SenderInformation};
use bench::*;
use control::{Component, DtlsRole, EchoPlan, FlowPlan, Keying, Plan, RtcpPolicy, TransportId, Verdict};
use datagram::PortId;
use sallyport_media::handshake::Handshakes;

const MASK: u32 = 0x1234_0000;
const SSRC: u32 = 0x0a0b_0c0d;
/// [`SSRC`] exclusive-or [`MASK`], by hand.
const OURS: u32 = 0x183f_0c0d;

fn echo(id: u16, transport: u16) -> FlowPlan {
    let echo = EchoPlan { ssrc_mask: NonZeroU32::new(MASK).expect("not 0"), cname: "sallyport".into() };
    FlowPlan { echo: Some(echo), ..flow(id, transport, transport) }
}

fn call(keying: Keying) -> (Bench, PortId, Plan) {
    let mut bench = Bench::new();
    let port = bench.open(1);
    let plan = plan(vec![transport(1, Some(address(1)), keying)], vec![echo(1, 1)]);
    bench.apply(&plan);
    (bench, port, plan)
}

fn sdes_echo() -> (Bench, PortId, Plan, Peer) {
    let (bench, port, plan) = call(sdes(CM, 11, 12));
    (bench, port, plan, Peer::new(1, CM, 11, 12))
}

fn with_ssrc(mut packet: Vec<u8>, ssrc: u32) -> Vec<u8> {
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet
}

/// What came back as a report: who says it, of what it sends, of what it received, and under which name.
fn told(packet: &[u8]) -> (u32, Option<SenderInformation>, Vec<ReportBlock>, Vec<u8>) {
    let compound = RtcpCompound::parse(packet).expect("RTCP");
    let packets: Vec<_> = compound.packets().collect();
    assert_eq!(packets.len(), 2, "a report and a description");
    let chunk = packets[1].sdes_chunks().next().flatten().expect("a chunk");
    let ssrc = packets[0].sender_ssrc().expect("an SSRC");
    assert_eq!(chunk.ssrc, ssrc);
    let name = chunk.items().find(|item| item.item_type == 1).expect("a CNAME").text.to_vec();
    (ssrc, packets[0].sender_information(), packets[0].report_blocks().collect(), name)
}

#[test]
fn sdes_audio_comes_back_under_our_key_and_our_ssrc() {
    let (mut bench, port, _, mut caller) = sdes_echo();
    let arrivals: Vec<_> = (1..30).map(|sequence| caller.arrival(port, SSRC, sequence, 0)).collect();
    let sent = bench.deliver(&arrivals);
    assert!(sent.iter().all(|sent| sent.port == port && sent.remote == caller.address));
    let expected: Vec<_> = (1..30).map(|sequence| with_ssrc(rtp(SSRC, sequence), OURS)).collect();
    assert_eq!(caller.open(&sent), expected);
    assert_eq!(bench.verdict(1, Verdict::Forwarded), 29);
    let statistics = bench.statistics(1);
    assert_eq!((statistics.streams_in[0].ssrc, statistics.streams_out[0].ssrc), (SSRC, OURS));
}

#[test]
fn dtls_audio_comes_back_over_the_nominated_pair() {
    let identity = dtls::Identity::generate().expect("an identity");
    let mut bench = Bench::new();
    bench.handshakes = Some(Handshakes::new(identity.clone(), 1200));
    let port = bench.open(1);
    let mut browser = transport(1, None, dtls_plan(1, Some(DtlsRole::Server), &identity));
    browser.ice = Some(ice_plan(false));
    bench.apply(&plan(vec![browser], vec![echo(1, 1)]));
    bench.deliver(&[(port, address(1), check(&credentials("L"), true, 1))]);
    let mut client = DtlsPeer::new(&bench, 1, DtlsRole::Client, &identity, &identity);
    client.start(&bench);
    client.converse(&mut bench, port, Vec::new());
    let mut caller = client.peer();
    let arrivals: Vec<_> = (65_530..=65_535).map(|sequence| caller.arrival(port, SSRC, sequence, 0)).collect();
    assert_eq!(caller.sequences(&bench.deliver(&arrivals)), (65_530..=65_535).collect::<Vec<_>>());
    let arrivals: Vec<_> = (0..5).map(|sequence| caller.arrival(port, SSRC, sequence, 1)).collect();
    let back = caller.open(&bench.deliver(&arrivals));
    assert_eq!(back[4], with_ssrc(rtp(SSRC, 4), OURS), "beyond the rollover");
}

#[test]
fn plain_audio_comes_back_from_the_peer_alone() {
    let (mut bench, port, _) = call(Keying::Plain);
    let arrival = |host, sequence| (port, address(host), rtp(SSRC, sequence));
    let sent = bench.deliver(&[arrival(1, 1), arrival(1, 2), arrival(1, 3), arrival(9, 4)]);
    // The first one is on probation (RFC 3550 A.1).
    let back: Vec<_> = sent.iter().map(|sent| sent.bytes.clone()).collect();
    assert_eq!(back, [2, 3].map(|sequence| with_ssrc(rtp(SSRC, sequence), OURS)));
    assert!(sent.iter().all(|sent| sent.remote == address(1)));
    assert_eq!(bench.verdict(1, Verdict::UnexpectedSource) + bench.verdict(1, Verdict::Probation), 2);
}

#[test]
fn replayed_and_forged_packets_do_not_come_back() {
    let (mut bench, port, _, mut caller) = sdes_echo();
    let genuine = caller.arrival(port, SSRC, 1, 0);
    assert_eq!(bench.deliver(std::slice::from_ref(&genuine)).len(), 1);
    let mut stranger = Peer::new(1, CM, 66, 12);
    let forged = stranger.arrival(port, SSRC, 2, 0);
    let mut bent = caller.arrival(port, SSRC, 3, 0);
    bent.2[20] ^= 1;
    let clear = (port, caller.address, rtp(SSRC, 4));
    assert!(bench.deliver(&[genuine, forged, bent, clear]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Replayed), 1);
    assert_eq!(bench.verdict(1, Verdict::BadTag), 3);
    let next = caller.arrival(port, SSRC, 5, 0);
    assert_eq!(caller.sequences(&bench.deliver(&[next])), [5]);
}

#[test]
fn what_came_back_does_not_go_back_once_more() {
    // Under keys: it is not the caller's.
    let (mut bench, port, _, mut caller) = sdes_echo();
    let arrival = caller.arrival(port, SSRC, 1, 0);
    let sent = bench.deliver(&[arrival]);
    assert!(bench.deliver(&[(port, caller.address, sent[0].bytes.clone())]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::BadTag), 1);
}

/// Two ports of one relay that believe each other to be the caller, as two forged offers could make them.
#[test]
fn two_plain_echoes_do_not_send_a_packet_to_and_fro_for_ever() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let other = EchoPlan { ssrc_mask: NonZeroU32::new(0x0000_5678).expect("not 0"), cname: "b".into() };
    bench.apply(&plan(
        vec![transport(1, Some(address(1)), Keying::Plain), transport(2, Some(address(2)), Keying::Plain)],
        vec![echo(1, 1), FlowPlan { echo: Some(other), ..flow(2, 2, 2) }],
    ));
    // Whatever one returns reaches the other one from the address that it expects.
    let pass = |bench: &mut Bench, first: Vec<Arrival>| {
        let (mut sent, mut hops) = (bench.deliver(&first), 0);
        while !sent.is_empty() {
            let across = |sent: &Sent| match sent.port == ports[0] {
                true => (ports[1], address(2), sent.bytes.clone()),
                false => (ports[0], address(1), sent.bytes.clone()),
            };
            let arrivals: Vec<_> = sent.iter().map(across).collect();
            hops += arrivals.len();
            assert!(hops < 100, "they do not end");
            sent = bench.deliver(&arrivals);
        }
        hops
    };
    let media = (1..=8).map(|sequence| (ports[0], address(1), rtp(SSRC, sequence))).collect();
    assert!(pass(&mut bench, media) > 8, "the media does cross");
    let report = (ports[0], address(1), sender_report(SSRC, 0xe000_0000_8000_0000, 160, &[]));
    assert!(pass(&mut bench, vec![report]) > 1, "so does the report");
}

#[test]
fn a_packet_in_the_clear_comes_back_once() {
    let (mut bench, port, _) = call(Keying::Plain);
    let arrival = |sequence| (port, address(1), rtp(SSRC, sequence));
    let first: Vec<_> = (1..6).map(arrival).collect();
    assert_eq!(bench.deliver(&first).len(), 4);
    assert!(bench.deliver(&[arrival(5), arrival(4)]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Replayed), 2);
    assert_eq!(bench.deliver(&[arrival(6)]).len(), 1);
    // A source that begins anew is another sequence (RFC 3550 A.1).
    assert_eq!(bench.deliver(&[arrival(40_000), arrival(40_001), arrival(40_002)]).len(), 2);
    assert_eq!(bench.deliver(&[arrival(6), arrival(7), arrival(8)]).len(), 2);
}

#[test]
fn on_hold_nothing_comes_back_and_later_it_goes_on() {
    let (mut bench, port, plan, mut caller) = sdes_echo();
    let first = caller.arrival(port, SSRC, 1, 0);
    assert_eq!(bench.deliver(&[first]).len(), 1);
    let mut held = plan.clone();
    held.flows[0].forward_media = false;
    bench.apply(&held);
    let arrival = caller.arrival(port, SSRC, 2, 0);
    assert!(bench.deliver(&[arrival]).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Held), 1);
    bench.apply(&plan);
    let arrival = caller.arrival(port, SSRC, 3, 0);
    let sent = bench.deliver(&[arrival]);
    assert_eq!(sent.len(), 1);
}

#[test]
fn a_sender_report_is_answered_with_what_was_received_and_sent_back() {
    let (mut bench, port, _, mut caller) = sdes_echo();
    // Of eight packets the third is lost.
    let arrivals: Vec<_> =
        [1, 2, 4, 5, 6, 7, 8].map(|sequence| caller.arrival(port, SSRC, sequence, 0)).into_iter().collect();
    caller.open(&bench.deliver(&arrivals));
    let report = caller.protect_rtcp(&sender_report(SSRC, 0xe000_0001_8000_1234, 1280, &[]));
    let sent = bench.deliver(&[(port, caller.address, report)]);
    let (ssrc, sender, blocks, name) = told(&caller.open(&sent)[0]);
    assert_eq!((ssrc, name.as_slice()), (OURS, b"sallyport".as_slice()));
    let expected =
        SenderInformation { ntp_timestamp: 0xe000_0001_8000_1234, rtp_timestamp: 1280, packets: 7, octets: 7 * 160 };
    assert_eq!(sender, Some(expected), "the caller's clock, our counts");
    let [block] = blocks[..] else { panic!("one block") };
    assert_eq!((block.ssrc, block.cumulative_lost, block.highest_sequence_number), (SSRC, 1, 8));
    assert_eq!(block.fraction_lost, 32, "one of eight, in 1/256");
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0x0001_8000, 0));
    assert_eq!(bench.statistics(1).rtcp_out.packets, 1);
}

#[test]
fn the_callers_report_about_our_stream_tells_the_round_trip_and_goes_no_further() {
    let (mut bench, port, _, mut caller) = sdes_echo();
    let arrivals: Vec<_> = (1..4).map(|sequence| caller.arrival(port, SSRC, sequence, 0)).collect();
    caller.open(&bench.deliver(&arrivals));
    let report = caller.protect_rtcp(&sender_report(SSRC, 0xe000_0001_8000_0000, 480, &[]));
    bench.deliver(&[(port, caller.address, report)]);
    bench.pass(Duration::from_millis(80));
    // About OURS, last report 0001:8000, kept 0.05 s (0x0ccc / 65536).
    let mut block = OURS.to_be_bytes().to_vec();
    block.extend([0; 12]);
    block.extend(0x0001_8000_u32.to_be_bytes());
    block.extend(0x0000_0ccc_u32.to_be_bytes());
    let report = caller.protect_rtcp(&sender_report(SSRC, 0xe000_0001_9000_0000, 960, &block));
    let sent = bench.deliver(&[(port, caller.address, report)]);
    let (.., blocks, _) = told(&caller.open(&sent)[0]);
    assert_eq!(blocks.iter().map(|block| block.ssrc).collect::<Vec<_>>(), [SSRC]);
    let round_trip = bench.statistics(1).diagnosis.round_trip.expect("known");
    assert!(round_trip.abs_diff(Duration::from_millis(30)) < Duration::from_millis(1), "{round_trip:?}");
}

#[test]
fn who_is_not_sent_anything_gets_a_receiver_report() {
    let (mut bench, port, plan, mut caller) = sdes_echo();
    let mut held = plan;
    held.flows[0].forward_media = false;
    bench.apply(&held);
    let arrivals: Vec<_> = (1..4).map(|sequence| caller.arrival(port, SSRC, sequence, 0)).collect();
    bench.deliver(&arrivals);
    let report = caller.protect_rtcp(&sender_report(SSRC, 1 << 32, 480, &[]));
    let sent = bench.deliver(&[(port, caller.address, report)]);
    let (ssrc, sender, blocks, _) = told(&caller.open(&sent)[0]);
    assert_eq!((ssrc, sender, blocks[0].ssrc), (OURS, None, SSRC));
}

#[test]
fn other_rtcp_is_for_nobody_and_a_report_is_answered_once() {
    let (mut bench, port, _, mut caller) = sdes_echo();
    let arrivals: Vec<_> = (1..4).map(|sequence| caller.arrival(port, SSRC, sequence, 0)).collect();
    bench.deliver(&arrivals);
    let unknown = sender_report(SSRC + 1, 1 << 32, 480, &[]);
    for packet in [receiver_report(SSRC, OURS, 3), nack(SSRC, OURS, 2), unknown] {
        let packet = caller.protect_rtcp(&packet);
        assert!(bench.deliver(&[(port, caller.address, packet)]).is_empty());
    }
    assert_eq!(bench.verdict(1, Verdict::Filtered), 3);
    let report = sender_report(SSRC, 1 << 32, 480, &[]);
    for answers in [1, 0] {
        let packet = caller.protect_rtcp(&report);
        assert_eq!(bench.deliver(&[(port, caller.address, packet)]).len(), answers);
    }
}

#[test]
fn an_answer_is_at_most_three_times_as_long_as_what_it_answers() {
    let echo = EchoPlan { ssrc_mask: NonZeroU32::MIN, cname: "sixteen letters!".into() };
    let mut bench = Bench::new();
    let port = bench.open(1);
    let transports = vec![transport(1, Some(address(1)), Keying::Plain)];
    bench.apply(&plan(transports, vec![FlowPlan { echo: Some(echo), ..flow(1, 1, 1) }]));
    let media: Vec<_> = (1..5).map(|sequence| (port, address(1), rtp(SSRC, sequence))).collect();
    assert_eq!(bench.deliver(&media).len(), 3);
    let shortest = sender_report(SSRC, 1 << 32, 480, &[]);
    let answer = bench.deliver(&[(port, address(1), shortest.clone())]);
    assert!(answer[0].bytes.len() <= 3 * shortest.len(), "{} bytes", answer[0].bytes.len());
}

#[test]
fn reports_come_back_on_the_port_of_rtcp() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let mut media = transport(1, Some(address(1)), sdes(CM, 11, 12));
    media.component = Component::Rtp;
    let mut reports = transport(2, Some(address(2)), sdes(CM, 11, 12));
    reports.component = Component::Rtcp;
    let two = FlowPlan { ingress_rtcp: TransportId(2), egress_rtcp: TransportId(2), ..echo(1, 1) };
    bench.apply(&plan(vec![media, reports], vec![two]));
    let (mut caller, mut caller_rtcp) = (Peer::new(1, CM, 11, 12), Peer::new(2, CM, 11, 12));
    let arrivals: Vec<_> = (1..4).map(|sequence| caller.arrival(ports[0], SSRC, sequence, 0)).collect();
    caller.open(&bench.deliver(&arrivals));
    let report = caller_rtcp.protect_rtcp(&sender_report(SSRC, 1 << 32, 480, &[]));
    let sent = bench.deliver(&[(ports[1], address(2), report)]);
    assert_eq!((sent[0].port, sent[0].remote), (ports[1], address(2)));
    let (ssrc, sender, ..) = told(&caller_rtcp.open(&sent)[0]);
    assert_eq!((ssrc, sender.map(|sender| sender.packets)), (OURS, Some(3)));
}

#[test]
fn a_subscriber_hears_the_caller_as_it_is() {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let copy = FlowPlan { rtcp: RtcpPolicy::WithoutFeedback, ..flow(2, 1, 2) };
    bench.apply(&plan(
        vec![transport(1, Some(address(1)), sdes(CM, 11, 12)), transport(2, Some(address(2)), sdes(GCM, 21, 22))],
        vec![echo(1, 1), copy],
    ));
    let (mut caller, mut recorder) = (Peer::new(1, CM, 11, 12), Peer::new(2, GCM, 21, 22));
    let arrival = caller.arrival(ports[0], SSRC, 1, 0);
    let sent = bench.deliver(&[arrival]);
    assert_eq!(caller.open(&sent), [with_ssrc(rtp(SSRC, 1), OURS)]);
    assert_eq!(recorder.open(&sent), [rtp(SSRC, 1)]);
    let report = sender_report(SSRC, 1 << 32, 160, &[]);
    let packet = caller.protect_rtcp(&report);
    let sent = bench.deliver(&[(ports[0], caller.address, packet)]);
    assert_eq!(told(&caller.open(&sent)[0]).0, OURS);
    assert_eq!(recorder.open(&sent), [report]);
}

#[test]
fn what_we_cannot_open_does_not_come_back() {
    for (keying, component) in [(Keying::PassThrough, Component::Muxed), (Keying::Plain, Component::Datagrams)] {
        let mut bench = Bench::new();
        let port = bench.open(1);
        let mut sealed = transport(1, Some(address(1)), keying);
        sealed.component = component;
        bench.apply(&plan(vec![sealed], vec![echo(1, 1)]));
        let dtls = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0].to_vec();
        let mut arrivals: Vec<_> = (1..6).map(|sequence| (port, address(1), rtp(SSRC, sequence))).collect();
        arrivals.push((port, address(1), sender_report(SSRC, 1 << 32, 160, &[])));
        arrivals.push((port, address(1), dtls));
        assert!(bench.deliver(&arrivals).is_empty());
    }
}

#[test]
fn new_keys_of_both_sides_take_the_echo_along() {
    let (mut bench, port, plan, mut caller) = sdes_echo();
    let arrival = caller.arrival(port, SSRC, 1, 0);
    assert_eq!(caller.sequences(&bench.deliver(&[arrival])), [1]);
    let mut next = plan;
    next.transports[0].keying = sdes(GCM, 31, 32);
    bench.apply(&next);
    let mut caller = Peer::new(1, GCM, 31, 32);
    let arrivals: Vec<_> = (2..5).map(|sequence| caller.arrival(port, SSRC, sequence, 0)).collect();
    let sent = bench.deliver(&arrivals);
    assert_eq!(caller.open(&sent)[2], with_ssrc(rtp(SSRC, 4), OURS));
}
