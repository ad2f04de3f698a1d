//! What policy makes of keys, profiles and sips URIs.

use sallyport_b2bua::{Bridging, CleartextPolicy, Fact, Keying};
use sip::{Body, CallEvent, StatusCode, Transport};

use crate::world::{ALICE, BOB, World, config, crypto_tag, plain, sdp, text};

fn sdes() -> Body {
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    Body::sdp(sdp("alice", "192.0.2.10", &format!("m=audio 4000 RTP/SAVP 0\n{crypto}")))
}

fn call(world: &mut World, uri: &str, offer: Body) {
    world.call(ALICE, World::invitation(ALICE, uri, Some(offer)));
}

#[test]
fn keys_in_the_clear_are_refused_warned_of_once_or_allowed() {
    for (policy, label) in
        [(CleartextPolicy::Refuse, "refused"), (CleartextPolicy::Warn, "warned"), (CleartextPolicy::Allow, "allowed")]
    {
        let mut config = config();
        config.sdes_over_cleartext = policy;
        let mut world = World::with(config);
        call(&mut world, "sip:bob@sallyport.example", sdes());
        let counted = world.b2bua.counters().cleartext_keys.get(label).copied().unwrap_or(0);
        let told = |world: &World, at: &str| {
            let peer = crate::world::address(at);
            let of = |fact: &&Fact| matches!(fact, Fact::CleartextKeys { peer: own, .. } if *own == peer);
            world.facts.iter().filter(of).count()
        };
        if policy == CleartextPolicy::Refuse {
            let response = world.failure(ALICE);
            assert_eq!((response.status(), counted), (StatusCode::NOT_ACCEPTABLE_HERE, 1));
            let warning = response.headers.value("Warning").unwrap().into_owned();
            assert!(warning.contains("sip.sdes_over_cleartext"), "{warning}");
            world.no_event(BOB);
        } else {
            let (leg, invite) = world.incoming(BOB);
            assert!(text(invite.body()).contains("RTP/SAVP") && text(invite.body()).contains("a=crypto:"));
            assert_eq!(counted, 2, "of the caller, and ours to the called party");
            let expected = usize::from(policy == CleartextPolicy::Warn);
            assert_eq!((told(&world, ALICE), told(&world, BOB)), (expected, expected));
            world.reject(BOB, leg, 486);
            let mut again = World::invitation(ALICE, "sip:bob@sallyport.example", Some(sdes()));
            again.headers.set("Call-ID", "again");
            world.call(ALICE, again);
            assert_eq!(told(&world, ALICE), expected, "once for each peer");
            let (leg, _) = world.incoming(BOB);
            world.reject(BOB, leg, 486);
        }
        world.assert_forgotten();
    }
}

#[test]
fn the_ledger_names_each_leg_whose_keys_others_could_read() {
    for (bob, expected) in [(Transport::Udp, vec!["a:alice-tag", "b0:"]), (Transport::Tls, vec!["a:alice-tag"])] {
        let mut world = World::new();
        world.add(BOB, bob, 6);
        call(&mut world, "sip:bob@sallyport.example", sdes());
        let (leg, invite) = world.incoming(BOB);
        let offer = text(invite.body());
        let tag = crypto_tag(&offer);
        let answer = format!(
            "m=audio 4000 RTP/SAVP 0\na=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"
        );
        world.accept(BOB, leg, Some(Body::sdp(sdp("bob", "192.0.2.20", &answer))));
        let (alice, _) = world.answered(ALICE);
        let call = world.session.calls()[0].call_id.clone();
        let ledger = world.session.call(&call).unwrap().ledger;
        let noted: Vec<_> = ledger
            .iter()
            .filter(|entry| entry.note == session::LedgerNote::KeysInClear)
            .map(|entry| &entry.tag)
            .collect();
        assert_eq!(noted.len(), expected.len(), "{ledger:?}");
        assert!(expected.iter().all(|tag| noted.iter().any(|noted| noted.starts_with(tag))), "{noted:?}");
        world.bye(ALICE, alice);
        world.assert_forgotten();
    }
}

#[test]
fn keys_behind_tls_are_nobodys_concern() {
    let mut config = config();
    config.sdes_over_cleartext = CleartextPolicy::Refuse;
    let mut world = World::with(config);
    world.add(ALICE, Transport::Tls, 5);
    world.add(BOB, Transport::Tls, 6);
    call(&mut world, "sip:bob@sallyport.example", sdes());
    let (leg, invite) = world.incoming(BOB);
    assert!(text(invite.body()).contains("a=crypto:"));
    assert_eq!(invite.headers.value("Contact").unwrap(), "<sip:192.0.2.1:5060;transport=tls>");
    world.reject(BOB, leg, 486);
    assert!(world.b2bua.counters().cleartext_keys.is_empty());
    world.assert_forgotten();
}

/// RFC 5630 §4.
#[test]
fn a_sips_call_goes_on_by_tls_or_not_at_all() {
    for (alice, bob, uri, bridging, outcome) in [
        (Transport::Tls, Transport::Udp, "sips:bob@sallyport.example", Bridging::Refuse, Err("380")),
        (Transport::Tls, Transport::Udp, "sips:bob@sallyport.example", Bridging::Allow, Ok(true)),
        (Transport::Tls, Transport::Tls, "sips:bob@sallyport.example", Bridging::Refuse, Ok(false)),
        (Transport::Udp, Transport::Tls, "sip:bob@sallyport.example", Bridging::Refuse, Ok(false)),
    ] {
        let mut config = config();
        config.sips_bridge = bridging;
        let mut world = World::with(config);
        world.add(ALICE, alice, 5);
        world.add(BOB, bob, 6);
        let mut invite = World::invitation(ALICE, uri, Some(plain("alice", "192.0.2.10")));
        if alice == Transport::Tls {
            invite.headers.set("Contact", "<sips:alice@192.0.2.10>");
        }
        world.call(ALICE, invite);
        match outcome {
            Err(code) => {
                let response = world.failure(ALICE);
                assert_eq!(response.status(), StatusCode::TEMPORARILY_UNAVAILABLE);
                assert!(response.headers.value("Warning").unwrap().starts_with(code));
                assert_eq!(world.b2bua.counters().sips.get("refused"), Some(&1));
            }
            Ok(bridged) => {
                let told = world.facts.iter().any(|fact| matches!(fact, Fact::SipsBridged { .. }));
                assert_eq!(told, bridged, "{uri} {alice} {bob}");
                let (leg, _) = world.incoming(BOB);
                world.settle();
                let call_id = world.session.calls()[0].call_id.clone();
                let ledger = world.session.call(&call_id).unwrap().ledger;
                let notes = ledger.iter().map(|entry| entry.note.to_string()).filter(|note| note.starts_with("SIPS"));
                let expected =
                    bridged.then_some("SIPS: signalling of this leg goes by UDP, which sip.sips_bridge allows");
                assert_eq!(notes.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>(), "{uri} {alice} {bob}");
                world.reject(BOB, leg, 486);
            }
        }
        world.assert_forgotten();
    }
}

#[test]
fn a_contact_that_is_sips_is_called_by_who_came_by_tls() {
    let mut config = config();
    config.routes[0].to =
        sallyport_b2bua::Destination::Targets(vec![vec![crate::world::target(&format!("sips:bob@{BOB}"))]]);
    let mut world = World::with(config);
    world.add(BOB, Transport::Tls, 6);
    call(&mut world, "sip:bob@sallyport.example", plain("alice", "192.0.2.10"));
    let response = world.failure(ALICE);
    assert_eq!(response.status(), StatusCode::TEMPORARILY_UNAVAILABLE);
    assert!(response.headers.value("Warning").unwrap().starts_with("381"));
    world.no_event(BOB);
    world.assert_forgotten();
}

#[test]
fn what_a_leg_is_offered_is_its_policy() {
    for (keying, wanted, not) in [
        (Keying::Auto, vec!["RTP/AVP 0"], vec!["a=crypto", "a=fingerprint"]),
        (Keying::Plain, vec!["RTP/AVP 0"], vec!["a=crypto", "a=fingerprint"]),
        (Keying::Sdes, vec!["RTP/SAVP 0", "a=crypto:1 "], vec!["a=fingerprint"]),
        (
            Keying::Dtls,
            vec!["UDP/TLS/RTP/SAVP 0", "a=fingerprint:", "a=setup:actpass"],
            vec!["a=crypto", "a=candidate"],
        ),
        (Keying::WebRtc, vec!["UDP/TLS/RTP/SAVPF 0", "a=fingerprint:", "a=candidate:", "a=rtcp-mux"], vec!["a=crypto"]),
        (Keying::Osrtp, vec!["RTP/AVP 0", "a=crypto:1 "], vec![]),
    ] {
        let mut config = config();
        config.trunks[0].policy.keying = Keying::Auto;
        config.phones.keying = keying;
        let mut world = World::with(config);
        call(&mut world, "sip:bob@sallyport.example", plain("alice", "192.0.2.10"));
        let (leg, invite) = world.incoming(BOB);
        let offer = text(invite.body());
        assert!(wanted.iter().all(|part| offer.contains(part)), "{keying:?} {offer}");
        assert!(!not.iter().any(|part| offer.contains(part)), "{keying:?} {offer}");
        world.reject(BOB, leg, 486);
        world.assert_forgotten();
    }
}

#[test]
fn a_leg_that_must_be_secured_offers_no_plain_rtp() {
    for keying in [Keying::Sdes, Keying::Dtls, Keying::WebRtc] {
        let mut config = config();
        config.trunks[0].policy.keying = keying;
        let mut world = World::with(config);
        call(&mut world, "sip:bob@sallyport.example", plain("alice", "192.0.2.10"));
        let response = world.failure(ALICE);
        assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE_HERE);
        world.no_event(BOB);
        world.assert_forgotten();
    }
}

#[test]
fn who_calls_echo_hears_itself() {
    let mut world = World::new();
    call(&mut world, "sip:echo@sallyport.example", plain("alice", "192.0.2.10"));
    let (alice, response) = world.answered(ALICE);
    assert!(text(response.body()).contains("c=IN IP4 203.0.113.7"));
    assert_eq!(world.plan().flows.len(), 1);
    let now = world.now;
    world.phone(ALICE).agent.reinvite(now, alice, Some(plain("alice", "192.0.2.11"))).unwrap();
    assert!(matches!(world.event(ALICE), CallEvent::Answer { .. }));
    let remote = world.plan().transports[0].remote.unwrap();
    assert_eq!(remote.ip().to_string(), "192.0.2.11");
    world.bye(ALICE, alice);
    world.assert_forgotten();
}
