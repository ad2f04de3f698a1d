//! Attended transfers: Alice has a call with Bob and one with Carol, and hands them to each other (REFER with Replaces).

use std::time::Duration;

use sallyport_b2bua::{B2buaConfig, Destination, Pattern, Refer, Route, RouteSource, Trunk};
use sip::{CallEvent, DialogHandle, EndCause, Method, StatusCode, Uri};

use crate::offers::{answer, answered, hold, offer};
use crate::restarts::remembering;
use crate::world::{ALICE, BOB, CAROL, World, config, none, plain, target, text};

fn attended() -> B2buaConfig {
    let mut config = config();
    config.refer = Refer::Blind;
    let to = Destination::Targets(vec![vec![target(&format!("sip:alice@{ALICE}"))]]);
    config.routes.insert(0, Route { pattern: Pattern::new("alice"), from: RouteSource::Anybody, to });
    config
}

fn of(at: &str) -> (&'static str, &'static str) {
    match at {
        ALICE => ("alice", "192.0.2.10"),
        BOB => ("bob", "192.0.2.20"),
        _ => ("carol", "192.0.2.30"),
    }
}

fn media(at: &str) -> sip::Body {
    let (name, address) = of(at);
    plain(name, address)
}

/// A call from one to another: both dialogs.
fn call(world: &mut World, from: &str, to: &str, number: u8) -> [DialogHandle; 2] {
    let mut invite = World::invitation(from, &format!("sip:{}@sallyport.example", of(to).0), Some(media(from)));
    invite.headers.set("Call-ID", format!("call-{number}"));
    world.call(from, invite);
    let (leg, _) = world.incoming(to);
    let called = world.accept(to, leg, Some(media(to)));
    let (caller, _) = world.answered(from);
    assert!(matches!(world.event(to), CallEvent::Established { .. }));
    [caller, called]
}

/// Alice's dialog with Bob and his, and hers with Carol and hers. `called`: she was called in the first, in the second.
fn two_calls(world: &mut World, called: [bool; 2]) -> [[DialogHandle; 2]; 2] {
    let mut number = 0;
    let calls = [BOB, CAROL].map(|other| {
        number += 1;
        if called[usize::from(number) - 1] {
            let [other, alice] = call(world, other, ALICE, number);
            [alice, other]
        } else {
            call(world, ALICE, other, number)
        }
    });
    world.log.clear();
    calls
}

/// The value of Replaces that names a dialog of a phone, for its peer.
fn replaces(world: &mut World, at: &str, dialog: DialogHandle) -> String {
    let id = world.phone(at).agent.dialog(dialog).unwrap().id().clone();
    format!("{}%3Bto-tag%3D{}%3Bfrom-tag%3D{}", id.call_id, id.remote_tag, id.local_tag)
}

fn refer(world: &mut World, at: &str, dialog: DialogHandle, replaces: &str) -> StatusCode {
    let mut headers = none();
    headers.push("Refer-To", format!("<sip:carol@sallyport.example?Replaces={replaces}>"));
    let now = world.now;
    world.phone(at).agent.send(now, dialog, Method::Refer, None, &headers).unwrap();
    match world.event(at) {
        CallEvent::Response { response, .. } => response.status(),
        other => panic!("{other:?}"),
    }
}

/// Alice refers in her call with Bob to her call with Carol, who is offered Bob's media: her dialog of the offer.
fn referred(world: &mut World, calls: [[DialogHandle; 2]; 2]) -> DialogHandle {
    let replaces = replaces(world, ALICE, calls[1][0]);
    assert_eq!(refer(world, ALICE, calls[0][0], &replaces), StatusCode::ACCEPTED);
    assert_eq!(notified(world), "SIP/2.0 100 Trying\r\n");
    let (dialog, offered) = offer(world, CAROL);
    assert!(dialog == calls[1][1] && offered.contains("c=IN IP4 203.0.113.7"), "{offered}");
    dialog
}

fn notified(world: &mut World) -> String {
    let CallEvent::Request { server, request, .. } = world.event(ALICE) else { panic!() };
    let now = world.now;
    world.phone(ALICE).agent.respond(now, server, request.respond(StatusCode::OK)).unwrap();
    world.settle();
    text(request.body())
}

fn hung_up(world: &mut World, at: &str) -> DialogHandle {
    match world.event(at) {
        CallEvent::Ended { dialog, cause: EndCause::Bye(_), .. } => dialog,
        other => panic!("{other:?}"),
    }
}

/// Whom media flows to, by calls.
fn remotes(world: &World) -> Vec<Vec<String>> {
    let of = |plan: &control::Plan| {
        let flows = plan.flows.iter().map(|flow| flow.egress_rtp);
        let remote = |id| plan.transports.iter().find(|plan| plan.id == id).and_then(|plan| plan.remote);
        let mut remotes: Vec<String> = flows.filter_map(remote).map(|remote| remote.ip().to_string()).collect();
        remotes.sort();
        remotes
    };
    let mut calls: Vec<_> = world.plans.values().map(of).collect();
    calls.sort();
    calls
}

/// A hold of one goes to the other and back.
fn they_talk(world: &mut World, one: (&str, DialogHandle), other: (&str, DialogHandle)) {
    let now = world.now;
    world.phone(one.0).agent.reinvite(now, one.1, Some(hold(of(one.0).0, of(one.0).1))).unwrap();
    world.settle();
    let (dialog, _) = offer(world, other.0);
    assert_eq!(dialog, other.1);
    answer(world, other.0, dialog, media(other.0));
    answered(world, one.0);
}

#[test]
fn whoever_called_whom_both_others_are_joined() {
    for called in [[false, false], [true, false], [false, true], [true, true]] {
        let mut world = World::with(attended());
        let calls = two_calls(&mut world, called);
        let dialog = referred(&mut world, calls);
        answer(&mut world, CAROL, dialog, media(CAROL));
        assert_eq!(notified(&mut world), "SIP/2.0 200 OK\r\n");
        let mut ended = [hung_up(&mut world, ALICE), hung_up(&mut world, ALICE)];
        ended.sort();
        let mut own = [calls[0][0], calls[1][0]];
        own.sort();
        assert_eq!(ended, own, "both of hers");
        // Bob hears what Carol has said.
        let (bob, _) = offer(&mut world, BOB);
        assert_eq!(bob, calls[0][1]);
        answer(&mut world, BOB, bob, media(BOB));
        assert_eq!(remotes(&world), [["192.0.2.20", "192.0.2.30"]], "{called:?}");
        assert_eq!(world.b2bua.counters().transfers, 1);
        they_talk(&mut world, (BOB, bob), (CAROL, dialog));
        they_talk(&mut world, (CAROL, dialog), (BOB, bob));
        world.bye(CAROL, dialog);
        assert_eq!(hung_up(&mut world, BOB), bob);
        world.assert_forgotten();
    }
}

#[test]
fn a_refusal_leaves_both_calls_as_they_were() {
    for called in [false, true] {
        let mut world = World::with(attended());
        let calls = two_calls(&mut world, [false, called]);
        let before = remotes(&world);
        let dialog = referred(&mut world, calls);
        let now = world.now;
        world.phone(CAROL).agent.refuse(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &none()).unwrap();
        assert_eq!(notified(&mut world), "SIP/2.0 488 Not Acceptable Here\r\n");
        assert_eq!(remotes(&world), before);
        they_talk(&mut world, (ALICE, calls[1][0]), (CAROL, dialog));
        they_talk(&mut world, (CAROL, dialog), (ALICE, calls[1][0]));
        they_talk(&mut world, (BOB, calls[0][1]), (ALICE, calls[0][0]));
        // And may be tried again.
        let dialog = referred(&mut world, calls);
        answer(&mut world, CAROL, dialog, media(CAROL));
        assert_eq!(notified(&mut world), "SIP/2.0 200 OK\r\n");
        let (bob, _) = offer(&mut world, BOB);
        answer(&mut world, BOB, bob, media(BOB));
        world.bye(BOB, bob);
        world.assert_forgotten();
    }
}

/// She has agreed to it all the same, so that she is offered once more what Alice said.
#[test]
fn an_answer_that_does_not_fit_leaves_both_calls_as_they_were() {
    let mut world = World::with(attended());
    let calls = two_calls(&mut world, [false, false]);
    let dialog = referred(&mut world, calls);
    let twice = text(&media(CAROL).bytes) + "m=audio 4002 RTP/AVP 0\r\n";
    answer(&mut world, CAROL, dialog, sip::Body::sdp(twice));
    assert_eq!(notified(&mut world), "SIP/2.0 488 Not Acceptable Here\r\n");
    let (again, _) = offer(&mut world, CAROL);
    assert_eq!(again, dialog);
    answer(&mut world, CAROL, again, media(CAROL));
    assert_eq!(remotes(&world), [["192.0.2.10", "192.0.2.20"], ["192.0.2.10", "192.0.2.30"]]);
    they_talk(&mut world, (CAROL, dialog), (ALICE, calls[1][0]));
    they_talk(&mut world, (BOB, calls[0][1]), (ALICE, calls[0][0]));
    for alice in [calls[0][0], calls[1][0]] {
        world.bye(ALICE, alice);
    }
    world.assert_forgotten();
}

/// Many phones hang up as soon as their REFER is accepted.
#[test]
fn alice_may_hang_up_both_calls_at_once() {
    for called in [[false, false], [true, true]] {
        for accepts in [true, false] {
            let mut world = World::with(attended());
            let calls = two_calls(&mut world, called);
            let dialog = referred(&mut world, calls);
            for alice in [calls[0][0], calls[1][0]] {
                world.bye(ALICE, alice);
            }
            world.no_event(BOB);
            world.no_event(CAROL);
            let now = world.now;
            if accepts {
                answer(&mut world, CAROL, dialog, media(CAROL));
                let (bob, _) = offer(&mut world, BOB);
                answer(&mut world, BOB, bob, media(BOB));
                assert_eq!(remotes(&world), [["192.0.2.20", "192.0.2.30"]]);
                world.bye(BOB, bob);
                assert_eq!(hung_up(&mut world, CAROL), dialog);
            } else {
                world.phone(CAROL).agent.refuse(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &none()).unwrap();
                assert_eq!(hung_up(&mut world, BOB), calls[0][1], "nobody is left for him");
                assert_eq!(hung_up(&mut world, CAROL), dialog, "nor for her");
            }
            world.assert_forgotten();
        }
    }
}

#[test]
fn bob_may_hang_up_before_carol_has_answered() {
    for answers in [true, false] {
        let mut world = World::with(attended());
        let calls = two_calls(&mut world, [false, false]);
        let dialog = referred(&mut world, calls);
        world.bye(BOB, calls[0][1]);
        assert_eq!(hung_up(&mut world, ALICE), calls[0][0]);
        let now = world.now;
        if answers {
            answer(&mut world, CAROL, dialog, media(CAROL));
        } else {
            world.phone(CAROL).agent.refuse(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &none()).unwrap();
        }
        // What she may have agreed to is void: she is offered again what Alice said.
        world.run(Duration::from_secs(3));
        let (again, _) = offer(&mut world, CAROL);
        assert_eq!(again, dialog);
        answer(&mut world, CAROL, again, media(CAROL));
        assert_eq!(remotes(&world), [["192.0.2.10", "192.0.2.30"]]);
        they_talk(&mut world, (ALICE, calls[1][0]), (CAROL, dialog));
        world.bye(CAROL, dialog);
        world.assert_forgotten();
    }
}

#[test]
fn carol_may_hang_up_before_she_has_answered() {
    for called in [false, true] {
        let mut world = World::with(attended());
        let calls = two_calls(&mut world, [false, called]);
        let dialog = referred(&mut world, calls);
        world.bye(CAROL, dialog);
        assert_eq!(hung_up(&mut world, ALICE), calls[1][0]);
        assert_eq!(notified(&mut world), "SIP/2.0 480 Temporarily Unavailable\r\n");
        assert_eq!(remotes(&world), [["192.0.2.10", "192.0.2.20"]]);
        they_talk(&mut world, (ALICE, calls[0][0]), (BOB, calls[0][1]));
        world.bye(ALICE, calls[0][0]);
        world.assert_forgotten();
    }
}

#[test]
fn while_carol_is_asked_her_old_call_waits() {
    let mut world = World::with(attended());
    let calls = two_calls(&mut world, [false, false]);
    let dialog = referred(&mut world, calls);
    let now = world.now;
    world.phone(ALICE).agent.reinvite(now, calls[1][0], Some(hold("alice", "192.0.2.10"))).unwrap();
    let CallEvent::OfferRefused { response, .. } = world.event(ALICE) else { panic!() };
    assert_eq!(response.status(), StatusCode::REQUEST_PENDING);
    // It cannot be lent twice.
    let named = replaces(&mut world, ALICE, calls[1][0]);
    assert_eq!(refer(&mut world, ALICE, calls[0][0], &named), StatusCode::REQUEST_PENDING);
    answer(&mut world, CAROL, dialog, media(CAROL));
    let (bob, _) = offer(&mut world, BOB);
    answer(&mut world, BOB, bob, media(BOB));
    world.bye(BOB, bob);
    world.assert_forgotten();
}

/// RFC 3891 §5: Call-ID and tags are known to whoever reads the signalling.
#[test]
fn nobody_hands_over_what_is_not_its_own() {
    let mut config = attended();
    let trunk = |name: &str, at: &str| Trunk {
        name: name.into(),
        uri: Uri::parse("sip:192.0.2.20").unwrap(),
        account: None,
        addresses: vec![(crate::world::address(at).ip(), 32)],
        identities: Vec::new(),
        max_calls: None,
        policy: Default::default(),
    };
    config.trunks = vec![trunk("a", ALICE), trunk("b", BOB), trunk("c", CAROL)];
    let mut world = World::with(config);
    let calls = two_calls(&mut world, [false, false]);
    // Bob knows the dialog of Alice with Carol, from either side.
    for (at, dialog) in [(ALICE, calls[1][0]), (CAROL, calls[1][1])] {
        let named = replaces(&mut world, at, dialog);
        assert_eq!(refer(&mut world, BOB, calls[0][1], &named), StatusCode::DECLINE);
    }
    // Nor is there anything to join in the call itself, in none, or in one that rings.
    let own = replaces(&mut world, ALICE, calls[0][0]);
    let other = replaces(&mut world, ALICE, calls[1][0]);
    for named in [own, "x%3Bto-tag%3D1%3Bfrom-tag%3D2".into(), format!("{other}%3Bearly-only")] {
        assert_eq!(refer(&mut world, ALICE, calls[0][0], &named), StatusCode::DECLINE, "{named}");
    }
    assert_eq!(refer(&mut world, ALICE, calls[0][0], "nonsense"), StatusCode::BAD_REQUEST);
    world.no_event(CAROL);
    they_talk(&mut world, (ALICE, calls[1][0]), (CAROL, calls[1][1]));
    for alice in [calls[0][0], calls[1][0]] {
        world.bye(ALICE, alice);
    }
    world.assert_forgotten();
}

/// The dialog that was lent is in its own call again, and both of its ends are offered what is right.
#[test]
fn a_restart_while_carol_is_asked_leaves_both_calls() {
    let mut world = World::with(remembering(attended()));
    let calls = two_calls(&mut world, [false, false]);
    let dialog = referred(&mut world, calls);
    let now = world.now;
    // Her answer is for the process that is gone.
    world.phone(CAROL).agent.refuse(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &none()).unwrap();
    world.restart();
    assert_eq!(world.b2bua.len().0, 2);
    for _ in 0..4 {
        world.run(Duration::from_secs(3));
        for at in [ALICE, BOB, CAROL] {
            let events: Vec<_> = world.phone(at).events.drain(..).collect();
            for event in events {
                let now = world.now;
                match event {
                    CallEvent::Offer { dialog, .. } => answer(&mut world, at, dialog, media(at)),
                    CallEvent::Request { server, request, .. } => {
                        world.phone(at).agent.respond(now, server, request.respond(StatusCode::OK)).unwrap();
                    }
                    CallEvent::Ended { .. } => panic!("{at}: {event:?}"),
                    _ => {}
                }
            }
        }
    }
    they_talk(&mut world, (ALICE, calls[1][0]), (CAROL, dialog));
    they_talk(&mut world, (CAROL, dialog), (ALICE, calls[1][0]));
    they_talk(&mut world, (BOB, calls[0][1]), (ALICE, calls[0][0]));
    assert_eq!(remotes(&world), [["192.0.2.10", "192.0.2.20"], ["192.0.2.10", "192.0.2.30"]]);
    for alice in [calls[0][0], calls[1][0]] {
        world.bye(ALICE, alice);
    }
    world.assert_forgotten();
}
