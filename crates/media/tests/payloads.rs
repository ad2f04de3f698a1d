//! Payload types that are blocked, and such as pass as silence.

mod bench;

use bench::*;
use control::{FlowPlan, Keying, PayloadTypes, Silenced, Verdict};
use datagram::PortId;

const MU_LAW: u8 = 0;
const A_LAW: u8 = 8;
const EVENT: u8 = 101;

/// A secure caller on transport 1, a plain callee on transport 2; what the caller sends is edited.
fn edited(blocked: PayloadTypes, silenced: Silenced) -> (Bench, PortId, Peer) {
    let mut bench = Bench::new();
    let port = bench.open(1);
    bench.open(2);
    let out = FlowPlan { blocked, silenced, ..flow(1, 1, 2) };
    let transports =
        vec![transport(1, Some(address(1)), sdes(GCM, 11, 12)), transport(2, Some(address(2)), Keying::Plain)];
    bench.apply(&plan(transports, vec![out, flow(2, 2, 1)]));
    (bench, port, Peer::new(1, GCM, 11, 12))
}

fn deliver(bench: &mut Bench, port: PortId, caller: &mut Peer, packet: &[u8]) -> Vec<Vec<u8>> {
    let protected = caller.protect(packet, 0);
    let sent = bench.deliver(&[(port, caller.address, protected)]);
    sent.into_iter().map(|sent| sent.bytes).collect()
}

#[test]
fn a_blocked_payload_type_is_held_and_the_others_pass() {
    let (mut bench, port, mut caller) = edited([EVENT].into_iter().collect(), Silenced::default());
    assert!(deliver(&mut bench, port, &mut caller, &rtp_of(EVENT, 5, 1)).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Held), 1);
    assert_eq!(deliver(&mut bench, port, &mut caller, &rtp_of(MU_LAW, 5, 2)), [rtp_of(MU_LAW, 5, 2)]);
    assert_eq!(bench.statistics(1).rtp_in.packets, 2, "a blocked packet is authentic and counts");
}

#[test]
fn g711_passes_as_digital_silence_and_what_has_none_is_held() {
    let silenced = Silenced { mu_law: [MU_LAW].into_iter().collect(), a_law: [A_LAW].into_iter().collect() };
    let spared = silenced.mu_law.and(silenced.a_law);
    let (mut bench, port, mut caller) = edited(PayloadTypes::ALL.without(spared), silenced);
    for (payload_type, sequence, octet) in [(MU_LAW, 1, 0xff), (A_LAW, 2, 0xd5)] {
        let packet = rtp_of(payload_type, 5, sequence);
        let silent = [&packet[..12], &[octet; 160]].concat();
        assert_eq!(deliver(&mut bench, port, &mut caller, &packet), [silent]);
    }
    assert!(deliver(&mut bench, port, &mut caller, &rtp_of(96, 5, 3)).is_empty());
    assert_eq!(bench.verdict(1, Verdict::Held), 1);
}

#[test]
fn padding_and_header_extension_stay_when_a_packet_is_silenced() {
    let silenced = Silenced { mu_law: [MU_LAW].into_iter().collect(), ..Silenced::default() };
    let (mut bench, port, mut caller) = edited(PayloadTypes::default(), silenced);
    let mut packet = vec![0xb0, MU_LAW, 0, 1, 0, 0, 0, 160, 0, 0, 0, 5];
    packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
    let header = packet.clone();
    packet.extend([7; 160]);
    packet.extend([0, 0, 0, 4]);
    let silent = [&header[..], &[0xff; 160], &[0, 0, 0, 4]].concat();
    assert_eq!(deliver(&mut bench, port, &mut caller, &packet), [silent]);
}
