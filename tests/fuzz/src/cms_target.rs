//! S/MIME bodies, read by somebody who has keys that they may be encrypted to.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use sip::{Body, Uri};
use smime::{Certificate, Handling, OwnIdentity, Signature, Smime, SmimeConfig, SmimeOutcome};

/// The one body that Alice's key ever signed. All certificates and messages are openssl's; her key and the root's are gone.
const SIGNED: &[u8] = b"v=0\r\ns=genuine\r\n";

/// When the corpus was made. The certificates are valid for a hundred years.
const SINCE_1970: Duration = Duration::from_secs(1795684465);

/// The first byte is the kind of body, the rest its bytes. What is verified is what was signed, and whom we would encrypt to
/// is who was certified, whatever comes in.
pub(crate) fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    let (smime, alice) = smime();
    let body = |content_type: &str| Body { content_type: content_type.to_owned(), bytes: bytes.to_vec() };
    let now = SystemTime::UNIX_EPOCH + SINCE_1970;
    let body = match kind {
        0 => body("multipart/signed;protocol=\"application/pkcs7-signature\";boundary=x"),
        1 => body("application/pkcs7-mime"),
        _ => {
            if let Ok(peer) = smime.peer_certificate(now, &body("application/pkcs7-mime"), alice) {
                assert!(peer.certificate().is_for(alice) && *peer.certificate() == certificates(ALICE)[0]);
            }
            return;
        }
    };
    if let SmimeOutcome::Received(received) = smime.receive(now, &body, Handling::Required, alice)
        && let Signature::Verified { .. } = received.facts.signature
    {
        assert_eq!(received.body.bytes, SIGNED, "what was signed is something else");
    }
}

const ALICE: &[u8] = include_bytes!("../keys/alice.pem");

fn smime() -> &'static (Smime, Uri) {
    static SMIME: OnceLock<(Smime, Uri)> = OnceLock::new();
    SMIME.get_or_init(|| {
        let identity = |chain, key| OwnIdentity::from_pem(chain, key).expect("a test key");
        let identities = vec![
            identity(include_bytes!("../keys/bob-ec.pem"), include_bytes!("../keys/bob-ec.key")),
            identity(include_bytes!("../keys/bob-rsa.pem"), include_bytes!("../keys/bob-rsa.key")),
        ];
        let anchors = certificates(include_bytes!("../keys/root.pem"));
        let config = SmimeConfig { identities, anchors, ..SmimeConfig::default() };
        let alice = Uri::parse("sip:alice@example.com");
        (Smime::new(config, [1; 32]).expect("a configuration"), alice.expect("a URI"))
    })
}

fn certificates(pem: &[u8]) -> Vec<Certificate> {
    Certificate::from_pem(pem).expect("a test certificate")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise the target would try nothing but refusals.
    #[test]
    fn the_corpus_is_verified_and_opened() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/cms");
        let (smime, alice) = smime();
        let now = SystemTime::UNIX_EPOCH + SINCE_1970;
        for (name, kind, is_signed) in [
            ("detached", "multipart/signed;protocol=\"application/pkcs7-signature\";boundary=x", true),
            ("opaque", "application/pkcs7-mime", true),
            ("opaque-ber", "application/pkcs7-mime", true),
            ("signed-in-envelope", "application/pkcs7-mime", true),
            ("ecdh-cbc", "application/pkcs7-mime", false),
            ("ecdh-gcm-ber", "application/pkcs7-mime", false),
            ("oaep-gcm", "application/pkcs7-mime", false),
            ("pkcs1-cbc", "application/pkcs7-mime", false),
        ] {
            let bytes = std::fs::read(folder.join(name)).expect("a file")[1..].to_vec();
            let body = Body { content_type: kind.to_owned(), bytes };
            match smime.receive(now, &body, Handling::Required, alice) {
                SmimeOutcome::Received(received) => {
                    assert_eq!(received.body.bytes, SIGNED, "{name}");
                    let label = received.facts.signature.label();
                    assert_eq!(label, if is_signed { "verified" } else { "none" }, "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
