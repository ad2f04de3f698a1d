//! SignedData (RFC 5652 §5): who signed a content, and signing one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boring::error::ErrorStack;
use der::asn1::{GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{Decode, Encode};
use subtle::ConstantTimeEq;

use crate::asn1::{
    Algorithm, Element, INTEGER, Malformed, OCTET_STRING, OID, SEQUENCE, SET, constructed, primitive, write,
    write_algorithm, write_oid, write_set, write_small,
};
use crate::certificate::{Certificate, Usage};
use crate::facts::{Signature, Unverified};
use crate::identity::OwnIdentity;
use crate::limits::{MAX_ATTRIBUTES, MAX_CERTIFICATES, MAX_PASSED_OVER, MAX_SIGNERS};
use crate::oid;
use crate::signature::Scheme;
use crate::trust::Trust;

/// What we would rather have contents encrypted in, best first (RFC 8551 §2.5.2, RFC 3261 §23.3).
const CAPABILITIES: [ObjectIdentifier; 4] = [oid::AES128_GCM, oid::AES256_GCM, oid::AES128_CBC, oid::AES256_CBC];

/// A SignedData as it came.
pub(crate) struct SignedData<'a> {
    content_type: ObjectIdentifier,
    /// What is signed, unless the signature is detached.
    pub(crate) content: Option<&'a [u8]>,
    /// Those that can be read.
    pub(crate) certificates: Vec<Certificate>,
    signers: Vec<SignerInfo<'a>>,
}

struct SignerInfo<'a> {
    /// IssuerAndSerialNumber, or `[0]` with a subject key identifier.
    sid: Element<'a>,
    digest: Algorithm<'a>,
    attributes: Option<Element<'a>>,
    signature_algorithm: Algorithm<'a>,
    signature: &'a [u8],
}

/// What a signature is judged by.
pub(crate) struct Judge<'a> {
    pub(crate) trust: &'a Trust,
    pub(crate) now: SystemTime,
    /// Whose signature it should be.
    pub(crate) sender: &'a sip::Uri,
    pub(crate) max_age: Duration,
    pub(crate) max_skew: Duration,
}

impl<'a> SignedData<'a> {
    /// Reads the SEQUENCE.
    pub(crate) fn read(element: Element<'a>) -> Result<Self, Malformed> {
        let mut fields = element.fields()?;
        fields.expect(INTEGER)?;
        fields.enter(SET)?.rest(MAX_PASSED_OVER)?;
        let mut encapsulated = fields.enter(SEQUENCE)?;
        let content_type = encapsulated.expect(OID)?.oid()?;
        let content = match encapsulated.optional(constructed(0))? {
            Some(content) => {
                let content = Element::read(content.content)?;
                Some(if content.tag == OCTET_STRING { content.content } else { return Err(Malformed) })
            }
            None => None,
        };
        encapsulated.end()?;
        let certificates = match fields.optional(constructed(0))? {
            Some(set) => set.fields()?.rest(MAX_CERTIFICATES)?,
            None => Vec::new(),
        };
        let certificates =
            certificates.iter().filter_map(|certificate| Certificate::from_der(certificate.whole)).collect();
        if let Some(revocations) = fields.optional(constructed(1))? {
            revocations.fields()?.rest(MAX_PASSED_OVER)?;
        }
        let signers = fields.enter(SET)?.rest(MAX_SIGNERS)?;
        fields.end()?;
        let signers = signers.into_iter().map(SignerInfo::read).collect::<Result<_, _>>()?;
        Ok(Self { content_type, content, certificates, signers })
    }

    /// Whether nobody signed: a message that only carries certificates (RFC 8551 §3.8).
    pub(crate) fn is_certificates_only(&self) -> bool {
        self.signers.is_empty() && self.content.is_none()
    }

    /// Judges the signatures on this content. One that is good is enough; otherwise the first one's fault is told.
    pub(crate) fn verify(&self, content: &[u8], judge: &Judge<'_>) -> Signature {
        let mut fault = None;
        for signer in &self.signers {
            match self.verify_signer(signer, content, judge) {
                Ok(verified) => return verified,
                Err(reason) => fault = fault.or(Some(reason)),
            }
        }
        Signature::Unverified(fault.unwrap_or(Unverified::Malformed))
    }

    fn verify_signer(
        &self,
        signer: &SignerInfo<'a>,
        content: &[u8],
        judge: &Judge<'_>,
    ) -> Result<Signature, Unverified> {
        let scheme = Scheme::read(&signer.digest, &signer.signature_algorithm)?;
        let mut candidates = self.certificates.iter().chain(judge.trust.pinned());
        let certificate =
            candidates.find(|certificate| signer.is_by(certificate)).ok_or(Unverified::CertificateMissing)?;

        // A signature without attributes is refused: RFC 5652 makes it over the content itself, and so the attributes of
        // another message could be passed off as a content.
        let attributes = signer.attributes.ok_or(Unverified::Attributes)?;
        let attributes = Attributes::read(attributes)?;
        // RFC 8551 §2.4.1: a message is data. Something else that this key signed is no message, whatever its bytes say.
        if attributes.content_type != self.content_type || self.content_type != oid::DATA {
            return Err(Unverified::Attributes);
        }
        let digest = scheme.hash.digest(content);
        if !bool::from(attributes.message_digest.ct_eq(&digest)) {
            return Err(Unverified::DigestMismatch);
        }
        scheme.verify(certificate, &attributes.signed, signer.signature)?;

        let peer = judge.trust.check(judge.now, certificate, &self.certificates, judge.sender)?;
        if !certificate.allows(Usage::Signing) {
            return Err(Unverified::KeyUsage);
        }
        if attributes.signing_time.is_some_and(|time| !judge.is_timely(time)) {
            return Err(Unverified::SigningTime);
        }
        let identity = certificate.identity(judge.sender).ok_or(Unverified::WrongIdentity)?.to_string();
        Ok(Signature::Verified { identity, algorithm: scheme.algorithm(), certificate: peer })
    }
}

impl<'a> SignerInfo<'a> {
    fn read(element: Element<'a>) -> Result<Self, Malformed> {
        let mut fields = element.fields()?;
        fields.expect(INTEGER)?;
        let sid = fields.element()?;
        let digest = Algorithm::read(fields.element()?)?;
        let attributes = fields.optional(constructed(0))?;
        let signature_algorithm = Algorithm::read(fields.element()?)?;
        let signature = fields.expect(OCTET_STRING)?.content;
        fields.optional(constructed(1))?;
        fields.end()?;
        Ok(Self { sid, digest, attributes, signature_algorithm, signature })
    }

    fn is_by(&self, certificate: &Certificate) -> bool {
        if self.sid.tag == primitive(0) {
            certificate.subject_key_identifier() == Some(self.sid.content)
        } else {
            certificate.issuer_and_serial() == self.sid.whole
        }
    }
}

impl Judge<'_> {
    fn is_timely(&self, time: SystemTime) -> bool {
        match self.now.duration_since(time) {
            Ok(age) => age <= self.max_age,
            Err(ahead) => ahead.duration() <= self.max_skew,
        }
    }
}

/// The signed attributes that mean something here (RFC 5652 §11).
struct Attributes<'a> {
    content_type: ObjectIdentifier,
    message_digest: &'a [u8],
    signing_time: Option<SystemTime>,
    /// What is signed: all of them as a SET in DER's order, whatever order they came in (RFC 5652 §5.4).
    signed: Vec<u8>,
}

impl<'a> Attributes<'a> {
    fn read(set: Element<'a>) -> Result<Self, Unverified> {
        let attributes = set.fields().and_then(|fields| fields.rest(MAX_ATTRIBUTES))?;
        let (mut content_type, mut message_digest, mut signing_time) = (None, None, None);
        for attribute in &attributes {
            let (oid, values) = read_attribute(attribute)?;
            let place = match oid {
                oid::CONTENT_TYPE => &mut content_type,
                oid::MESSAGE_DIGEST => &mut message_digest,
                oid::SIGNING_TIME => &mut signing_time,
                _ => continue,
            };
            // Each once, with one value (RFC 5652 §11.1 to §11.3).
            if place.replace(Element::read(values).map_err(|_| Unverified::Attributes)?).is_some() {
                return Err(Unverified::Attributes);
            }
        }
        let content_type = content_type.ok_or(Unverified::Attributes)?.oid()?;
        let message_digest = message_digest.filter(|digest: &Element<'_>| digest.tag == OCTET_STRING);
        let message_digest = message_digest.ok_or(Unverified::Attributes)?.content;
        let signing_time = signing_time.map(read_time).transpose()?;
        let signed = write_set(SET, attributes.iter().map(|attribute| attribute.whole.to_vec()).collect());
        Ok(Self { content_type, message_digest, signing_time, signed })
    }
}

fn read_attribute<'a>(attribute: &Element<'a>) -> Result<(ObjectIdentifier, &'a [u8]), Malformed> {
    let mut fields = attribute.fields()?;
    let oid = fields.expect(OID)?.oid()?;
    let values = fields.expect(SET)?.content;
    fields.end()?;
    Ok((oid, values))
}

fn read_time(time: Element<'_>) -> Result<SystemTime, Malformed> {
    let since_1970 = match UtcTime::from_der(time.whole) {
        Ok(time) => time.to_unix_duration(),
        Err(_) => GeneralizedTime::from_der(time.whole)?.to_unix_duration(),
    };
    Ok(UNIX_EPOCH + since_1970)
}

/// Signs a content and leaves it out: a ContentInfo for `application/pkcs7-signature`.
pub(crate) fn sign_detached(
    now: SystemTime,
    content: &[u8],
    identity: &OwnIdentity,
    scheme: Scheme,
) -> Result<Vec<u8>, ErrorStack> {
    let attribute = |oid, value: &[u8]| write(SEQUENCE, &[&write_oid(oid), &write(SET, &[value])]);
    let mut attributes = vec![
        attribute(oid::CONTENT_TYPE, &write_oid(oid::DATA)),
        attribute(oid::MESSAGE_DIGEST, &write(OCTET_STRING, &[&scheme.hash.digest(content)])),
    ];
    let capability = |oid| write(SEQUENCE, &[&write_oid(oid)]);
    let capabilities = CAPABILITIES.map(capability);
    let capabilities = write(SEQUENCE, &capabilities.each_ref().map(Vec::as_slice));
    attributes.push(attribute(oid::SMIME_CAPABILITIES, &capabilities));
    attributes.extend(write_time(now).map(|time| attribute(oid::SIGNING_TIME, &time)));
    let signed = write_set(SET, attributes.clone());
    let signature = scheme.sign(identity.key(), &signed)?;
    let digest = write_algorithm(scheme.hash.oid(), &[]);
    let signer = write(
        SEQUENCE,
        &[
            &write_small(1),
            identity.certificate().issuer_and_serial(),
            &digest,
            &write_set(constructed(0), attributes),
            &scheme.identifier(),
            &write(OCTET_STRING, &[&signature]),
        ],
    );
    Ok(content_info(
        oid::SIGNED_DATA,
        &write(
            SEQUENCE,
            &[
                &write_small(1),
                &write(SET, &[&digest]),
                &write(SEQUENCE, &[&write_oid(oid::DATA)]),
                &certificate_set(identity.chain()),
                &write(SET, &[&signer]),
            ],
        ),
    ))
}

/// A ContentInfo that carries certificates and nothing else (RFC 8551 §3.8).
pub(crate) fn certificates_only<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> Vec<u8> {
    let nothing = write(SEQUENCE, &[&write_oid(oid::DATA)]);
    let set = certificate_set(certificates);
    content_info(
        oid::SIGNED_DATA,
        &write(SEQUENCE, &[&write_small(1), &write(SET, &[]), &nothing, &set, &write(SET, &[])]),
    )
}

/// ContentInfo (RFC 5652 §3).
pub(crate) fn content_info(content_type: ObjectIdentifier, content: &[u8]) -> Vec<u8> {
    write(SEQUENCE, &[&write_oid(content_type), &write(constructed(0), &[content])])
}

fn certificate_set<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> Vec<u8> {
    write_set(constructed(0), certificates.into_iter().map(|certificate| certificate.der().to_vec()).collect())
}

/// UTCTime until 2049, GeneralizedTime from then on (RFC 5652 §11.3). `None` for a time that neither can say.
fn write_time(now: SystemTime) -> Option<Vec<u8>> {
    // Neither has fractions of a second.
    let since_1970 = Duration::from_secs(now.duration_since(UNIX_EPOCH).ok()?.as_secs());
    match UtcTime::from_unix_duration(since_1970) {
        Ok(time) => time.to_der().ok(),
        Err(_) => GeneralizedTime::from_unix_duration(since_1970).ok().and_then(|time| time.to_der().ok()),
    }
}
