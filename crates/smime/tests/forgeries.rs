//! Signatures that prove nothing: each by its verdict, and a genuine one passes afterwards.
#![allow(clippy::unwrap_used)]

mod authority;

use std::time::{Duration, SystemTime};

use authority::{
    EC, Openssl, Party, RSA, YEAR, alice, assert_verified, bob, entity, now, receive, smime, smime_with, unverified,
    user_extensions,
};
use sallyport_smime::{Handling, SendPolicy, Signature, Smime, SmimeConfig, SmimeOutcome, Unverified};
use sip::{Body, Uri};

/// A root that is believed, Alice with an RSA key, and what she signed.
struct Scene {
    openssl: Openssl,
    root: Party,
    alice: Party,
    smime: Smime,
    detached: Body,
    opaque: Body,
}

impl Scene {
    fn new(name: &str) -> Option<Self> {
        let openssl = Openssl::new(name)?;
        let root = openssl.root("root");
        let alice = openssl.user("alice", RSA, &root);
        let smime = smime(Vec::new(), openssl.certificates(&root));
        let (detached, opaque) = (openssl.sign(&alice, &entity(), ""), openssl.sign(&alice, &entity(), "-nodetach"));
        // In binary, so that bytes can be altered.
        let opaque = Body { bytes: base64(&opaque.bytes), ..opaque };
        Some(Self { openssl, root, alice, smime, detached, opaque })
    }

    fn assert_forged(&self, body: &Body, reason: Unverified) {
        let received = receive(&self.smime, body);
        assert_eq!(unverified(&received), reason);
        self.assert_genuine_passes();
    }

    fn assert_genuine_passes(&self) {
        assert_verified(&receive(&self.smime, &self.detached));
        assert_verified(&receive(&self.smime, &self.opaque));
    }

    fn at(&self, now: SystemTime, sender: &Uri) -> Signature {
        match self.smime.receive(now, &self.detached, Handling::Required, sender) {
            SmimeOutcome::Received(received) => received.facts.signature,
            other => panic!("{other:?}"),
        }
    }

    /// A certificate with other extensions than a user's, and what it signs.
    fn signed_by(&self, digest: &str, extensions: &str) -> Body {
        let party = self.openssl.certify("alice", EC, digest, Some(&self.root), extensions);
        self.openssl.sign(&party, &entity(), "")
    }
}

fn base64(text: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap()
}

fn replaced(body: &Body, from: &[u8], to: &[u8]) -> Body {
    assert_eq!(from.len(), to.len());
    let mut body = body.clone();
    let at = body.bytes.windows(from.len()).position(|window| window == from).expect("what is replaced is there");
    body.bytes[at..at + to.len()].copy_from_slice(to);
    body
}

#[test]
fn an_altered_content_is_not_what_was_signed() {
    let Some(scene) = Scene::new("content") else { return };
    for body in [&scene.detached, &scene.opaque] {
        scene.assert_forged(&replaced(body, b"49170", b"49172"), Unverified::DigestMismatch);
        scene.assert_forged(&replaced(body, b"Content-Type: app", b"Content-type: app"), Unverified::DigestMismatch);
    }
}

#[test]
fn a_digest_that_was_made_to_fit_is_not_signed() {
    let Some(scene) = Scene::new("digest") else { return };
    let digest = |text: &str| <sha2::Sha256 as sha2::Digest>::digest(text).to_vec();
    let altered = replaced(&scene.opaque, b"49170", b"49172");
    let fitted = replaced(&altered, &digest(&entity()), &digest(&entity().replace("49170", "49172")));
    scene.assert_forged(&fitted, Unverified::BadSignature);
}

#[test]
fn an_altered_signature_is_nobodys() {
    let Some(scene) = Scene::new("signature") else { return };
    // The signature is the last thing in the message: 256 bytes of RSA.
    let length = scene.opaque.bytes.len();
    for at in [length - 256, length - 100, length - 1] {
        let mut body = scene.opaque.clone();
        body.bytes[at] ^= 1;
        scene.assert_forged(&body, Unverified::BadSignature);
    }
}

#[test]
fn a_certificate_of_somebody_else_is_not_the_senders() {
    let Some(scene) = Scene::new("identity") else { return };
    let mallory = scene.openssl.user("mallory", RSA, &scene.root);
    scene.assert_forged(&scene.openssl.sign(&mallory, &entity(), ""), Unverified::WrongIdentity);
    // The same message is Alice's and nobody else's.
    let telephone = authority::uri("tel:+15551234");
    assert_eq!(scene.at(now(), &telephone), Signature::Unverified(Unverified::WrongIdentity));
    assert_eq!(scene.at(now(), &bob()), Signature::Unverified(Unverified::WrongIdentity));
    let only_mail = "basicConstraints=critical,CA:FALSE\nsubjectAltName=email:alice@example.com";
    scene.assert_forged(&scene.signed_by("sha256", only_mail), Unverified::WrongIdentity);
}

#[test]
fn a_certificate_is_valid_in_its_time_only() {
    let Some(scene) = Scene::new("validity") else { return };
    assert_eq!(scene.at(now() + 2 * YEAR, &alice()), Signature::Unverified(Unverified::Expired));
    assert_eq!(scene.at(now() - YEAR, &alice()), Signature::Unverified(Unverified::NotYetValid));
    scene.assert_genuine_passes();
}

#[test]
fn a_signature_is_not_older_than_allowed() {
    let Some(scene) = Scene::new("time") else { return };
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert!(matches!(scene.at(now() + minutes(58), &alice()), Signature::Verified { .. }));
    assert_eq!(scene.at(now() + minutes(62), &alice()), Signature::Unverified(Unverified::SigningTime));
    // And not from the future.
    let identities = vec![scene.openssl.own(&scene.alice)];
    let mut sender = smime(identities, Vec::new());
    let mut signed_in = |ahead| {
        let policy = SendPolicy { sign: true, ..SendPolicy::default() };
        sender.send(now() + ahead, &Body::sdp(authority::SDP), &alice(), &policy, None).unwrap()
    };
    assert_verified(&receive(&scene.smime, &signed_in(minutes(4))));
    scene.assert_forged(&signed_in(minutes(10)), Unverified::SigningTime);
}

#[test]
fn an_unknown_issuer_vouches_for_nobody() {
    let Some(scene) = Scene::new("issuer") else { return };
    // Of the same name as ours, and in the message.
    let other = scene.openssl.root("root");
    let forged = scene.openssl.user("alice", RSA, &other);
    scene.assert_forged(&scene.openssl.sign(&forged, &entity(), ""), Unverified::UnknownIssuer);
    let with_root = format!("-certfile {}", other.certificate);
    scene.assert_forged(&scene.openssl.sign(&forged, &entity(), &with_root), Unverified::UnknownIssuer);
}

#[test]
fn a_user_issues_no_certificates() {
    let Some(scene) = Scene::new("ca-false") else { return };
    let mallory = scene.openssl.user("mallory", RSA, &scene.root);
    let forged = scene.openssl.user("alice", RSA, &mallory);
    let chain = format!("-certfile {}", mallory.certificate);
    scene.assert_forged(&scene.openssl.sign(&forged, &entity(), &chain), Unverified::IssuerNotCa);
    // With nothing said against it but basicConstraints, and with nothing said at all.
    for extensions in ["basicConstraints=critical,CA:FALSE", ""] {
        let mallory = scene.openssl.certify("mallory", EC, "sha256", Some(&scene.root), extensions);
        let forged = scene.openssl.user("alice", RSA, &mallory);
        let chain = format!("-certfile {}", mallory.certificate);
        scene.assert_forged(&scene.openssl.sign(&forged, &entity(), &chain), Unverified::IssuerNotCa);
    }

    let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign";
    let between = scene.openssl.certify("between", EC, "sha256", Some(&scene.root), extensions);
    let genuine = scene.openssl.user("alice", RSA, &between);
    let body = scene.openssl.sign(&genuine, &entity(), &format!("-certfile {}", between.certificate));
    assert_verified(&receive(&scene.smime, &body));
    let without = scene.openssl.sign(&genuine, &entity(), "");
    scene.assert_forged(&without, Unverified::UnknownIssuer);
}

#[test]
fn a_self_signed_certificate_is_trusted_only_if_pinned() {
    let Some(scene) = Scene::new("pinned") else { return };
    let own = scene.openssl.certify("alice", RSA, "sha256", None, &user_extensions("alice"));
    let body = scene.openssl.sign(&own, &entity(), "");
    scene.assert_forged(&body, Unverified::SelfSigned);
    let pinned = scene.openssl.certificates(&own);
    let anchors = scene.openssl.certificates(&scene.root);
    let pinning = smime_with(SmimeConfig { pinned, anchors, ..SmimeConfig::default() });
    assert_verified(&receive(&pinning, &body));
    let other = scene.openssl.certify("alice", RSA, "sha256", None, &user_extensions("alice"));
    assert_eq!(unverified(&receive(&pinning, &scene.openssl.sign(&other, &entity(), ""))), Unverified::SelfSigned);
}

#[test]
fn sha1_and_md5_are_refused_by_their_names() {
    let Some(scene) = Scene::new("digests") else { return };
    scene.assert_forged(&scene.openssl.sign(&scene.alice, &entity(), "-md sha1"), Unverified::Sha1);
    scene.assert_forged(&scene.openssl.sign(&scene.alice, &entity(), "-md md5"), Unverified::Md5);
    let pss = "-md sha1 -keyopt rsa_padding_mode:pss";
    scene.assert_forged(&scene.openssl.sign(&scene.alice, &entity(), pss), Unverified::Sha1);
    scene.assert_forged(&scene.openssl.sign(&scene.alice, &entity(), "-md sha224"), Unverified::UnsupportedAlgorithm);
    // In the chain: on Alice's certificate, and on the one above.
    scene.assert_forged(&scene.signed_by("sha1", &user_extensions("alice")), Unverified::Sha1);
    let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign";
    let weak = scene.openssl.certify("weak", EC, "sha1", Some(&scene.root), extensions);
    let user = scene.openssl.user("alice", EC, &weak);
    let body = scene.openssl.sign(&user, &entity(), &format!("-certfile {}", weak.certificate));
    scene.assert_forged(&body, Unverified::Sha1);
}

#[test]
fn a_certificate_must_be_for_signing_messages() {
    let Some(scene) = Scene::new("usage") else { return };
    let extensions = |usage: &str| format!("{}\n{usage}", user_extensions("alice").replace("digitalSignature,", ""));
    scene.assert_forged(&scene.signed_by("sha256", &extensions("")), Unverified::KeyUsage);
    let web = format!("{}\nextendedKeyUsage=serverAuth", user_extensions("alice"));
    scene.assert_forged(&scene.signed_by("sha256", &web), Unverified::KeyUsage);
    let mail = format!("{}\nextendedKeyUsage=clientAuth,emailProtection", user_extensions("alice"));
    assert_verified(&receive(&scene.smime, &scene.signed_by("sha256", &mail)));
}

#[test]
fn a_signature_brings_its_certificate_and_attributes() {
    let Some(scene) = Scene::new("parts") else { return };
    let without = |options| scene.openssl.sign(&scene.alice, &entity(), options);
    scene.assert_forged(&without("-nocerts"), Unverified::CertificateMissing);
    scene.assert_forged(&without("-noattr"), Unverified::Attributes);
    let short = scene.openssl.user("alice", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024", &scene.root);
    scene.assert_forged(&scene.openssl.sign(&short, &entity(), ""), Unverified::CertificateMissing);
}

#[test]
fn signed_for_another_purpose_is_not_signed() {
    let Some(scene) = Scene::new("purpose") else { return };
    // A time stamp, say, that Alice's key signed.
    let body = scene.openssl.sign(&scene.alice, &entity(), "-nodetach -econtent_type 1.2.840.113549.1.9.16.1.4");
    scene.assert_forged(&body, Unverified::Attributes);
}

#[test]
fn truncated_and_lying_messages_are_malformed() {
    let Some(scene) = Scene::new("truncated") else { return };
    let refused = |bytes: &[u8]| {
        let body = Body { bytes: bytes.to_vec(), ..scene.opaque.clone() };
        scene.smime.receive(now(), &body, Handling::Required, &alice())
    };
    for end in 0..scene.opaque.bytes.len() {
        assert!(matches!(refused(&scene.opaque.bytes[..end]), SmimeOutcome::Refused(_)), "cut at {end}");
    }
    // Every length in the first hundred bytes and some that are none, as four bytes of length that promise four gigabytes.
    for at in 1..100 {
        let mut bytes = scene.opaque.bytes.clone();
        bytes.splice(at..=at, [0x84, 0xFF, 0xFF, 0xFF, 0xFF]);
        match refused(&bytes) {
            SmimeOutcome::Refused(_) => {}
            SmimeOutcome::Received(received) => {
                assert!(matches!(received.facts.signature, Signature::Unverified(_)), "{at}")
            }
            SmimeOutcome::Ignored(_) => panic!("it was required"),
        }
    }
    // In a detached signature it is a fact, and the content is there.
    let at = scene
        .detached
        .bytes
        .windows(4)
        .position(|window| window == b"MIIG" || window == b"MIIH")
        .unwrap_or_else(|| scene.detached.bytes.windows(3).position(|window| window == b"MII").unwrap());
    let mut body = scene.detached.clone();
    body.bytes[at..at + 4].copy_from_slice(b"MITw");
    scene.assert_forged(&body, Unverified::Malformed);
}
