//! Handshakes that come to their end, well or badly.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use boring::ssl::SslVersion;
use common::raw::{Credential, RawPeer, context};
use common::{Net, PROFILES, address, another_fingerprint, config, origin};
use control::{DtlsRole, HashAlgorithm, Profile, TransportFailure};
use sallyport_dtls::{Endpoint, EndpointConfig, EndpointEvent, Error, Identity, Standing, Versions};

fn identities() -> (Identity, Identity) {
    (Identity::generate().unwrap(), Identity::generate().unwrap())
}

#[test]
fn two_endpoints_agree_on_mirrored_keys_in_every_version() {
    for (versions, version) in
        [(Versions::Dtls12, "DTLSv1.2"), (Versions::Dtls13, "DTLSv1.3"), (Versions::Both, "DTLSv1.3")]
    {
        let mut net = Net::pair(versions);
        net.start();
        net.settle();
        let (client, server) = net.assert_keyed();
        assert_eq!(client.version, version);
        assert_eq!(client.profile, PROFILES[0]);
        assert_eq!((client.hash, client.remote, server.remote), (HashAlgorithm::Sha256, address(2), address(1)));
        assert!(net.now - net.start < Duration::from_millis(150), "no retransmission was needed");
    }
}

/// RFC 8446 §4.2.8: what a server's key_share extension of X25519MLKEM768 (0x11ec, 1120 bytes) begins with.
const POST_QUANTUM_SHARE: [u8; 8] = [0x00, 0x33, 0x04, 0x64, 0x11, 0xec, 0x04, 0x60];

#[test]
fn keys_are_agreed_by_x25519mlkem768_where_both_speak_1_3() {
    let shares = |versions: Versions| {
        let mut net = Net::pair(versions);
        net.start();
        net.settle();
        net.assert_keyed();
        let is_there = |bytes: &[u8]| bytes.windows(POST_QUANTUM_SHARE.len()).any(|part| part == POST_QUANTUM_SHARE);
        net.server.sent.iter().filter(|(_, _, bytes)| is_there(bytes)).count()
    };
    assert_eq!((shares(Versions::Both), shares(Versions::Dtls13)), (1, 1));
    assert_eq!(shares(Versions::Dtls12), 0);
}

#[test]
fn fifty_of_fifty_handshakes_survive_thirty_percent_loss() {
    for versions in [Versions::Dtls12, Versions::Dtls13] {
        for seed in 0..50 {
            let mut net = Net::pair(versions).lossy(0.3, seed);
            net.start();
            net.settle();
            net.assert_keyed();
        }
    }
}

#[test]
fn the_first_retransmission_comes_within_250_ms_and_then_they_back_off() {
    let mut net = Net::pair(Versions::Both).lossy(1.0, 1);
    net.start();
    net.run_for(Duration::from_secs(10));
    let mut times: Vec<_> = net.client.sent.iter().map(|(when, _, _)| *when - net.start).collect();
    times.dedup();
    assert_eq!(times[0], Duration::ZERO);
    assert!(times[1] <= Duration::from_millis(250), "{times:?}");
    for pair in times.windows(3) {
        assert!(pair[2] - pair[1] > (pair[1] - pair[0]).mul_f64(1.5), "{times:?}");
    }
}

#[test]
fn every_datagram_fits_the_mtu() {
    for (versions, mtu) in [(Versions::Dtls12, 300), (Versions::Dtls13, 400), (Versions::Both, 1200)] {
        let (one, other) = identities();
        let client = EndpointConfig { mtu, ..config(DtlsRole::Client, &other) };
        let server = EndpointConfig { mtu, ..config(DtlsRole::Server, &one) };
        let mut net = Net::of(&one, client, &other, server, versions);
        net.start();
        net.settle();
        net.assert_keyed();
        for (_, _, bytes) in net.client.sent.iter().chain(&net.server.sent) {
            assert!(bytes.len() <= mtu, "{} > {mtu}", bytes.len());
        }
    }
}

#[test]
fn our_first_client_hello_is_one_datagram_and_the_one_that_a_server_asks_for_may_need_more() {
    for (versions, more) in [(Versions::Both, true), (Versions::Dtls13, true), (Versions::Dtls12, false)] {
        let mut net = Net::pair(versions);
        net.start();
        assert_eq!(net.client.sent.len(), 1, "some servers cannot put a ClientHello together");
        net.settle();
        net.assert_keyed();
        // A handshake record of epoch 0 with a part of a ClientHello; message_seq 1: asked for by a HelloRetryRequest.
        let second =
            |bytes: &[u8]| bytes[0] == 22 && bytes[3..5] == [0, 0] && bytes[13] == 1 && bytes[17..19] == [0, 1];
        let parts = net.client.sent.iter().filter(|(_, _, bytes)| second(bytes)).count();
        assert_eq!(parts, if more { 2 } else { 0 }, "the hybrid's share takes 1216 bytes");
    }
}

#[test]
fn a_fragmented_and_reordered_client_hello_is_put_together() {
    // The fragments of each flight arrive in reverse, some twice.
    for mtu in [256, 700, 1200] {
        let (one, other) = identities();
        let client = EndpointConfig { mtu, ..config(DtlsRole::Client, &other) };
        let mut net = Net::of(&one, client, &other, config(DtlsRole::Server, &one), Versions::Both);
        let mut delay = Duration::from_millis(15);
        net.tamper = Some(Box::new(move |_, bytes| {
            delay = delay.saturating_sub(Duration::from_millis(1));
            vec![(delay, bytes.clone()), (delay + Duration::from_millis(3), bytes)]
        }));
        net.start();
        net.settle();
        net.assert_keyed();
    }
}

/// Browsers send a share of the hybrid at once.
#[test]
fn a_first_client_hello_of_several_datagrams_is_put_together_in_any_order() {
    let credential = Credential::ec();
    let ours = Identity::generate().unwrap();
    for (mtu, in_reverse) in [256, 700, 1200].into_iter().flat_map(|mtu| [(mtu, false), (mtu, true)]) {
        let fingerprints = vec![credential.fingerprint(HashAlgorithm::Sha256)];
        let config = EndpointConfig { fingerprints, ..config(DtlsRole::Server, &ours) };
        let mut endpoint = Endpoint::new(origin(), &ours, config).unwrap();
        let mut builder = context(Some(&credential), SslVersion::DTLS1_3);
        builder.set_curves_list("X25519MLKEM768:X25519").unwrap();
        builder.set_tlsext_use_srtp("SRTP_AEAD_AES_128_GCM").unwrap();
        let mut raw = RawPeer::new(builder, true, mtu);
        let outgoing = &mut raw.stream.get_mut().outgoing;
        assert!(outgoing.len() >= 2, "a post-quantum ClientHello needs two datagrams");
        if in_reverse {
            outgoing.make_contiguous().reverse();
        }
        assert_eq!(against(&mut raw, &mut endpoint, address(9)), Ok(()));
    }
}

#[test]
fn our_order_of_profiles_decides_also_when_we_are_server() {
    for (ours, chosen) in [
        (vec![Profile::AesCm128HmacSha1_80, Profile::AeadAes256Gcm], Profile::AesCm128HmacSha1_80),
        (vec![Profile::AeadAes128Gcm, Profile::AeadAes256Gcm], Profile::AeadAes128Gcm),
        (vec![Profile::AesCm256HmacSha1_80, Profile::AesCm128HmacSha1_32], Profile::AesCm128HmacSha1_32),
    ] {
        for versions in [Versions::Dtls12, Versions::Dtls13] {
            let (one, other) = identities();
            let all = vec![
                Profile::AeadAes256Gcm,
                Profile::AeadAes128Gcm,
                Profile::AesCm128HmacSha1_80,
                Profile::AesCm128HmacSha1_32,
            ];
            let client = EndpointConfig { profiles: all, ..config(DtlsRole::Client, &other) };
            let server = EndpointConfig { profiles: ours.clone(), ..config(DtlsRole::Server, &one) };
            let mut net = Net::of(&one, client, &other, server, versions);
            net.start();
            net.settle();
            assert_eq!(net.assert_keyed().0.profile, chosen);
        }
    }
}

#[test]
fn a_peer_with_an_rsa_certificate_is_accepted_in_both_roles() {
    let ours = Identity::generate().unwrap();
    let (certificate, key) = Credential::rsa(2048).pem();
    let theirs = Identity::from_pem(&certificate, &key).unwrap();
    for versions in [Versions::Dtls12, Versions::Dtls13] {
        for (client, server) in [(&ours, &theirs), (&theirs, &ours)] {
            let client_config = config(DtlsRole::Client, server);
            let mut net = Net::of(client, client_config, server, config(DtlsRole::Server, client), versions);
            net.start();
            net.settle();
            net.assert_keyed();
        }
    }
}

#[test]
fn no_common_profile_is_a_failure_with_that_reason() {
    for versions in [Versions::Dtls12, Versions::Dtls13] {
        let (one, other) = identities();
        let client = EndpointConfig { profiles: vec![Profile::AeadAes128Gcm], ..config(DtlsRole::Client, &other) };
        let server = EndpointConfig { profiles: vec![Profile::AesCm128HmacSha1_80], ..config(DtlsRole::Server, &one) };
        let mut net = Net::of(&one, client, &other, server, versions);
        net.start();
        net.settle();
        assert_eq!(net.server.outcome.failed, Some(TransportFailure::NoCommonProfile));
        assert_eq!(net.client.outcome.failed, Some(TransportFailure::AlertReceived(40)));
        assert!(net.now - net.start < Duration::from_secs(4), "not only at the deadline");
    }
}

/// Runs our endpoint against a foreign one until it fails or has keys.
fn against(raw: &mut RawPeer, endpoint: &mut Endpoint, peer: std::net::SocketAddr) -> Result<(), TransportFailure> {
    let mut now = origin();
    endpoint.start(now, peer);
    for _ in 0..40 {
        for bytes in raw.take() {
            endpoint.handle_datagram(now, peer, Standing::Validated, &bytes);
        }
        while let Some(transmit) = endpoint.poll_transmit() {
            raw.handle(transmit.bytes);
        }
        match endpoint.poll_event() {
            Some(EndpointEvent::Keyed(_)) => return Ok(()),
            Some(EndpointEvent::Failed { failure, .. }) => return Err(failure),
            _ => {}
        }
        if raw.stream.get_ref().outgoing.is_empty()
            && let Some(next) = endpoint.poll_timeout()
        {
            now = now.max(next);
            endpoint.handle_timeout(now);
        }
    }
    panic!("no end");
}

const BOTH: [SslVersion; 2] = [SslVersion::DTLS1_2, SslVersion::DTLS1_3];

#[test]
fn a_peer_without_use_srtp_fails_with_that_reason() {
    let credential = Credential::ec();
    for version in BOTH {
        for role in [DtlsRole::Client, DtlsRole::Server] {
            let ours = Identity::generate().unwrap();
            let fingerprints = vec![credential.fingerprint(HashAlgorithm::Sha256)];
            let config = EndpointConfig { fingerprints, ..config(role, &ours) };
            let mut endpoint = Endpoint::new(origin(), &ours, config).unwrap();
            let mut raw = RawPeer::new(context(Some(&credential), version), role == DtlsRole::Server, 1200);
            assert_eq!(against(&mut raw, &mut endpoint, address(9)), Err(TransportFailure::NoUseSrtp));
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    for version in BOTH {
        let ours = Identity::generate().unwrap();
        let config = EndpointConfig { fingerprints: vec![another_fingerprint()], ..config(DtlsRole::Server, &ours) };
        let mut endpoint = Endpoint::new(origin(), &ours, config).unwrap();
        let mut builder = context(None, version);
        builder.set_tlsext_use_srtp("SRTP_AEAD_AES_128_GCM").unwrap();
        let mut raw = RawPeer::new(builder, true, 1200);
        assert_eq!(against(&mut raw, &mut endpoint, address(9)), Err(TransportFailure::CertificateMissing));
    }
}

#[test]
fn a_server_that_does_not_ask_for_our_certificate_is_refused() {
    let credential = Credential::ec();
    for version in BOTH {
        let ours = Identity::generate().unwrap();
        let fingerprints = vec![credential.fingerprint(HashAlgorithm::Sha256)];
        let config = EndpointConfig { fingerprints, ..config(DtlsRole::Client, &ours) };
        let mut endpoint = Endpoint::new(origin(), &ours, config).unwrap();
        let mut builder = context(Some(&credential), version);
        builder.set_verify(boring::ssl::SslVerifyMode::NONE);
        builder.set_tlsext_use_srtp("SRTP_AEAD_AES_128_GCM").unwrap();
        let mut raw = RawPeer::new(builder, false, 1200);
        assert_eq!(against(&mut raw, &mut endpoint, address(9)), Err(TransportFailure::CertificateMissing));
    }
}

#[test]
fn only_fingerprints_of_the_strongest_hash_count() {
    let credential = Credential::ec();
    let right = |hash| credential.fingerprint(hash);
    let wrong512 = control::Fingerprint::new(HashAlgorithm::Sha512, &[1; 64]).unwrap();
    let mismatch = Err(TransportFailure::FingerprintMismatch);
    for (fingerprints, expected) in [
        (vec![another_fingerprint(), right(HashAlgorithm::Sha256)], Ok(())),
        (vec![right(HashAlgorithm::Sha256), wrong512.clone()], mismatch),
        (vec![another_fingerprint(), right(HashAlgorithm::Sha512)], Ok(())),
        (vec![right(HashAlgorithm::Sha1)], Ok(())),
        (vec![another_fingerprint()], mismatch),
    ] {
        for (version, role) in
            BOTH.into_iter().flat_map(|version| [(version, DtlsRole::Client), (version, DtlsRole::Server)])
        {
            let ours = Identity::generate().unwrap();
            let config = EndpointConfig { fingerprints: fingerprints.clone(), ..config(role, &ours) };
            let mut endpoint = Endpoint::new(origin(), &ours, config).unwrap();
            let mut builder = context(Some(&credential), version);
            builder.set_tlsext_use_srtp("SRTP_AEAD_AES_128_GCM").unwrap();
            let mut raw = RawPeer::new(builder, role == DtlsRole::Server, 1200);
            assert_eq!(against(&mut raw, &mut endpoint, address(9)), expected, "{fingerprints:?}");
        }
    }
}

#[test]
fn a_mismatch_over_a_validated_pair_fails_at_once_and_tells_the_peer() {
    for versions in [Versions::Dtls12, Versions::Dtls13] {
        let (one, other) = identities();
        let server = EndpointConfig { fingerprints: vec![another_fingerprint()], ..config(DtlsRole::Server, &one) };
        let mut net = Net::of(&one, config(DtlsRole::Client, &other), &other, server, versions);
        net.start();
        net.run_for(Duration::from_secs(5));
        assert_eq!(net.server.outcome.failed, Some(TransportFailure::FingerprintMismatch));
        assert!(net.server.outcome.failed_at.unwrap() - net.start < Duration::from_millis(150));
        // bad_certificate (RFC 8122 §6.2). With 1.3 the client is keyed by then, and hears that it is over.
        match versions {
            Versions::Dtls12 => assert_eq!(net.client.outcome.failed, Some(TransportFailure::AlertReceived(42))),
            _ => assert!(net.client.outcome.closed),
        }
    }
}

#[test]
fn a_handshake_without_an_answer_times_out() {
    let mut net = Net::pair(Versions::Both).lossy(1.0, 1);
    net.start();
    net.run_for(Duration::from_secs(40));
    for node in [&net.client, &net.server] {
        assert_eq!(node.outcome.failed, Some(TransportFailure::HandshakeTimeout));
        assert_eq!(node.outcome.failed_at.unwrap() - net.start, Duration::from_secs(30));
        assert_eq!(node.endpoint.poll_timeout(), None);
    }
}

#[test]
fn a_lost_final_flight_is_sent_again() {
    for versions in [Versions::Dtls12, Versions::Dtls13] {
        let mut net = Net::pair(versions);
        net.start();
        net.mute_keyed_server = true;
        net.run_for(Duration::from_millis(500));
        assert!(net.server.outcome.keyed.is_some());
        // With 1.3 the client was keyed before the server; what it lacks is the ACK.
        assert_eq!(net.client.outcome.keyed.is_none(), versions == Versions::Dtls12);
        let before = net.server.sent.len();
        net.mute_keyed_server = false;
        net.run_for(Duration::from_secs(5));
        assert!(net.server.sent.len() > before, "the final flight, or its ACK, again");
        let quiet = (net.client.sent.len(), net.server.sent.len());
        net.run_for(Duration::from_secs(60));
        assert_eq!((net.client.sent.len(), net.server.sent.len()), quiet, "and then both rest");
        net.assert_keyed();
    }
}

#[test]
fn a_new_path_carries_the_handshake_on() {
    let mut net = Net::pair(Versions::Both);
    net.client.endpoint.start(net.now, address(77));
    net.run_for(Duration::from_millis(900));
    assert!(net.server.sent.is_empty());
    net.client.endpoint.retarget(net.now, address(2));
    let changed = net.now;
    net.settle();
    net.assert_keyed();
    assert!(net.now - changed < Duration::from_millis(150), "the flight is repeated at once");
}

#[test]
fn starting_elsewhere_starts_over() {
    let mut net = Net::pair(Versions::Both);
    net.client.endpoint.start(net.now, address(77));
    net.run_for(Duration::from_millis(900));
    net.client.endpoint.start(net.now, address(2));
    net.settle();
    net.assert_keyed();
    assert!(
        net.client
            .sent
            .iter()
            .filter(|(when, _, _)| *when > net.start + Duration::from_secs(1))
            .all(|s| s.1 == address(2))
    );
}

#[test]
fn an_endpoint_without_profiles_or_fingerprints_is_refused() {
    let ours = Identity::generate().unwrap();
    let none = EndpointConfig { fingerprints: vec![], ..config(DtlsRole::Server, &ours) };
    assert_eq!(Endpoint::new(origin(), &ours, none).err(), Some(Error::NoFingerprints));
    let profiles = vec![Profile::AesCm256HmacSha1_80, Profile::NullHmacSha1_80];
    let null = EndpointConfig { profiles, ..config(DtlsRole::Server, &ours) };
    assert_eq!(Endpoint::new(origin(), &ours, null).err(), Some(Error::NoProfiles));
}
