//! What strangers and peers try: forged sources, knowledge of tags, rights of others.

use std::time::Duration;

use sallyport_b2bua::{B2buaConfig, Destination, Fact, Pattern, Refer, Route, RouteSource, Users};
use sip::{
    Account, CSeq, CallEvent, Carriage, Limits, Message, Method, Request, Response, StatusCode, Transport, Uri, receive,
};

use crate::registrations::{account, call_as, register, registration, users, with_credentials, world};
use crate::transfers::refer;
use crate::world::{ALICE, BOB, CAROL, US, World, address, plain};

/// Otherwise a forged source would be sent a challenge eleven times, and 500 forged requests in a second would lock everybody out.
#[test]
fn a_stranger_is_answered_once_and_not_remembered() {
    for method in [Method::Invite, Method::Register, Method::Options, Method::Bye, Method::Subscribe] {
        let mut world = world();
        let mut request = match method {
            Method::Invite => World::invitation(ALICE, "sip:bob@sallyport.example", None),
            _ => registration("bob", BOB, 60),
        };
        request = {
            let mut other = Request::new(method.clone(), request.uri().clone());
            other.headers = request.headers.clone();
            other.headers.set("CSeq", CSeq { number: 1, method: method.clone() });
            other
        };
        let (flow, via) = (world.flow(ALICE), format!("SIP/2.0/UDP {ALICE};branch=z9hG4bK1"));
        request.headers.push_front("Via", via);
        let message = receive(&request.to_bytes(), Carriage::Datagram, &Limits::default()).message().unwrap();
        world.deaf.push(address(ALICE));
        let now = world.now;
        world.b2bua.handle_message(now, message, flow);
        world.settle();
        assert!(world.b2bua.is_idle(), "{method:?}");
        world.run(Duration::from_secs(64));
        assert_eq!(world.sent.len(), 1, "{method:?} {:?}", world.log);
    }
}

/// A request inside a call, as somebody would make it who has read the signalling.
pub(crate) fn forged(world: &World, at: &str, method: &Method, body: Option<sip::Body>) -> Request {
    let ringing = |(peer, bytes): &&(std::net::SocketAddr, Vec<u8>)| {
        *peer == address(at) && crate::world::first_line(bytes) == "200 INVITE"
    };
    let (_, bytes) = world.sent.iter().rfind(ringing).expect("an answer");
    let text = String::from_utf8_lossy(bytes).into_owned();
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("a header").to_owned();
    let mut request = Request::new(method.clone(), Uri::parse(&format!("sip:{US}")).unwrap());
    let headers = &mut request.headers;
    headers.push("Via", "SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKeve");
    headers.push("Max-Forwards", 70);
    headers.push("From", of("From: "));
    headers.push("To", of("To: "));
    headers.push("Call-ID", of("Call-ID: "));
    headers.push("CSeq", CSeq { number: 77, method: method.clone() });
    headers.push("Contact", "<sip:eve@192.0.2.66>");
    match body {
        Some(body) => request.set_body(Some(&body.content_type), body.bytes),
        None => headers.push("Content-Length", 0),
    }
    request
}

pub(crate) fn deliver(world: &mut World, at: &str, request: &Request) -> String {
    let (now, flow) = (world.now, sip::Flow::udp(address(US), address(at)));
    let message = receive(&request.to_bytes(), Carriage::Datagram, &Limits::default()).message().unwrap();
    let before = world.sent.len();
    world.b2bua.handle_message(now, message, flow);
    world.settle();
    let answer = world.sent[before..].iter().find(|(peer, _)| *peer == address(at));
    answer.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

fn response(text: &str) -> Response {
    match receive(text.as_bytes(), Carriage::Datagram, &Limits::default()).message().unwrap() {
        Message::Response(response) => response,
        Message::Request(_) => panic!("{text}"),
    }
}

#[test]
fn nobody_elsewhere_ends_or_turns_a_call_by_knowing_its_tags() {
    const EVE: &str = "192.0.2.66:5060";
    let mut world = world();
    register(&mut world, "bob", "builder", BOB);
    call_as(&mut world, "alice", "wonderland", ALICE, "sip:bob@sallyport.example");
    let (leg, _) = world.incoming(BOB);
    world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    world.answered(ALICE);
    assert!(matches!(world.event(BOB), CallEvent::Established { .. }));
    let remotes = |world: &World| -> Vec<_> {
        world.plans.values().flat_map(|plan| plan.transports.iter().map(|transport| transport.remote)).collect()
    };
    let before = remotes(&world);
    for (method, body) in [
        (Method::Bye, None),
        (Method::Invite, Some(plain("eve", "192.0.2.66"))),
        (Method::Update, Some(plain("eve", "192.0.2.66"))),
        (Method::Info, None),
    ] {
        let request = forged(&world, ALICE, &method, body);
        let answer = deliver(&mut world, EVE, &request);
        assert!(answer.starts_with("SIP/2.0 401 ") && answer.contains("WWW-Authenticate"), "{method:?} {answer}");
        // Bob's password is good, but it is not his leg.
        let mut next = with_credentials(&request, &account("bob", "builder"), &response(&answer));
        next.headers.push_front("Via", "SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKeve2");
        assert!(deliver(&mut world, EVE, &next).starts_with("SIP/2.0 403 "), "{method:?}");
    }
    world.no_event(ALICE);
    world.no_event(BOB);
    assert_eq!((remotes(&world), world.b2bua.len().0), (before, 1));
    assert!(world.facts.iter().any(|fact| matches!(fact, Fact::Elsewhere { .. })));

    // Alice herself may move, with her password.
    let request = forged(&world, ALICE, &Method::Update, None);
    let answer = deliver(&mut world, EVE, &request);
    let mut next = with_credentials(&request, &account("alice", "wonderland"), &response(&answer));
    next.headers.push_front("Via", "SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKalice");
    assert!(deliver(&mut world, EVE, &next).starts_with("SIP/2.0 200 "));
    // From here on she is there.
    let (now, before) = (world.now, world.sent.len());
    let bob = world.phone(BOB).agent.dialogs_of(leg).to_vec();
    world.phone(BOB).agent.bye(now, bob[0], None).unwrap();
    world.settle();
    let told = world.sent[before..].iter().find(|(_, bytes)| bytes.starts_with(b"BYE ")).unwrap();
    assert_eq!(told.0, address(EVE));
}

/// A REGISTER of Bob's, with credentials for a nonce that was sent to `challenged`.
fn with_nonce_of(world: &mut World, challenged: &str, account: &Account, number: u32) -> Request {
    let mut request = registration("bob", BOB, 600);
    request.headers.set("CSeq", CSeq { number: 2 * number + 1, method: Method::Register });
    request.headers.set("Call-ID", format!("forged-{number}"));
    let via = |name: &str| format!("SIP/2.0/UDP {BOB};rport;branch=z9hG4bK{name}{number}");
    let mut first = request.clone();
    first.headers.push_front("Via", via("a"));
    let answer = deliver(world, challenged, &first);
    let mut next = with_credentials(&request, account, &response(&answer));
    next.headers.push_front("Via", via("b"));
    next
}

/// Who forges its source does not see the challenge that goes there.
#[test]
fn a_forged_source_is_neither_barred_nor_registered() {
    const EVE: &str = "192.0.2.66:5060";
    let mut world = world();
    world.deaf.push(address(BOB));
    let failures = usize::try_from(B2buaConfig::new("x").limits.failures).unwrap();
    for number in 0..u32::try_from(failures).unwrap() + 5 {
        let wrong = with_nonce_of(&mut world, EVE, &account("bob", "wrong"), number);
        let answer = deliver(&mut world, BOB, &wrong);
        assert!(answer.starts_with("SIP/2.0 401 ") && answer.contains("stale=true"), "{answer}");
        let malformed = {
            let mut request = registration("bob", BOB, 600);
            request.headers.push_front("Via", format!("SIP/2.0/UDP {BOB};branch=z9hG4bKc{number}"));
            request.headers.set("Authorization", "Digest username=\"bob");
            request
        };
        assert!(deliver(&mut world, BOB, &malformed).starts_with("SIP/2.0 401 "));
    }
    let right = with_nonce_of(&mut world, EVE, &account("bob", "builder"), 98);
    assert!(deliver(&mut world, BOB, &right).starts_with("SIP/2.0 401 "), "a right password with the nonce of another");
    assert_eq!(world.b2bua.len().1, 0);
    let own = with_nonce_of(&mut world, BOB, &account("bob", "builder"), 99);
    assert!(deliver(&mut world, BOB, &own).starts_with("SIP/2.0 200 "));
    assert_eq!(world.b2bua.len().1, 1);
}

/// Otherwise who answers a user's call would call on with the user's rights.
#[test]
fn who_is_neither_user_nor_trunk_transfers_nobody_by_the_routes_of_users() {
    const DESK: &str = "198.51.100.9:5060";
    let route = |pattern: &str, from, at: &str| Route {
        pattern: Pattern::new(pattern),
        from,
        to: Destination::Targets(vec![vec![crate::world::target(&format!("sip:{pattern}@{at}"))]]),
    };
    for alice_leaves in [false, true] {
        let mut config = B2buaConfig::new("sallyport.example");
        config.refer = Refer::Blind;
        let routes = [route("desk", RouteSource::Anybody, DESK), route("490", RouteSource::Users, CAROL)];
        config.routes.splice(0..0, routes);
        let mut world = World::with_users(config, users());
        world.add(DESK, Transport::Udp, 0);
        register(&mut world, "bob", "builder", BOB);
        let first = if alice_leaves { BOB } else { DESK };
        let to = if alice_leaves { "sip:bob@sallyport.example" } else { "sip:desk@sallyport.example" };
        call_as(&mut world, "alice", "wonderland", ALICE, to);
        let (leg, _) = world.incoming(first);
        let mut desk = world.accept(first, leg, Some(plain("first", "192.0.2.20")));
        let (alice, _) = world.answered(ALICE);
        if alice_leaves {
            assert_eq!(refer(&mut world, ALICE, alice, "sip:desk@sallyport.example"), StatusCode::ACCEPTED);
            let (leg, _) = world.incoming(DESK);
            desk = world.accept(DESK, leg, Some(plain("desk", "198.51.100.9")));
            let CallEvent::Established { .. } = world.event(BOB) else { panic!() };
            let CallEvent::Offer { dialog, .. } = world.event(BOB) else { panic!() };
            let now = world.now;
            world.phone(BOB).agent.answer(now, dialog, plain("bob", "192.0.2.20")).unwrap();
            world.settle();
        }
        assert!(matches!(world.event(DESK), CallEvent::Established { .. }));
        let refused = refer(&mut world, DESK, desk, "sip:490@sallyport.example");
        assert_eq!(refused, StatusCode::FORBIDDEN, "{alice_leaves}");
        world.no_event(CAROL);
        assert_eq!(world.b2bua.counters().transfers, u64::from(alice_leaves));
    }
}

/// A reload may put other trunks before it: what a call knows of its trunk is its name.
#[test]
fn a_trunk_is_not_answered_with_the_credentials_of_another_after_a_reload() {
    let config = |first: &str| {
        let mut config = crate::world::config();
        config.routes[0].to = Destination::Trunk("phones".into());
        let mut other = config.trunks[0].clone();
        other.addresses.clear();
        other.name = "other".into();
        config.trunks[0].account = Some(account("own", "s3cret"));
        other.account = Some(account("others", "t0psecret"));
        config.trunks.insert(usize::from(first == "phones"), other);
        config
    };
    let mut world = World::with(config("phones"));
    world.alice_calls_bob();
    let (leg, first) = world.incoming(BOB);
    world.b2bua.reconfigure(config("other"), Users::default());
    let mut server = sip::DigestServer::new(sip::DigestServerConfig::new("carrier"), world.now, [1; 32]);
    let challenge = server.challenge(world.now, &first, false);
    let mut headers = sip::Headers::new();
    headers.copy(&challenge.headers, "WWW-Authenticate");
    let now = world.now;
    world.phone(BOB).agent.reject(now, leg, challenge.status(), &headers).unwrap();
    let (_, second) = world.incoming(BOB);
    let proof = second.headers.value("Authorization").unwrap().into_owned();
    assert!(proof.contains("\"own\"") && !proof.contains("others"), "{proof}");
}

/// While the session is at work, what else happens to a call waits: a bounded number of things.
#[test]
fn offers_that_are_taken_back_again_and_again_do_not_pile_up() {
    let mut world = World::new();
    world.established();
    let flow = world.flow(ALICE);
    for number in 100..160 {
        let mut invite = forged(&world, ALICE, &Method::Invite, Some(plain("alice", "192.0.2.11")));
        invite.headers.set("Via", format!("SIP/2.0/UDP {ALICE};branch=z9hG4bKagain{number}"));
        for method in [Method::Invite, Method::Cancel] {
            let mut request = Request::new(method.clone(), invite.uri().clone());
            request.headers = invite.headers.clone();
            request.headers.set("CSeq", CSeq { number, method: method.clone() });
            match method {
                Method::Invite => request.set_body(Some("application/sdp"), invite.body().to_vec()),
                _ => request.set_body(None, Vec::new()),
            }
            let message = receive(&request.to_bytes(), Carriage::Datagram, &Limits::default()).message().unwrap();
            let now = world.now;
            world.b2bua.handle_message(now, message, flow);
        }
    }
    world.settle();
    let count = |line: &str| world.log.iter().filter(|own| *own == &format!("us>alice {line}")).count();
    assert!(count("500 INVITE") > 20 && count("487 INVITE") > 10, "{:?}", world.log);
    assert_eq!(world.b2bua.len().0, 1);
}
