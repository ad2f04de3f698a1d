//! What can and cannot be opened, what the sender is told, and the bounds.
#![allow(clippy::unwrap_used)]

mod authority;

use authority::{
    EC, Openssl, Party, RSA, SDP, alice, assert_verified, bob, entity, enveloped, mail, now, receive, smime,
    smime_with, unverified, user_extensions,
};
use sallyport_smime::{
    ContentCipher, Handling, Layering, MAX_BODY_BYTES, MAX_CERTIFICATES, MAX_RECIPIENTS, MAX_SIGNERS, Misconfigured,
    OwnIdentity, Refusal, RsaKeyTransport, SendError, SendPolicy, Signature, Smime, SmimeConfig, SmimeOutcome,
    Undecipherable, Unverified,
};
use sip::{Body, Headers, StatusCode};

/// A root, Alice with an RSA key, Bob with one of each kind, and us, who are Bob.
struct Scene {
    openssl: Openssl,
    root: Party,
    alice: Party,
    bob_rsa: Party,
    bob_ec: Party,
    smime: Smime,
}

impl Scene {
    fn new(name: &str) -> Option<Self> {
        let openssl = Openssl::new(name)?;
        let root = openssl.root("root");
        let [alice, bob_rsa] = ["alice", "bob"].map(|user| openssl.user(user, RSA, &root));
        let bob_ec = openssl.user("bob", EC, &root);
        let identities = vec![openssl.own(&bob_ec), openssl.own(&bob_rsa)];
        let smime = smime(identities, openssl.certificates(&root));
        Some(Self { openssl, root, alice, bob_rsa, bob_ec, smime })
    }

    fn outcome(&self, body: &Body) -> SmimeOutcome {
        self.smime.receive(now(), body, Handling::Required, &alice())
    }

    /// That a body is refused, and that one in GCM by ECDH is opened afterwards.
    fn assert_refused(&self, body: &Body, refusal: Refusal) {
        assert_eq!(self.outcome(body), SmimeOutcome::Refused(refusal));
        let genuine = self.openssl.encrypt(&self.bob_ec, entity(), "aes-128-gcm", ECDH);
        assert_eq!(receive(&self.smime, &genuine).body, Body::sdp(SDP));
    }
}

const ECDH: &str = "-keyopt ecdh_kdf_md:sha256";
const OAEP: &str = "-keyopt rsa_padding_mode:oaep";

fn undecipherable(reason: Undecipherable) -> Refusal {
    Refusal::Undecipherable(reason)
}

fn flipped(body: &Body, at: usize) -> Body {
    let mut body = body.clone();
    body.bytes[at] ^= 1;
    body
}

/// For another signature around it.
fn text_of_mail(body: &Body) -> String {
    String::from_utf8(mail(body)).unwrap()
}

#[test]
fn a_body_without_layers_passes_as_it_is() {
    let Some(scene) = Scene::new("plain") else { return };
    let mixed = Body { content_type: "multipart/mixed;boundary=x".into(), bytes: b"--x\r\n\r\n--x--".to_vec() };
    let no_type = Body { content_type: "?".into(), bytes: vec![0; 10] };
    let large = Body { content_type: "application/sdp".into(), bytes: vec![b'x'; 2 * MAX_BODY_BYTES] };
    for body in [Body::sdp(SDP), mixed, no_type, large] {
        let received = receive(&scene.smime, &body);
        assert_eq!((received.facts, received.body), (Default::default(), body));
    }
}

#[test]
fn an_altered_envelope_is_not_opened() {
    let Some(scene) = Scene::new("altered") else { return };
    for (party, options) in [(&scene.bob_ec, ECDH), (&scene.bob_rsa, OAEP), (&scene.bob_rsa, "")] {
        let body = scene.openssl.encrypt(party, entity(), "aes-256-gcm", options);
        let end = body.bytes.len();
        // The tag is last, the ciphertext before it.
        for at in [end - 1, end - 16, end - 30, end - 16 - entity().len()] {
            scene.assert_refused(&flipped(&body, at), undecipherable(Undecipherable::NotOpened));
        }
    }
}

/// Every wrong block gives what a right one with a wrong key gives, so that nobody learns about its padding.
#[test]
fn a_wrong_rsa_block_is_told_by_nothing() {
    let Some(scene) = Scene::new("oracle") else { return };
    let rsa = boring::rsa::Rsa::public_key_from_pem(&{
        let output = "public.pem";
        scene.openssl.run(&format!("x509 -in {} -pubkey -noout -out {output}", scene.bob_rsa.certificate));
        scene.openssl.read(output)
    })
    .unwrap();
    let body = scene.openssl.encrypt(&scene.bob_rsa, entity(), "aes-128-gcm", "");
    let at = body.bytes.windows(4).position(|window| window == [0x04, 0x82, 0x01, 0x00]).unwrap() + 4;
    let key = [0x77; 16];
    let blocks: [Vec<u8>; 6] = [
        [&[0, 2][..], &[0xAA; 237], &[0], &key].concat(),
        [&[0, 1][..], &[0xAA; 237], &[0], &key].concat(),
        [&[0, 2][..], &[0xAA; 236], &[0], &key, &[1]].concat(),
        [&[0, 2][..], &[0xAA; 221], &[0], &key, &key].concat(),
        [&[0, 2, 0][..], &[0xAA; 236], &[0], &key].concat(),
        vec![0; 256],
    ];
    for block in blocks {
        let mut encrypted = vec![0; 256];
        rsa.public_encrypt(&block, &mut encrypted, boring::rsa::Padding::NONE).unwrap();
        let mut body = body.clone();
        body.bytes[at..at + 256].copy_from_slice(&encrypted);
        scene.assert_refused(&body, undecipherable(Undecipherable::NotOpened));
    }
    let mut above_the_modulus = body.clone();
    above_the_modulus.bytes[at..at + 256].fill(0xFF);
    scene.assert_refused(&above_the_modulus, undecipherable(Undecipherable::NotOpened));
}

/// With CBC, a bad padding and a content that is no MIME entity are one and the same.
#[test]
fn a_wrong_content_in_cbc_is_told_by_nothing() {
    let Some(scene) = Scene::new("cbc") else { return };
    let body = scene.openssl.encrypt(&scene.bob_ec, entity(), "aes-128-cbc", ECDH);
    let end = body.bytes.len();
    for at in [end - 1, end - 16, end - 17] {
        let outcome = scene.outcome(&flipped(&body, at));
        // The last block but one changes the padding, or leaves it and changes the last characters.
        assert!(
            matches!(&outcome, SmimeOutcome::Received(received) if received.body.bytes != SDP.as_bytes())
                || outcome == SmimeOutcome::Refused(undecipherable(Undecipherable::NotOpened)),
            "{outcome:?}"
        );
    }
    for content in ["no entity at all", "no colon\r\n\r\n", "Content-Type: ?\r\n\r\n", "Content-Type: a/b\n\nbare"] {
        let body = scene.openssl.encrypt(&scene.bob_ec, content, "aes-128-cbc", ECDH);
        scene.assert_refused(&body, undecipherable(Undecipherable::NotOpened));
    }
}

/// Nor by what is inside: a padding that happens to be right is not told by another answer.
#[test]
fn what_is_wrong_inside_of_cbc_is_told_by_nothing() {
    let Some(scene) = Scene::new("cbc-inside") else { return };
    for inside in [
        "Content-Type: multipart/signed;protocol=\"application/pkcs7-signature\";boundary=x\r\n\r\n--y",
        "Content-Type: multipart/encrypted\r\n\r\n",
        "Content-Type: application/pkcs7-mime\r\n\r\nMIIB",
    ] {
        let body = scene.openssl.encrypt(&scene.bob_ec, inside, "aes-128-cbc", ECDH);
        scene.assert_refused(&body, undecipherable(Undecipherable::NotOpened));
        // In GCM the sender wrote it, and is told.
        let body = scene.openssl.encrypt(&scene.bob_ec, inside, "aes-128-gcm", ECDH);
        assert!(matches!(scene.outcome(&body), SmimeOutcome::Refused(Refusal::Malformed | Refusal::Unsupported)));
    }
}

#[test]
fn without_cbc_only_gcm_is_opened() {
    let Some(scene) = Scene::new("no-cbc") else { return };
    let identities = vec![scene.openssl.own(&scene.bob_ec)];
    let strict = smime_with(SmimeConfig { identities, cbc: false, ..SmimeConfig::default() });
    let body = |cipher| scene.openssl.encrypt(&scene.bob_ec, entity(), cipher, ECDH);
    let outcome = strict.receive(now(), &body("aes-256-cbc"), Handling::Required, &alice());
    assert_eq!(outcome, SmimeOutcome::Refused(undecipherable(Undecipherable::UnsupportedAlgorithm)));
    assert_eq!(receive(&strict, &body("aes-128-gcm")).body, Body::sdp(SDP));
}

#[test]
fn what_is_not_for_us_is_undecipherable() {
    let Some(scene) = Scene::new("not-for-us") else { return };
    for (key, options) in [(RSA, OAEP), (EC, ECDH)] {
        let carol = scene.openssl.user("carol", key, &scene.root);
        let body = scene.openssl.encrypt(&carol, entity(), "aes-128-gcm", options);
        scene.assert_refused(&body, undecipherable(Undecipherable::NotForUs));
        // With us as the second recipient it is.
        let both = format!("{options} -recip {}", scene.bob_rsa.certificate);
        let body = scene.openssl.encrypt(&carol, entity(), "aes-128-gcm", &both);
        assert_eq!(receive(&scene.smime, &body).body, Body::sdp(SDP));
        let nobody = smime(Vec::new(), Vec::new());
        let outcome = nobody.receive(now(), &body, Handling::Required, &alice());
        assert_eq!(outcome, SmimeOutcome::Refused(undecipherable(Undecipherable::NoKey)));
    }
}

#[test]
fn old_ciphers_and_derivations_are_not_taken() {
    let Some(scene) = Scene::new("old") else { return };
    let unsupported = undecipherable(Undecipherable::UnsupportedAlgorithm);
    for (party, cipher, options) in [
        (&scene.bob_rsa, "des-ede3-cbc", ""),
        (&scene.bob_rsa, "aes-192-cbc", ""),
        (&scene.bob_ec, "aes-128-cbc", "-keyopt ecdh_kdf_md:sha1"),
    ] {
        let body = scene.openssl.encrypt(party, entity(), cipher, options);
        scene.assert_refused(&body, unsupported);
    }
}

#[test]
fn a_point_that_is_not_on_the_curve_is_not_used() {
    let Some(scene) = Scene::new("curve") else { return };
    let body = scene.openssl.encrypt(&scene.bob_ec, entity(), "aes-128-gcm", ECDH);
    let at = body.bytes.windows(4).position(|window| window == [0x03, 0x42, 0x00, 0x04]).unwrap();
    scene.assert_refused(&flipped(&body, at + 10), undecipherable(Undecipherable::NotOpened));
}

#[test]
fn truncated_and_lying_envelopes_are_refused() {
    let Some(scene) = Scene::new("truncated-envelope") else { return };
    for (cipher, options) in [("aes-128-gcm", ECDH), ("aes-128-cbc", ECDH)] {
        let body = scene.openssl.encrypt(&scene.bob_ec, entity(), cipher, options);
        for end in 0..body.bytes.len() {
            let cut = enveloped(body.bytes[..end].to_vec());
            assert_eq!(scene.outcome(&cut), SmimeOutcome::Refused(Refusal::Malformed), "cut at {end}");
        }
        for at in 1..body.bytes.len() {
            let mut bytes = body.bytes.clone();
            bytes.splice(at..=at, [0x84, 0xFF, 0xFF, 0xFF, 0xFF]);
            assert!(matches!(scene.outcome(&enveloped(bytes)), SmimeOutcome::Refused(_)), "{at}");
        }
        scene.assert_refused(&enveloped(Vec::new()), Refusal::Malformed);
    }
}

#[test]
fn an_undecipherable_body_is_answered_with_our_certificate() {
    let Some(scene) = Scene::new("reply") else { return };
    let refusal = undecipherable(Undecipherable::NotForUs);
    let reply = scene.smime.reply(refusal, &bob());
    assert_eq!((reply.status, reply.accept), (StatusCode::UNDECIPHERABLE, None));
    let body = reply.body.unwrap();
    assert!(body.content_type.starts_with("application/pkcs7-mime;smime-type=certs-only"));
    // openssl reads it, and so do we: the sender learns what to encrypt to.
    let (input, output) = (scene.openssl.write("reply.p7c", &body.bytes), "reply.pem");
    scene.openssl.run(&format!("pkcs7 -inform DER -in {input} -print_certs -out {output}"));
    let ours = scene.openssl.certificates(&scene.bob_ec);
    assert_eq!(sallyport_smime::Certificate::from_pem(&scene.openssl.read(output)).unwrap(), ours);
    let learnt = scene.smime.peer_certificate(now(), &body, &bob()).unwrap();
    assert_eq!(learnt.certificate(), &ours[0]);
    assert_eq!(scene.smime.peer_certificate(now(), &body, &alice()), Err(Unverified::WrongIdentity));
    let stranger = smime(Vec::new(), Vec::new());
    assert_eq!(stranger.peer_certificate(now(), &body, &bob()), Err(Unverified::UnknownIssuer));
    // As a call's body it says nothing.
    scene.assert_refused(&body, Refusal::Unsupported);
    // Who has no certificate sends none.
    assert_eq!(stranger.reply(refusal, &bob()).body, None);
}

#[test]
fn what_is_not_ours_is_unsupported_unless_it_is_optional() {
    let Some(scene) = Scene::new("optional") else { return };
    let pgp = Body {
        content_type: "multipart/signed;protocol=\"application/pgp-signature\";boundary=x".into(),
        bytes: b"--x\r\n\r\n--x--".to_vec(),
    };
    scene.assert_refused(&pgp, Refusal::Unsupported);
    let reply = scene.smime.reply(Refusal::Unsupported, &bob());
    assert_eq!((reply.status, reply.body), (StatusCode::UNSUPPORTED_MEDIA_TYPE, None));
    assert!(reply.accept.is_some_and(|accept| accept.contains("application/sdp")));

    let mut headers = Headers::new();
    assert_eq!(Handling::of(&headers), Handling::Required);
    for (value, expected) in [
        ("attachment; filename=smime.p7m;handling=required", Handling::Required),
        ("attachment; filename=smime.p7m; Handling = Optional", Handling::Optional),
        ("render", Handling::Required),
    ] {
        headers.set("Content-Disposition", value);
        assert_eq!(Handling::of(&headers), expected);
    }
    let outcome = scene.smime.receive(now(), &pgp, Handling::Optional, &alice());
    assert_eq!(outcome, SmimeOutcome::Ignored(Refusal::Unsupported));
}

#[test]
fn layers_certificates_signers_and_recipients_are_counted() {
    let Some(scene) = Scene::new("bounds") else { return };
    let sign = |content: &str, options: &str| scene.openssl.sign(&scene.alice, content, options);

    let mut body = sign(&entity(), "");
    for _ in 1..3 {
        body = sign(&text_of_mail(&body), "");
    }
    assert_verified(&receive(&scene.smime, &body));
    body = sign(&text_of_mail(&body), "");
    scene.assert_refused(&body, Refusal::TooLarge);

    let others: Vec<Party> = (0..MAX_CERTIFICATES).map(|_| scene.openssl.user("carol", EC, &scene.root)).collect();
    let certificates = |count: usize| {
        let pem: Vec<u8> = others.iter().take(count).flat_map(|party| scene.openssl.read(&party.certificate)).collect();
        let file = scene.openssl.write(&scene.openssl.fresh("pem"), pem);
        sign(&entity(), &format!("-certfile {file}"))
    };
    assert_verified(&receive(&scene.smime, &certificates(MAX_CERTIFICATES - 1)));
    let received = receive(&scene.smime, &certificates(MAX_CERTIFICATES));
    assert_eq!(unverified(&received), Unverified::Malformed);

    // The same signer twice would bring its certificate twice, which openssl refuses.
    let others: Vec<Party> = (0..MAX_SIGNERS).map(|_| scene.openssl.user("alice", EC, &scene.root)).collect();
    let signers = |count: usize| {
        let more = others.iter().take(count - 1);
        let more = more.map(|party| format!(" -signer {} -inkey {}", party.certificate, party.key));
        sign(&entity(), &more.collect::<String>())
    };
    assert_verified(&receive(&scene.smime, &signers(MAX_SIGNERS)));
    assert_eq!(unverified(&receive(&scene.smime, &signers(MAX_SIGNERS + 1))), Unverified::Malformed);

    let recipient = format!(" -recip {}", scene.bob_rsa.certificate);
    let to =
        |count: usize| scene.openssl.encrypt(&scene.bob_rsa, entity(), "aes-128-cbc", &recipient.repeat(count - 1));
    assert_eq!(receive(&scene.smime, &to(MAX_RECIPIENTS)).body, Body::sdp(SDP));
    scene.assert_refused(&to(MAX_RECIPIENTS + 1), undecipherable(Undecipherable::Malformed));

    let large = format!("{}{}", entity(), "a=x\r\n".repeat(MAX_BODY_BYTES / 5));
    scene.assert_refused(&sign(&large, ""), Refusal::TooLarge);
}

#[test]
fn a_good_signature_in_a_bad_one_is_unverified() {
    let Some(scene) = Scene::new("mixed") else { return };
    let mallory = scene.openssl.user("mallory", RSA, &scene.root);
    let inner = scene.openssl.sign(&scene.alice, &entity(), "");
    let outer = scene.openssl.sign(&mallory, &text_of_mail(&inner), "");
    assert_eq!(unverified(&receive(&scene.smime, &outer)), Unverified::WrongIdentity);
    let inner = scene.openssl.sign(&mallory, &entity(), "");
    let outer = scene.openssl.sign(&scene.alice, &text_of_mail(&inner), "");
    assert_eq!(unverified(&receive(&scene.smime, &outer)), Unverified::WrongIdentity);
}

#[test]
fn nothing_goes_out_otherwise_than_asked() {
    let Some(mut scene) = Scene::new("send") else { return };
    let sdp = Body::sdp(SDP);
    let plain = SendPolicy::default();
    assert_eq!(scene.smime.send(now(), &sdp, &alice(), &plain, None).unwrap(), sdp);
    let sign = SendPolicy { sign: true, ..plain };
    assert_eq!(scene.smime.send(now(), &sdp, &alice(), &sign, None), Err(SendError::NoIdentity));
    assert!(scene.smime.send(now(), &sdp, &bob(), &sign, None).is_ok());
    let encrypt = SendPolicy { encrypt: Some(ContentCipher::Aes256Gcm), ..plain };
    assert_eq!(scene.smime.send(now(), &sdp, &bob(), &encrypt, None), Err(SendError::NoPeerCertificate));
    let large = Body::sdp("a".repeat(MAX_BODY_BYTES));
    assert_eq!(scene.smime.send(now(), &large, &bob(), &sign, None), Err(SendError::TooLarge));

    let extensions = user_extensions("alice").replace(",keyAgreement", "");
    let signing_only = scene.openssl.certify("alice", EC, "sha256", Some(&scene.root), &extensions);
    let peer = scene.smime.trust(now(), &scene.openssl.certificates(&signing_only)[0], &alice()).unwrap();
    assert_eq!(scene.smime.send(now(), &sdp, &bob(), &encrypt, Some(&peer)), Err(SendError::PeerKeyUsage));
}

/// An offer comes in signed, is changed, and goes out with a new signature; the answer is encrypted to the offerer.
#[test]
fn a_changed_body_gets_a_signature_of_ours() {
    let Some(mut scene) = Scene::new("relay") else { return };
    let received = receive(&scene.smime, &scene.openssl.sign(&scene.alice, &entity(), ""));
    let Signature::Verified { certificate: peer, .. } = received.facts.signature else { panic!("not verified") };
    let changed = Body::sdp(String::from_utf8(received.body.bytes).unwrap().replace("49170", "10000"));
    let sign = SendPolicy { sign: true, ..SendPolicy::default() };
    let sent = scene.smime.send(now(), &changed, &bob(), &sign, None).unwrap();
    let read = scene.openssl.verify(&sent, &scene.root).unwrap();
    assert_eq!(read, entity().replace("49170", "10000").as_bytes());

    for layering in [Layering::SignatureInside, Layering::EnvelopeInside] {
        let encrypt = Some(ContentCipher::Aes128Gcm);
        let policy = SendPolicy { sign: true, encrypt, layering, rsa_key_transport: RsaKeyTransport::Oaep };
        let sent = scene.smime.send(now(), &changed, &bob(), &policy, Some(&peer)).unwrap();
        let at_alice = smime(vec![scene.openssl.own(&scene.alice)], scene.openssl.certificates(&scene.root));
        match at_alice.receive(now(), &sent, Handling::Required, &bob()) {
            SmimeOutcome::Received(received) => {
                assert_eq!(received.body, changed);
                assert_eq!(received.facts.signature.label(), "verified");
                assert_eq!(received.facts.encryption.unwrap().cipher, ContentCipher::Aes128Gcm);
            }
            other => panic!("{other:?}"),
        }
        if layering == Layering::EnvelopeInside {
            let entity = scene.openssl.verify(&sent, &scene.root).unwrap();
            let part = sip::Part::parse(&entity, &sip::Limits::default()).unwrap();
            let text: Vec<u8> = part.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let inner = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
            assert!(scene.openssl.decrypt(&enveloped(inner), &scene.alice).unwrap().ends_with(&changed.bytes));
        }
    }
}

#[test]
fn an_identity_is_a_certificate_with_its_key_and_a_sip_uri() {
    let Some(scene) = Scene::new("identities") else { return };
    let read = |party: &Party| scene.openssl.read(&party.certificate);
    let key = |party: &Party| scene.openssl.read(&party.key);
    let made = |certificate: &[u8], key: &[u8]| OwnIdentity::from_pem(certificate, key).err();
    assert_eq!(made(&read(&scene.alice), &key(&scene.alice)), None);
    assert_eq!(made(b"", &key(&scene.alice)), Some(Misconfigured::Certificate));
    assert_eq!(made(&read(&scene.alice), b""), Some(Misconfigured::Key));
    assert_eq!(made(&read(&scene.alice), &key(&scene.bob_rsa)), Some(Misconfigured::KeyMismatch));
    assert_eq!(made(&read(&scene.root), &key(&scene.root)), Some(Misconfigured::NoIdentity));
}
