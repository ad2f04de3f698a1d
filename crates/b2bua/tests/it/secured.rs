//! S/MIME on the legs of a call (RFC 3261 §23): the bodies of phones are made, opened and checked by `openssl cms`.

#[path = "../../../smime/tests/authority/mod.rs"]
mod authority;

use authority::{EC, Openssl, Party, RSA};
use sallyport_b2bua::{Destination, Fact, Severity, SmimePolicy, SmimeSettings, UnverifiedPolicy};
use sallyport_smime::{CONTENT_DISPOSITION, ContentCipher, SmimeConfig};
use session::Clocks;
use sip::{Body, CallEvent, DialogHandle, EndCause, Response, StatusCode, Transport};

use crate::world::{ALICE, BOB, CAROL, World, address, config, plain, target, text};

const SIGN: SmimePolicy = SmimePolicy { sign: true, encrypt: false, required: false };
const BOTH: SmimePolicy = SmimePolicy { sign: true, encrypt: true, required: false };
const REQUIRED: SmimePolicy = SmimePolicy { sign: false, encrypt: false, required: true };
const OFF: SmimePolicy = SmimePolicy { sign: false, encrypt: false, required: false };

/// Alice and Bob with certificates of a root that we believe, and us, who are Bob to Alice and Alice to Bob.
struct Scene {
    openssl: Openssl,
    root: Party,
    alice: Party,
    bob: Party,
    us: Party,
    world: World,
}

fn party(openssl: &Openssl, root: &Party, key: &str, addresses: &[&str]) -> Party {
    let names: Vec<String> = addresses.iter().map(|address| format!("URI:{address}")).collect();
    let extensions = format!(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment,keyAgreement\n\
         subjectAltName={}",
        names.join(",")
    );
    openssl.certify("party", key, "sha256", Some(root), &extensions)
}

impl Scene {
    /// Policies of Alice's leg and of Bob's.
    fn new(name: &str, alice: SmimePolicy, bob: SmimePolicy, unverified: UnverifiedPolicy) -> Option<Self> {
        let openssl = Openssl::new(name)?;
        let root = openssl.root("root");
        let ours = ["sip:bob@sallyport.example", "sip:alice@sallyport.example"];
        let us = party(&openssl, &root, EC, &ours);
        let (policies, [alice, bob]) = (
            [alice, bob],
            [("sip:alice@a.example", RSA), ("sip:bob@b.example", EC)]
                .map(|(address, key)| party(&openssl, &root, key, &[address])),
        );
        let mut config = config();
        config.trunks[0].policy.smime = policies[0];
        config.phones.smime = policies[1];
        config.routes[0].to = Destination::Targets(vec![vec![target("sip:bob@b.example")]]);
        let mut world = World::with(config);
        world.located.insert("b.example".into(), vec![address(BOB)]);
        world.add(ALICE, Transport::Tcp, 7);
        world.add(BOB, Transport::Tcp, 8);
        let settings = SmimeSettings {
            config: SmimeConfig {
                identities: vec![openssl.own(&us)],
                anchors: openssl.certificates(&root),
                pinned: [&alice, &bob].into_iter().flat_map(|party| openssl.certificates(party)).collect(),
                ..SmimeConfig::default()
            },
            unverified,
            cipher: ContentCipher::Aes128Gcm,
            clocks: Clocks { instant: world.now, system: authority::now() },
        };
        world.b2bua.set_smime(settings).unwrap();
        Some(Self { openssl, root, alice, bob, us, world })
    }

    fn signed(&self, by: &Party, sdp: &Body, options: &str) -> Body {
        self.openssl.sign(by, &entity(sdp), options)
    }

    fn sealed(&self, to: &Party, content: impl AsRef<[u8]>) -> Body {
        self.openssl.encrypt(to, content, "aes-128-gcm", "-keyopt ecdh_kdf_md:sha256")
    }

    fn call(&mut self, offer: Body) {
        self.call_with(offer, |_| {});
    }

    fn call_with(&mut self, offer: Body, edit: impl Fn(&mut sip::Request)) {
        let mut request = World::invitation(ALICE, "sip:bob@sallyport.example", Some(offer));
        edit(&mut request);
        self.world.call(ALICE, request);
    }

    /// A call with this offer is answered with this answer: both dialogs, what Bob was offered, and Alice's 200.
    fn talk(&mut self, offer: Body, answer: Body) -> ([DialogHandle; 2], Body, Response) {
        self.call(offer);
        let (leg, invite) = self.world.incoming(BOB);
        let bob = self.world.accept(BOB, leg, Some(answer));
        let (alice, response) = self.world.answered(ALICE);
        assert!(matches!(self.world.event(BOB), CallEvent::Established { .. }));
        ([alice, bob], Body::of(&invite.headers, invite.body()).unwrap(), response)
    }

    /// Of the only call.
    fn ledger(&mut self) -> Vec<String> {
        self.world.settle();
        let call_id = self.world.session.calls()[0].call_id.clone();
        let view = self.world.session.call(&call_id).unwrap();
        let notes = view.ledger.iter().map(|entry| format!("{}: {}", entry.tag, entry.note));
        notes.filter(|note| note.contains("S/MIME")).collect()
    }

    fn hang_up(&mut self, alice: DialogHandle) {
        self.world.bye(ALICE, alice);
        while self.world.phone(BOB).events.pop_front().is_some() {}
        while self.world.phone(ALICE).events.pop_front().is_some() {}
        self.world.assert_forgotten();
    }

    /// Alice, whose offer was refused, calls again with one that is genuine.
    fn assert_genuine_passes(&mut self) {
        let genuine = self.signed(&self.alice, &alice_sdp(), "");
        let ([alice, _], offer, _) = self.talk(genuine, bob_sdp());
        assert!(text(&offer.bytes).contains("c=IN IP4 203.0.113.7"));
        assert_eq!(self.ledger(), [VERIFIED_ALICE]);
        self.hang_up(alice);
    }

    fn count(&self, what: &'static str, result: &'static str) -> u64 {
        self.world.b2bua.counters().smime.get(&(what, result)).copied().unwrap_or(0)
    }
}

const VERIFIED_ALICE: &str = "a:alice-tag: S/MIME: signed by sip:alice@a.example, verified (rsa_sha256)";

fn alice_sdp() -> Body {
    plain("alice", "192.0.2.10")
}

fn bob_sdp() -> Body {
    plain("bob", "192.0.2.20")
}

fn entity(sdp: &Body) -> String {
    format!("Content-Type: application/sdp\r\n\r\n{}", text(&sdp.bytes))
}

fn altered(body: &Body) -> Body {
    let mut body = body.clone();
    let at = body.bytes.windows(4).position(|window| window == b"4000").unwrap();
    body.bytes[at..at + 4].copy_from_slice(b"4666");
    body
}

#[test]
fn a_signed_offer_is_verified_and_goes_on_without_the_signature() {
    let Some(mut scene) = Scene::new("b2bua-signed", OFF, OFF, UnverifiedPolicy::Refuse) else { return };
    for form in ["", "-nodetach"] {
        let offer = scene.signed(&scene.alice, &alice_sdp(), form);
        let answer = scene.signed(&scene.bob, &bob_sdp(), form);
        let ([alice, _], offered, response) = scene.talk(offer, answer);
        assert_eq!(offered.content_type, "application/sdp");
        assert_eq!(response.headers.value("Content-Type").unwrap(), "application/sdp");
        assert!(text(&offered.bytes).contains("c=IN IP4 203.0.113.7") && response.body().starts_with(b"v=0"));
        let ledger = scene.ledger();
        assert_eq!(ledger[0], VERIFIED_ALICE);
        assert!(ledger[1].starts_with("b0:") && ledger[1].contains("signed by sip:bob@b.example, verified (ecdsa"));
        assert_eq!(ledger.len(), 2);
        scene.hang_up(alice);
    }
    assert_eq!(scene.count("signature", "verified"), 4);
    assert!(scene.world.facts.iter().all(|fact| fact.severity() != Severity::Warn));
}

#[test]
fn a_forged_offer_is_refused_or_in_the_ledger_and_a_genuine_one_passes() {
    for policy in [UnverifiedPolicy::Refuse, UnverifiedPolicy::Warn, UnverifiedPolicy::Allow] {
        let Some(mut scene) = Scene::new("b2bua-forged", OFF, OFF, policy) else { return };
        let mallory = party(&scene.openssl, &scene.root, EC, &["sip:mallory@a.example"]);
        let forged = altered(&scene.signed(&scene.alice, &alice_sdp(), ""));
        let of_another = scene.signed(&mallory, &alice_sdp(), "");
        for (body, cause) in [(forged, "digest_mismatch"), (of_another, "wrong_identity")] {
            if policy == UnverifiedPolicy::Refuse {
                scene.call(body);
                let response = scene.world.failure(ALICE);
                assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE_HERE);
                assert!(response.headers.value("Warning").unwrap().contains(cause));
                scene.world.no_event(BOB);
                scene.world.assert_forgotten();
                assert_eq!(scene.count("refused", cause), 1);
            } else {
                let ([alice, _], ..) = scene.talk(body, bob_sdp());
                let expected = format!("a:alice-tag: S/MIME: a signature that proves nothing ({cause})");
                assert_eq!(scene.ledger(), [expected]);
                scene.hang_up(alice);
                assert_eq!(scene.count("signature", cause), 1);
            }
        }
        let warnings = scene.world.facts.iter().filter(|fact| matches!(fact, Fact::UnverifiedSignature { .. })).count();
        assert_eq!(warnings, usize::from(policy == UnverifiedPolicy::Warn), "once for each peer");
        scene.assert_genuine_passes();
    }
}

#[test]
fn a_sealed_offer_is_opened_and_answered_signed_and_sealed() {
    let Some(mut scene) = Scene::new("b2bua-sealed", BOTH, BOTH, UnverifiedPolicy::Refuse) else { return };
    let signed = scene.signed(&scene.alice, &alice_sdp(), "");
    let offer = scene.sealed(&scene.us, authority::mail(&signed));
    let answer = scene.signed(&scene.bob, &bob_sdp(), "");
    let ([alice, bob], offered, response) = scene.talk(offer, answer);
    let answered = Body::of(&response.headers, response.body()).unwrap();
    assert_eq!(response.headers.value("Content-Disposition").unwrap(), CONTENT_DISPOSITION);
    let check = |scene: &Scene, body: &Body, party: &Party| {
        assert!(body.content_type.contains("application/pkcs7-mime"), "{}", body.content_type);
        assert!(!body.bytes.windows(3).any(|window| window == b"v=0"));
        let inner = scene.openssl.decrypt(body, party).unwrap();
        let content = scene.openssl.verify(&authority::body_of_mail(&inner), &scene.root).unwrap();
        assert!(text(&content).contains("c=IN IP4 203.0.113.7"));
    };
    check(&scene, &offered, &scene.bob);
    check(&scene, &answered, &scene.alice);
    let ledger = scene.ledger();
    assert!(
        ledger.contains(&format!("{VERIFIED_ALICE}; encrypted (aes128_gcm by ecdh)"))
            && ledger.contains(&"a:alice-tag: S/MIME: what we send is signed and encrypted".to_owned()),
        "{ledger:?}"
    );
    // A later offer, too.
    let now = scene.world.now;
    let again = scene.signed(&scene.alice, &plain("alice", "192.0.2.11"), "");
    scene.world.phone(ALICE).agent.reinvite(now, alice, Some(again)).unwrap();
    let CallEvent::Offer { dialog, body } = scene.world.event(BOB) else { panic!() };
    assert_eq!(dialog, bob);
    check(&scene, &body, &scene.bob);
    let answer = scene.signed(&scene.bob, &bob_sdp(), "");
    scene.world.phone(BOB).agent.answer(now, bob, answer).unwrap();
    let CallEvent::Answer { body, .. } = scene.world.event(ALICE) else { panic!() };
    check(&scene, &body, &scene.alice);
    scene.hang_up(alice);
}

#[test]
fn what_cannot_be_opened_gets_493_with_our_certificate() {
    let Some(mut scene) = Scene::new("b2bua-493", OFF, OFF, UnverifiedPolicy::Refuse) else { return };
    let for_bob = scene.sealed(&scene.bob, entity(&alice_sdp()));
    scene.call(for_bob.clone());
    let response = scene.world.failure(ALICE);
    let certificate_of = |scene: &Scene, response: &Response| {
        assert_eq!(response.status(), StatusCode::UNDECIPHERABLE);
        assert!(response.headers.value("Content-Type").unwrap().contains("smime-type=certs-only"));
        let (input, output) = (scene.openssl.write("493.der", response.body()), "493.pem");
        scene.openssl.run(&format!("pkcs7 -inform DER -in {input} -print_certs -out {output}"));
        sallyport_smime::Certificate::from_pem(&scene.openssl.read(output)).unwrap().remove(0)
    };
    assert_eq!(certificate_of(&scene, &response), scene.openssl.certificates(&scene.us)[0]);
    scene.world.no_event(BOB);
    scene.world.assert_forgotten();
    // To that certificate it can be sealed, and inside a call what cannot be opened changes nothing.
    let offer = scene.sealed(&scene.us, entity(&alice_sdp()));
    let ([alice, _], ..) = scene.talk(offer, bob_sdp());
    let plan = scene.world.plan().clone();
    let now = scene.world.now;
    scene.world.phone(ALICE).agent.reinvite(now, alice, Some(for_bob)).unwrap();
    let CallEvent::OfferRefused { response, .. } = scene.world.event(ALICE) else { panic!() };
    assert_eq!(certificate_of(&scene, &response), scene.openssl.certificates(&scene.us)[0]);
    assert!(scene.world.plan().flows == plan.flows);
    scene.world.no_event(BOB);
    scene.hang_up(alice);
    scene.assert_genuine_passes();
}

#[test]
fn what_is_not_supported_gets_415_and_what_need_not_be_read_is_passed_over() {
    let Some(mut scene) = Scene::new("b2bua-415", OFF, OFF, UnverifiedPolicy::Refuse) else { return };
    let pgp = Body {
        content_type: "multipart/signed;protocol=\"application/pgp-signature\";boundary=x".into(),
        bytes: b"--x\r\n\r\nv=0\r\n--x\r\n\r\n\r\n--x--\r\n".to_vec(),
    };
    scene.call(pgp);
    let response = scene.world.failure(ALICE);
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(response.headers.value("Accept").unwrap().contains("application/pkcs7-mime"));
    scene.world.assert_forgotten();
    let for_bob = scene.sealed(&scene.bob, entity(&alice_sdp()));
    scene.call_with(for_bob, |request| request.headers.set("Content-Disposition", "session;handling=optional"));
    let (leg, invite) = scene.world.incoming(BOB);
    assert!(invite.body().is_empty(), "as if there were no offer");
    scene.world.reject(BOB, leg, 486);
    assert_eq!(scene.world.failure(ALICE).status().code(), 486);
    scene.world.assert_forgotten();
}

#[test]
fn a_leg_that_must_sign_is_refused_unsigned_in_either_direction() {
    let Some(mut scene) = Scene::new("b2bua-required", REQUIRED, REQUIRED, UnverifiedPolicy::Allow) else { return };
    let forged = altered(&scene.signed(&scene.alice, &alice_sdp(), ""));
    let sealed = scene.sealed(&scene.us, entity(&alice_sdp()));
    for offer in [alice_sdp(), forged, sealed] {
        scene.call(offer);
        assert_eq!(scene.world.failure(ALICE).status(), StatusCode::NOT_ACCEPTABLE_HERE);
        scene.world.no_event(BOB);
        scene.world.assert_forgotten();
    }
    // Bob's answer, unsigned and forged.
    for answer in [bob_sdp(), altered(&scene.signed(&scene.bob, &bob_sdp(), ""))] {
        let offer = scene.signed(&scene.alice, &alice_sdp(), "");
        scene.call(offer);
        let (leg, _) = scene.world.incoming(BOB);
        scene.world.accept(BOB, leg, Some(answer));
        assert_eq!(scene.world.failure(ALICE).status(), StatusCode::BAD_GATEWAY);
        assert!(matches!(scene.world.event(BOB), CallEvent::Established { .. }));
        let CallEvent::Ended { cause: EndCause::Bye(bye), .. } = scene.world.event(BOB) else { panic!() };
        assert!(bye.headers.value("Reason").unwrap().contains("cause=488"));
        scene.world.assert_forgotten();
    }
    let (offer, answer) = (scene.signed(&scene.alice, &alice_sdp(), ""), scene.signed(&scene.bob, &bob_sdp(), ""));
    let ([alice, _], ..) = scene.talk(offer, answer);
    scene.hang_up(alice);
}

#[test]
fn an_answer_in_the_ack_must_be_signed_too() {
    let Some(mut scene) = Scene::new("b2bua-ack", REQUIRED, OFF, UnverifiedPolicy::Refuse) else { return };
    for genuine in [false, true] {
        let mut request = World::invitation(ALICE, "sip:bob@sallyport.example", None);
        request.set_body(None, Vec::new());
        scene.world.call(ALICE, request);
        let (leg, _) = scene.world.incoming(BOB);
        let offer = scene.sealed(&scene.us, entity(&bob_sdp()));
        let offer = if genuine { offer } else { bob_sdp() };
        scene.world.accept(BOB, leg, Some(offer));
        let (alice, _) = scene.world.answered(ALICE);
        let signed = scene.signed(&scene.alice, &alice_sdp(), "");
        let answer = if genuine { signed } else { altered(&signed) };
        let now = scene.world.now;
        scene.world.phone(ALICE).agent.answer(now, alice, answer).unwrap();
        scene.world.settle();
        if genuine {
            assert!(scene.ledger().contains(&VERIFIED_ALICE.to_owned()));
            assert_eq!(scene.world.plan().flows.len(), 2);
            scene.hang_up(alice);
        } else {
            let CallEvent::Ended { cause: EndCause::Bye(bye), .. } = scene.world.event(ALICE) else { panic!() };
            assert!(bye.headers.value("Reason").unwrap().contains("cause=488"));
            while scene.world.phone(BOB).events.pop_front().is_some() {}
            scene.world.assert_forgotten();
        }
    }
}

#[test]
fn a_reliable_183_is_opened_once_and_counts_for_the_200_without_a_body() {
    let Some(mut scene) = Scene::new("b2bua-183", OFF, REQUIRED, UnverifiedPolicy::Refuse) else { return };
    scene.call(alice_sdp());
    let (leg, _) = scene.world.incoming(BOB);
    let answer = scene.signed(&scene.bob, &bob_sdp(), "");
    scene.world.ring(BOB, leg, 183, Some(answer));
    let CallEvent::Progress { response, .. } = scene.world.event(ALICE) else { panic!() };
    assert!(text(response.body()).contains("c=IN IP4 203.0.113.7"));
    scene.world.accept(BOB, leg, None);
    let (alice, response) = scene.world.answered(ALICE);
    assert!(response.body().is_empty());
    assert_eq!(scene.count("signature", "verified"), 1);
    scene.hang_up(alice);
}

#[test]
fn nothing_signed_goes_by_udp_and_nothing_in_the_name_of_others() {
    let Some(mut scene) = Scene::new("b2bua-udp", OFF, SIGN, UnverifiedPolicy::Refuse) else { return };
    scene.world.add(BOB, Transport::Udp, 0);
    scene.call(alice_sdp());
    let response = scene.world.failure(ALICE);
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE_HERE);
    assert!(response.headers.value("Warning").unwrap().contains("UDP"));
    scene.world.no_event(BOB);
    scene.world.assert_forgotten();
    assert_eq!(scene.count("not_sent", "udp"), 1);
    // Carol calls: we have no certificate of hers.
    scene.world.add(BOB, Transport::Tcp, 8);
    let mut request = World::invitation(ALICE, "sip:bob@sallyport.example", Some(alice_sdp()));
    request.headers.set("From", "<sip:carol@a.example>;tag=carol");
    scene.world.call(ALICE, request);
    assert_eq!(scene.world.failure(ALICE).status(), StatusCode::NOT_ACCEPTABLE_HERE);
    assert_eq!(scene.count("not_sent", "no_identity"), 1);
    scene.world.no_event(BOB);
    scene.world.assert_forgotten();
    // By TCP and in Alice's name it goes, and openssl verifies it.
    let ([alice, _], offer, _) = scene.talk(alice_sdp(), bob_sdp());
    assert!(text(&scene.openssl.verify(&offer, &scene.root).unwrap()).contains("c=IN IP4 203.0.113.7"));
    assert!(scene.openssl.verify(&altered_port(&offer), &scene.root).is_err());
    scene.hang_up(alice);
}

fn altered_port(body: &Body) -> Body {
    let mut body = body.clone();
    let at = body.bytes.windows(8).position(|window| window == b"m=audio ").unwrap();
    body.bytes[at + 8] ^= 1;
    body
}

#[test]
fn who_is_not_authenticated_has_no_body_opened() {
    let Some(mut scene) = Scene::new("b2bua-stranger", OFF, OFF, UnverifiedPolicy::Warn) else { return };
    let mut config = config();
    config.trunks[0].addresses = vec![(address(ALICE).ip(), 32)];
    scene.world.b2bua.reconfigure(config, Default::default());
    for offer in [scene.sealed(&scene.bob, entity(&alice_sdp())), scene.signed(&scene.alice, &alice_sdp(), "")] {
        let mut request = World::invitation(CAROL, "sip:bob@sallyport.example", Some(offer));
        request.headers.set("Call-ID", format!("carol-{}", request.body().len()));
        scene.world.call(CAROL, request);
        assert_eq!(scene.world.failure(CAROL).status(), StatusCode::UNAUTHORIZED);
        scene.world.assert_forgotten();
    }
    assert!(scene.world.b2bua.counters().smime.is_empty());
}
