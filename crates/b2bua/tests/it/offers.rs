//! Offers inside of calls: hold, glare, rollback, new keys, and requests that pass.

use control::{Keying, TransportEvent};
use sip::{Body, CallEvent, DialogHandle, EndCause, Method, StatusCode};

use crate::world::{ALICE, BOB, World, crypto_tag, none, plain, sdp, text};

pub(crate) fn hold(name: &str, address: &str) -> Body {
    Body::sdp(
        sdp(name, address, "m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=sendonly").replace("1 1 IN", "1 2 IN"),
    )
}

pub(crate) fn reinvite(world: &mut World, at: &str, dialog: DialogHandle, body: Option<Body>) {
    let now = world.now;
    world.phone(at).agent.reinvite(now, dialog, body).unwrap();
    world.settle();
}

pub(crate) fn offer(world: &mut World, at: &str) -> (DialogHandle, String) {
    match world.event(at) {
        CallEvent::Offer { dialog, body } => (dialog, text(&body.bytes)),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn answer(world: &mut World, at: &str, dialog: DialogHandle, body: Body) {
    let now = world.now;
    world.phone(at).agent.answer(now, dialog, body).unwrap();
    world.settle();
}

pub(crate) fn answered(world: &mut World, at: &str) -> String {
    match world.event(at) {
        CallEvent::Answer { body, .. } => text(&body.bytes),
        other => panic!("{other:?}"),
    }
}

/// What both phones have agreed with us.
pub(crate) fn agreed(world: &World, dialogs: [DialogHandle; 2]) -> Vec<String> {
    let of = |at: &str, dialog| {
        let phone = &world.phones[&crate::world::address(at)];
        let agreed = phone.agent.negotiation(dialog).unwrap().agreed().unwrap();
        [text(&agreed.local.bytes), text(&agreed.remote.bytes)]
    };
    [of(ALICE, dialogs[0]), of(BOB, dialogs[1])].concat()
}

#[test]
fn hold_and_resume_pass_through_both_legs() {
    let mut world = World::new();
    let [alice, bob] = world.established();
    let ports = world.session.ports_in_use();
    reinvite(&mut world, ALICE, alice, Some(hold("alice", "192.0.2.10")));
    let (dialog, text) = offer(&mut world, BOB);
    assert!(text.contains("a=sendonly"), "{text}");
    let held = sdp("bob", "192.0.2.20", "m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=recvonly");
    answer(&mut world, BOB, dialog, Body::sdp(held));
    assert!(answered(&mut world, ALICE).contains("a=recvonly"));
    assert_eq!(
        world.take_log(),
        ["alice INVITE", "us>bob INVITE", "bob 200 INVITE", "us>bob ACK", "us>alice 200 INVITE", "alice ACK"]
    );
    // The other side resumes by itself.
    reinvite(&mut world, BOB, bob, Some(plain("bob", "192.0.2.20")));
    let (dialog, text) = offer(&mut world, ALICE);
    assert!(text.contains("a=sendrecv"), "{text}");
    answer(&mut world, ALICE, dialog, plain("alice", "192.0.2.10"));
    answered(&mut world, BOB);
    assert_eq!(world.session.ports_in_use(), ports, "the same ports");
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn a_refused_offer_leaves_both_legs_as_before_and_either_may_offer_at_once() {
    let mut world = World::new();
    let dialogs = world.established();
    let before = agreed(&world, dialogs);
    let plan = world.plan().clone();
    reinvite(&mut world, ALICE, dialogs[0], Some(hold("alice", "192.0.2.10")));
    let (dialog, _) = offer(&mut world, BOB);
    let now = world.now;
    world.phone(BOB).agent.refuse(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &none()).unwrap();
    let CallEvent::OfferRefused { response, .. } = world.event(ALICE) else { panic!() };
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE_HERE);
    assert_eq!(agreed(&world, dialogs), before);
    let after = world.plan();
    assert!(after.transports == plan.transports && after.flows == plan.flows);
    // No time has passed: the refused offer bars nobody.
    reinvite(&mut world, BOB, dialogs[1], Some(hold("bob", "192.0.2.20")));
    let (dialog, _) = offer(&mut world, ALICE);
    answer(&mut world, ALICE, dialog, plain("alice", "192.0.2.10"));
    answered(&mut world, BOB);
    world.bye(ALICE, dialogs[0]);
    world.assert_forgotten();
}

/// RFC 6141 §3.4: what the other end has agreed to meanwhile is put right by an offer of ours.
#[test]
fn an_offer_that_is_taken_back_leaves_both_legs_as_before() {
    for crosses in [false, true] {
        let mut world = World::new();
        let dialogs = world.established();
        let plan = world.plan().clone();
        reinvite(&mut world, ALICE, dialogs[0], Some(hold("alice", "192.0.2.10")));
        let (dialog, _) = offer(&mut world, BOB);
        let invite = text(&world.last[&crate::world::address(ALICE)]);
        let head: Vec<&str> = invite.split("\r\n\r\n").next().unwrap().lines().collect();
        let kept = head.iter().filter(|line| {
            ["Via:", "From:", "To:", "Call-ID:", "Max-Forwards:"].iter().any(|name| line.starts_with(name))
        });
        let lines: Vec<String> = kept.map(|line| format!("{line}\r\n")).collect();
        let cseq = head.iter().find(|line| line.starts_with("CSeq:")).unwrap().replace("INVITE", "CANCEL");
        let first = head[0].replace("INVITE ", "CANCEL ");
        let cancel = format!("{first}\r\n{}{cseq}\r\nContent-Length: 0\r\n\r\n", lines.concat());
        if crosses {
            // Its 200 meets the CANCEL on the way.
            let held = sdp("bob", "192.0.2.20", "m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=recvonly");
            let now = world.now;
            world.phone(BOB).agent.answer(now, dialog, Body::sdp(held)).unwrap();
        }
        world.inject(ALICE, cancel);
        assert!(matches!(world.event(ALICE), CallEvent::OfferRefused { .. }));
        if !crosses {
            answer(&mut world, BOB, dialog, plain("bob", "192.0.2.20"));
        }
        let (dialog, repaired) = offer(&mut world, BOB);
        assert!(repaired.contains("a=sendrecv"), "what Alice said before: {repaired}");
        answer(&mut world, BOB, dialog, plain("bob", "192.0.2.20"));
        world.no_event(ALICE);
        let after = world.plan();
        assert!(after.transports == plan.transports && after.flows == plan.flows);
        world.bye(ALICE, dialogs[0]);
        world.assert_forgotten();
    }
}

#[test]
fn offers_that_cross_are_both_told_to_wait() {
    let mut world = World::new();
    let [alice, bob] = world.established();
    let now = world.now;
    world.phone(ALICE).agent.reinvite(now, alice, Some(hold("alice", "192.0.2.10"))).unwrap();
    world.phone(BOB).agent.reinvite(now, bob, Some(hold("bob", "192.0.2.20"))).unwrap();
    world.settle();
    let log = world.take_log();
    let pending = log.iter().filter(|line| line.contains("491 INVITE")).count();
    assert!(pending >= 1, "{log:?}");
    let mut tried = 0;
    // Whoever was refused tries again when the user agent says so.
    for (at, dialog, name, address) in [(ALICE, alice, "alice", "192.0.2.10"), (BOB, bob, "bob", "192.0.2.20")] {
        world.run(std::time::Duration::from_secs(5));
        let events: Vec<_> = world.phone(at).events.drain(..).collect();
        if events.iter().any(|event| matches!(event, CallEvent::OfferAgain { .. })) {
            let other = if at == ALICE { BOB } else { ALICE };
            world.phone(other).events.retain(|event| !matches!(event, CallEvent::OfferRefused { .. }));
            reinvite(&mut world, at, dialog, Some(hold(name, address)));
            let found = world.phone(other).events.iter().position(|event| matches!(event, CallEvent::Offer { .. }));
            let CallEvent::Offer { dialog, .. } = world.phone(other).events.remove(found.unwrap()).unwrap() else {
                panic!()
            };
            answer(&mut world, other, dialog, plain("other", "192.0.2.20"));
            answered(&mut world, at);
            tried += 1;
        }
    }
    assert!(tried >= 1);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn an_offer_that_is_asked_for_comes_from_the_other_end() {
    let mut world = World::new();
    let [alice, _] = world.established();
    reinvite(&mut world, ALICE, alice, None);
    let CallEvent::OfferWanted { dialog } = world.event(BOB) else { panic!() };
    answer(&mut world, BOB, dialog, hold("bob", "192.0.2.20"));
    let (dialog, text) = offer(&mut world, ALICE);
    assert!(text.contains("a=sendonly"), "{text}");
    answer(&mut world, ALICE, dialog, plain("alice", "192.0.2.10"));
    answered(&mut world, BOB);
    assert_eq!(
        world.take_log(),
        ["alice INVITE", "us>bob INVITE", "bob 200 INVITE", "us>alice 200 INVITE", "alice ACK", "us>bob ACK"]
    );
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn a_peer_that_does_not_know_the_call_any_more_ends_it() {
    let mut world = World::new();
    let [alice, _] = world.established();
    let fresh = sip::UserAgent::new(sip::UserAgentConfig::default(), [99; 32]);
    world.phone(BOB).agent = fresh;
    reinvite(&mut world, ALICE, alice, Some(hold("alice", "192.0.2.10")));
    assert!(matches!(world.event(ALICE), CallEvent::OfferRefused { .. }));
    let gone = EndCause::PeerGone(StatusCode::CALL_DOES_NOT_EXIST);
    assert!(matches!(world.event(ALICE), CallEvent::Ended { cause, .. } if cause == gone));
    world.assert_forgotten();
}

fn sdes(name: &str, address: &str, key: &str) -> Body {
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}");
    Body::sdp(sdp(name, address, &format!("m=audio 4000 RTP/SAVP 0\na=rtpmap:0 PCMU/8000\n{crypto}\na=sendrecv")))
}

fn our_keys(world: &World) -> Vec<(usize, control::MasterKey)> {
    let plan = world.plan();
    let keys = plan.transports.iter().filter_map(|transport| match &transport.keying {
        Keying::Sdes(keys) => Some((usize::from(transport.leg.0), keys.outbound.1.clone())),
        _ => None,
    });
    keys.collect()
}

/// RFC 3711 §9.2: before a key is spent there is another one, and the other leg hears nothing of it.
#[test]
fn a_key_that_is_nearly_spent_is_replaced_by_an_offer_to_its_leg_alone() {
    let mut world = World::new();
    let alice_key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let bob_key = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";
    world.call(
        ALICE,
        World::invitation(ALICE, "sip:bob@sallyport.example", Some(sdes("alice", "192.0.2.10", alice_key))),
    );
    let (leg, invite) = world.incoming(BOB);
    let with_tag = |offer: &str| {
        let body = sdes("bob", "192.0.2.20", bob_key);
        Body::sdp(text(&body.bytes).replace("a=crypto:1 ", &format!("a=crypto:{} ", crypto_tag(offer))))
    };
    let first = text(invite.body());
    world.accept(BOB, leg, Some(with_tag(&first)));
    let (alice, _) = world.answered(ALICE);
    world.event(BOB);
    let before = our_keys(&world);
    let spent = |plan: &control::TransportPlan| usize::from(plan.leg.0) == 1;
    world.worker_tells(&TransportEvent::KeyNearlySpent { outbound: true }, spent);
    world.take_log();
    let (dialog, second) = offer(&mut world, BOB);
    let key_of = |text: &str| text.split("AES_CM_128_HMAC_SHA1_80 inline:").nth(1).unwrap()[..40].to_owned();
    assert_ne!(key_of(&first), key_of(&second));
    answer(&mut world, BOB, dialog, with_tag(&second));
    let after = our_keys(&world);
    assert_eq!(before.len(), after.len());
    for ((leg, old), (_, new)) in before.iter().zip(&after) {
        assert_eq!(old == new, *leg == 0, "the other leg keeps its keys");
    }
    world.no_event(ALICE);
    assert_eq!(world.b2bua.counters().rekeyings, 1);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn info_passes_with_its_body_and_comes_back_with_its_status() {
    let mut world = World::new();
    let [alice, _] = world.established();
    let now = world.now;
    let dtmf = Body { content_type: "application/dtmf-relay".into(), bytes: b"Signal=5\r\n".to_vec() };
    world.phone(ALICE).agent.send(now, alice, Method::Info, Some(dtmf), &none()).unwrap();
    let CallEvent::Request { server, request, .. } = world.event(BOB) else { panic!() };
    assert_eq!((request.method(), request.body()), (&Method::Info, &b"Signal=5\r\n"[..]));
    world.phone(BOB).agent.respond(now, server, request.respond(StatusCode::OK)).unwrap();
    let CallEvent::Response { response, .. } = world.event(ALICE) else { panic!() };
    assert_eq!(response.status(), StatusCode::OK);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn info_with_a_sealed_body_is_refused_since_the_other_end_could_not_open_it() {
    let mut world = World::new();
    let [alice, _] = world.established();
    let now = world.now;
    let sealed = Body { content_type: "application/pkcs7-mime;smime-type=enveloped-data".into(), bytes: vec![0x30, 0] };
    world.phone(ALICE).agent.send(now, alice, Method::Info, Some(sealed), &none()).unwrap();
    let CallEvent::Response { response, .. } = world.event(ALICE) else { panic!() };
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let accept = response.headers.value("Accept").unwrap();
    assert!(accept.contains("application/dtmf-relay") && !accept.contains("pkcs7"), "{accept}");
    world.no_event(BOB);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}
