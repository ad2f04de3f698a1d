//! Blind transfers by REFER.

use sallyport_b2bua::Refer;
use sip::{CallEvent, DialogHandle, EndCause, Method, StatusCode};

use crate::world::{ALICE, BOB, CAROL, World, config, none, plain, text};

fn world() -> World {
    let mut config = config();
    config.refer = Refer::Blind;
    World::with(config)
}

pub(crate) fn refer(world: &mut World, at: &str, dialog: DialogHandle, to: &str) -> StatusCode {
    let mut headers = none();
    headers.push("Refer-To", format!("<{to}>"));
    let now = world.now;
    world.phone(at).agent.send(now, dialog, Method::Refer, None, &headers).unwrap();
    match world.event(at) {
        CallEvent::Response { response, .. } => response.status(),
        other => panic!("{other:?}"),
    }
}

/// The progress that whoever referred us hears of.
pub(crate) fn notified(world: &mut World, at: &str) -> String {
    let CallEvent::Request { server, request, .. } = world.event(at) else { panic!() };
    assert_eq!(
        (request.method(), request.headers.value("Event").unwrap().into_owned()),
        (&Method::Notify, "refer".into())
    );
    let now = world.now;
    world.phone(at).agent.respond(now, server, request.respond(StatusCode::OK)).unwrap();
    world.settle();
    text(request.body())
}

/// What a phone is offered by us is answered.
pub(crate) fn takes_offer(world: &mut World, at: &str, name: &str, address: &str) -> String {
    let CallEvent::Offer { dialog, body } = world.event(at) else { panic!() };
    let now = world.now;
    world.phone(at).agent.answer(now, dialog, plain(name, address)).unwrap();
    world.settle();
    text(&body.bytes)
}

fn remotes(world: &World) -> Vec<String> {
    let plan = world.plan();
    let flows = plan.flows.iter().map(|flow| flow.egress_rtp);
    let remote = |id| plan.transports.iter().find(|plan| plan.id == id).and_then(|plan| plan.remote);
    let mut remotes: Vec<String> = flows.filter_map(remote).map(|remote| remote.ip().to_string()).collect();
    remotes.sort();
    remotes
}

#[test]
fn either_end_hands_the_other_one_over() {
    for (from, stays, place) in [(BOB, ALICE, 1), (ALICE, BOB, 0)] {
        let mut world = world();
        let dialogs = world.established();
        assert_eq!(refer(&mut world, from, dialogs[place], "sip:carol@sallyport.example"), StatusCode::ACCEPTED);
        assert_eq!(notified(&mut world, from), "SIP/2.0 100 Trying\r\n");
        let (leg, invite) = world.incoming(CAROL);
        let who = invite.headers.from().unwrap().uri.to_string();
        assert_eq!(who, if stays == ALICE { "sip:alice@sallyport.example" } else { "sip:bob@sallyport.example" });
        let carol = world.accept(CAROL, leg, Some(plain("carol", "192.0.2.30")));
        assert_eq!(notified(&mut world, from), "SIP/2.0 200 OK\r\n");
        assert!(matches!(world.event(from), CallEvent::Ended { cause: EndCause::Bye(_), .. }));
        let (name, address) = if stays == ALICE { ("alice", "192.0.2.10") } else { ("bob", "192.0.2.20") };
        takes_offer(&mut world, stays, name, address);
        let mut expected = vec!["192.0.2.30".to_owned(), address.to_owned()];
        expected.sort();
        assert_eq!(remotes(&world), expected);
        assert_eq!(world.b2bua.counters().transfers, 1);
        // From here on it is a call like any other.
        let now = world.now;
        world.phone(CAROL).events.clear();
        world.phone(CAROL).agent.reinvite(now, carol, Some(plain("carol", "192.0.2.31"))).unwrap();
        world.settle();
        takes_offer(&mut world, stays, name, address);
        assert!(matches!(world.event(CAROL), CallEvent::Answer { .. }));
        world.phone(stays).events.clear();
        world.bye(CAROL, carol);
        assert!(matches!(world.event(stays), CallEvent::Ended { cause: EndCause::Bye(_), .. }));
        world.assert_forgotten();
    }
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let mut world = world();
    let dialogs = world.established();
    let before = remotes(&world);
    refer(&mut world, BOB, dialogs[1], "sip:carol@sallyport.example");
    notified(&mut world, BOB);
    let (leg, _) = world.incoming(CAROL);
    world.reject(CAROL, leg, 486);
    assert_eq!(notified(&mut world, BOB), "SIP/2.0 486 Busy Here\r\n");
    assert_eq!(remotes(&world), before);
    world.no_event(ALICE);
    // And may be tried again.
    assert_eq!(refer(&mut world, BOB, dialogs[1], "sip:carol@sallyport.example"), StatusCode::ACCEPTED);
    notified(&mut world, BOB);
    let (leg, _) = world.incoming(CAROL);
    world.reject(CAROL, leg, 480);
    notified(&mut world, BOB);
    world.bye(ALICE, dialogs[0]);
    world.assert_forgotten();
}

#[test]
fn who_refers_may_hang_up_and_who_is_left_may_too() {
    for answered in [true, false] {
        let mut world = world();
        let dialogs = world.established();
        refer(&mut world, BOB, dialogs[1], "sip:carol@sallyport.example");
        notified(&mut world, BOB);
        let (leg, _) = world.incoming(CAROL);
        world.ring(CAROL, leg, 180, None);
        world.bye(BOB, dialogs[1]);
        world.no_event(ALICE);
        if answered {
            world.accept(CAROL, leg, Some(plain("carol", "192.0.2.30")));
            takes_offer(&mut world, ALICE, "alice", "192.0.2.10");
        }
        world.bye(ALICE, dialogs[0]);
        if answered {
            assert!(matches!(world.event(CAROL), CallEvent::Established { .. }));
            assert!(matches!(world.event(CAROL), CallEvent::Ended { cause: EndCause::Bye(_), .. }));
        } else {
            assert!(matches!(world.event(CAROL), CallEvent::Cancelled { .. }));
        }
        world.assert_forgotten();
    }
}

/// The target has answered, and hangs up before the session has said what it makes of that.
#[test]
fn a_target_that_hangs_up_at_once_leaves_nobody_behind() {
    for (from, stays, place) in [(BOB, ALICE, 1), (ALICE, BOB, 0)] {
        let mut world = world();
        let dialogs = world.established();
        refer(&mut world, from, dialogs[place], "sip:carol@sallyport.example");
        notified(&mut world, from);
        let (leg, _) = world.incoming(CAROL);
        let (now, flow) = (world.now, world.flow(CAROL));
        let carol = world.phone(CAROL).agent.accept(now, leg, Some(plain("carol", "192.0.2.30")), &none()).unwrap();
        assert!(world.deliver_one());
        let mut bye = world.phone(CAROL).agent.dialog(carol).unwrap().clone().request(Method::Bye);
        bye.headers.push("Via", format!("SIP/2.0/UDP {CAROL};branch=z9hG4bKbye"));
        bye.set_body(None, Vec::new());
        let message = sip::receive(&bye.to_bytes(), sip::Carriage::Datagram, &sip::Limits::default()).message();
        world.b2bua.handle_message(now, message.unwrap(), flow);
        world.settle();
        world.phone(stays).events.retain(|event| !matches!(event, CallEvent::Offer { .. }));
        assert!(matches!(world.event(stays), CallEvent::Ended { cause: EndCause::Bye(_), .. }), "{stays}");
    }
}

#[test]
fn what_is_no_blind_transfer_is_refused() {
    let mut world = world();
    let [alice, _] = world.established();
    for (to, status) in [
        ("sip:carol@sallyport.example?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2", 603),
        ("sip:carol@sallyport.example;method=BYE", 603),
        ("tel:+123", 416),
        ("sip:nobody@sallyport.example", 404),
    ] {
        assert_eq!(refer(&mut world, ALICE, alice, to).code(), status, "{to}");
    }
    world.bye(ALICE, alice);
    world.assert_forgotten();
    // Without the policy the method does not exist.
    let mut world = World::new();
    let [alice, _] = world.established();
    assert_eq!(refer(&mut world, ALICE, alice, "sip:carol@sallyport.example"), StatusCode::METHOD_NOT_ALLOWED);
    world.bye(ALICE, alice);
    world.assert_forgotten();
}
