//! Both sides of Digest, against values from elsewhere and against each other.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "any instant serves as the start of the clock")]

mod support;

use sallyport_sip::{
    Account, AnswerError, Challenge, Credentials, DigestAlgorithm, DigestFault, DigestPolicy, DigestServer,
    DigestServerConfig, DigestSession, Ha1, HashAlgorithm, PeerProof, Qop, Request, Response, StaleNonce, StatusCode,
    UserTable, Verification,
};
use std::time::{Duration, Instant};
use support::{request, response};

const REGISTER: &str = "REGISTER sip:biloxi.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\n\
    From: <sip:bob@biloxi.com>;tag=1\nTo: <sip:bob@biloxi.com>\nCall-ID: 1\nCSeq: 1 REGISTER\n\n";

/// HA1 of bob, biloxi.com, zanzibar by Python's hashlib.
struct Table;

impl UserTable for Table {
    fn ha1(&self, username: &str, realm: &str, hash: HashAlgorithm) -> Option<Ha1> {
        let hex = match hash {
            HashAlgorithm::Md5 => "12af60467a33e8518da5c68bbff12b11",
            HashAlgorithm::Sha256 => "e65db393e748c5228939a6b4b2879e9ea5625cd79fd5267868cb568d69f6b97e",
            HashAlgorithm::Sha512_256 => "a969680ab364e333ec5c93ff823d570a79841c8d40270655dd42f37b755dfc38",
        };
        (username == "bob" && realm == "biloxi.com").then(|| Ha1::from_hex(hash, hex)).flatten()
    }
}

fn accounts(password: &str) -> Vec<Account> {
    vec![Account { realm: Some("biloxi.com".into()), username: "bob".into(), password: password.to_owned().into() }]
}

fn session() -> DigestSession {
    DigestSession::new(DigestPolicy::default(), [9; 32])
}

fn server(now: Instant, edit: impl Fn(&mut DigestServerConfig)) -> DigestServer {
    let mut config = DigestServerConfig::new("biloxi.com");
    edit(&mut config);
    DigestServer::new(config, now, [5; 32])
}

fn algorithms(response: &Response, name: &str) -> Vec<String> {
    response.headers.values(name).map(|value| Challenge::parse(&value).unwrap().algorithm.to_string()).collect()
}

fn credentials(request: &Request) -> Vec<Credentials> {
    request.headers.values("Authorization").map(|value| Credentials::parse(&value).unwrap()).collect()
}

fn accepted(verification: Verification) -> Box<sallyport_sip::Accepted> {
    match verification {
        Verification::Accepted(accepted) => accepted,
        Verification::Stale(reason) => panic!("stale {reason:?}"),
        Verification::Rejected(fault) => panic!("rejected {fault:?}"),
        Verification::Missing | Verification::Exempt => panic!("none"),
    }
}

fn rejected(verification: Verification) -> DigestFault {
    match verification {
        Verification::Rejected(fault) => fault,
        _ => panic!("not rejected"),
    }
}

fn stale(verification: Verification) -> StaleNonce {
    match verification {
        Verification::Stale(reason) => reason,
        _ => panic!("not stale"),
    }
}

/// RFC 8760 §2.3: one header for each algorithm, in order; §2.4: the topmost that is understood is answered.
#[test]
fn every_algorithm_is_offered_answered_and_proven() {
    let now = Instant::now();
    for (session_form, qop) in [(false, Qop::Auth), (true, Qop::Auth), (false, Qop::AuthInt), (true, Qop::AuthInt)] {
        for hash in [HashAlgorithm::Md5, HashAlgorithm::Sha256, HashAlgorithm::Sha512_256] {
            let algorithm = DigestAlgorithm { hash, session: session_form };
            let mut server = server(now, |config| {
                config.algorithms = vec![algorithm];
                config.qop = vec![qop];
            });
            let mut client = session();
            let mut register = request(REGISTER);
            register.set_body(Some("text/plain"), b"body".to_vec());
            assert!(matches!(server.verify(now, &register, &Table), Verification::Missing));
            let challenge = server.challenge(now, &register, false);
            client.answer(&accounts("zanzibar"), &mut register, &challenge).unwrap();
            let user = accepted(server.verify(now, &register, &Table));
            assert_eq!((user.username.as_str(), user.algorithm, user.uri_differs), ("bob", algorithm, false));

            let mut ok = register.respond(StatusCode::OK);
            ok.set_body(Some("text/plain"), b"answer".to_vec());
            server.prove(now, &user, &mut ok, true);
            let nonce = credentials(&register)[0].nonce.clone();
            let mut changed = ok.clone();
            changed.set_body(Some("text/plain"), b"forged".to_vec());
            let proof = client.check_proof(&accounts("zanzibar"), &register, &changed);
            assert_eq!(proof, if qop == Qop::AuthInt { PeerProof::Mismatch } else { PeerProof::Verified });
            assert_eq!(client.check_proof(&accounts("wrong"), &register, &ok), PeerProof::Mismatch);
            assert_eq!(client.check_proof(&accounts("zanzibar"), &register, &ok), PeerProof::Verified);
            let mut next = request(REGISTER);
            client.authorize(&accounts("zanzibar"), &mut next);
            assert_ne!(credentials(&next)[0].nonce, nonce);
            accepted(server.verify(now, &next, &Table));
        }
    }
}

/// The response was computed with Python's hashlib for this nonce, nc and cnonce.
#[test]
fn credentials_of_another_implementation_are_right_but_for_their_nonce() {
    let mut server = server(Instant::now(), |_| {});
    let mut register = request(REGISTER);
    let digest = |response: &str, algorithm: &str| {
        format!(
            "Digest username=\"bob\", realm=\"biloxi.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             uri=\"sip:biloxi.com\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", response=\"{response}\", algorithm={algorithm}"
        )
    };
    for (algorithm, right) in [
        ("MD5", "9e2d1006810044fd79f39476209ae31a"),
        ("SHA-256", "93e0e23c30bf2e3b139a3410a7edc9a5b15b1cfd8fd557ca8ee303e4372339a1"),
        ("SHA-512-256", "4bf969d821d66b375c5b96ab92a04ea44a9f7a2a259b9351753b177ccd0cd062"),
    ] {
        register.headers.set("Authorization", digest(right, algorithm));
        assert_eq!(stale(server.verify(Instant::now(), &register, &Table)), StaleNonce::Unknown);
        register.headers.set("Authorization", digest(&right.replacen('9', "8", 1), algorithm));
        assert_eq!(rejected(server.verify(Instant::now(), &register, &Table)), DigestFault::Mismatch);
    }
}

#[test]
fn challenges_come_in_order_each_in_a_header_of_its_own() {
    let now = Instant::now();
    let mut server = server(now, |_| {});
    let response = server.challenge(now, &request(REGISTER), true);
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(algorithms(&response, "WWW-Authenticate"), ["SHA-512-256", "SHA-256", "MD5"]);
    assert!(
        response
            .headers
            .values("WWW-Authenticate")
            .all(|value| value.contains("stale=true") && value.contains("qop=\"auth\""))
    );
}

/// RFC 3261 §22.1
#[test]
fn ack_and_cancel_are_never_challenged() {
    let mut server = server(Instant::now(), |_| {});
    for method in ["ACK", "CANCEL"] {
        let request = request(&REGISTER.replace("REGISTER", method));
        assert!(matches!(server.verify(Instant::now(), &request, &Table), Verification::Exempt));
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_alike_and_are_not_tried_again() {
    let now = Instant::now();
    let mut server = server(now, |_| {});
    for (username, password) in [("bob", "wrong"), ("nobody", "zanzibar")] {
        let mut accounts = accounts(password);
        accounts[0].username = username.into();
        let mut client = session();
        let mut register = request(REGISTER);
        let challenge = server.challenge(now, &register, false);
        client.answer(&accounts, &mut register, &challenge).unwrap();
        assert_eq!(rejected(server.verify(now, &register, &Table)), DigestFault::Mismatch);
        let again = server.challenge(now, &register, false);
        let before = register.clone();
        assert_eq!(client.answer(&accounts, &mut register, &again), Err(AnswerError::Rejected));
        assert_eq!(register, before);
    }
}

#[test]
fn a_stale_nonce_is_replaced_but_not_for_ever() {
    let start = Instant::now();
    let mut server = server(start, |_| {});
    let mut client = session();
    let mut register = request(REGISTER);
    let challenge = server.challenge(start, &register, false);
    client.answer(&accounts("zanzibar"), &mut register, &challenge).unwrap();
    let later = start + Duration::from_secs(301);
    assert_eq!(stale(server.verify(later, &register, &Table)), StaleNonce::Expired);
    let challenge = server.challenge(later, &register, true);
    client.answer(&accounts("zanzibar"), &mut register, &challenge).unwrap();
    accepted(server.verify(later, &register, &Table));
    for _ in 0..2 {
        let challenge = server.challenge(later, &register, true);
        client.answer(&accounts("zanzibar"), &mut register, &challenge).unwrap();
    }
    let challenge = server.challenge(later, &register, true);
    assert_eq!(client.answer(&accounts("zanzibar"), &mut register, &challenge), Err(AnswerError::TooManyRounds));
}

#[test]
fn a_count_is_good_once_and_requests_may_overtake() {
    let now = Instant::now();
    let mut server = server(now, |_| {});
    let mut client = session();
    let mut first = request(REGISTER);
    let challenge = server.challenge(now, &first, false);
    client.answer(&accounts("zanzibar"), &mut first, &challenge).unwrap();
    let mut later: Vec<_> = (0..3).map(|_| request(REGISTER)).collect();
    for request in &mut later {
        client.authorize(&accounts("zanzibar"), request);
    }
    let counts: Vec<_> = later.iter().map(|request| credentials(request)[0].counted.as_ref().unwrap().nc).collect();
    assert_eq!(counts, [2, 3, 4]);
    for request in [&later[2], &first, &later[0], &later[1]] {
        accepted(server.verify(now, request, &Table));
        assert_eq!(stale(server.verify(now, request, &Table)), StaleNonce::CountReused);
    }
}

/// A wrong response must not use up a count: else anybody could shut the user out.
#[test]
fn a_forged_request_leaves_nothing_behind() {
    let now = Instant::now();
    let mut server = server(now, |_| {});
    let mut client = session();
    let mut register = request(REGISTER);
    let challenge = server.challenge(now, &register, false);
    client.answer(&accounts("zanzibar"), &mut register, &challenge).unwrap();
    let mut forged = register.clone();
    let mut wrong = credentials(&register).remove(0);
    wrong.response = "0".repeat(64);
    forged.headers.set("Authorization", wrong);
    assert_eq!(rejected(server.verify(now, &forged, &Table)), DigestFault::Mismatch);
    accepted(server.verify(now, &register, &Table));
}

#[test]
fn a_retired_algorithm_or_a_missing_qop_is_refused() {
    let now = Instant::now();
    let mut old = server(now, |config| config.algorithms = vec![DigestAlgorithm::MD5]);
    let mut client = session();
    let mut register = request(REGISTER);
    let challenge = old.challenge(now, &register, false);
    client.answer(&accounts("zanzibar"), &mut register, &challenge).unwrap();
    accepted(old.verify(now, &register, &Table));
    let mut new = server(now, |config| config.algorithms.retain(|algorithm| *algorithm != DigestAlgorithm::MD5));
    let fault = rejected(new.verify(now, &register, &Table));
    assert_eq!(fault, DigestFault::AlgorithmNotOffered(DigestAlgorithm::MD5));

    let mut uncounted = credentials(&register).remove(0);
    uncounted.counted = None;
    register.headers.set("Authorization", uncounted);
    assert_eq!(rejected(old.verify(now, &register, &Table)), DigestFault::QopNotOffered);
    register.headers.set("Authorization", "Digest username=\"bob");
    assert_eq!(rejected(old.verify(now, &register, &Table)), DigestFault::Malformed);
    // RFC 4475 §3.3.7, and credentials for somebody else.
    register.headers.set("Authorization", "NoOneKnowsThisScheme opaque-data=here");
    register.headers.push(
        "Authorization",
        format!("Digest username=\"a\", realm=\"other\", nonce=\"n\", uri=\"u\", response=\"{}\"", "0".repeat(32)),
    );
    assert!(matches!(old.verify(now, &register, &Table), Verification::Missing));
}

fn challenged(challenges: &str) -> Response {
    response(&format!(
        "SIP/2.0 401 Unauthorized\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:bob@biloxi.com>;tag=1\n\
         To: <sip:bob@biloxi.com>;tag=2\nCall-ID: 1\nCSeq: 1 REGISTER\n{challenges}\n"
    ))
}

#[test]
fn the_topmost_challenge_that_is_understood_is_answered_alone() {
    let response = challenged(
        "WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"a\", algorithm=SHA3-256, qop=\"auth\"\n\
         WWW-Authenticate: Basic realm=\"biloxi.com\"\n\
         WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"b\", algorithm=SHA-256, qop=\"auth-int,auth\"\n\
         WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"b\", algorithm=MD5, qop=\"auth\"\n",
    );
    let mut register = request(REGISTER);
    session().answer(&accounts("zanzibar"), &mut register, &response).unwrap();
    let answered = credentials(&register);
    assert_eq!(answered.len(), 1);
    assert_eq!((answered[0].algorithm, answered[0].nonce.as_str()), (DigestAlgorithm::SHA_256, "b"));
    assert_eq!(answered[0].counted.as_ref().unwrap().qop, Qop::Auth);
}

/// RFC 8760 §3: the man in the middle who left only MD5 gets nothing.
#[test]
fn without_md5_an_md5_challenge_is_not_understood() {
    let response = challenged("WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"b\", qop=\"auth\"\n");
    let policy = DigestPolicy { allow_md5: false, ..Default::default() };
    let mut register = request(REGISTER);
    let result = DigestSession::new(policy, [1; 32]).answer(&accounts("zanzibar"), &mut register, &response);
    assert_eq!(result, Err(AnswerError::NotUnderstood));
    assert_eq!(register, request(REGISTER));
}

/// RFC 3261 §22.3: challenges that a forking proxy aggregated. Equal realm and algorithm and another nonce is another server.
#[test]
fn aggregated_challenges_are_all_answered_each_in_a_header_of_its_own() {
    let response = challenged(
        "WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"a\", algorithm=SHA-256, qop=\"auth\"\n\
         WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"a\", algorithm=MD5, qop=\"auth\"\n\
         WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"b\", algorithm=SHA-256, qop=\"auth\"\n\
         Proxy-Authenticate: Digest realm=\"biloxi.com\", nonce=\"c\", algorithm=MD5, qop=\"auth\"\n\
         Proxy-Authenticate: Digest realm=\"stranger\", nonce=\"d\", algorithm=MD5, qop=\"auth\"\n",
    );
    let mut register = request(REGISTER);
    session().answer(&accounts("zanzibar"), &mut register, &response).unwrap();
    let nonces: Vec<_> = credentials(&register).into_iter().map(|credentials| credentials.nonce).collect();
    assert_eq!(nonces, ["a", "b"]);
    assert_eq!(register.headers.count("Proxy-Authorization"), 1);
    // pjsip #410: a 401 without a challenge ends the attempt.
    assert_eq!(
        session().answer(&accounts("zanzibar"), &mut register, &challenged("")),
        Err(AnswerError::NotUnderstood)
    );
    let stranger = challenged("WWW-Authenticate: Digest realm=\"stranger\", nonce=\"d\", qop=\"auth\"\n");
    assert_eq!(session().answer(&accounts("zanzibar"), &mut register, &stranger), Err(AnswerError::NoAccount));
}

/// A nonce that was used ahead of any challenge may be refused without `stale` by servers that forgot it.
#[test]
fn a_challenge_to_credentials_given_unasked_is_answered_once() {
    let mut client = session();
    let mut register = request(REGISTER);
    let first = challenged("WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"a\", qop=\"auth\"\n");
    client.answer(&accounts("zanzibar"), &mut register, &first).unwrap();
    let mut next = request(REGISTER);
    client.authorize(&accounts("zanzibar"), &mut next);
    let second = challenged("WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"b\", qop=\"auth\"\n");
    client.answer(&accounts("zanzibar"), &mut next, &second).unwrap();
    assert_eq!(credentials(&next)[0].nonce, "b");
    let third = challenged("WWW-Authenticate: Digest realm=\"biloxi.com\", nonce=\"c\", qop=\"auth\"\n");
    assert_eq!(client.answer(&accounts("zanzibar"), &mut next, &third), Err(AnswerError::Rejected));
}
