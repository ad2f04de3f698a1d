//! Several called parties for one caller.

use std::time::Duration;

use sallyport_b2bua::{B2buaConfig, Destination};
use sip::{CallEvent, EndCause, StatusCode};

use crate::world::{ALICE, BOB, CAROL, World, config, plain, target, text};

fn two(parallel: bool) -> B2buaConfig {
    let mut config = config();
    let [bob, carol] = [target(&format!("sip:bob@{BOB}")), target(&format!("sip:carol@{CAROL}"))];
    let groups = if parallel { vec![vec![bob, carol]] } else { vec![vec![bob], vec![carol]] };
    config.routes[0].to = Destination::Targets(groups);
    config
}

#[test]
fn the_first_to_answer_has_the_call_and_the_others_stop_ringing() {
    let mut world = World::with(two(true));
    world.alice_calls_bob();
    let (bob, to_bob) = world.incoming(BOB);
    let (carol, to_carol) = world.incoming(CAROL);
    // The breadth is shared, and so is nothing else.
    assert_eq!(
        [&to_bob, &to_carol].map(|invite| invite.headers.value("Max-Breadth").unwrap().into_owned()),
        ["30", "30"]
    );
    assert_ne!(to_bob.headers.call_id(), to_carol.headers.call_id());
    let port = |body: &[u8]| text(body).split("m=audio ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_ne!(port(to_bob.body()), port(to_carol.body()));
    // Early media of one, and the 200 of the other.
    world.ring(BOB, bob, 183, Some(plain("bob", "192.0.2.20")));
    world.ring(CAROL, carol, 180, None);
    world.accept(CAROL, carol, Some(plain("carol", "192.0.2.30")));
    let (alice, _) = world.answered(ALICE);
    let CallEvent::Cancelled { request, .. } = world.event(BOB) else { panic!() };
    assert_eq!(request.headers.value("Reason").unwrap(), "SIP;cause=200;text=\"Call completed elsewhere\"");
    let plan = world.plan();
    assert_eq!((plan.transports.len(), plan.flows.len()), (4, 2), "the ports of the branch that lost are closed");
    assert!(
        plan.transports.iter().any(|plan| plan.remote.is_some_and(|remote| remote.ip().to_string() == "192.0.2.30"))
    );
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn a_2xx_that_comes_too_late_is_acknowledged_and_ended() {
    let mut world = World::with(two(true));
    world.alice_calls_bob();
    let (bob, _) = world.incoming(BOB);
    let (carol, _) = world.incoming(CAROL);
    let now = world.now;
    let none = crate::world::none();
    // Both at once: neither has heard of the other.
    world.phone(BOB).agent.accept(now, bob, Some(plain("bob", "192.0.2.20")), &none).unwrap();
    world.phone(CAROL).agent.accept(now, carol, Some(plain("carol", "192.0.2.30")), &none).unwrap();
    world.settle();
    let (alice, _) = world.answered(ALICE);
    let ended: Vec<bool> = [BOB, CAROL]
        .map(|at| {
            assert!(matches!(world.event(at), CallEvent::Established { .. }));
            let events: Vec<_> = world.phone(at).events.drain(..).collect();
            events.iter().any(|event| matches!(event, CallEvent::Ended { cause: EndCause::Bye(_), .. }))
        })
        .to_vec();
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1, "{ended:?}");
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn one_after_the_other_and_the_best_failure_in_the_end() {
    let mut world = World::with(two(false));
    world.alice_calls_bob();
    let (bob, _) = world.incoming(BOB);
    world.ring(BOB, bob, 180, None);
    world.no_event(CAROL);
    world.run(Duration::from_secs(31));
    assert!(matches!(world.event(BOB), CallEvent::Cancelled { .. }));
    let (carol, _) = world.incoming(CAROL);
    world.reject(CAROL, carol, 486);
    assert_eq!(world.failure(ALICE).status(), StatusCode::BUSY_HERE);
    world.assert_forgotten();
}

#[test]
fn the_next_one_is_called_when_the_first_is_busy_and_media_goes_to_it() {
    let mut world = World::with(two(false));
    world.alice_calls_bob();
    let (bob, _) = world.incoming(BOB);
    world.reject(BOB, bob, 486);
    let (carol, _) = world.incoming(CAROL);
    world.accept(CAROL, carol, Some(plain("carol", "192.0.2.30")));
    let (alice, _) = world.answered(ALICE);
    assert_eq!(world.plan().flows.len(), 2);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn a_decline_ends_the_search() {
    let mut world = World::with(two(true));
    world.alice_calls_bob();
    let (bob, _) = world.incoming(BOB);
    let (carol, _) = world.incoming(CAROL);
    world.ring(CAROL, carol, 180, None);
    world.reject(BOB, bob, 603);
    assert_eq!(world.failure(ALICE).status(), StatusCode::DECLINE);
    assert!(matches!(world.event(CAROL), CallEvent::Cancelled { .. }));
    world.assert_forgotten();
}

/// RFC 3261 §16.7 step 7, RFC 8760 §2.5, where the operator lets callers answer.
#[test]
fn all_challenges_reach_a_caller_that_may_answer_them() {
    let mut config = two(true);
    config.relay_challenges = true;
    let mut world = World::with(config);
    world.alice_calls_bob();
    let now = world.now;
    for (at, realm) in [(BOB, "one"), (CAROL, "two")] {
        let (leg, _) = world.incoming(at);
        let mut headers = crate::world::none();
        for algorithm in ["SHA-256", "MD5"] {
            headers.push(
                "Proxy-Authenticate",
                format!("Digest realm=\"{realm}\", nonce=\"1\", algorithm={algorithm}, qop=\"auth\""),
            );
        }
        world.phone(at).agent.reject(now, leg, StatusCode::PROXY_AUTHENTICATION_REQUIRED, &headers).unwrap();
        world.settle();
    }
    let response = world.failure(ALICE);
    assert_eq!(response.status(), StatusCode::PROXY_AUTHENTICATION_REQUIRED);
    let realms: Vec<_> = response.headers.values("Proxy-Authenticate").map(|value| value[..18].to_owned()).collect();
    assert_eq!(
        realms,
        ["Digest realm=\"one\"", "Digest realm=\"one\"", "Digest realm=\"two\"", "Digest realm=\"two\""]
    );
    world.assert_forgotten();
}

#[test]
fn late_offers_of_several_go_to_the_caller_once() {
    let mut world = World::with(two(true));
    world.call(ALICE, World::invitation(ALICE, "sip:bob@sallyport.example", None));
    world.incoming(BOB);
    let (carol, _) = world.incoming(CAROL);
    world.accept(CAROL, carol, Some(plain("carol", "192.0.2.30")));
    let (alice, _) = world.answered(ALICE);
    let now = world.now;
    world.phone(ALICE).agent.answer(now, alice, plain("alice", "192.0.2.10")).unwrap();
    world.settle();
    assert_eq!(world.plan().flows.len(), 2);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}
