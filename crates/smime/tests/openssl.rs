//! Against `openssl cms`, in both directions, each pair of algorithms.
#![allow(clippy::unwrap_used)]

mod authority;

use authority::{
    EC, Openssl, P384, Party, RSA, SDP, alice, assert_verified, bob, body_of_mail, entity, mail, now, receive, smime,
    smime_with,
};
use sallyport_smime::{
    ContentCipher, Encryption, KeyManagement, RsaKeyTransport, SendPolicy, Signature, SignatureAlgorithm, SmimeConfig,
};
use sip::Body;

const CIPHERS: [(&str, ContentCipher); 4] = [
    ("aes-128-cbc", ContentCipher::Aes128Cbc),
    ("aes-256-cbc", ContentCipher::Aes256Cbc),
    ("aes-128-gcm", ContentCipher::Aes128Gcm),
    ("aes-256-gcm", ContentCipher::Aes256Gcm),
];

#[test]
fn signatures_of_openssl_are_verified() {
    let Some(openssl) = Openssl::new("verify") else { return };
    let root = openssl.root("root");
    let (rsa, ec) = (openssl.user("alice", RSA, &root), openssl.user("alice", EC, &root));
    let smime = smime(Vec::new(), openssl.certificates(&root));
    let pss = "-keyopt rsa_padding_mode:pss";
    use SignatureAlgorithm::*;
    let p384 = openssl.user("alice", P384, &root);
    let signatures: [(&Party, &str, &str, SignatureAlgorithm); 10] = [
        (&p384, "", "sha384", EcdsaSha384),
        (&rsa, "", "sha256", RsaSha256),
        (&rsa, "", "sha384", RsaSha384),
        (&rsa, "", "sha512", RsaSha512),
        (&rsa, pss, "sha256", PssSha256),
        (&rsa, pss, "sha384", PssSha384),
        (&rsa, pss, "sha512", PssSha512),
        (&ec, "", "sha256", EcdsaSha256),
        (&ec, "", "sha384", EcdsaSha384),
        (&ec, "", "sha512", EcdsaSha512),
    ];
    for (party, padding, digest, expected) in signatures {
        // Detached; opaque; opaque in BER, as a stream is; named by the key identifier.
        for form in ["", "-nodetach", "-nodetach -stream", "-keyid"] {
            if form.contains("stream") && padding == pss {
                // OpenSSL 3.0 writes PSS parameters before it has them, and fails.
                continue;
            }
            let body = openssl.sign(party, &entity(), &format!("-md {digest} {padding} {form}"));
            assert_eq!(body.content_type.starts_with("multipart/signed"), !form.contains("nodetach"));
            let received = receive(&smime, &body);
            assert_verified(&received);
            let Signature::Verified { identity, algorithm, certificate } = received.facts.signature else {
                unreachable!()
            };
            assert_eq!((identity.as_str(), algorithm), ("sip:alice@example.com", expected), "{form}");
            assert_eq!(certificate.certificate(), &openssl.certificates(party)[0]);
        }
    }
}

#[test]
fn openssl_verifies_our_signatures() {
    let Some(openssl) = Openssl::new("sign") else { return };
    let root = openssl.root("root");
    let (rsa, ec) = (openssl.user("alice", RSA, &root), openssl.user("alice", EC, &root));
    let signatures = [
        (&rsa, false, SignatureAlgorithm::RsaSha256),
        (&rsa, true, SignatureAlgorithm::PssSha256),
        (&ec, false, SignatureAlgorithm::EcdsaSha256),
    ];
    for (party, pss, expected) in signatures {
        let anchors = openssl.certificates(&root);
        let mut smime =
            smime_with(SmimeConfig { identities: vec![openssl.own(party)], anchors, pss, ..SmimeConfig::default() });
        let policy = SendPolicy { sign: true, ..SendPolicy::default() };
        let body = smime.send(now(), &Body::sdp(SDP), &alice(), &policy, None).unwrap();
        assert!(
            body.content_type.starts_with("multipart/signed;protocol=\"application/pkcs7-signature\";micalg=sha-256")
        );
        assert_eq!(openssl.verify(&body, &root).unwrap(), entity().as_bytes());

        let said = openssl.print(&body);
        assert!(said.contains("S/MIME Capabilities") && said.contains("aes-128-gcm"), "{said}");

        let mut altered = body.clone();
        let at = altered.bytes.windows(5).position(|word| word == b"49170").unwrap();
        altered.bytes[at] = b'5';
        assert!(openssl.verify(&altered, &root).is_err(), "{expected}");

        let received = receive(&smime, &body);
        assert_verified(&received);
        assert!(matches!(received.facts.signature, Signature::Verified { algorithm, .. } if algorithm == expected));
    }
}

#[test]
fn envelopes_of_openssl_are_opened() {
    let Some(openssl) = Openssl::new("decrypt") else { return };
    let root = openssl.root("root");
    let (rsa, ec) = (openssl.user("bob", RSA, &root), openssl.user("bob", EC, &root));
    let p384 = openssl.user("bob", P384, &root);
    let identities = [&rsa, &ec, &p384].map(|party| openssl.own(party));
    let smime = smime(identities.into(), openssl.certificates(&root));
    let keys: [(&Party, &str, KeyManagement); 9] = [
        (&p384, "-keyopt ecdh_kdf_md:sha384", KeyManagement::Ecdh),
        (&rsa, "-keyopt rsa_padding_mode:pkcs1", KeyManagement::RsaPkcs1),
        (&rsa, "-keyopt rsa_padding_mode:oaep", KeyManagement::RsaOaep),
        (&rsa, "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256", KeyManagement::RsaOaep),
        (
            &rsa,
            "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha512 -keyopt rsa_mgf1_md:sha384",
            KeyManagement::RsaOaep,
        ),
        (&rsa, "-keyopt rsa_padding_mode:pkcs1 -keyid", KeyManagement::RsaPkcs1),
        (&ec, "-keyopt ecdh_kdf_md:sha256", KeyManagement::Ecdh),
        (&ec, "-keyopt ecdh_kdf_md:sha512", KeyManagement::Ecdh),
        (&ec, "-keyopt ecdh_kdf_md:sha256 -keyid", KeyManagement::Ecdh),
    ];
    for (party, options, key_management) in keys {
        for (name, cipher) in CIPHERS {
            for form in ["", "-stream"] {
                let body = openssl.encrypt(party, entity(), name, &format!("{form} {options}"));
                let received = receive(&smime, &body);
                assert_eq!(received.facts.encryption, Some(Encryption { cipher, key_management }), "{options}");
                assert_eq!(received.facts.signature, Signature::None);
                assert_eq!(received.body, Body::sdp(SDP));
            }
        }
    }
}

#[test]
fn openssl_opens_our_envelopes() {
    let Some(openssl) = Openssl::new("encrypt") else { return };
    let root = openssl.root("root");
    let (rsa, ec) = (openssl.user("bob", RSA, &root), openssl.user("bob", EC, &root));
    let (p384, stranger) = (openssl.user("bob", P384, &root), openssl.user("bob", RSA, &root));
    let mut smime = smime(Vec::new(), openssl.certificates(&root));
    let (oaep, pkcs1) = (RsaKeyTransport::Oaep, RsaKeyTransport::Pkcs1);
    for (party, rsa_key_transport) in [(&rsa, oaep), (&rsa, pkcs1), (&ec, oaep), (&p384, oaep)] {
        let peer = smime.trust(now(), &openssl.certificates(party)[0], &bob()).unwrap();
        for (_, cipher) in CIPHERS {
            let policy = SendPolicy { encrypt: Some(cipher), rsa_key_transport, ..SendPolicy::default() };
            let body = smime.send(now(), &Body::sdp(SDP), &alice(), &policy, Some(&peer)).unwrap();
            assert_eq!(openssl.decrypt(&body, party).unwrap(), entity().as_bytes(), "{cipher}");
            assert_ne!(openssl.decrypt(&body, &stranger), Ok(entity().into_bytes()));
            assert!(!body.bytes.windows(5).any(|word| word == b"49170"));
        }
    }
}

/// RFC 8591 signs and then encrypts; RFC 3261 §23.2 puts the envelope into a signature.
#[test]
fn layers_come_off_in_either_order() {
    let Some(openssl) = Openssl::new("layers") else { return };
    let root = openssl.root("root");
    let (alice_rsa, bob_ec) = (openssl.user("alice", RSA, &root), openssl.user("bob", EC, &root));
    let mut smime = smime(vec![openssl.own(&alice_rsa), openssl.own(&bob_ec)], openssl.certificates(&root));

    let signed = openssl.sign(&alice_rsa, &entity(), "");
    let enveloped = openssl.encrypt(&bob_ec, mail(&signed), "aes-128-gcm", "-keyopt ecdh_kdf_md:sha256");
    assert_verified(&receive(&smime, &enveloped));

    let enveloped = openssl.encrypt(&bob_ec, entity(), "aes-256-cbc", "-keyopt ecdh_kdf_md:sha256");
    let text = format!(
        "Content-Type: {}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        enveloped.content_type,
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &enveloped.bytes)
    );
    let received = receive(&smime, &openssl.sign(&alice_rsa, &text, ""));
    assert_verified(&received);
    assert_eq!(received.facts.encryption.unwrap().cipher, ContentCipher::Aes256Cbc);

    let peer = smime.trust(now(), &openssl.certificates(&bob_ec)[0], &bob()).unwrap();
    let policy = SendPolicy { sign: true, encrypt: Some(ContentCipher::Aes128Gcm), ..SendPolicy::default() };
    let sent = smime.send(now(), &Body::sdp(SDP), &alice(), &policy, Some(&peer)).unwrap();
    assert_verified(&receive(&smime, &sent));
    let opened = openssl.decrypt(&sent, &bob_ec).unwrap();
    assert_eq!(openssl.verify(&body_of_mail(&opened), &root).unwrap(), entity().as_bytes());
}
