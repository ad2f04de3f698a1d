//! Callers of `echo` that leave the offer to it.

use sallyport_b2bua::{B2buaConfig, CleartextPolicy, Keying};
use sip::{CallEvent, Description, DialogHandle, EndCause, Response, StatusCode, Transport};

use crate::world::{ALICE, World, config, none, plain, text};

/// Alice leaves the offer to `echo`, over this transport and under this policy: what she is offered, or the refusal.
fn late_echo(
    transport: Transport,
    keying: Keying,
    edit: impl FnOnce(&mut B2buaConfig),
) -> (World, Result<(DialogHandle, String), Response>) {
    let mut config = config();
    config.trunks[0].policy.keying = keying;
    edit(&mut config);
    let mut world = World::with(config);
    world.add(ALICE, transport, u64::from(transport.is_reliable()));
    world.call(ALICE, World::invitation(ALICE, "sip:echo@sallyport.example", None));
    match world.event(ALICE) {
        CallEvent::Answered { dialog, description: Some(Description::Offer(offer)), .. } => {
            (world, Ok((dialog, text(&offer.bytes))))
        }
        CallEvent::Failed { response, .. } => (world, Err(*response)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn echo_offers_to_a_caller_that_makes_no_offer_and_hears_its_answer_in_the_ack() {
    let (mut world, offer) = late_echo(Transport::Udp, Keying::Auto, |_| {});
    let (alice, offer) = offer.unwrap();
    assert!(offer.contains(" RTP/AVP 111 9 0 8 101 110\r\nc=IN IP4 203.0.113.7"));
    assert!(world.plans.values().next().unwrap().flows.is_empty());
    let now = world.now;
    world.phone(ALICE).agent.answer(now, alice, plain("alice", "192.0.2.10")).unwrap();
    world.settle();
    assert_eq!(world.take_log(), ["alice INVITE", "us>alice 200 INVITE", "alice ACK"]);
    let plan = world.plans.values().next().unwrap();
    assert_eq!(plan.flows.len(), 1);
    assert_eq!(plan.transports[0].remote.unwrap().to_string(), "192.0.2.10:4000");
    // Later it offers by itself.
    world.phone(ALICE).agent.reinvite(now, alice, Some(plain("alice", "192.0.2.11"))).unwrap();
    assert!(matches!(world.event(ALICE), CallEvent::Answer { .. }));
    assert_eq!(world.plans.values().next().unwrap().transports[0].remote.unwrap().ip().to_string(), "192.0.2.11");
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn what_echo_offers_is_what_the_policy_of_the_leg_wants() {
    for (transport, keying, profile, has_keys) in [
        (Transport::Tcp, Keying::Auto, "RTP/AVP", false),
        (Transport::Tls, Keying::Auto, "RTP/SAVP", true),
        (Transport::Tls, Keying::WebRtc, "UDP/TLS/RTP/SAVPF", false),
        (Transport::Udp, Keying::Sdes, "RTP/SAVP", true),
        (Transport::Tls, Keying::Plain, "RTP/AVP", false),
        (Transport::Udp, Keying::Dtls, "UDP/TLS/RTP/SAVP", false),
        (Transport::Tls, Keying::Osrtp, "RTP/AVP", true),
    ] {
        let (mut world, offer) = late_echo(transport, keying, |_| {});
        let (alice, offer) = offer.unwrap();
        assert!(offer.contains(&format!(" {profile} 111 ")), "{transport} {keying:?}: {offer}");
        assert_eq!(offer.contains("a=crypto:"), has_keys, "{transport} {keying:?}: {offer}");
        let has_fingerprint = profile.starts_with("UDP/TLS") || keying == Keying::Osrtp;
        assert_eq!(offer.contains("a=fingerprint:"), has_fingerprint, "{offer}");
        let now = world.now;
        world.phone(ALICE).agent.refuse(now, alice, StatusCode::NOT_ACCEPTABLE_HERE, &none()).unwrap();
        world.assert_forgotten();
    }
    let refuses = |config: &mut B2buaConfig| config.sdes_over_cleartext = CleartextPolicy::Refuse;
    let (mut world, refusal) = late_echo(Transport::Udp, Keying::Sdes, refuses);
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.status(), StatusCode::NOT_ACCEPTABLE_HERE);
    assert!(refusal.headers.value("Warning").unwrap().contains("sip.sdes_over_cleartext"));
    world.assert_forgotten();
}

#[test]
fn an_answer_that_does_not_fit_what_echo_offered_ends_the_call() {
    let (mut world, offer) = late_echo(Transport::Tls, Keying::Auto, |_| {});
    let (alice, offer) = offer.unwrap();
    assert!(offer.contains("RTP/SAVP"));
    let now = world.now;
    world.phone(ALICE).agent.answer(now, alice, plain("alice", "192.0.2.10")).unwrap();
    let CallEvent::Ended { cause: EndCause::Bye(bye), .. } = world.event(ALICE) else { panic!() };
    assert!(bye.headers.value("Reason").unwrap().contains("cause=488"));
    world.assert_forgotten();
}
