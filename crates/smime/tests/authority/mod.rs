//! Certificates made by `openssl`, and messages signed, verified, encrypted and decrypted by it.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use sallyport_smime::{
    Certificate, Handling, OwnIdentity, Received, Signature, Smime, SmimeConfig, SmimeOutcome, Unverified,
};
use sip::{Body, Uri};

pub(crate) const SDP: &str = "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 49170 RTP/SAVP 0\r\n";

/// What openssl signs and encrypts.
pub(crate) fn entity() -> String {
    format!("Content-Type: application/sdp\r\n\r\n{SDP}")
}

pub(crate) fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

pub(crate) fn alice() -> Uri {
    uri("sip:alice@example.com")
}

pub(crate) fn bob() -> Uri {
    uri("sip:bob@example.com")
}

/// openssl signs with the machine's time, and its certificates begin with it.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now() + Duration::from_secs(1)
}

pub(crate) const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A folder of its own, and openssl in it. `None` where openssl is missing and that is allowed.
pub(crate) struct Openssl {
    folder: PathBuf,
    serial: AtomicU32,
}

impl Openssl {
    pub(crate) fn new(name: &str) -> Option<Self> {
        let found = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
        assert!(
            found || std::env::var_os("CI").is_none(),
            "openssl is missing, and this test must not be left out here"
        );
        if !found {
            eprintln!("left out: openssl is missing");
            return None;
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Some(Self { folder, serial: AtomicU32::new(0) })
    }

    /// A name for a file that nobody else has.
    pub(crate) fn fresh(&self, end: &str) -> String {
        format!("{}.{end}", self.serial.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.folder.join(name), bytes).unwrap();
        name.to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).unwrap()
    }

    /// Runs openssl with words that blanks separate.
    pub(crate) fn run(&self, words: &str) {
        self.try_run(words).unwrap_or_else(|said| panic!("openssl {words}: {said}"));
    }

    pub(crate) fn try_run(&self, words: &str) -> Result<(), String> {
        let output = Command::new("openssl").current_dir(&self.folder).args(words.split_whitespace()).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// A certificate of this key algorithm, with these lines of extensions, by this issuer (or itself).
    pub(crate) fn certify(
        &self,
        name: &str,
        key: &str,
        digest: &str,
        issuer: Option<&Party>,
        extensions: &str,
    ) -> Party {
        let config = format!(
            "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN={name}\n[ext]\n\
             subjectKeyIdentifier=hash\n{extensions}\n"
        );
        let stem = self.fresh("party");
        let (config, certificate, key_file) =
            (self.write(&format!("{stem}.cnf"), config), format!("{stem}.pem"), format!("{stem}.key"));
        let issued =
            issuer.map_or_else(String::new, |issuer| format!("-CA {} -CAkey {}", issuer.certificate, issuer.key));
        self.run(&format!("genpkey {key} -out {key_file}"));
        self.run(&format!(
            "req -x509 -new -key {key_file} -config {config} -out {certificate} -days 365 -{digest} {issued}"
        ));
        Party { certificate, key: key_file }
    }

    pub(crate) fn root(&self, name: &str) -> Party {
        let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign";
        self.certify(name, EC, "sha256", None, extensions)
    }

    /// A certificate for a user, of our root.
    pub(crate) fn user(&self, user: &str, key: &str, issuer: &Party) -> Party {
        self.certify(user, key, "sha256", Some(issuer), &user_extensions(user))
    }

    pub(crate) fn certificates(&self, party: &Party) -> Vec<Certificate> {
        Certificate::from_pem(&self.read(&party.certificate)).unwrap()
    }

    pub(crate) fn own(&self, party: &Party) -> OwnIdentity {
        OwnIdentity::from_pem(&self.read(&party.certificate), &self.read(&party.key)).unwrap()
    }

    /// `openssl cms -sign`, with its answer as a SIP body.
    pub(crate) fn sign(&self, party: &Party, content: &str, options: &str) -> Body {
        let (input, output) = (self.write(&self.fresh("txt"), content), self.fresh("eml"));
        self.run(&format!(
            "cms -sign -binary -crlfeol -in {input} -out {output} -signer {} -inkey {} {options}",
            party.certificate, party.key
        ));
        body_of_mail(&self.read(&output))
    }

    /// `openssl cms -encrypt`, in DER or BER.
    pub(crate) fn encrypt(&self, party: &Party, content: impl AsRef<[u8]>, cipher: &str, options: &str) -> Body {
        let (input, output) = (self.write(&self.fresh("txt"), content), self.fresh("der"));
        self.run(&format!(
            "cms -encrypt -binary -{cipher} -in {input} -outform DER -out {output} -recip {} {options}",
            party.certificate
        ));
        enveloped(self.read(&output))
    }

    /// `openssl cms -verify` of a body, which gives its content.
    pub(crate) fn verify(&self, body: &Body, root: &Party) -> Result<Vec<u8>, String> {
        let mail = [b"MIME-Version: 1.0\r\n", &mail(body)[..]].concat();
        let (input, output) = (self.write(&self.fresh("eml"), mail), self.fresh("out"));
        self.try_run(&format!("cms -verify -in {input} -out {output} -crlfeol -CAfile {}", root.certificate))?;
        Ok(self.read(&output))
    }

    /// What openssl reads in a signed body, in words.
    pub(crate) fn print(&self, body: &Body) -> String {
        let (input, output) = (self.write(&self.fresh("eml"), mail(body)), self.fresh("txt"));
        self.run(&format!("cms -cmsout -print -noout -in {input} -out {output}"));
        String::from_utf8_lossy(&self.read(&output)).into_owned()
    }

    /// `openssl cms -decrypt` of a body, which gives its content.
    pub(crate) fn decrypt(&self, body: &Body, party: &Party) -> Result<Vec<u8>, String> {
        let (input, output) = (self.write(&self.fresh("der"), &body.bytes), self.fresh("out"));
        self.try_run(&format!(
            "cms -decrypt -binary -inform DER -in {input} -out {output} -recip {} -inkey {}",
            party.certificate, party.key
        ))?;
        Ok(self.read(&output))
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        // What a failed test leaves behind is of use to whoever looks into it.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Files of a certificate and its key.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
pub(crate) const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";
pub(crate) const EC: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

pub(crate) fn user_extensions(user: &str) -> String {
    format!(
        "basicConstraints=critical,CA:FALSE\n\
         keyUsage=critical,digitalSignature,keyEncipherment,keyAgreement\n\
         subjectAltName=URI:sip:{user}@example.com,email:{user}@example.com"
    )
}

pub(crate) fn enveloped(bytes: Vec<u8>) -> Body {
    Body { content_type: "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m".into(), bytes }
}

/// A body with its Content-Type before it.
pub(crate) fn mail(body: &Body) -> Vec<u8> {
    [b"Content-Type: ", body.content_type.as_bytes(), b"\r\n\r\n", &body.bytes].concat()
}

/// Content-Type and body of a mail.
pub(crate) fn body_of_mail(mail: &[u8]) -> Body {
    let part = sip::Part::parse(mail, &sip::Limits::default()).unwrap();
    Body { content_type: part.headers.value("Content-Type").unwrap().into_owned(), bytes: part.body.to_vec() }
}

/// S/MIME with these identities, believing in these roots.
pub(crate) fn smime(identities: Vec<OwnIdentity>, anchors: Vec<Certificate>) -> Smime {
    smime_with(SmimeConfig { identities, anchors, ..SmimeConfig::default() })
}

pub(crate) fn smime_with(config: SmimeConfig) -> Smime {
    Smime::new(config, [7; 32]).unwrap()
}

/// What comes in from Alice.
pub(crate) fn receive(smime: &Smime, body: &Body) -> Received {
    match smime.receive(now(), body, Handling::Required, &alice()) {
        SmimeOutcome::Received(received) => received,
        other => panic!("{other:?}"),
    }
}

/// That the session description came out, verified.
pub(crate) fn assert_verified(received: &Received) {
    assert!(matches!(received.facts.signature, Signature::Verified { .. }), "{:?}", received.facts.signature);
    assert_eq!(received.body.content_type, "application/sdp");
    assert_eq!(received.body.bytes, SDP.as_bytes());
}

pub(crate) fn unverified(received: &Received) -> Unverified {
    match &received.facts.signature {
        Signature::Unverified(reason) => *reason,
        other => panic!("{other:?}"),
    }
}
