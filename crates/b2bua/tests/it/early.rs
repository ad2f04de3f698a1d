//! Offers before the call is answered: UPDATE in early dialogs (RFC 3311).

use sallyport_b2bua::{B2buaConfig, Destination};
use sip::{Body, CallError, CallEvent, DialogHandle, EndCause, LegId, Method, StatusCode, UserAgent, UserAgentConfig};

use crate::offers::{agreed, answer, answered, hold, offer};
use crate::world::{ALICE, BOB, CAROL, World, address, config, plain, target, text};

fn update(world: &mut World, at: &str, dialog: DialogHandle, body: Body) {
    let now = world.now;
    world.phone(at).agent.update(now, dialog, body).unwrap();
    world.settle();
}

fn refused(world: &mut World, at: &str) -> sip::Response {
    match world.event(at) {
        CallEvent::OfferRefused { response, .. } => *response,
        other => panic!("{other:?}"),
    }
}

/// The early dialog that a caller hears of, and whether it brought the answer for good.
fn progress(world: &mut World, at: &str) -> (DialogHandle, bool) {
    match world.event(at) {
        CallEvent::Progress { dialog: Some(dialog), description, .. } => {
            (dialog, matches!(description, Some(sip::Description::Answer(_))))
        }
        other => panic!("{other:?}"),
    }
}

/// Bob has answered Alice's offer, reliably, and rings.
fn ringing(world: &mut World) -> (LegId, [DialogHandle; 2]) {
    world.alice_calls_bob();
    let (leg, _) = world.incoming(BOB);
    world.ring(BOB, leg, 183, Some(plain("bob", "192.0.2.20")));
    let (alice, is_final) = progress(world, ALICE);
    assert!(is_final);
    let bob = world.phone(BOB).agent.dialogs_of(leg)[0];
    (leg, [alice, bob])
}

fn both() -> B2buaConfig {
    let mut config = config();
    let targets = [target(&format!("sip:bob@{BOB}")), target(&format!("sip:carol@{CAROL}"))];
    config.routes[0].to = Destination::Targets(vec![targets.to_vec()]);
    config
}

#[test]
fn either_offers_by_update_before_the_answer_and_the_200_has_no_body() {
    let mut world = World::new();
    let (leg, [alice, bob]) = ringing(&mut world);
    assert_eq!(
        world.take_log()[2..],
        ["bob 183 INVITE", "us>bob PRACK", "us>alice 183 INVITE", "bob 200 PRACK", "alice PRACK", "us>alice 200 PRACK"]
    );
    update(&mut world, ALICE, alice, hold("alice", "192.0.2.10"));
    let (dialog, offered) = offer(&mut world, BOB);
    assert!(dialog == bob && offered.contains("a=sendonly"), "{offered}");
    let held = text(&hold("bob", "192.0.2.20").bytes).replace("sendonly", "recvonly");
    answer(&mut world, BOB, bob, Body::sdp(held));
    assert!(answered(&mut world, ALICE).contains("a=recvonly"));
    assert_eq!(world.take_log(), ["alice UPDATE", "us>bob UPDATE", "bob 200 UPDATE", "us>alice 200 UPDATE"]);

    update(&mut world, BOB, bob, plain("bob", "192.0.2.20"));
    let (dialog, offered) = offer(&mut world, ALICE);
    assert!(dialog == alice && offered.contains("a=sendrecv"), "{offered}");
    answer(&mut world, ALICE, alice, plain("alice", "192.0.2.10"));
    answered(&mut world, BOB);
    let before = agreed(&world, [alice, bob]);
    let plan = world.plans.values().next().unwrap().clone();

    world.take_log();
    world.accept(BOB, leg, None);
    let (dialog, response) = world.answered(ALICE);
    assert!(dialog == alice && response.body().is_empty());
    assert_eq!(world.take_log(), ["bob 200 INVITE", "us>bob ACK", "us>alice 200 INVITE", "alice ACK"]);
    assert_eq!(agreed(&world, [alice, bob]), before);
    let after = world.plans.values().next().unwrap();
    assert!(after.transports == plan.transports && after.flows == plan.flows);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

/// RFC 3311 §5.2: 491 for an offer that meets ours, 500 with Retry-After for one on top of theirs.
#[test]
fn crossing_and_overlapping_updates_are_told_to_wait() {
    let mut world = World::new();
    let (leg, [alice, bob]) = ringing(&mut world);
    let now = world.now;
    world.phone(ALICE).agent.update(now, alice, hold("alice", "192.0.2.10")).unwrap();
    world.phone(BOB).agent.update(now, bob, hold("bob", "192.0.2.20")).unwrap();
    world.settle();
    let pending = world.take_log().iter().filter(|line| line.ends_with("491 UPDATE")).count();
    assert!(pending >= 1);
    for at in [ALICE, BOB] {
        world.phone(at).events.clear();
    }
    world.run(std::time::Duration::from_secs(5));
    update(&mut world, ALICE, alice, hold("alice", "192.0.2.10"));
    let first = text(&world.last[&address(ALICE)]);
    let cseq = first.lines().find(|line| line.starts_with("CSeq: ")).unwrap();
    let number: u32 = cseq.split(' ').nth(1).unwrap().parse().unwrap();
    let second =
        first.replace(cseq, &format!("CSeq: {} UPDATE", number + 1)).replace("branch=z9hG4bK", "branch=z9hG4bKx");
    world.inject(ALICE, second);
    let (_, refusal) = world.sent.iter().rev().find(|(to, _)| *to == address(ALICE)).unwrap();
    let refusal = text(refusal);
    assert!(refusal.starts_with("SIP/2.0 500 ") && refusal.contains("\r\nRetry-After: "), "{refusal}");
    // The first one is not touched by it.
    world.phone(BOB).events.retain(|event| matches!(event, CallEvent::Offer { .. }));
    let (dialog, _) = offer(&mut world, BOB);
    answer(&mut world, BOB, dialog, plain("bob", "192.0.2.20"));
    world.phone(ALICE).events.retain(|event| !matches!(event, CallEvent::OfferAgain { .. }));
    answered(&mut world, ALICE);
    world.accept(BOB, leg, None);
    world.answered(ALICE);
    world.bye(BOB, bob);
    world.assert_forgotten();
}

#[test]
fn an_offer_ahead_of_the_first_answer_is_refused() {
    let mut world = World::new();
    world.alice_calls_bob();
    let (leg, _) = world.incoming(BOB);
    world.ring(BOB, leg, 180, None);
    let (alice, is_final) = progress(&mut world, ALICE);
    assert!(!is_final);
    let now = world.now;
    // A phone of ours knows that it may not; so that the server is asked as well.
    assert_eq!(world.phone(ALICE).agent.update(now, alice, hold("alice", "192.0.2.10")), Err(CallError::NotNow));
    let invite = text(&world.last[&address(ALICE)]);
    let tag = world.phone(ALICE).agent.dialog(alice).unwrap().id().remote_tag.clone();
    let target = world.phone(ALICE).agent.dialog(alice).unwrap().remote_target().to_string();
    let first = invite.lines().next().unwrap();
    let update = invite
        .replace(first, &format!("UPDATE {target} SIP/2.0"))
        .replace("CSeq: 1 INVITE", "CSeq: 2 UPDATE")
        .replace("branch=z9hG4bK", "branch=z9hG4bKu")
        .replace("To: <sip:bob@sallyport.example>", &format!("To: <sip:bob@sallyport.example>;tag={tag}"));
    world.inject(ALICE, update);
    let (_, refusal) = world.sent.last().unwrap();
    let refusal = text(refusal);
    assert!(refusal.starts_with("SIP/2.0 500 ") && refusal.contains("\r\nRetry-After: "), "{refusal}");
    world.no_event(BOB);
    let bob = world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    world.answered(ALICE);
    world.bye(BOB, bob);
    world.assert_forgotten();
}

#[test]
fn of_several_that_ring_none_may_offer_and_the_one_that_answers_has_the_call() {
    let mut world = World::with(both());
    world.alice_calls_bob();
    let (leg, _) = world.incoming(BOB);
    let (other, _) = world.incoming(CAROL);
    world.ring(BOB, leg, 183, Some(plain("bob", "192.0.2.20")));
    world.ring(CAROL, other, 183, Some(plain("carol", "192.0.2.30")));
    assert!(!progress(&mut world, ALICE).1 && !progress(&mut world, ALICE).1, "previews");
    let bob = world.phone(BOB).agent.dialogs_of(leg)[0];
    update(&mut world, BOB, bob, hold("bob", "192.0.2.20"));
    assert_eq!(refused(&mut world, BOB).status(), StatusCode::REQUEST_PENDING);
    world.no_event(ALICE);
    world.accept(CAROL, other, None);
    let (alice, response) = world.answered(ALICE);
    assert!(text(response.body()).contains("m=audio "));
    let plan = world.plans.values().next().unwrap();
    assert!(plan.transports.iter().any(|plan| plan.remote.is_some_and(|to| to.ip().to_string() == "192.0.2.30")));
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

/// A caller that wants every response reliable has agreed with Bob when Carol answers: it is offered what she says.
#[test]
fn a_caller_that_agreed_with_another_is_offered_the_answer_of_the_one_that_has_won() {
    for rejects in [false, true] {
        let mut world = World::with(both());
        let mut invite = World::invitation(ALICE, "sip:bob@sallyport.example", Some(plain("alice", "192.0.2.10")));
        invite.headers.push("Require", "100rel");
        world.call(ALICE, invite);
        let (leg, _) = world.incoming(BOB);
        let (other, _) = world.incoming(CAROL);
        world.ring(BOB, leg, 183, Some(plain("bob", "192.0.2.20")));
        let (alice, is_final) = progress(&mut world, ALICE);
        assert!(is_final);
        update(&mut world, ALICE, alice, hold("alice", "192.0.2.10"));
        assert_eq!(refused(&mut world, ALICE).status(), StatusCode::REQUEST_PENDING, "Carol rings as well");
        if rejects {
            world.reject(BOB, leg, 486);
        }
        world.accept(CAROL, other, Some(plain("carol", "192.0.2.30")));
        let (dialog, response) = world.answered(ALICE);
        assert!(dialog == alice && response.body().is_empty());
        world.run(std::time::Duration::from_secs(3));
        let events: Vec<_> = world.phone(ALICE).events.drain(..).collect();
        let offered = events.iter().any(|event| matches!(event, CallEvent::Offer { .. }));
        assert!(offered, "{events:?}");
        answer(&mut world, ALICE, alice, plain("alice", "192.0.2.10"));
        let plan = world.plans.values().next().unwrap();
        assert!(plan.transports.iter().any(|plan| plan.remote.is_some_and(|to| to.ip().to_string() == "192.0.2.30")));
        assert_eq!(plan.flows.len(), 2);
        world.bye(ALICE, alice);
        world.assert_forgotten();
    }
}

#[test]
fn a_called_party_that_fails_takes_the_open_offer_with_it() {
    for by_alice in [true, false] {
        let mut world = World::new();
        let (leg, [alice, bob]) = ringing(&mut world);
        if by_alice {
            update(&mut world, ALICE, alice, hold("alice", "192.0.2.10"));
            offer(&mut world, BOB);
        } else {
            update(&mut world, BOB, bob, hold("bob", "192.0.2.20"));
            offer(&mut world, ALICE);
        }
        world.reject(BOB, leg, 486);
        if by_alice {
            assert_eq!(refused(&mut world, ALICE).status(), StatusCode::REQUEST_PENDING);
        }
        assert_eq!(world.failure(ALICE).status(), StatusCode::BUSY_HERE);
        world.assert_forgotten();
    }
}

/// The 200 crosses an UPDATE on the way: both go on.
#[test]
fn an_answer_to_the_call_leaves_an_open_update_open() {
    let mut world = World::new();
    let (leg, [alice, bob]) = ringing(&mut world);
    update(&mut world, ALICE, alice, hold("alice", "192.0.2.10"));
    let (dialog, _) = offer(&mut world, BOB);
    world.accept(BOB, leg, None);
    let (answered_dialog, response) = world.answered(ALICE);
    assert!(answered_dialog == alice && response.body().is_empty());
    assert!(matches!(world.event(BOB), CallEvent::Established { .. }));
    let held = text(&hold("bob", "192.0.2.20").bytes).replace("sendonly", "recvonly");
    answer(&mut world, BOB, dialog, Body::sdp(held));
    assert!(answered(&mut world, ALICE).contains("a=recvonly"));
    world.no_event(BOB);
    world.bye(BOB, bob);
    world.assert_forgotten();
}

#[test]
fn a_party_that_takes_no_update_is_not_sent_any() {
    let mut world = World::new();
    let mut phone = UserAgentConfig { session_timer: None, ..UserAgentConfig::default() };
    phone.capabilities.methods.retain(|method| *method != Method::Update);
    world.phone(BOB).agent = UserAgent::new(phone, [77; 32]);
    let (leg, [alice, bob]) = ringing(&mut world);
    update(&mut world, ALICE, alice, hold("alice", "192.0.2.10"));
    let response = refused(&mut world, ALICE);
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE_HERE);
    assert!(response.headers.value("Warning").unwrap().contains("before the call is answered"));
    // Later it comes by re-INVITE.
    world.accept(BOB, leg, None);
    world.answered(ALICE);
    world.event(BOB);
    update(&mut world, ALICE, alice, hold("alice", "192.0.2.10"));
    let (dialog, _) = offer(&mut world, BOB);
    answer(&mut world, BOB, dialog, plain("bob", "192.0.2.20"));
    answered(&mut world, ALICE);
    world.bye(BOB, bob);
    world.assert_forgotten();
}

/// The 200 waits for the PRACK, and the end of the call for the 200.
#[test]
fn a_call_that_ends_before_its_200_is_out_leaves_nothing_behind() {
    for is_lost in [false, true] {
        let mut world = World::new();
        world.alice_calls_bob();
        let (leg, _) = world.incoming(BOB);
        world.deaf.push(address(ALICE));
        world.ring(BOB, leg, 183, Some(plain("bob", "192.0.2.20")));
        let bob = world.accept(BOB, leg, None);
        world.bye(BOB, bob);
        if !is_lost {
            world.deaf.clear();
            world.run(std::time::Duration::from_secs(2));
            let (alice, _) = world.answered(ALICE);
            let CallEvent::Ended { dialog, cause: EndCause::Bye(_), .. } = world.event(ALICE) else { panic!() };
            assert_eq!(dialog, alice);
        } else {
            // Alice has heard of nothing at all, and gives up.
            world.run(std::time::Duration::from_secs(40));
            world.deaf.clear();
        }
        world.assert_forgotten();
    }
}
