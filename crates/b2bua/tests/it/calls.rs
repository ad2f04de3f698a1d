//! Two phones through one back-to-back user agent.

use std::time::Duration;

use session::EndReason;
use sip::{CallEvent, Description, EndCause, StatusCode};

use crate::world::{ALICE, BOB, World, none, plain, text};

#[test]
fn a_call_is_made_and_ended_and_each_leg_is_its_own() {
    let mut world = World::new();
    world.alice_calls_bob();
    let (leg, invite) = world.incoming(BOB);
    assert_eq!(invite.uri().to_string(), "sip:bob@192.0.2.20:5060");
    assert_eq!(
        invite.headers.from().unwrap().to_string().split(";tag=").next(),
        Some("\"alice of a\" <sip:alice@sallyport.example>")
    );
    assert_eq!(invite.headers.value("Contact").unwrap(), "<sip:192.0.2.1:5060>");
    assert_eq!(invite.headers.value("Max-Forwards").unwrap(), "69");
    assert_eq!(invite.headers.value("Max-Breadth").unwrap(), "60");
    assert_eq!(invite.headers.value("Subject").unwrap(), "lunch");
    assert!(!invite.headers.contains("X-Secret"));
    let offer = text(invite.body());
    assert!(offer.contains("c=IN IP4 203.0.113.7\r\n") && offer.contains(" RTP/AVP 0\r\n"), "{offer}");
    world.ring(BOB, leg, 180, None);
    assert!(
        matches!(world.event(ALICE), CallEvent::Progress { response, .. } if response.status() == StatusCode::RINGING)
    );
    let bob = world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    let CallEvent::Answered { dialog: alice, response, description, .. } = world.event(ALICE) else { panic!() };
    assert!(matches!(description, Some(Description::Answer(_))));
    let answer = text(response.body());
    assert!(answer.contains("c=IN IP4 203.0.113.7\r\n"), "{answer}");
    assert_eq!(response.headers.value("Contact").unwrap(), "<sip:192.0.2.1:5060>");
    assert_eq!(
        world.take_log(),
        [
            "alice INVITE",
            "us>bob INVITE",
            "bob 180 INVITE",
            "us>alice 180 INVITE",
            "bob 200 INVITE",
            "us>bob ACK",
            "us>alice 200 INVITE",
            "alice ACK"
        ]
    );
    assert!(matches!(world.event(BOB), CallEvent::Established { .. }));
    let plan = world.plan();
    assert_eq!(plan.flows.len(), 2);
    let remotes: Vec<_> =
        plan.transports.iter().filter_map(|plan| plan.remote).map(|remote| remote.ip().to_string()).collect();
    assert_eq!(remotes, ["192.0.2.10", "192.0.2.10", "192.0.2.20", "192.0.2.20"]);

    world.bye(ALICE, alice);
    assert!(matches!(world.event(BOB), CallEvent::Ended { dialog, cause: EndCause::Bye(_), .. } if dialog == bob));
    assert_eq!(world.take_log(), ["alice BYE", "us>alice 200 BYE", "us>bob BYE", "bob 200 BYE"]);
    assert!(matches!(&world.ended[..], [(_, EndReason::Deleted)]));
    world.assert_hidden(BOB, &["192.0.2.10", "alice-tag", "alice-call", "a.example", "o=alice"]);
    world.assert_hidden(ALICE, &["192.0.2.20", "o=bob", "203.0.113.7:5060"]);
    world.assert_forgotten();
}

#[test]
fn the_called_party_hangs_up() {
    let mut world = World::new();
    let [_, bob] = world.established();
    world.bye(BOB, bob);
    assert_eq!(world.take_log(), ["bob BYE", "us>bob 200 BYE", "us>alice BYE", "alice 200 BYE"]);
    world.assert_forgotten();
}

#[test]
fn a_caller_that_gives_up_is_answered_and_the_called_party_stops_ringing() {
    let mut world = World::new();
    let leg = world.alice_calls_bob();
    let (callee, _) = world.incoming(BOB);
    world.ring(BOB, callee, 180, None);
    let now = world.now;
    world.phone(ALICE).agent.cancel(now, leg, None).unwrap();
    assert_eq!(world.failure(ALICE).status(), StatusCode::REQUEST_TERMINATED);
    assert!(matches!(world.event(BOB), CallEvent::Cancelled { .. }));
    world.assert_forgotten();
    assert!(matches!(&world.ended[..], [(_, EndReason::Deleted)]));
}

#[test]
fn a_200_that_crosses_the_callers_cancel_is_acknowledged_and_ended() {
    let mut world = World::new();
    let leg = world.alice_calls_bob();
    let (callee, _) = world.incoming(BOB);
    world.ring(BOB, callee, 180, None);
    let now = world.now;
    world.phone(BOB).agent.accept(now, callee, Some(plain("bob", "192.0.2.20")), &none()).unwrap();
    world.phone(ALICE).agent.cancel(now, leg, None).unwrap();
    world.settle();
    world.take_log();
    world.assert_forgotten();
    assert!(matches!(world.event(BOB), CallEvent::Established { .. }));
    assert!(matches!(world.event(BOB), CallEvent::Ended { cause: EndCause::Bye(_), .. }));
}

#[test]
fn failures_are_told_without_what_they_would_give_away() {
    for (status, told) in
        [(404, 404), (486, 486), (488, 488), (603, 603), (503, 500), (302, 480), (401, 403), (407, 403), (480, 480)]
    {
        let mut world = World::new();
        world.alice_calls_bob();
        let (leg, _) = world.incoming(BOB);
        let (now, status) = (world.now, StatusCode::new(status).unwrap());
        let mut headers = none();
        headers.push("Contact", "<sip:bob@198.51.100.9>");
        headers.push("WWW-Authenticate", "Digest realm=\"inner.example\", nonce=\"1\"");
        headers.push("Warning", "399 192.0.2.20 \"because\"");
        headers.push("X-Inner", "1");
        world.phone(BOB).agent.reject(now, leg, status, &headers).unwrap();
        let response = world.failure(ALICE);
        assert_eq!(response.status().code(), told);
        assert_eq!(response.headers.value("Warning").unwrap(), "399 sallyport.example \"because\"");
        world.assert_hidden(ALICE, &["198.51.100.9", "inner.example", "X-Inner", "192.0.2.20"]);
        world.assert_forgotten();
    }
}

#[test]
fn nobody_there_is_a_408_and_nothing_is_left() {
    let mut world = World::new();
    world.deaf.push(crate::world::address(BOB));
    world.alice_calls_bob();
    world.run(Duration::from_secs(40));
    assert_eq!(world.failure(ALICE).status(), StatusCode::REQUEST_TIMEOUT);
    world.assert_forgotten();
}

#[test]
fn the_next_address_is_tried_when_one_is_silent() {
    let mut config = crate::world::config();
    config.routes[0].to = sallyport_b2bua::Destination::Targets(vec![vec![crate::world::target("sip:bob@b.example")]]);
    let mut world = World::with(config);
    world.located.insert("b.example".into(), vec!["192.0.2.99:5060".parse().unwrap(), crate::world::address(BOB)]);
    world.alice_calls_bob();
    world.run(Duration::from_secs(33));
    let (leg, _) = world.incoming(BOB);
    world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    let (alice, _) = world.answered(ALICE);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn who_cannot_be_located_is_not_called() {
    let mut config = crate::world::config();
    config.routes[0].to =
        sallyport_b2bua::Destination::Targets(vec![vec![crate::world::target("sip:bob@nowhere.example")]]);
    let mut world = World::with(config);
    world.alice_calls_bob();
    assert_eq!(world.failure(ALICE).status(), StatusCode::SERVER_INTERNAL_ERROR);
    world.assert_forgotten();
}

#[test]
fn early_media_is_answered_ahead_and_again_for_a_caller_without_reliable_responses() {
    let mut world = World::new();
    let mut phone = sip::UserAgentConfig { session_timer: None, ..sip::UserAgentConfig::default() };
    phone.capabilities.extensions.retain(|tag| tag != "100rel");
    world.phone(ALICE).agent = sip::UserAgent::new(phone, [78; 32]);
    world.alice_calls_bob();
    let (leg, _) = world.incoming(BOB);
    world.ring(BOB, leg, 183, Some(plain("bob", "192.0.2.20")));
    let CallEvent::Progress { response, description: Some(Description::Preview(early)), .. } = world.event(ALICE)
    else {
        panic!()
    };
    assert_eq!(response.status(), StatusCode::SESSION_PROGRESS);
    assert_eq!(world.plan().flows.len(), 2);
    // The 183 was reliable towards us: the 200 has no description.
    world.accept(BOB, leg, None);
    let (alice, response) = world.answered(ALICE);
    assert_eq!(text(response.body()), text(&early.bytes), "the same ports, keys and o=");
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn a_late_offer_goes_the_other_way_round() {
    let mut world = World::new();
    world.call(ALICE, World::invitation(ALICE, "sip:bob@sallyport.example", None));
    let (leg, invite) = world.incoming(BOB);
    assert!(invite.body().is_empty());
    assert!(!invite.headers.list_contains("Supported", "100rel"), "nobody could answer an offer in an 18x");
    let bob = world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    let CallEvent::Answered { dialog: alice, description: Some(Description::Offer(offer)), .. } = world.event(ALICE)
    else {
        panic!()
    };
    assert!(text(&offer.bytes).contains("c=IN IP4 203.0.113.7"));
    let now = world.now;
    world.phone(ALICE).agent.answer(now, alice, plain("alice", "192.0.2.10")).unwrap();
    assert!(matches!(world.event(BOB), CallEvent::Established { dialog } if dialog == bob));
    let CallEvent::Answer { body, .. } = world.event(BOB) else { panic!() };
    assert!(text(&body.bytes).contains("c=IN IP4 203.0.113.7"));
    assert_eq!(world.plan().flows.len(), 2);
    assert_eq!(
        world.take_log(),
        ["alice INVITE", "us>bob INVITE", "bob 200 INVITE", "us>alice 200 INVITE", "alice ACK", "us>bob ACK"]
    );
    world.bye(BOB, bob);
    world.assert_forgotten();
}

#[test]
fn a_late_offer_that_is_not_answered_ends_both_legs() {
    let mut world = World::new();
    world.call(ALICE, World::invitation(ALICE, "sip:bob@sallyport.example", None));
    let (leg, _) = world.incoming(BOB);
    world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    let (alice, _) = world.answered(ALICE);
    let now = world.now;
    world.phone(ALICE).agent.refuse(now, alice, StatusCode::NOT_ACCEPTABLE_HERE, &none()).unwrap();
    world.settle();
    world.assert_forgotten();
}

#[test]
fn no_media_ends_both_legs_and_says_why() {
    let mut world = World::new();
    world.established();
    world.worker_says_idle();
    assert!(matches!(&world.ended[..], [(_, EndReason::MediaTimeout)]));
    for at in [ALICE, BOB] {
        let CallEvent::Ended { cause: EndCause::Bye(bye), .. } = world.event(at) else { panic!() };
        assert_eq!(bye.headers.value("Reason").unwrap(), "SIP;cause=408;text=\"no media\"");
    }
    world.assert_forgotten();
}

#[test]
fn too_many_calls_get_503_with_retry_after() {
    let mut config = crate::world::config();
    config.limits.calls = 1;
    let mut world = World::with(config);
    let [alice, _] = world.established();
    let mut second =
        World::invitation(crate::world::CAROL, "sip:bob@sallyport.example", Some(plain("carol", "192.0.2.30")));
    second.headers.set("Call-ID", "other");
    world.call(crate::world::CAROL, second);
    let response = world.failure(crate::world::CAROL);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers.value("Retry-After").unwrap(), "5");
    assert_eq!(world.b2bua.counters().overload, 1);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn a_request_that_has_come_too_far_goes_no_further() {
    let mut world = World::new();
    let mut request = World::invitation(ALICE, "sip:bob@sallyport.example", Some(plain("alice", "192.0.2.10")));
    request.headers.set("Max-Forwards", 0);
    world.call(ALICE, request);
    assert_eq!(world.failure(ALICE).status(), StatusCode::TOO_MANY_HOPS);
    world.no_event(BOB);
    world.assert_forgotten();
}

/// A stranger that knows a Call-ID and both tags of a call gets a call of its own, or nothing.
#[test]
fn nobody_gets_into_a_call_by_its_call_id() {
    let mut world = World::new();
    let [alice, _] = world.established();
    let plan = world.plan().clone();
    let mut request =
        World::invitation(crate::world::CAROL, "sip:carol@sallyport.example", Some(plain("carol", "192.0.2.30")));
    request.headers.set("Call-ID", "alice-call@a.example");
    request.headers.set("From", "<sip:alice@a.example>;tag=alice-tag");
    request.headers.set("CSeq", "2 INVITE");
    world.call(crate::world::CAROL, request);
    assert_eq!(world.session.calls().len(), 2);
    let now =
        world.plans.values().find(|now| now.transports.len() == plan.transports.len() && now.flows.len() == 2).unwrap();
    assert!(now.transports == plan.transports && now.flows == plan.flows);
    world.bye(ALICE, alice);
    let (leg, _) = world.incoming(crate::world::CAROL);
    world.reject(crate::world::CAROL, leg, 486);
    world.assert_forgotten();
}
