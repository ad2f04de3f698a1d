//! Phones and servers on connections, which may end before the call, and survive no restart.

use std::time::Duration;

use sallyport_b2bua::{B2buaConfig, Refer, Users};
use sip::{
    Account, Body, CallEvent, DialogHandle, DigestPolicy, DigestSession, Method, StatusCode, Target, Transport,
    next_attempt,
};

use crate::registrations::{account, call_as, registration, send_as, users};
use crate::restarts::{is_bye, remembering, world};
use crate::strangers::{deliver, forged};
use crate::world::{ALICE, World, address, config, plain, sdp, text};

const DESK: &str = "192.0.2.40:33000";

/// Bob is on a connection that others cannot open, and Alice calls him.
fn with_browser() -> (World, DialogHandle, DialogHandle, Account) {
    with_browser_of(B2buaConfig::new("sallyport.example"), users())
}

fn with_browser_of(config: B2buaConfig, users: Users) -> (World, DialogHandle, DialogHandle, Account) {
    let mut world = World::with_users(remembering(config), users);
    world.add(DESK, Transport::Ws, 77);
    let account = account("bob", "builder");
    assert_eq!(send_as(&mut world, DESK, &account, browser(1)).status(), StatusCode::OK);
    call_as(&mut world, "alice", "wonderland", ALICE, "sip:bob@sallyport.example");
    let (leg, _) = world.incoming(DESK);
    let bob = world.accept(DESK, leg, Some(web("bob", "192.0.2.40")));
    let (alice, _) = world.answered(ALICE);
    world.event(DESK);
    (world, alice, bob, account)
}

/// What a browser answers.
fn web(name: &str, address: &str) -> Body {
    let fingerprint = ["AB"; 32].join(":");
    let media = format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=rtpmap:0 PCMU/8000\na=mid:0\na=rtcp-mux\na=setup:active\na=ice-ufrag:abcd\n\
         a=ice-pwd:abcdefghijklmnopqrstuv\na=fingerprint:sha-256 {fingerprint}"
    );
    Body::sdp(sdp(name, address, &media))
}

fn browser(number: u32) -> sip::Request {
    let mut request = registration("bob", "df7jal23ls0d.invalid", 600);
    request.headers.set("Contact", "<sip:192.0.2.40:33000;transport=ws;ob>");
    request.headers.set("Call-ID", format!("register-{number}"));
    request
}

/// By a restart of ours, or by itself.
fn loses_connection(world: &mut World, at: &str, restarts: bool) {
    let (now, old) = (world.now, world.flow(at).connection);
    world.reconnect(at, 5);
    if restarts {
        world.restart();
    } else {
        world.b2bua.handle_connection_closed(now, old);
        world.settle();
    }
}

#[test]
fn a_bye_waits_until_a_phone_behind_a_connection_has_registered_again() {
    for restarts in [true, false] {
        bye_waits_for_registration(restarts);
    }
}

fn bye_waits_for_registration(restarts: bool) {
    let (mut world, alice, _, account) = with_browser();
    loses_connection(&mut world, DESK, restarts);
    world.bye(ALICE, alice);
    world.run(Duration::from_secs(20));
    world.no_event(DESK);
    assert_eq!(world.session.call_count(), 0, "its media have ended");
    let mut request = browser(2);
    let challenge = crate::registrations::send(&mut world, DESK, request.clone());
    request = next_attempt(&request);
    DigestSession::new(DigestPolicy::default(), [3; 32]).answer(&[account], &mut request, &challenge).unwrap();
    let (now, own) = (world.now, world.flow(DESK));
    let flow = sip::Flow { local: own.peer, peer: own.local, ..own };
    world.phone(DESK).agent.send_outside(now, request, &Target { flow, sent_by: address(DESK).into() }).unwrap();
    assert!(is_bye(&world.event(DESK)));
    let CallEvent::Response { response, .. } = world.event(DESK) else { panic!() };
    assert_eq!(response.status(), StatusCode::OK);
    world.run(Duration::from_secs(40));
    assert_eq!(world.b2bua.len().0, 0);
}

#[test]
fn nobody_waits_for_ever_for_a_phone_that_does_not_come_back() {
    for restarts in [true, false] {
        let (mut world, alice, ..) = with_browser();
        loses_connection(&mut world, DESK, restarts);
        world.bye(ALICE, alice);
        world.run(Duration::from_secs(59));
        assert_eq!(world.b2bua.len().0, 1);
        world.run(Duration::from_secs(2));
        assert_eq!(world.b2bua.len().0, 0);
        world.run(Duration::from_secs(40));
        assert!(world.b2bua.is_idle(), "nothing is left of whom we looked for");
    }
}

/// A call goes on while its browser connects again, and is put on hold by the other end.
#[test]
fn an_offer_reaches_a_phone_that_has_registered_by_another_connection() {
    for restarts in [true, false] {
        let (mut world, alice, _, account) = with_browser();
        loses_connection(&mut world, DESK, restarts);
        let hold = crate::offers::hold("alice", "192.0.2.10");
        crate::offers::reinvite(&mut world, ALICE, alice, Some(hold.clone()));
        assert!(matches!(world.event(ALICE), CallEvent::OfferRefused { .. }), "it cannot be told of it yet");
        let mut request = browser(2);
        request.headers.set("CSeq", "7 REGISTER");
        assert_eq!(send_as(&mut world, DESK, &account, request).status(), StatusCode::OK);
        crate::offers::reinvite(&mut world, ALICE, alice, Some(hold));
        let (_, offered) = crate::offers::offer(&mut world, DESK);
        assert!(offered.contains("a=sendonly"), "{offered}");
    }
}

#[test]
fn a_phone_on_another_connection_goes_on_with_its_call() {
    let (mut world, alice, bob, _) = with_browser();
    world.restart();
    // A number that was another's before.
    world.reconnect(DESK, 1);
    world.bye(DESK, bob);
    world.event(DESK);
    assert!(is_bye(&world.event(ALICE)));
    world.run(Duration::from_secs(40));
    assert_eq!(world.b2bua.len().0, 0);
    let _ = alice;
}

/// Numbers of connections begin anew, so that a stranger may have one that was a party's.
#[test]
fn nobody_gets_into_a_call_by_having_the_number_of_its_connection() {
    const EVE: &str = "192.0.2.66:5060";
    let (mut world, _alice, _bob, _) = with_browser();
    let stolen = forged(&world, ALICE, &Method::Bye, None);
    world.restart();
    assert!(deliver(&mut world, EVE, &stolen).starts_with("SIP/2.0 401 "));
    let invite =
        world.sent.iter().find(|(peer, bytes)| *peer == address(DESK) && bytes.starts_with(b"INVITE ")).unwrap();
    let text = text(&invite.1);
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let tag = world.phones[&address(DESK)].agent.dialog(_bob).unwrap().id().local_tag.clone();
    let mut bye = stolen.clone();
    bye.headers.set("From", format!("{};tag={tag}", of("To: ")));
    bye.headers.set("To", of("From: "));
    bye.headers.set("Call-ID", of("Call-ID: "));
    let message = sip::receive(&bye.to_bytes(), sip::Carriage::Stream, &sip::Limits::default()).message().unwrap();
    let flow = sip::Flow {
        transport: Transport::Ws,
        local: address(crate::world::US),
        peer: address("198.51.100.66:4000"),
        connection: 77,
    };
    let now = world.now;
    world.b2bua.handle_message(now, message, flow);
    world.settle();
    assert_eq!(world.b2bua.len().0, 1, "the call goes on");
}

#[test]
fn a_trunk_on_a_connection_is_called_by_another_one() {
    for restarts in [true, false] {
        trunk_is_called_by_another_connection(restarts);
    }
}

fn trunk_is_called_by_another_connection(restarts: bool) {
    let mut world = world();
    world.add("192.0.2.20:5070", Transport::Tcp, 9);
    let mut config = remembering(config());
    config.routes[0].to = sallyport_b2bua::Destination::Targets(vec![vec![crate::world::target(
        "sip:bob@192.0.2.20:5070;transport=tcp",
    )]]);
    world.b2bua.reconfigure(config.clone(), Users::default());
    world.alice_calls_bob();
    let (leg, _) = world.incoming("192.0.2.20:5070");
    world.accept("192.0.2.20:5070", leg, Some(plain("bob", "192.0.2.20")));
    let (alice, _) = world.answered(ALICE);
    world.event("192.0.2.20:5070");
    world.reconnect("192.0.2.20:5070", 11);
    if restarts {
        world.restart_with(config);
    } else {
        let now = world.now;
        world.b2bua.handle_connection_closed(now, 9);
        world.settle();
    }
    world.bye(ALICE, alice);
    assert!(is_bye(&world.event("192.0.2.20:5070")));
    world.run(Duration::from_secs(40));
    assert_eq!(world.b2bua.len().0, 0);
}

const CELL: &str = "192.0.2.50:34000";

/// Bob, whose connection ends then, refers Alice to Carol at this phone, who answers.
fn hands_over_and_goes(transport: Transport, connection: u64) -> (World, DialogHandle, Account) {
    let mut config = B2buaConfig::new("sallyport.example");
    config.refer = Refer::Blind;
    let (mut world, alice, bob, account) = with_browser_of(config, with_carol());
    world.add(CELL, transport, connection);
    let mut request = registration("carol", CELL, 600);
    request.headers.set("Contact", format!("<sip:carol@{CELL}>"));
    let carol = crate::registrations::account("carol", "carolina");
    assert_eq!(send_as(&mut world, CELL, &carol, request).status(), StatusCode::OK);
    assert_eq!(crate::transfers::refer(&mut world, DESK, bob, "sip:carol@sallyport.example"), StatusCode::ACCEPTED);
    loses_connection(&mut world, DESK, false);
    let (leg, _) = world.incoming(CELL);
    let answer = if transport == Transport::Ws { web } else { plain };
    world.accept(CELL, leg, Some(answer("carol", "192.0.2.50")));
    crate::transfers::takes_offer(&mut world, ALICE, "alice", "192.0.2.10");
    world.phone(CELL).events.clear();
    world.phone(DESK).events.clear();
    (world, alice, account)
}

fn with_carol() -> Users {
    let user = |name, password| sallyport_b2bua::User::new(name, "sallyport.example", password).unwrap();
    Users::new([user("alice", "wonderland"), user("bob", "builder"), user("carol", "carolina")])
}

#[test]
fn nobody_looks_for_whoever_took_the_place_of_an_end_out_of_reach() {
    for (transport, connection) in [(Transport::Udp, 0), (Transport::Tcp, 78)] {
        let (mut world, alice, _) = hands_over_and_goes(transport, connection);
        world.bye(ALICE, alice);
        assert!(is_bye(&world.event(CELL)), "{transport}: at once");
    }
}

#[test]
fn who_has_left_a_call_gets_nothing_of_it_by_registering() {
    let (mut world, alice, account) = hands_over_and_goes(Transport::Ws, 78);
    let mut request = browser(2);
    request.headers.set("Contact", format!("<sip:{CELL};transport=ws>"));
    assert_eq!(send_as(&mut world, DESK, &account, request).status(), StatusCode::OK);
    world.bye(ALICE, alice);
    world.no_event(DESK);
    assert!(is_bye(&world.event(CELL)));
}
