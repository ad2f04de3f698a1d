//! RecipientInfo (RFC 5652 §6.2): how the key of a content comes to its recipients, by RSA or ECDH (RFC 5753).

use boring::aes::{AesKey, unwrap_key, wrap_key};
use boring::bn::BigNumContext;
use boring::derive::Deriver;
use boring::ec::{EcGroupRef, EcKey, EcPoint, PointConversionForm};
use boring::error::ErrorStack;
use boring::pkey::PKey;
use boring::rsa::Padding;
use der::asn1::ObjectIdentifier;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::asn1::{
    Algorithm, BIT_STRING, Element, Fields, INTEGER, Malformed, NULL, OCTET_STRING, SEQUENCE, constructed, primitive,
    write, write_algorithm, write_small,
};
use crate::certificate::{Certificate, KeyKind};
use crate::facts::{KeyManagement, Undecipherable};
use crate::hash::Hash;
use crate::identity::OwnIdentity;
use crate::limits::MAX_RECIPIENTS;
use crate::oid;
use crate::padding::{Oaep, OaepHash, unpad_pkcs1};

/// A key for one content.
pub(crate) type ContentKey = Zeroizing<Vec<u8>>;

/// How the key of a content goes to a certificate with an RSA key.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum RsaKeyTransport {
    /// RSAES-OAEP with SHA-256, what RFC 8551 §2.3 recommends.
    #[default]
    Oaep,
    /// RSAES-PKCS1-v1_5, for peers that know no OAEP.
    Pkcs1,
}

/// Our keys, and a secret from which the key is derived that a wrongly padded one is replaced by.
#[derive(Clone, Copy)]
pub(crate) struct OwnKeys<'a> {
    pub(crate) identities: &'a [OwnIdentity],
    pub(crate) secret: &'a [u8],
}

impl OwnKeys<'_> {
    /// Takes the content's key from the first recipient that is one of ours; no further private key is tried. With RSA this
    /// always gives a key, which is the wrong one if the block was not ours to open.
    pub(crate) fn content_key(
        &self,
        recipients: &[Element<'_>],
        length: usize,
    ) -> Result<(ContentKey, KeyManagement), Undecipherable> {
        if self.identities.is_empty() {
            return Err(Undecipherable::NoKey);
        }
        for recipient in recipients {
            let found = match recipient.tag {
                SEQUENCE => self.by_transport(recipient.fields()?, length),
                tag if tag == constructed(1) => self.by_agreement(recipient.fields()?, length),
                // Keys that were agreed on beforehand, passwords, and others: not ours.
                _ => continue,
            };
            match found {
                Err(Undecipherable::NotForUs) => {}
                found => return found,
            }
        }
        Err(Undecipherable::NotForUs)
    }

    /// KeyTransRecipientInfo (RFC 5652 §6.2.1).
    fn by_transport(
        &self,
        mut fields: Fields<'_>,
        length: usize,
    ) -> Result<(ContentKey, KeyManagement), Undecipherable> {
        fields.expect(INTEGER)?;
        let identity = self.named(fields.element()?).ok_or(Undecipherable::NotForUs)?;
        let algorithm = fields.element().and_then(Algorithm::read)?;
        let encrypted = fields.expect(OCTET_STRING)?.content;
        fields.end()?;

        let oaep = match algorithm.oid {
            oid::RSA if algorithm.is_plain() => None,
            oid::RSA_OAEP => Some(oaep_parameters(&algorithm).ok_or(Undecipherable::UnsupportedAlgorithm)?),
            _ => return Err(Undecipherable::UnsupportedAlgorithm),
        };
        let rsa = identity.key().rsa().map_err(|_| Undecipherable::UnsupportedAlgorithm)?;
        let mut block = Zeroizing::new(vec![0; rsa.size() as usize]);
        // BoringSSL's operation is blinded. It fails only for a number that is not below the modulus, which is public.
        let size = rsa.private_decrypt(encrypted, &mut block, Padding::NONE).unwrap_or(0);
        block.truncate(size);
        let other = self.other_key(encrypted, length);
        Ok(match oaep {
            Some(oaep) => (oaep.unpad(&block, other), KeyManagement::RsaOaep),
            None => (unpad_pkcs1(&block, other), KeyManagement::RsaPkcs1),
        })
    }

    /// The key that stands in for one that is wrongly padded. The same block gives the same key each time, so that asking
    /// twice tells nothing either.
    fn other_key(&self, encrypted: &[u8], length: usize) -> ContentKey {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret).expect("HMAC takes a key of any length");
        mac.update(encrypted);
        let mut key = mac.finalize().into_bytes().to_vec();
        // No content cipher has a longer key than SHA-256 gives.
        key.truncate(length);
        Zeroizing::new(key)
    }

    /// KeyAgreeRecipientInfo (RFC 5652 §6.2.2) with an ephemeral key of the sender (RFC 5753 §3.1.1).
    fn by_agreement(
        &self,
        mut fields: Fields<'_>,
        length: usize,
    ) -> Result<(ContentKey, KeyManagement), Undecipherable> {
        fields.expect(INTEGER)?;
        let originator = fields.expect(constructed(0))?;
        let originator = Element::read(originator.content)?;
        let ukm = fields.optional(constructed(1))?;
        let algorithm = fields.element().and_then(Algorithm::read)?;
        let keys = fields.enter(SEQUENCE).and_then(|keys| keys.rest(MAX_RECIPIENTS))?;
        fields.end()?;

        for key in keys {
            let mut key = key.fields()?;
            let name = key.element()?;
            let Some(identity) = self.named(name) else { continue };
            let wrapped = key.expect(OCTET_STRING)?.content;
            if originator.tag != constructed(1) {
                return Err(Undecipherable::UnsupportedAlgorithm);
            }
            let agreement = Agreement::read(&algorithm, ukm).ok_or(Undecipherable::UnsupportedAlgorithm)?;
            let ec_key = identity.key().ec_key().map_err(|_| Undecipherable::UnsupportedAlgorithm)?;
            let point = originator_point(&originator)?;
            let key = || -> Result<Option<ContentKey>, ErrorStack> {
                let public = public_key(ec_key.group(), point)?;
                let shared = shared_secret(&PKey::from_ec_key(ec_key.clone())?, &public)?;
                Ok(agreement.unwrap(&shared, wrapped, length))
            };
            let key = key().ok().flatten().ok_or(Undecipherable::NotOpened)?;
            return Ok((key, KeyManagement::Ecdh));
        }
        Err(Undecipherable::NotForUs)
    }

    /// Which of us a RecipientIdentifier names: IssuerAndSerialNumber, `[0]` with a subject key identifier, or in key
    /// agreement a RecipientKeyIdentifier that begins with one.
    fn named(&self, name: Element<'_>) -> Option<&OwnIdentity> {
        let key_identifier = match name.tag {
            tag if tag == primitive(0) => Some(name.content),
            tag if tag == constructed(0) => Some(name.fields().ok()?.expect(OCTET_STRING).ok()?.content),
            _ => None,
        };
        self.identities.iter().find(|identity| match key_identifier {
            Some(identifier) => identity.certificate().subject_key_identifier() == Some(identifier),
            None => identity.certificate().issuer_and_serial() == name.whole,
        })
    }
}

/// RSAES-OAEP-params (RFC 4055 §4.1).
fn oaep_parameters<'a>(algorithm: &Algorithm<'a>) -> Option<Oaep<'a>> {
    let mut oaep = Oaep { hash: OaepHash::Sha1, mask: OaepHash::Sha1, label: &[] };
    let Some(parameters) = algorithm.parameters.filter(|parameters| parameters.tag != NULL) else { return Some(oaep) };
    let mut fields = parameters.fields().ok()?;
    let mut next = |number| -> Option<Option<Algorithm<'a>>> {
        let Some(element) = fields.optional(constructed(number)).ok()? else { return Some(None) };
        Some(Some(Algorithm::read(Element::read(element.content).ok()?).ok()?))
    };
    if let Some(hash) = next(0)? {
        oaep.hash = OaepHash::of(hash.oid)?;
    }
    if let Some(mask) = next(1)? {
        let hash = mask.parameters.filter(|_| mask.oid == oid::MGF1)?;
        oaep.mask = OaepHash::of(Algorithm::read(hash).ok()?.oid)?;
    }
    if let Some(label) = next(2)? {
        let label_bytes = label.parameters.filter(|bytes| label.oid == oid::OAEP_LABEL && bytes.tag == OCTET_STRING)?;
        oaep.label = label_bytes.content;
    }
    fields.end().ok()?;
    Some(oaep)
}

/// How a key that encrypts keys comes out of a shared secret.
struct Agreement<'a> {
    hash: Hash,
    key_bytes: usize,
    /// AlgorithmIdentifier of the wrapping, encoded.
    wrapping: &'a [u8],
    ukm: Option<&'a [u8]>,
}

impl<'a> Agreement<'a> {
    fn read(algorithm: &Algorithm<'a>, ukm: Option<Element<'a>>) -> Option<Self> {
        let hash = match algorithm.oid {
            oid::STD_DH_SHA256_KDF => Hash::Sha256,
            oid::STD_DH_SHA384_KDF => Hash::Sha384,
            oid::STD_DH_SHA512_KDF => Hash::Sha512,
            _ => return None,
        };
        let wrapping = Algorithm::read(algorithm.parameters?).ok().filter(Algorithm::is_plain)?;
        let key_bytes = match wrapping.oid {
            oid::AES128_WRAP => 16,
            oid::AES256_WRAP => 32,
            _ => return None,
        };
        let ukm = match ukm {
            Some(ukm) => Some(Fields::of(ukm.content).and_then(|mut ukm| ukm.expect(OCTET_STRING)).ok()?.content),
            None => None,
        };
        Some(Self { hash, key_bytes, wrapping: wrapping.whole, ukm })
    }

    /// The X9.63 KDF over ECC-CMS-SharedInfo (RFC 5753 §7.2). One round of it is as long as any of these keys.
    fn key(&self, shared: &[u8]) -> Zeroizing<Vec<u8>> {
        let ukm = self.ukm.map_or_else(Vec::new, |ukm| write(constructed(0), &[&write(OCTET_STRING, &[ukm])]));
        let bits = u32::try_from(self.key_bytes * 8).unwrap_or(0).to_be_bytes();
        let bits = write(constructed(2), &[&write(OCTET_STRING, &[&bits])]);
        let shared_info = write(SEQUENCE, &[self.wrapping, &ukm, &bits]);
        let material = Zeroizing::new([shared, &1u32.to_be_bytes(), &shared_info].concat());
        let mut key = self.hash.digest(&material);
        key.truncate(self.key_bytes);
        Zeroizing::new(key)
    }

    /// AES key wrap, backwards (RFC 3394).
    fn unwrap(&self, shared: &[u8], wrapped: &[u8], length: usize) -> Option<ContentKey> {
        // The engine takes whole blocks only.
        let length = Some(length).filter(|length| wrapped.len() == length + 8 && length % 8 == 0)?;
        let key = AesKey::new_decrypt(&self.key(shared)).ok()?;
        let mut content_key = Zeroizing::new(vec![0; length]);
        unwrap_key(&key, None, &mut content_key, wrapped).ok()?;
        Some(content_key)
    }

    fn wrap(&self, shared: &[u8], content_key: &[u8]) -> Option<Vec<u8>> {
        let key = AesKey::new_encrypt(&self.key(shared)).ok()?;
        let mut wrapped = vec![0; content_key.len() + 8];
        wrap_key(&key, None, &mut wrapped, content_key).ok()?;
        Some(wrapped)
    }
}

/// The public key in OriginatorPublicKey. Its curve is the recipient's (RFC 5753 §3.1.1).
fn originator_point<'a>(originator: &Element<'a>) -> Result<&'a [u8], Malformed> {
    let mut fields = originator.fields()?;
    let algorithm = Algorithm::read(fields.element()?)?;
    let point = fields.expect(BIT_STRING)?.whole_bits()?;
    fields.end()?;
    if algorithm.oid == oid::EC_PUBLIC_KEY { Ok(point) } else { Err(Malformed) }
}

/// A point as a key. The engine refuses the one at infinity and those that are not on the curve.
fn public_key(group: &EcGroupRef, point: &[u8]) -> Result<PKey<boring::pkey::Public>, ErrorStack> {
    let mut context = BigNumContext::new()?;
    let point = EcPoint::from_bytes(group, point, &mut context)?;
    let key = EcKey::from_public_key(group, &point)?;
    key.check_key()?;
    PKey::from_ec_key(key)
}

fn shared_secret(
    own: &PKey<boring::pkey::Private>,
    peer: &PKey<boring::pkey::Public>,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut deriver = Deriver::new(own)?;
    deriver.set_peer(peer)?;
    Ok(Zeroizing::new(deriver.derive_to_vec()?))
}

/// A RecipientInfo that brings a content's key to a certificate, and the version of EnvelopedData that it asks for.
/// `None` if the engine fails.
pub(crate) fn write_recipient(
    certificate: &Certificate,
    content_key: &[u8],
    transport: RsaKeyTransport,
    rng: &mut impl Rng,
) -> Option<(Vec<u8>, u8)> {
    match certificate.key_kind() {
        KeyKind::Rsa => write_transport(certificate, content_key, transport, rng).map(|info| (info, 0)),
        KeyKind::P256 | KeyKind::P384 => write_agreement(certificate, content_key).map(|info| (info, 2)),
    }
}

fn write_transport(
    certificate: &Certificate,
    content_key: &[u8],
    transport: RsaKeyTransport,
    rng: &mut impl Rng,
) -> Option<Vec<u8>> {
    let rsa = certificate.key().rsa().ok()?;
    let mut encrypted = vec![0; rsa.size() as usize];
    let algorithm = match transport {
        RsaKeyTransport::Oaep => {
            let mut seed = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut *seed);
            let oaep = Oaep { hash: OaepHash::Sha256, mask: OaepHash::Sha256, label: &[] };
            let block = oaep.pad(content_key, &*seed, encrypted.len())?;
            rsa.public_encrypt(&block, &mut encrypted, Padding::NONE).ok()?;
            let hash = write_algorithm(oid::SHA256, &write(NULL, &[]));
            let mask = write_algorithm(oid::MGF1, &hash);
            let parameters = write(SEQUENCE, &[&write(constructed(0), &[&hash]), &write(constructed(1), &[&mask])]);
            write_algorithm(oid::RSA_OAEP, &parameters)
        }
        RsaKeyTransport::Pkcs1 => {
            rsa.public_encrypt(content_key, &mut encrypted, Padding::PKCS1).ok()?;
            write_algorithm(oid::RSA, &write(NULL, &[]))
        }
    };
    let encrypted = write(OCTET_STRING, &[&encrypted]);
    Some(write(SEQUENCE, &[&write_small(0), certificate.issuer_and_serial(), &algorithm, &encrypted]))
}

fn write_agreement(certificate: &Certificate, content_key: &[u8]) -> Option<Vec<u8>> {
    let wrapping: ObjectIdentifier = if content_key.len() > 16 { oid::AES256_WRAP } else { oid::AES128_WRAP };
    let wrapping = write_algorithm(wrapping, &[]);
    let algorithm = write_algorithm(oid::STD_DH_SHA256_KDF, &wrapping);
    let agreement = Agreement::read(&Algorithm::read(Element::read(&algorithm).ok()?).ok()?, None)?;

    let peer = certificate.key().ec_key().ok()?;
    let ephemeral = EcKey::generate(peer.group()).ok()?;
    let mut context = BigNumContext::new().ok()?;
    let form = PointConversionForm::UNCOMPRESSED;
    let point = ephemeral.public_key().to_bytes(peer.group(), form, &mut context).ok()?;
    let shared = shared_secret(&PKey::from_ec_key(ephemeral).ok()?, certificate.key()).ok()?;
    let wrapped = agreement.wrap(&shared, content_key)?;

    let originator =
        write(constructed(1), &[&write_algorithm(oid::EC_PUBLIC_KEY, &[]), &write(BIT_STRING, &[&[0], &point])]);
    let key = write(SEQUENCE, &[certificate.issuer_and_serial(), &write(OCTET_STRING, &[&wrapped])]);
    Some(write(
        constructed(1),
        &[&write_small(3), &write(constructed(0), &[&originator]), &algorithm, &write(SEQUENCE, &[&key])],
    ))
}
