//! Sources that are not the peer, and peers that misbehave.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use boring::ssl::SslVersion;
use common::raw::{Credential, RawPeer, context};
use common::{Net, address, another_fingerprint, config, origin};
use control::{DtlsRole, TransportFailure};
use proptest::prelude::*;
use sallyport_dtls::{Endpoint, EndpointConfig, EndpointEvent, Identity, Standing, Verdict, Versions};

const BOTH: [Versions; 2] = [Versions::Dtls12, Versions::Dtls13];

/// A forged source, never the same.
fn stranger(number: u32) -> SocketAddr {
    let [_, b, c, d] = number.to_be_bytes();
    SocketAddr::from(([198, 51, b, c], 1000 + u16::from(d)))
}

/// Whole ClientHellos of their own randoms, as a flood sends them; each is one or two datagrams.
fn bogus_hellos(version: SslVersion, count: usize) -> Vec<Vec<Vec<u8>>> {
    (0..count)
        .map(|_| {
            let mut builder = context(None, version);
            builder.set_tlsext_use_srtp("SRTP_AEAD_AES_128_GCM").unwrap();
            RawPeer::new(builder, true, 1200).take()
        })
        .collect()
}

/// A datagram's records; what has not the long header stays whole.
fn records(mut datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let [20..=23, ..] = datagram {
        let length = 13 + usize::from(u16::from_be_bytes([datagram[11], datagram[12]]));
        let (record, rest) = datagram.split_at(length);
        records.push(record.to_vec());
        datagram = rest;
    }
    if !datagram.is_empty() {
        records.push(datagram.to_vec());
    }
    records
}

fn drain(endpoint: &mut Endpoint) -> Vec<(SocketAddr, usize)> {
    std::iter::from_fn(|| endpoint.poll_transmit()).map(|sent| (sent.remote, sent.bytes.len())).collect()
}

/// A genuine handshake while a flood of `per_second` ClientHellos comes from ever new sources, or from those given.
fn handshake_in_flood(
    versions: Versions,
    flood_standing: Standing,
    genuine: Standing,
    per_second: u32,
    source: impl Fn(u32) -> SocketAddr,
) -> Net {
    let hellos: Vec<_> =
        [SslVersion::DTLS1_2, SslVersion::DTLS1_3].into_iter().flat_map(|version| bogus_hellos(version, 50)).collect();
    let mut net = Net::pair(versions);
    net.server.standing = genuine;
    let step = Duration::from_secs(1) / per_second;
    for number in 0..per_second * 20 {
        for bytes in &hellos[number as usize % hellos.len()] {
            net.server.endpoint.handle_datagram(net.now, source(number), flood_standing, bytes);
        }
        if number == per_second * 2 {
            net.start();
        }
        net.run_for(step);
        if net.client.outcome.keyed.is_some() && net.server.outcome.keyed.is_some() {
            break;
        }
    }
    net
}

#[test]
fn a_flood_of_client_hellos_does_not_keep_a_validated_peer_out() {
    for versions in BOTH {
        let net = handshake_in_flood(versions, Standing::Unproven, Standing::Validated, 1000, stranger);
        net.assert_keyed();
        assert!(net.now - net.start < Duration::from_secs(3), "nor delays it");
    }
}

#[test]
fn a_flood_of_client_hellos_does_not_keep_an_unproven_peer_out() {
    for versions in BOTH {
        let net = handshake_in_flood(versions, Standing::Unproven, Standing::Unproven, 500, stranger);
        net.assert_keyed();
    }
}

#[test]
fn a_flood_from_the_validated_address_itself_does_not_bind_the_endpoint() {
    // Beforehand only: from the peer's own address, every answer to a forged ClientHello reaches the peer.
    for versions in BOTH {
        let mut net = Net::pair(versions);
        // Each record of the peer's comes alone: the forged associations see the signature that does not fit theirs
        // before the Finished has made the genuine one complete.
        let client = net.client.address;
        net.tamper = Some(Box::new(move |from, bytes| {
            let parts = if from == client { records(&bytes) } else { vec![bytes] };
            parts.into_iter().map(|part| (Duration::ZERO, part)).collect()
        }));
        let peer = net.client.address;
        for hello in bogus_hellos(SslVersion::DTLS1_2, 40) {
            for bytes in hello {
                net.server.endpoint.handle_datagram(net.now, peer, Standing::Validated, &bytes);
            }
        }
        drain(&mut net.server.endpoint);
        net.run_for(Duration::from_secs(1));
        net.start();
        net.settle();
        net.assert_keyed();
        // The forged associations get the peer's flight too, and fail on it; what they think of it is nobody's business.
        assert!(net.server.sent.iter().all(|(_, _, bytes)| !matches!(bytes[..], [21, _, _, 0, 0, ..])), "no alert");
    }
}

#[test]
fn a_running_handshake_outlives_a_flood_that_begins_later() {
    for versions in BOTH {
        let mut net = Net::pair(versions);
        net.server.standing = Standing::Unproven;
        net.start();
        // The first ClientHello has come, its answer is under way.
        net.run_for(common::LATENCY + Duration::from_millis(5));
        for (number, hello) in bogus_hellos(SslVersion::DTLS1_2, 300).into_iter().enumerate() {
            for bytes in hello {
                net.server.endpoint.handle_datagram(net.now, stranger(number as u32), Standing::Unproven, &bytes);
            }
        }
        net.settle();
        net.assert_keyed();
        // A small 1.2 ClientHello has to come twice before all of our answer may go.
        let limit = if versions == Versions::Dtls13 { 150 } else { 500 };
        assert!(net.now - net.start < Duration::from_millis(limit));
    }
}

#[test]
fn a_wrong_certificate_from_an_unproven_source_leaves_the_genuine_one_alone() {
    for versions in BOTH {
        let mut net = Net::pair(versions);
        net.server.standing = Standing::Unproven;
        let impostor = address(66);
        let credential = Credential::ec();
        let mut builder = context(Some(&credential), SslVersion::DTLS1_2);
        builder.set_tlsext_use_srtp("SRTP_AEAD_AES_128_GCM").unwrap();
        let mut raw = RawPeer::new(builder, true, 1200);
        for _ in 0..20 {
            // All it sends it sends thrice, which lets the whole of our flight go.
            for bytes in raw.take().into_iter().flat_map(|bytes| vec![bytes; 3]) {
                net.server.endpoint.handle_datagram(net.now, impostor, Standing::Unproven, &bytes);
            }
            while let Some(sent) = net.server.endpoint.poll_transmit() {
                raw.handle(sent.bytes);
            }
        }
        assert!(raw.error.is_some(), "the impostor has heard that it is none");
        assert!(net.server.endpoint.poll_event().is_none());
        net.start();
        net.settle();
        net.assert_keyed();
    }
}

#[test]
fn when_only_wrong_certificates_came_the_deadline_says_so() {
    let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let server = EndpointConfig { fingerprints: vec![another_fingerprint()], ..config(DtlsRole::Server, &one) };
    let mut net = Net::of(&one, config(DtlsRole::Client, &other), &other, server, Versions::Both);
    net.server.standing = Standing::Unproven;
    net.start();
    net.run_for(Duration::from_secs(40));
    assert_eq!(net.server.outcome.failed, Some(TransportFailure::FingerprintMismatch));
    assert_eq!(net.server.outcome.failed_at.unwrap() - net.start, Duration::from_secs(30));
}

/// A fatal handshake_failure in the clear.
const ALERT: [u8; 15] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];

#[test]
fn plaintext_alerts_from_anywhere_do_not_end_a_handshake() {
    for versions in BOTH {
        for from_peer in [true, false] {
            let mut net = Net::pair(versions);
            net.start();
            for _ in 0..40 {
                let (client, server) = (net.client.address, net.server.address);
                let (to_server, to_client) = if from_peer { (client, server) } else { (address(66), address(67)) };
                let standing = if from_peer { Standing::Validated } else { Standing::Unproven };
                net.server.endpoint.handle_datagram(net.now, to_server, standing, &ALERT);
                net.client.endpoint.handle_datagram(net.now, to_client, standing, &ALERT);
                net.run_for(Duration::from_millis(5));
            }
            net.assert_keyed();
            net.run_for(Duration::from_secs(10));
            assert!(!net.client.outcome.closed && !net.server.outcome.closed);
        }
    }
}

#[test]
fn a_plaintext_alert_of_a_peer_that_then_falls_silent_is_believed() {
    let mut net = Net::pair(Versions::Both).lossy(1.0, 1);
    net.start();
    net.client.endpoint.handle_datagram(net.now, address(2), Standing::Validated, &ALERT);
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.client.outcome.failed, Some(TransportFailure::AlertReceived(40)));
    assert!(net.client.outcome.failed_at.unwrap() - net.start <= Duration::from_secs(2));
}

#[test]
fn at_most_four_associations_are_tentative_and_the_genuine_one_comes_through() {
    for version in [SslVersion::DTLS1_2, SslVersion::DTLS1_3] {
        let mut net = Net::pair(Versions::Both);
        for (number, hello) in bogus_hellos(version, 40).iter().enumerate() {
            // Often enough that its bytes pay for retransmissions.
            for bytes in hello.iter().cycle().take(hello.len() * 24) {
                let source = stranger(number as u32);
                net.server.endpoint.handle_datagram(net.now, source, Standing::Unproven, bytes);
            }
        }
        // Those that had to make room have been answered once; only those that are there send again.
        drain(&mut net.server.endpoint);
        let mut again = BTreeSet::new();
        while let Some(due) = net.server.endpoint.poll_timeout().filter(|due| *due < net.start + Duration::from_secs(1))
        {
            net.now = due;
            net.server.endpoint.handle_timeout(due);
            again.extend(drain(&mut net.server.endpoint).into_iter().map(|(to, _)| to));
        }
        assert_eq!(again.len(), 4, "{again:?}");
        net.start();
        net.settle();
        net.assert_keyed();
    }
}

#[test]
fn an_unproven_source_gets_at_most_three_times_what_it_sent() {
    for version in [SslVersion::DTLS1_2, SslVersion::DTLS1_3] {
        let ours = Identity::generate().unwrap();
        let mut now = origin();
        let mut endpoint = Endpoint::new(now, &ours, config(DtlsRole::Server, &ours)).unwrap();
        let mut answered = 0;
        for (number, hello) in bogus_hellos(version, 100).iter().enumerate() {
            let source = stranger(number as u32);
            let (mut sent, mut received) = (0, 0);
            // Some come twice, so that a small one gets its answer.
            for bytes in hello.iter().cycle().take(hello.len() * (1 + number % 2)) {
                received += bytes.len();
                endpoint.handle_datagram(now, source, Standing::Unproven, bytes);
            }
            // It never answers: our retransmissions count too.
            for _ in 0..30 {
                let drained = drain(&mut endpoint);
                sent += drained.iter().filter(|(to, _)| *to == source).map(|(_, length)| length).sum::<usize>();
                let Some(next) = endpoint.poll_timeout().filter(|next| *next < now + Duration::from_millis(200)) else {
                    break;
                };
                now = now.max(next);
                endpoint.handle_timeout(now);
            }
            now += Duration::from_millis(200);
            assert!(sent <= 3 * received, "{sent} bytes for {received}");
            answered += usize::from(sent > 0);
        }
        assert!(answered >= 4, "{answered}");
    }
}

#[test]
fn an_unproven_peer_gets_through_on_its_retransmissions_however_small_its_hello() {
    // A 1.2 ClientHello of some 150 bytes lets 450 go, and our flight has twice that.
    let mut net = Net::pair(Versions::Dtls12);
    net.server.standing = Standing::Unproven;
    net.start();
    net.settle();
    net.assert_keyed();
    assert!(net.now - net.start < Duration::from_secs(2));
}

#[test]
fn only_a_server_answers_client_hellos_and_only_while_it_waits() {
    let hello = &bogus_hellos(SslVersion::DTLS1_2, 1)[0][0];
    let mut net = Net::pair(Versions::Both);
    let stray =
        |endpoint: &mut Endpoint, now: Instant| endpoint.handle_datagram(now, address(9), Standing::Unproven, hello);
    let now = net.now;
    assert_eq!(stray(&mut net.client.endpoint, now), Verdict::Rejected, "not started");
    net.start();
    assert_eq!(stray(&mut net.client.endpoint, now), Verdict::Rejected, "not from the peer");
    net.settle();
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    assert_eq!(stray(&mut net.server.endpoint, now), Verdict::Rejected, "has its association");
    let peer = net.client.address;
    let verdict = net.server.endpoint.handle_datagram(now, peer, Standing::Validated, hello);
    assert_eq!(verdict, Verdict::Dropped, "a new one needs signalling (RFC 8842)");
    net.run_for(Duration::from_secs(1));
    assert!(!net.server.outcome.closed);
}

#[test]
fn a_spoofed_plaintext_handshake_message_does_not_reach_an_encrypted_association() {
    let mut net = Net::pair(Versions::Dtls13);
    net.start();
    // The second ClientHello, after a HelloRetryRequest, has come; what comes from here on is encrypted.
    net.run_for(3 * common::LATENCY + Duration::from_millis(5));
    // A Certificate with message_seq 1 in epoch 0, from the peer's address.
    let forged =
        [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 16][..], &[11, 0, 0, 4, 0, 1, 0, 0, 0, 0, 0, 4], &[0, 0, 1, 7]]
            .concat();
    let peer = net.client.address;
    assert_eq!(net.server.endpoint.handle_datagram(net.now, peer, Standing::Validated, &forged), Verdict::Dropped);
    net.settle();
    net.assert_keyed();
}

#[test]
fn close_notify_after_the_handshake_is_told_once() {
    for version in [SslVersion::DTLS1_2, SslVersion::DTLS1_3] {
        let credential = Credential::ec();
        let ours = Identity::generate().unwrap();
        let fingerprints = vec![credential.fingerprint(control::HashAlgorithm::Sha256)];
        let config = EndpointConfig { fingerprints, ..config(DtlsRole::Server, &ours) };
        let now = origin();
        let mut endpoint = Endpoint::new(now, &ours, config).unwrap();
        let mut builder = context(Some(&credential), version);
        builder.set_tlsext_use_srtp("SRTP_AEAD_AES_128_GCM").unwrap();
        let mut raw = RawPeer::new(builder, true, 1200);
        let exchange = |raw: &mut RawPeer, endpoint: &mut Endpoint| {
            for _ in 0..10 {
                for bytes in raw.take() {
                    endpoint.handle_datagram(now, address(1), Standing::Validated, &bytes);
                }
                while let Some(sent) = endpoint.poll_transmit() {
                    raw.handle(sent.bytes);
                }
            }
        };
        exchange(&mut raw, &mut endpoint);
        assert!(matches!(endpoint.poll_event(), Some(EndpointEvent::Keyed(_))));
        let _ = raw.stream.ssl_write(b"application data is thrown away");
        exchange(&mut raw, &mut endpoint);
        assert!(endpoint.poll_event().is_none());
        let _ = raw.stream.shutdown();
        exchange(&mut raw, &mut endpoint);
        assert!(matches!(endpoint.poll_event(), Some(EndpointEvent::Closed)));
        assert!(endpoint.poll_event().is_none());
    }
}

/// Our flights of a handshake and the peer's, for the mutations below.
fn recorded(versions: Versions) -> Vec<Vec<u8>> {
    let mut net = Net::pair(versions);
    net.start();
    net.settle();
    net.run_for(Duration::from_secs(1));
    net.client.sent.iter().chain(&net.server.sent).map(|(_, _, bytes)| bytes.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_panics_and_a_genuine_handshake_still_succeeds(
        garbage in prop::collection::vec((0u8..3, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(),
            prop::collection::vec(any::<u8>(), 0..200)), 1..60),
        thirteen: bool,
    ) {
        let versions = if thirteen { Versions::Dtls13 } else { Versions::Dtls12 };
        let flights = recorded(versions);
        let mut net = Net::pair(versions);
        net.start();
        for (kind, which, place, byte, noise) in garbage {
            let mut bytes = match kind {
                0 => noise,
                1 => which.get(&flights).clone(),
                _ => [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, noise.len() as u8][..], &noise].concat(),
            };
            if kind == 1 && !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            net.server.endpoint.handle_datagram(net.now, address(66), Standing::Unproven, &bytes);
            net.client.endpoint.handle_datagram(net.now, address(66), Standing::Unproven, &bytes);
            net.run_for(Duration::from_millis(3));
        }
        net.settle();
        net.assert_keyed();
    }

    #[test]
    fn garbage_from_the_peer_itself_never_panics(
        garbage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..60),
        thirteen: bool,
    ) {
        let versions = if thirteen { Versions::Dtls13 } else { Versions::Dtls12 };
        let flights = recorded(versions);
        let mut net = Net::pair(versions);
        net.start();
        let (client, server) = (net.client.address, net.server.address);
        for (which, place, byte) in garbage {
            let mut bytes = which.get(&flights).clone();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            net.server.endpoint.handle_datagram(net.now, client, Standing::Validated, &bytes);
            net.client.endpoint.handle_datagram(net.now, server, Standing::Validated, &bytes);
            net.run_for(Duration::from_millis(3));
        }
        net.run_for(Duration::from_secs(60));
    }
}
