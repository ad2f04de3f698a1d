//! How many calls somebody may have, and how long one may ring.

use std::time::Duration;

use sallyport_b2bua::{B2buaConfig, Destination, Refer};
use sip::{
    CallEvent, DialogHandle, DigestPolicy, DigestSession, Method, Response, StatusCode, UserAgent, UserAgentConfig,
    next_attempt,
};

use crate::registrations::{account, register, users};
use crate::world::{ALICE, BOB, CAROL, World, config, none, plain, target, text};

/// Alice and Bob have registered, and may have one call each.
fn registered() -> World {
    let mut config = B2buaConfig::new("sallyport.example");
    config.max_calls_per_user = Some(1);
    let mut world = World::with_users(config, users());
    for (name, password, at) in [("alice", "wonderland", ALICE), ("bob", "builder", BOB)] {
        assert_eq!(register(&mut world, name, password, at).status(), StatusCode::OK);
    }
    world
}

/// A call of a user, each under a Call-ID of its own, with the challenge answered.
fn call_as(world: &mut World, name: &str, password: &str, at: &str, to: &str, call_id: &str) {
    let mut invite = World::invitation(at, to, Some(plain(name, "192.0.2.10")));
    invite.headers.set("From", format!("<sip:{name}@sallyport.example>;tag={call_id}"));
    invite.headers.set("Call-ID", call_id);
    world.call(at, invite.clone());
    let challenge = world.failure(at);
    let mut next = next_attempt(&invite);
    let mut digest = DigestSession::new(DigestPolicy::default(), [3; 32]);
    digest.answer(&[account(name, password)], &mut next, &challenge).unwrap();
    world.call(at, next);
}

fn alice_calls(world: &mut World, to: &str, call_id: &str) {
    call_as(world, "alice", "wonderland", ALICE, to, call_id);
}

/// A call of a phone of the trunk.
fn trunk_calls(world: &mut World, at: &str, to: &str) {
    world.call(at, World::invitation(at, to, Some(plain("x", "192.0.2.10"))));
}

fn is_told_to_wait(response: &Response, status: StatusCode) {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers.value("Retry-After").unwrap(), "5");
}

/// Bindings end by themselves.
fn assert_forgotten(world: &mut World) {
    world.run(Duration::from_secs(3700));
    world.assert_forgotten();
}

#[test]
fn a_user_has_no_more_calls_than_it_may_have() {
    let mut world = registered();
    alice_calls(&mut world, "sip:bob@sallyport.example", "first");
    let (leg, _) = world.incoming(BOB);
    // It rings, and counts already.
    alice_calls(&mut world, "sip:echo@sallyport.example", "second");
    let refused = world.failure(ALICE);
    is_told_to_wait(&refused, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.value("Warning").unwrap().contains("as many calls as it may have"));
    assert_eq!(world.b2bua.counters().limited["user"], 1);
    world.reject(BOB, leg, 486);
    assert_eq!(world.failure(ALICE).status(), StatusCode::BUSY_HERE);
    // There is room again.
    alice_calls(&mut world, "sip:echo@sallyport.example", "third");
    let (alice, _) = world.answered(ALICE);
    world.bye(ALICE, alice);
    assert_forgotten(&mut world);
}

#[test]
fn a_user_with_as_many_calls_as_it_may_have_is_busy() {
    let mut world = registered();
    call_as(&mut world, "bob", "builder", BOB, "sip:echo@sallyport.example", "first");
    let (bob, _) = world.answered(BOB);
    alice_calls(&mut world, "sip:bob@sallyport.example", "second");
    let busy = world.failure(ALICE);
    assert_eq!(busy.status(), StatusCode::BUSY_HERE);
    assert!(!busy.headers.contains("Warning"), "what Bob may have is nobody's business");
    world.no_event(BOB);
    world.bye(BOB, bob);
    // Two phones of Bob ring for one call. (The REGISTER of the other one is the same but for its sender.)
    world.run(Duration::from_secs(40));
    assert_eq!(register(&mut world, "bob", "builder", CAROL).status(), StatusCode::OK);
    alice_calls(&mut world, "sip:bob@sallyport.example", "third");
    world.phone(BOB).events.retain(|event| matches!(event, CallEvent::Incoming { .. }));
    let (leg, _) = world.incoming(BOB);
    world.incoming(CAROL);
    world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    world.phone(ALICE).events.retain(|event| matches!(event, CallEvent::Answered { .. }));
    let (alice, _) = world.answered(ALICE);
    world.bye(ALICE, alice);
    assert_forgotten(&mut world);
}

#[test]
fn a_trunk_has_no_more_calls_than_it_may_have_in_either_direction() {
    let mut config = config();
    config.trunks[0].max_calls = Some(2);
    config.routes[1].to = Destination::Trunk("phones".into());
    let mut world = World::with(config);
    // From the trunk and to a URI: one. From the trunk and to the trunk: two more, of which one is left.
    trunk_calls(&mut world, ALICE, "sip:bob@sallyport.example");
    let (first, _) = world.incoming(BOB);
    trunk_calls(&mut world, CAROL, "sip:carol@sallyport.example");
    is_told_to_wait(&world.failure(CAROL), StatusCode::TEMPORARILY_UNAVAILABLE);
    world.no_event(BOB);
    // A call that is refused counts no longer.
    world.reject(BOB, first, 486);
    assert_eq!(world.failure(ALICE).status(), StatusCode::BUSY_HERE);
    trunk_calls(&mut world, CAROL, "sip:carol@sallyport.example");
    let (second, _) = world.incoming(BOB);
    trunk_calls(&mut world, ALICE, "sip:echo@sallyport.example");
    is_told_to_wait(&world.failure(ALICE), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.b2bua.counters().limited["trunk"], 2);
    world.accept(BOB, second, Some(plain("bob", "192.0.2.20")));
    let (carol, _) = world.answered(CAROL);
    trunk_calls(&mut world, ALICE, "sip:echo@sallyport.example");
    is_told_to_wait(&world.failure(ALICE), StatusCode::SERVICE_UNAVAILABLE);
    world.bye(CAROL, carol);
    trunk_calls(&mut world, ALICE, "sip:echo@sallyport.example");
    let (alice, _) = world.answered(ALICE);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn a_call_may_ring_longer_than_the_transaction_would_let_it() {
    let mut config = config();
    config.max_ring_time = Duration::from_secs(600);
    let mut world = World::with(config);
    // A patient caller: its own timer C is not what is looked at.
    let mut phone = UserAgentConfig { session_timer: None, ..UserAgentConfig::default() };
    phone.transactions.timer_c = Duration::from_secs(900);
    world.phone(ALICE).agent = UserAgent::new(phone, [79; 32]);
    world.alice_calls_bob();
    let (leg, _) = world.incoming(BOB);
    world.ring(BOB, leg, 180, None);
    world.run(Duration::from_secs(599));
    world.no_event(BOB);
    world.run(Duration::from_secs(2));
    assert!(matches!(world.event(BOB), CallEvent::Cancelled { .. }));
    assert_eq!(world.failure(ALICE).status(), StatusCode::REQUEST_TIMEOUT);
    world.assert_forgotten();
}

#[test]
fn a_call_that_nobody_answers_ends() {
    let mut world = World::new();
    world.alice_calls_bob();
    let (leg, _) = world.incoming(BOB);
    world.ring(BOB, leg, 180, None);
    world.run(Duration::from_secs(90));
    // Timer C of the transaction begins anew; the time of the call does not.
    world.ring(BOB, leg, 180, None);
    world.run(Duration::from_secs(89));
    world.no_event(BOB);
    world.run(Duration::from_secs(2));
    assert!(matches!(world.event(BOB), CallEvent::Cancelled { .. }));
    assert_eq!(world.failure(ALICE).status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(world.b2bua.counters().ring_timeouts, 1);
    world.assert_forgotten();
}

#[test]
fn lists_in_turn_ring_no_longer_than_one_and_an_answer_ends_the_count() {
    for answers in [false, true] {
        let mut config = config();
        let targets = [target(&format!("sip:bob@{BOB}")), target(&format!("sip:carol@{CAROL}"))];
        config.routes[0].to = Destination::Targets(targets.map(|target| vec![target]).to_vec());
        config.max_ring_time = Duration::from_secs(40);
        let mut world = World::with(config);
        world.alice_calls_bob();
        let (leg, _) = world.incoming(BOB);
        world.ring(BOB, leg, 180, None);
        world.run(Duration::from_secs(31));
        assert!(matches!(world.event(BOB), CallEvent::Cancelled { .. }));
        let (leg, _) = world.incoming(CAROL);
        world.ring(CAROL, leg, 180, None);
        world.run(Duration::from_secs(7));
        world.no_event(CAROL);
        if answers {
            world.accept(CAROL, leg, Some(plain("carol", "192.0.2.30")));
            let (alice, _) = world.answered(ALICE);
            world.run(Duration::from_secs(100));
            world.no_event(ALICE);
            assert_eq!(world.b2bua.counters().ring_timeouts, 0);
            world.bye(ALICE, alice);
        } else {
            world.run(Duration::from_secs(3));
            assert!(matches!(world.event(CAROL), CallEvent::Cancelled { .. }));
            assert_eq!(world.failure(ALICE).status(), StatusCode::REQUEST_TIMEOUT);
            assert_eq!(world.b2bua.counters().ring_timeouts, 1);
        }
        world.assert_forgotten();
    }
}

#[test]
fn echo_is_no_call_that_rings() {
    let mut world = World::new();
    trunk_calls(&mut world, ALICE, "sip:echo@sallyport.example");
    let (alice, _) = world.answered(ALICE);
    world.run(Duration::from_secs(400));
    world.no_event(ALICE);
    assert_eq!(world.b2bua.counters().ring_timeouts, 0);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

#[test]
fn the_target_of_a_transfer_rings_no_longer_either() {
    let mut config = config();
    config.refer = Refer::Blind;
    let mut world = World::with(config);
    let [alice, bob] = world.established();
    refer(&mut world, BOB, bob, "sip:carol@sallyport.example");
    let (leg, _) = world.incoming(CAROL);
    world.ring(CAROL, leg, 180, None);
    assert_eq!(notifications(&mut world, BOB), ["SIP/2.0 100 Trying\r\n"]);
    world.run(Duration::from_secs(179));
    world.no_event(CAROL);
    world.run(Duration::from_secs(2));
    assert!(matches!(world.event(CAROL), CallEvent::Cancelled { .. }));
    assert_eq!(notifications(&mut world, BOB), ["SIP/2.0 487 Request Terminated\r\n"]);
    // Alice and Bob go on as before.
    world.no_event(ALICE);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

fn refer(world: &mut World, at: &str, dialog: DialogHandle, to: &str) {
    let mut headers = none();
    headers.push("Refer-To", format!("<{to}>"));
    let now = world.now;
    world.phone(at).agent.send(now, dialog, Method::Refer, None, &headers).unwrap();
    world.settle();
}

/// What whoever referred us is told; it answers.
fn notifications(world: &mut World, at: &str) -> Vec<String> {
    let events: Vec<_> = world.phone(at).events.drain(..).collect();
    let mut told = Vec::new();
    for event in events {
        if let CallEvent::Request { server, request, .. } = event {
            told.push(text(request.body()));
            let now = world.now;
            let _ = world.phone(at).agent.respond(now, server, request.respond(StatusCode::OK));
        }
    }
    world.settle();
    told
}
