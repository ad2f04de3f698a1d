//! Whatever comes in whatever order: no panic, and a secure leg sends nothing that is not encrypted.

mod bench;

use std::net::SocketAddr;
use std::time::Duration;

use bench::*;
use control::*;
use proptest::prelude::*;
use rtp::Class;
use sallyport_media::handshake::Handshakes;
use srtp::{Inbound, Profile};

#[derive(Clone, Debug)]
enum Step {
    Junk { port: usize, host: u8, bytes: Vec<u8> },
    Phone { host: u8, sequence: u16, ssrc: u8 },
    Secure { host: u8, sequence: u16, ssrc: u8, key: u8 },
    Report { secure: bool },
    Check { host: u8, nominate: bool },
    Plan { keying: u8, flags: u8 },
    Pass { millis: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = (0..=255_u8, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(first, mut bytes)| {
        bytes.insert(0, first);
        bytes
    });
    prop_oneof![
        2 => (0..2_usize, 0..4_u8, bytes).prop_map(|(port, host, bytes)| Step::Junk { port, host, bytes }),
        4 => (0..3_u8, any::<u16>(), 0..3_u8).prop_map(|(host, sequence, ssrc)| Step::Phone { host, sequence, ssrc }),
        4 => (0..3_u8, 0..2000_u16, 0..3_u8).prop_map(|(host, sequence, ssrc)| Step::Phone { host, sequence, ssrc }),
        3 => (0..3_u8, any::<u16>(), 0..3_u8, 0..2_u8)
            .prop_map(|(host, sequence, ssrc, key)| Step::Secure { host, sequence, ssrc, key }),
        1 => any::<bool>().prop_map(|secure| Step::Report { secure }),
        1 => (0..3_u8, any::<bool>()).prop_map(|(host, nominate)| Step::Check { host, nominate }),
        2 => (0..6_u8, any::<u8>()).prop_map(|(keying, flags)| Step::Plan { keying, flags }),
        1 => (0..5000_u16).prop_map(|millis| Step::Pass { millis }),
    ]
}

/// Leg 1 is secure in one way or another, leg 2 is plain.
fn wanted(keying: u8, flags: u8, identity: &dtls::Identity) -> Plan {
    let keying = match keying {
        0 => sdes(CM, 11, 12),
        1 => sdes(CM, 13, 14),
        2 => Keying::Pending,
        3 => dtls_plan(u32::from(flags >> 6), None, identity),
        4 => dtls_plan(u32::from(flags >> 6), Some(DtlsRole::Server), identity),
        _ => dtls_plan(u32::from(flags >> 6), Some(DtlsRole::Client), identity),
    };
    let mut secure = transport(1, (flags & 1 == 0).then(|| address(1)), keying);
    secure.latch_generation = u32::from(flags >> 4 & 1);
    if flags & 2 != 0 {
        secure.ice = Some(ice_plan(flags & 4 != 0));
    }
    let mut out = flow(1, 2, 1);
    out.forward_media = flags & 8 == 0;
    plan(vec![secure, transport(2, Some(address(2)), Keying::Plain)], vec![out, flow(2, 1, 2)])
}

fn is_authentic(profile: Profile, sent: &Sent) -> bool {
    let ssrc_at = if rtp::classify(&sent.bytes) == Class::Rtp { 8 } else { 4 };
    let ssrc = u32::from_be_bytes(sent.bytes[ssrc_at..ssrc_at + 4].try_into().expect("four bytes"));
    [12, 14].iter().any(|&seed| {
        (0..4).any(|rollovers| {
            let mut inbound = Inbound::new(Policy::new(profile), &[key(profile, seed)]).expect("key");
            inbound.set_rollover_counter(ssrc, rollovers);
            let mut bytes = sent.bytes.clone();
            let len = bytes.len();
            let opened = match ssrc_at {
                8 => inbound.unprotect_rtp(&mut bytes, len),
                _ => inbound.unprotect_rtcp(&mut bytes, len),
            };
            opened.is_ok()
        })
    })
}

fn host(number: u8) -> SocketAddr {
    address(number + 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn junk_never_panics_and_a_secure_leg_sends_nothing_unencrypted(steps in prop::collection::vec(step(), 1..120)) {
        thread_local!(static IDENTITY: dtls::Identity = dtls::Identity::generate().expect("an identity"));
        let identity = IDENTITY.with(Clone::clone);
        let mut bench = Bench::new();
        bench.handshakes = Some(Handshakes::new(identity.clone(), 1200));
        let ports = [bench.open(1), bench.open(2)];
        bench.apply(&wanted(0, 0, &identity));
        let mut keyed = true;
        let mut peers = [Peer::new(1, CM, 11, 12), Peer::new(1, CM, 13, 14)];
        let mut arrived = 0;
        for (number, step) in steps.into_iter().enumerate() {
            let arrival = match step.clone() {
                Step::Junk { port, host: from, bytes } => Some((ports[port], host(from), bytes)),
                Step::Phone { host: from, sequence, ssrc } => Some((ports[1], host(from), rtp(ssrc.into(), sequence))),
                Step::Secure { host: from, sequence, ssrc, key } => {
                    let mut buffer = rtp(ssrc.into(), sequence);
                    let len = buffer.len();
                    buffer.resize(len + 16, 0);
                    let protected = peers[usize::from(key)].outbound.protect_rtp(&mut buffer, len, 0);
                    protected.ok().map(|len| (ports[0], host(from), buffer[..len].to_vec()))
                }
                Step::Report { secure: false } => Some((ports[1], host(1), receiver_report(1, 2, 3))),
                Step::Report { secure: true } => {
                    Some((ports[0], host(0), peers[0].protect_rtcp(&receiver_report(1, 2, 3))))
                }
                Step::Check { host: from, nominate } => {
                    Some((ports[0], host(from), check(&credentials("L"), nominate, number as u8)))
                }
                Step::Plan { .. } | Step::Pass { .. } => None,
            };
            let sent = match step {
                Step::Plan { keying, flags } => {
                    keyed = keying < 2;
                    bench.apply(&wanted(keying, flags, &identity))
                }
                Step::Pass { millis } => bench.pass(Duration::from_millis(millis.into())),
                _ => {
                    arrived += arrival.iter().len() as u64;
                    bench.deliver(arrival.as_slice())
                }
            };
            for sent in sent.iter().filter(|sent| sent.port == ports[0]) {
                match rtp::classify(&sent.bytes) {
                    Class::Stun | Class::Dtls => {}
                    Class::Rtp | Class::Rtcp => {
                        prop_assert!(keyed, "media from a leg without keys");
                        prop_assert!(is_authentic(CM, sent));
                    }
                    class => prop_assert!(false, "{class:?} was sent"),
                }
            }
            // Every datagram has one verdict; one that waits is counted again when it leaves its queue.
            let counted: u64 = bench.shard.counters().verdicts.iter().map(|(_, count)| count).sum();
            let waited = bench.shard.counters().verdicts.of(Verdict::Queued);
            prop_assert!((arrived..=arrived + waited).contains(&counted));
        }
    }

    #[test]
    fn a_batch_ends_as_its_packets_one_by_one(steps in prop::collection::vec(step(), 1..64)) {
        let identity = dtls::Identity::generate().expect("an identity");
        let mut results = Vec::new();
        for one_by_one in [false, true] {
            let mut bench = Bench::new();
            let ports = [bench.open(1), bench.open(2)];
            bench.apply(&wanted(0, 0, &identity));
            let mut peer = Peer::new(1, CM, 11, 12);
            let arrivals: Vec<Arrival> = steps
                .iter()
                .filter_map(|step| match step {
                    Step::Phone { host: from, sequence, ssrc } => {
                        Some((ports[1], host(*from), rtp((*ssrc).into(), *sequence)))
                    }
                    Step::Secure { host: from, sequence, ssrc, .. } => {
                        // Small steps and repetitions, so that most of them fit and some are replays.
                        let mut buffer = rtp((*ssrc).into(), sequence % 32);
                        let len = buffer.len();
                        buffer.resize(len + 16, 0);
                        let repeated = (buffer[..len].to_vec(), len);
                        let protected = peer.outbound.protect_rtp(&mut buffer, len, 0);
                        let (bytes, len) = protected.map_or(repeated, |len| (buffer, len));
                        Some((ports[0], host(*from), bytes[..len].to_vec()))
                    }
                    Step::Junk { port, host: from, bytes } => Some((ports[*port], host(*from), bytes.clone())),
                    _ => None,
                })
                .collect();
            let sent = if one_by_one {
                arrivals.iter().flat_map(|arrival| bench.deliver(std::slice::from_ref(arrival))).collect()
            } else {
                bench.deliver(&arrivals)
            };
            // Where they go may differ: a batch leaves when all of it has been heard.
            let sent: Vec<_> = sent.into_iter().map(|sent| (sent.port, sent.bytes)).collect();
            results.push((sent, bench.statistics(1).verdicts, bench.statistics(2).verdicts));
        }
        prop_assert_eq!(&results[0], &results[1]);
    }
}
