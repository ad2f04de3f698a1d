//! S/MIME at the edge of a call: what comes in is opened and judged, what goes out is signed and sealed.

use std::time::{Duration, SystemTime};

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use sip::{Body, MediaType, Uri};
use zeroize::Zeroizing;

use crate::asn1::{Element, Malformed, OID, SEQUENCE, constructed};
use crate::certificate::{Certificate, KeyKind, Usage};
use crate::enveloped::{Envelope, seal};
use crate::facts::{ContentCipher, Facts, Signature, Undecipherable, Unverified};
use crate::identity::{Misconfigured, OwnIdentity};
use crate::limits::{MAX_BODY_BYTES, MAX_LAYERS};
use crate::mime::{EntityFault, Kind, read_cms, read_entity, split_signed, write_cms, write_entity, write_signed};
use crate::oid;
use crate::outcome::{ACCEPT, Handling, Received, Refusal, Reply, SmimeOutcome};
use crate::recipient::{OwnKeys, RsaKeyTransport};
use crate::signature::Scheme;
use crate::signed::{Judge, SignedData, certificates_only, sign_detached};
use crate::trust::{PeerCertificate, Trust};

/// Content-Disposition of a message whose body [`Smime::send`] secured (RFC 3261 §23.3).
pub const CONTENT_DISPOSITION: &str = "attachment;handling=required";

const NOT_OPENED: Refusal = Refusal::Undecipherable(Undecipherable::NotOpened);

/// Whom we speak for and whom we believe.
pub struct SmimeConfig {
    /// Our certificates and keys. Bodies may be encrypted to any; one signs what comes from its address.
    pub identities: Vec<OwnIdentity>,
    /// Where chains of certificates may end.
    pub anchors: Vec<Certificate>,
    /// Certificates that are trusted as they are, self-signed ones among them (RFC 3261 §23.2).
    pub pinned: Vec<Certificate>,
    /// How old a signature may be by its signing time, if it has one.
    pub max_age: Duration,
    /// How far in the future a signing time may lie.
    pub max_skew: Duration,
    /// Sign with RSASSA-PSS instead of PKCS #1 v1.5 where the key is RSA.
    pub pss: bool,
    /// Open what is encrypted in AES-CBC, which notices no changes. An answer other than 493 then tells a man in the middle
    /// that a padding was right, and with some thousands of requests what a body says; without it only peers of S/MIME 4.0
    /// can encrypt to us.
    pub cbc: bool,
}

/// Nobody to speak for and nobody to believe; an hour of age, five minutes of skew; CBC is opened.
impl Default for SmimeConfig {
    fn default() -> Self {
        Self {
            identities: Vec::new(),
            anchors: Vec::new(),
            pinned: Vec::new(),
            max_age: Duration::from_secs(3600),
            max_skew: Duration::from_secs(300),
            pss: false,
            cbc: true,
        }
    }
}

/// How a body goes out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SendPolicy {
    /// Sign it with the certificate of the sender's address.
    pub sign: bool,
    /// Encrypt it to the peer's certificate.
    pub encrypt: Option<ContentCipher>,
    /// Which of both is inside.
    pub layering: Layering,
    /// How its key goes to an RSA certificate.
    pub rsa_key_transport: RsaKeyTransport,
}

/// What is inside of what, if a body is signed and encrypted. RFC 8551 §3.7 leaves the choice to the sender.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Layering {
    /// The signature is inside: it is on the body itself, and strangers do not see whose it is.
    #[default]
    SignatureInside,
    /// The envelope is inside, as RFC 3261 §23.2 has it: the signature shows who sends, before anything is decrypted.
    EnvelopeInside,
}

/// Why a body cannot go out as asked. Nothing goes out instead: the caller decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// None of our certificates is the sender's.
    NoIdentity,
    /// There is no certificate to encrypt to.
    NoPeerCertificate,
    /// The peer's certificate is not for encrypting to (keyUsage, extended key usage).
    PeerKeyUsage,
    /// Signed and encrypted it would be larger than [`MAX_BODY_BYTES`].
    TooLarge,
    /// BoringSSL failed.
    Engine,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoIdentity => "no certificate of ours is the sender's",
            Self::NoPeerCertificate => "no certificate of the peer is known",
            Self::PeerKeyUsage => "the peer's certificate is not for encrypting to",
            Self::TooLarge => "the secured body is too large",
            Self::Engine => "the crypto engine failed",
        })
    }
}

impl std::error::Error for SendError {}

/// S/MIME for all calls of one process.
pub struct Smime {
    identities: Vec<OwnIdentity>,
    trust: Trust,
    max_age: Duration,
    max_skew: Duration,
    pss: bool,
    cbc: bool,
    secret: Zeroizing<[u8; 32]>,
    rng: ChaCha20Rng,
}

impl Smime {
    /// From a seed of the operating system's randomness. Keys of contents, their nonces and boundaries are drawn from it;
    /// what belongs to the inside of a signature or a key agreement (nonces, salts, ephemeral keys) BoringSSL draws itself.
    pub fn new(config: SmimeConfig, seed: [u8; 32]) -> Result<Self, Misconfigured> {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        let SmimeConfig { identities, anchors, pinned, max_age, max_skew, pss, cbc } = config;
        let trust = Trust::new(&anchors, pinned).map_err(|_| Misconfigured::Anchors)?;
        Ok(Self { identities, trust, max_age, max_skew, pss, cbc, secret, rng })
    }

    /// Takes the layers of S/MIME off a body and says what they were. `sender` is the URI of From in a request, that of To in
    /// a response. A body without layers passes as it is. Costs at most one operation with a private key for each layer.
    pub fn receive(&self, now: SystemTime, body: &Body, handling: Handling, sender: &Uri) -> SmimeOutcome {
        match self.open(now, body, sender) {
            Ok(received) => SmimeOutcome::Received(received),
            Err(refusal) if handling == Handling::Optional => SmimeOutcome::Ignored(refusal),
            Err(refusal) => SmimeOutcome::Refused(refusal),
        }
    }

    fn open(&self, now: SystemTime, body: &Body, sender: &Uri) -> Result<Received, Refusal> {
        let judge = Judge { trust: &self.trust, now, sender, max_age: self.max_age, max_skew: self.max_skew };
        let mut received = Received { body: body.clone(), facts: Facts::default() };
        let opened = self.open_layers(&judge, &mut received);
        opened.map_err(|refusal| match received.facts.encryption {
            // Whatever is wrong inside of CBC may be a padding that happens to be right.
            Some(encryption) if !encryption.cipher.is_authenticated() => NOT_OPENED,
            _ => refusal,
        })?;
        Ok(received)
    }

    fn open_layers(&self, judge: &Judge<'_>, received: &mut Received) -> Result<(), Refusal> {
        for _ in 0..MAX_LAYERS {
            let Some((kind, media)) = layer(&received.body) else { return Ok(()) };
            if received.body.bytes.len() > MAX_BODY_BYTES {
                return Err(Refusal::TooLarge);
            }
            received.body = match kind {
                Kind::Foreign => return Err(Refusal::Unsupported),
                Kind::Detached => open_detached(&received.body, &media, judge, &mut received.facts)?,
                Kind::Cms => self.open_cms(&received.body, judge, &mut received.facts)?,
            };
        }
        if layer(&received.body).is_some() { Err(Refusal::TooLarge) } else { Ok(()) }
    }

    fn open_cms(&self, body: &Body, judge: &Judge<'_>, facts: &mut Facts) -> Result<Body, Refusal> {
        let cms = read_cms(&body.bytes)?;
        let (content_type, content) = read_content_info(&cms)?;
        match content_type {
            oid::SIGNED_DATA => {
                let signed = SignedData::read(content)?;
                if signed.is_certificates_only() {
                    return Err(Refusal::Unsupported);
                }
                let entity = signed.content.ok_or(Refusal::Malformed)?;
                facts.add_signature(signed.verify(entity, judge));
                signed_entity(entity)
            }
            oid::ENVELOPED_DATA => self.open_envelope(content, false, facts),
            oid::AUTH_ENVELOPED_DATA => self.open_envelope(content, true, facts),
            _ => Err(Refusal::Unsupported),
        }
    }

    /// Opens an envelope. What was decrypted and cannot be read is the same error as what cannot be decrypted: the difference
    /// would let strangers try paddings of a content that they did not write.
    fn open_envelope(&self, content: Element<'_>, is_authenticated: bool, facts: &mut Facts) -> Result<Body, Refusal> {
        let undecipherable = Refusal::Undecipherable;
        if !is_authenticated && !self.cbc {
            return Err(undecipherable(Undecipherable::UnsupportedAlgorithm));
        }
        let envelope =
            Envelope::read(content, is_authenticated).map_err(|Malformed| undecipherable(Undecipherable::Malformed))?;
        let keys = OwnKeys { identities: &self.identities, secret: &*self.secret };
        let (entity, encryption) = envelope.open(keys).map_err(undecipherable)?;
        facts.add_encryption(encryption);
        let body = read_entity(&entity).map_err(|_| NOT_OPENED)?;
        if MediaType::parse(&body.content_type).is_some() { Ok(body) } else { Err(NOT_OPENED) }
    }

    /// Whether one of our certificates is that of this address: whether [`Smime::send`] could sign for it.
    pub fn speaks_for(&self, address: &Uri) -> bool {
        self.identities.iter().any(|identity| identity.certificate().is_for(address))
    }

    /// Puts layers around a body: the certificate of `from` signs it, and it is encrypted to the peer's. A body whose
    /// signature [`Smime::receive`] took off gets a new one here. What comes out is longer than 1300 bytes as a rule, and
    /// then wants TCP or TLS (RFC 3261 §18.1.1).
    pub fn send(
        &mut self,
        now: SystemTime,
        body: &Body,
        from: &Uri,
        policy: &SendPolicy,
        peer: Option<&PeerCertificate>,
    ) -> Result<Body, SendError> {
        let secured = match policy.layering {
            Layering::SignatureInside => {
                let signed = self.sign(now, body, from, policy)?;
                self.encrypt(&signed, policy, peer)?
            }
            Layering::EnvelopeInside => {
                let encrypted = self.encrypt(body, policy, peer)?;
                self.sign(now, &encrypted, from, policy)?
            }
        };
        if secured.bytes.len() > MAX_BODY_BYTES && (policy.sign || policy.encrypt.is_some()) {
            return Err(SendError::TooLarge);
        }
        Ok(secured)
    }

    fn sign(&mut self, now: SystemTime, body: &Body, from: &Uri, policy: &SendPolicy) -> Result<Body, SendError> {
        if !policy.sign {
            return Ok(body.clone());
        }
        let identity = self.identities.iter().find(|identity| identity.certificate().is_for(from));
        let identity = identity.ok_or(SendError::NoIdentity)?;
        let scheme = Scheme::own(identity.certificate().key_kind(), self.pss);
        let entity = write_entity(body);
        let signature = sign_detached(now, &entity, identity, scheme).map_err(|_| SendError::Engine)?;
        // 128 bits: nobody who writes a body can have its boundary in it.
        let boundary = format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        Ok(write_signed(&entity, &signature, scheme.hash.micalg(), &boundary))
    }

    fn encrypt(&mut self, body: &Body, policy: &SendPolicy, peer: Option<&PeerCertificate>) -> Result<Body, SendError> {
        let Some(cipher) = policy.encrypt else { return Ok(body.clone()) };
        let peer = peer.ok_or(SendError::NoPeerCertificate)?.certificate();
        let usage = match peer.key_kind() {
            KeyKind::Rsa => Usage::KeyTransport,
            KeyKind::P256 | KeyKind::P384 => Usage::KeyAgreement,
        };
        if !peer.allows(usage) {
            return Err(SendError::PeerKeyUsage);
        }
        let entity = Zeroizing::new(write_entity(body));
        let sealed = seal(&entity, peer, cipher, policy.rsa_key_transport, &mut self.rng).ok_or(SendError::Engine)?;
        let smime_type = if cipher.is_authenticated() { "authEnveloped-data" } else { "enveloped-data" };
        Ok(write_cms(sealed, smime_type, "smime.p7m"))
    }

    /// The answer to a request whose body was refused. `to` is whom the request was for: with 493 goes the certificate of
    /// that address, or our first one.
    pub fn reply(&self, refusal: Refusal, to: &Uri) -> Reply {
        let accept = (refusal == Refusal::Unsupported).then_some(ACCEPT);
        let is_undecipherable = matches!(refusal, Refusal::Undecipherable(_));
        let identity = self.identities.iter().find(|identity| identity.certificate().is_for(to));
        let identity = identity.or(self.identities.first()).filter(|_| is_undecipherable);
        let body = identity.map(|identity| write_cms(certificates_only(identity.chain()), "certs-only", "smime.p7c"));
        Reply { status: refusal.status(), accept, body }
    }

    /// The certificate to encrypt to in a body that carries certificates, such as that of a 493: the first one that is
    /// trusted and the peer's. Chains may use the others.
    pub fn peer_certificate(&self, now: SystemTime, body: &Body, peer: &Uri) -> Result<PeerCertificate, Unverified> {
        if body.bytes.len() > MAX_BODY_BYTES {
            return Err(Unverified::Malformed);
        }
        let cms = read_cms(&body.bytes)?;
        let (content_type, content) = read_content_info(&cms)?;
        if content_type != oid::SIGNED_DATA {
            return Err(Unverified::Malformed);
        }
        let certificates = SignedData::read(content)?.certificates;
        let mut fault =
            if certificates.is_empty() { Unverified::CertificateMissing } else { Unverified::WrongIdentity };
        for certificate in certificates.iter().filter(|certificate| certificate.is_for(peer)) {
            match self.trust.check(now, certificate, &certificates, peer) {
                Ok(trusted) => return Ok(trusted),
                Err(reason) => fault = reason,
            }
        }
        Err(fault)
    }

    /// Trusts a certificate that came in another way, such as a configuration file.
    pub fn trust(&self, now: SystemTime, certificate: &Certificate, peer: &Uri) -> Result<PeerCertificate, Unverified> {
        self.trust.check(now, certificate, &[], peer)
    }
}

/// The outermost layer of a body, if it has one.
fn layer(body: &Body) -> Option<(Kind, MediaType)> {
    let media = MediaType::parse(&body.content_type)?;
    Some((Kind::of(&media)?, media))
}

fn open_detached(body: &Body, media: &MediaType, judge: &Judge<'_>, facts: &mut Facts) -> Result<Body, Refusal> {
    let (entity, signature) = split_signed(body, media)?;
    facts.add_signature(verify_detached(signature, entity, judge));
    signed_entity(entity)
}

/// What is signed can be read without the signature, so that one that is malformed is only a fact.
fn verify_detached(signature: &[u8], entity: &[u8], judge: &Judge<'_>) -> Signature {
    let Ok(cms) = read_cms(signature) else { return Signature::Unverified(Unverified::Malformed) };
    let signed = read_content_info(&cms).and_then(|(content_type, content)| {
        if content_type == oid::SIGNED_DATA { SignedData::read(content) } else { Err(Malformed) }
    });
    match signed {
        Ok(signed) if signed.content.is_none() => signed.verify(entity, judge),
        _ => Signature::Unverified(Unverified::Malformed),
    }
}

fn signed_entity(entity: &[u8]) -> Result<Body, Refusal> {
    read_entity(entity).map_err(|fault| match fault {
        EntityFault::Malformed => Refusal::Malformed,
        EntityFault::Encoding => Refusal::Unsupported,
    })
}

/// ContentInfo (RFC 5652 §3): the content's type and the content.
fn read_content_info(cms: &[u8]) -> Result<(der::asn1::ObjectIdentifier, Element<'_>), Malformed> {
    let info = Element::read(cms)?;
    let mut fields = if info.tag == SEQUENCE { info.fields()? } else { return Err(Malformed) };
    let content_type = fields.expect(OID)?.oid()?;
    let content = Element::read(fields.expect(constructed(0))?.content)?;
    fields.end()?;
    if content.tag == SEQUENCE { Ok((content_type, content)) } else { Err(Malformed) }
}
