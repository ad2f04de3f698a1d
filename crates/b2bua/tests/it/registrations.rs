//! Users: registration, digest, and calls between those who have registered.

use std::time::Duration;

use sallyport_b2bua::{B2buaConfig, User, Users};
use sip::{
    Account, Authenticator, CSeq, CallEvent, DigestPolicy, DigestSession, Method, Request, Response, StatusCode,
    Transport, Uri, next_attempt,
};
use zeroize::Zeroizing;

use crate::world::{ALICE, BOB, US, World, address, plain};

pub(crate) fn users() -> Users {
    let user = |name, password| User::new(name, "sallyport.example", password).unwrap();
    Users::new([user("alice", "wonderland"), user("bob", "builder")])
}

pub(crate) fn world() -> World {
    World::with_users(B2buaConfig::new("sallyport.example"), users())
}

pub(crate) fn account(name: &str, password: &str) -> Account {
    Account { realm: None, username: name.into(), password: Zeroizing::new(password.into()) }
}

pub(crate) fn registration(name: &str, at: &str, expires: u32) -> Request {
    let mut request = Request::new(Method::Register, Uri::parse("sip:sallyport.example").unwrap());
    let headers = &mut request.headers;
    headers.push("Max-Forwards", 70);
    headers.push("From", format!("<sip:{name}@sallyport.example>;tag=r1"));
    headers.push("To", format!("<sip:{name}@sallyport.example>"));
    headers.push("Call-ID", format!("{name}-register"));
    headers.push("CSeq", CSeq { number: 1, method: Method::Register });
    headers.push("Contact", format!("<sip:{name}@{at}>"));
    headers.push("Expires", expires);
    headers.push("Content-Length", 0);
    request
}

pub(crate) fn send(world: &mut World, at: &str, request: Request) -> Response {
    let own = world.flow(at);
    let flow = sip::Flow { local: own.peer, peer: own.local, ..own };
    let now = world.now;
    let target = sip::Target { flow, sent_by: address(at).into() };
    world.phone(at).agent.send_outside(now, request, &target).unwrap();
    match world.event(at) {
        CallEvent::Response { response, .. } => *response,
        other => panic!("{other:?}"),
    }
}

/// Sends, and again with credentials.
pub(crate) fn send_as(world: &mut World, at: &str, account: &Account, request: Request) -> Response {
    let challenge = send(world, at, request.clone());
    assert_eq!(challenge.status(), StatusCode::UNAUTHORIZED);
    send(world, at, with_credentials(&request, account, &challenge))
}

/// The request once more, with what the challenge asks for.
pub(crate) fn with_credentials(request: &Request, account: &Account, challenge: &Response) -> Request {
    let mut next = next_attempt(request);
    let mut digest = DigestSession::new(DigestPolicy::default(), [3; 32]);
    digest.answer(std::slice::from_ref(account), &mut next, challenge).unwrap();
    next
}

pub(crate) fn register(world: &mut World, name: &str, password: &str, at: &str) -> Response {
    send_as(world, at, &account(name, password), registration(name, at, 3600))
}

/// Calls as a user, and answers the challenge.
pub(crate) fn call_as(world: &mut World, name: &str, password: &str, at: &str, to: &str) {
    let mut invite = World::invitation(at, to, Some(plain(name, "192.0.2.10")));
    invite.headers.set("From", format!("<sip:{name}@sallyport.example>;tag={name}-tag"));
    invite_as(world, at, &account(name, password), invite);
}

/// Sends an INVITE, and again with credentials.
fn invite_as(world: &mut World, at: &str, account: &Account, invite: Request) {
    world.call(at, invite.clone());
    let challenge = world.failure(at);
    assert_eq!(challenge.status(), StatusCode::UNAUTHORIZED);
    world.call(at, with_credentials(&invite, account, &challenge));
}

#[test]
fn a_user_registers_and_is_called_on_the_flow_that_it_registered_on() {
    let mut world = world();
    let response = register(&mut world, "bob", "builder", BOB);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers.value("Contact").unwrap(), "<sip:bob@192.0.2.20:5060>;expires=3600");
    assert!(response.headers.value("Authentication-Info").unwrap().contains("rspauth="));
    assert_eq!(world.b2bua.len().1, 1);
    call_as(&mut world, "alice", "wonderland", ALICE, "sip:bob@sallyport.example");
    let (leg, invite) = world.incoming(BOB);
    assert_eq!(invite.uri().to_string(), "sip:bob@192.0.2.20:5060");
    assert!(!invite.headers.contains("Authorization"));
    world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    let (alice, _) = world.answered(ALICE);
    world.bye(ALICE, alice);
    world.assert_forgotten();
    assert_eq!(world.b2bua.counters().logins.get("SHA-256"), Some(&2));
}

/// RFC 3261 §10.3 and RFC 5626: behind NAT the contact is an address of its own network.
#[test]
fn a_contact_behind_nat_is_reached_by_its_flow_and_is_gone_with_its_connection() {
    let mut world = world();
    world.add("192.0.2.40:33000", Transport::Ws, 77);
    let mut request = registration("bob", "df7jal23ls0d.invalid", 600);
    request.headers.set(
        "Contact",
        "<sip:bob@df7jal23ls0d.invalid;transport=ws>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"",
    );
    let account = account("bob", "builder");
    let response = send_as(&mut world, "192.0.2.40:33000", &account, request.clone());
    assert_eq!(response.status(), StatusCode::OK);
    // Another URI of the same instance takes the place of the one before.
    let mut again = next_attempt(&request);
    again.headers.set("CSeq", "9 REGISTER");
    let contact = again.headers.value("Contact").unwrap().replace("df7jal23ls0d", "other");
    again.headers.set("Contact", contact);
    assert_eq!(send_as(&mut world, "192.0.2.40:33000", &account, again).status(), StatusCode::OK);
    assert_eq!(world.b2bua.len().1, 1);
    call_as(&mut world, "alice", "wonderland", ALICE, "sip:bob@sallyport.example");
    let (leg, invite) = world.incoming("192.0.2.40:33000");
    assert_eq!(invite.uri().to_string(), "sip:bob@other.invalid;transport=ws");
    assert!(invite.headers.value("Contact").unwrap().contains("transport=ws"));
    // A browser: DTLS, ICE, one port.
    let offer = crate::world::text(invite.body());
    for line in ["UDP/TLS/RTP/SAVPF", "a=fingerprint:", "a=ice-ufrag:", "a=rtcp-mux", "a=setup:actpass"] {
        assert!(offer.contains(line), "{line} in {offer}");
    }
    world.reject("192.0.2.40:33000", leg, 486);
    let now = world.now;
    world.b2bua.handle_connection_closed(now, 77);
    assert_eq!(world.b2bua.len().1, 0);
    world.assert_forgotten();
}

/// RFC 3261 §19.1.4: equivalence is not transitive, so that two contacts of one REGISTER may mean the same binding.
#[test]
fn two_contacts_that_mean_one_binding_take_it_away_once_and_leave_the_bound() {
    let account = account("bob", "builder");
    let instance = "reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"";
    for (first, second, third) in [
        (format!("<sip:bob@{BOB}>"), format!("<sip:bob@{BOB};x=1>"), format!("<sip:bob@{BOB};x=2>")),
        (format!("<sip:a@{BOB}>;{instance}"), format!("<sip:b@{BOB}>;{instance}"), format!("<sip:c@{BOB}>;{instance}")),
    ] {
        let mut world = world();
        let mut request = registration("bob", BOB, 600);
        request.headers.set("Contact", &first);
        assert_eq!(send_as(&mut world, BOB, &account, request.clone()).status(), StatusCode::OK);
        for (seconds, number) in [(0, 10), (600, 20)] {
            request.headers.set("CSeq", format!("{number} REGISTER"));
            request.headers.set("Contact", format!("{second};expires={seconds}, {third};expires={seconds}"));
            assert_eq!(send_as(&mut world, BOB, &account, request.clone()).status(), StatusCode::OK, "{second}");
            assert!(world.b2bua.len().1 <= 2 * usize::from(seconds > 0));
        }
    }
}

/// A scanner learns nothing: who exists and who does not get the same words.
#[test]
fn unknown_users_are_challenged_like_known_ones() {
    let shape = |name: &str, password: Option<&str>, method: &str| {
        let mut world = world();
        let request = match method {
            "REGISTER" => registration(name, ALICE, 3600),
            _ => {
                let mut invite = World::invitation(ALICE, "sip:bob@sallyport.example", Some(plain("x", "192.0.2.10")));
                invite.headers.set("From", format!("<sip:{name}@sallyport.example>;tag=1"));
                invite
            }
        };
        let response = match (method, password) {
            ("REGISTER", Some(password)) => send_as(&mut world, ALICE, &account(name, password), request),
            ("REGISTER", None) => send(&mut world, ALICE, request),
            (_, Some(password)) => {
                invite_as(&mut world, ALICE, &account(name, password), request);
                world.failure(ALICE)
            }
            (_, None) => {
                world.call(ALICE, request);
                world.failure(ALICE)
            }
        };
        let names: Vec<_> = response.headers.lines().iter().map(|line| line.name().to_owned()).collect();
        let challenges: Vec<_> = response
            .headers
            .values("WWW-Authenticate")
            .map(|value| value.split(", ").filter(|part| !part.starts_with("nonce=")).collect::<Vec<_>>().join(","))
            .collect();
        let reason = response.reason();
        (response.status().code(), reason, names, challenges)
    };
    for method in ["REGISTER", "INVITE"] {
        for password in [None, Some("wrong")] {
            let known = shape("alice", password, method);
            assert_eq!(known.0, 401);
            assert_eq!(known.3.len(), 3, "one for each algorithm");
            assert_eq!(shape("nobody", password, method), known);
        }
    }
}

#[test]
fn wrong_passwords_bar_their_source_for_a_while() {
    let mut config = B2buaConfig::new("sallyport.example");
    config.limits.failures = 3;
    let mut world = World::with_users(config, users());
    for number in 0..3 {
        let mut request = registration("alice", ALICE, 3600);
        request.headers.set("Call-ID", format!("r{number}"));
        assert_eq!(send_as(&mut world, ALICE, &account("alice", "guess"), request).status(), StatusCode::UNAUTHORIZED);
    }
    let mut request = registration("alice", ALICE, 3600);
    request.headers.set("Call-ID", "r4");
    assert_eq!(send(&mut world, ALICE, request).status(), StatusCode::FORBIDDEN);
    // Others are not concerned.
    assert_eq!(register(&mut world, "bob", "builder", BOB).status(), StatusCode::OK);
    world.run(Duration::from_secs(301));
    assert_eq!(register(&mut world, "alice", "wonderland", ALICE).status(), StatusCode::OK);
    assert_eq!(world.b2bua.counters().barred, 1);
}

#[test]
fn registrations_end_refresh_and_are_bounded() {
    let mut world = world();
    register(&mut world, "bob", "builder", BOB);
    let account = account("bob", "builder");
    let mut number = 10;
    let mut again = |world: &mut World, edit: &dyn Fn(&mut Request)| {
        number += 2;
        let mut request = registration("bob", BOB, 3600);
        request.headers.set("CSeq", CSeq { number, method: Method::Register });
        edit(&mut request);
        send_as(world, BOB, &account, request)
    };
    // An old request again.
    world.run(Duration::from_secs(40));
    let old = again(&mut world, &|request| request.headers.set("CSeq", "1 REGISTER"));
    assert_eq!(old.status(), StatusCode::SERVER_INTERNAL_ERROR);
    // Nothing to change: what is there is told.
    let query = again(&mut world, &|request| {
        request.headers.remove("Contact");
    });
    assert_eq!(query.headers.count("Contact"), 1);
    let brief = again(&mut world, &|request| request.headers.set("Expires", 5));
    assert_eq!((brief.status().code(), brief.headers.value("Min-Expires").unwrap().into_owned()), (423, "60".into()));
    let long = again(&mut world, &|request| request.headers.set("Expires", 4_000_000_000_u32));
    assert!(long.headers.value("Contact").unwrap().ends_with(";expires=3600"));
    let other = again(&mut world, &|request| request.headers.set("Contact", "<sip:bob@192.0.2.21>;expires=120"));
    assert_eq!(other.headers.count("Contact"), 2);
    let many = again(&mut world, &|request| {
        let contacts: Vec<_> = (0..9).map(|port| format!("<sip:bob@192.0.2.21:{}>", 6000 + port)).collect();
        request.headers.set("Contact", contacts.join(", "));
    });
    assert_eq!(many.status(), StatusCode::FORBIDDEN);
    world.run(Duration::from_secs(121));
    assert_eq!(world.b2bua.len().1, 1);
    // One instance by two URIs, both leaving: it leaves once.
    let by_instance = |at: &str| format!("<sip:bob@{at}>;+sip.instance=\"<urn:uuid:1>\";reg-id=1");
    again(&mut world, &|request| request.headers.set("Contact", by_instance("192.0.2.22")));
    assert_eq!(world.b2bua.len().1, 2);
    let left = again(&mut world, &|request| {
        let contacts = ["192.0.2.22", "192.0.2.23", "192.0.2.24"].map(|at| format!("{};expires=0", by_instance(at)));
        request.headers.set("Contact", contacts.join(", "));
    });
    assert_eq!((left.status(), world.b2bua.len().1), (StatusCode::OK, 1));
    let star = again(&mut world, &|request| request.headers.set("Contact", "*"));
    assert_eq!(star.status(), StatusCode::BAD_REQUEST, "only with Expires: 0");
    let gone = again(&mut world, &|request| {
        request.headers.set("Contact", "*");
        request.headers.set("Expires", 0);
    });
    assert_eq!((gone.status(), gone.headers.count("Contact")), (StatusCode::OK, 0));
    assert_eq!(world.b2bua.len().1, 0);
}

#[test]
fn a_user_registers_and_calls_in_its_own_name_only() {
    let mut world = world();
    let request = registration("bob", ALICE, 3600);
    assert_eq!(send_as(&mut world, ALICE, &account("alice", "wonderland"), request).status(), StatusCode::FORBIDDEN);
    assert_eq!(world.b2bua.len().1, 0);
    let mut invite = World::invitation(ALICE, "sip:bob@sallyport.example", Some(plain("bob", "192.0.2.10")));
    invite.headers.set("From", "<sip:bob@sallyport.example>;tag=1");
    invite_as(&mut world, ALICE, &account("alice", "wonderland"), invite);
    assert_eq!(world.failure(ALICE).status(), StatusCode::FORBIDDEN);
}

#[test]
fn who_has_not_registered_is_not_available() {
    let mut world = world();
    call_as(&mut world, "alice", "wonderland", ALICE, "sip:bob@sallyport.example");
    assert_eq!(world.failure(ALICE).status(), StatusCode::TEMPORARILY_UNAVAILABLE);
    world.assert_forgotten();
}

#[test]
fn options_are_answered_to_anybody() {
    let mut world = world();
    let mut request = registration("x", ALICE, 0);
    request = {
        let mut options = Request::new(Method::Options, Uri::parse(&format!("sip:{US}")).unwrap());
        for name in ["Max-Forwards", "From", "To", "Call-ID"] {
            options.headers.copy(&request.headers, name);
        }
        options.headers.push("CSeq", "1 OPTIONS");
        options
    };
    let response = send(&mut world, ALICE, request);
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers.list_contains("Allow", "INVITE") && response.headers.contains("Accept"));
    assert!(!response.headers.list_contains("Supported", "replaces"));
}

/// What a trunk asks for is answered with our own account; what it asks of us is let in by its address.
#[test]
fn a_trunk_is_answered_with_our_credentials() {
    let mut config = crate::world::config();
    config.trunks[0].account = Some(account("carrier-account", "s3cret"));
    config.routes[0].to = sallyport_b2bua::Destination::Trunk("phones".into());
    let mut world = World::with(config);
    world.alice_calls_bob();
    let (leg, first) = world.incoming(BOB);
    assert_eq!(first.uri().to_string(), "sip:bob@192.0.2.20");
    let mut server = sip::DigestServer::new(
        sip::DigestServerConfig { authenticator: Authenticator::Proxy, ..sip::DigestServerConfig::new("carrier") },
        world.now,
        [1; 32],
    );
    let challenge = server.challenge(world.now, &first, false);
    let mut headers = sip::Headers::new();
    headers.copy(&challenge.headers, "Proxy-Authenticate");
    let now = world.now;
    world.phone(BOB).agent.reject(now, leg, challenge.status(), &headers).unwrap();
    let (leg, second) = world.incoming(BOB);
    let carrier = Users::new([User::new("carrier-account", "carrier", "s3cret").unwrap()]);
    assert!(matches!(server.verify(now, &second, &carrier), sip::Verification::Accepted(_)));
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    // Rejected again: it is not tried for ever, and the caller does not get the challenge.
    world.phone(BOB).agent.reject(now, leg, challenge.status(), &headers).unwrap();
    let response = world.failure(ALICE);
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers.contains("Proxy-Authenticate"));
    world.assert_hidden(ALICE, &["carrier"]);
    world.assert_forgotten();
}
