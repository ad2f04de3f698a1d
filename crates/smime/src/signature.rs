//! One signature: which algorithm its identifiers mean, and its verification and making by BoringSSL.

use boring::error::ErrorStack;
use boring::pkey::{PKeyRef, Private};
use boring::rsa::Padding;
use boring::sign::{RsaPssSaltlen, Signer, Verifier};

use crate::asn1::{Algorithm, Element, INTEGER, NULL, SEQUENCE, constructed, write, write_algorithm};
use crate::certificate::{Certificate, KeyKind};
use crate::facts::{SignatureAlgorithm, Unverified};
use crate::hash::Hash;
use crate::oid;

/// A way to sign, with all its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scheme {
    pub(crate) hash: Hash,
    family: Family,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    Pkcs1,
    Pss { mask: Hash, salt_bytes: u16 },
    Ecdsa,
}

impl Scheme {
    /// How we sign with this key: SHA-256, and RSASSA-PSS if that is wanted and the key is RSA.
    pub(crate) fn own(kind: KeyKind, pss: bool) -> Self {
        let family = match kind {
            KeyKind::Rsa if pss => Family::Pss { mask: Hash::Sha256, salt_bytes: 32 },
            KeyKind::Rsa => Family::Pkcs1,
            KeyKind::P256 | KeyKind::P384 => Family::Ecdsa,
        };
        Self { hash: Hash::Sha256, family }
    }

    /// Reads the identifiers of a SignerInfo. RFC 5754 §3 wants one digest for content and signature.
    pub(crate) fn read(digest: &Algorithm<'_>, signature: &Algorithm<'_>) -> Result<Self, Unverified> {
        let hash = Hash::of(digest)?;
        let (named, family) = match signature.oid {
            oid::RSA_PSS => {
                let (named, mask, salt_bytes) = pss_parameters(signature)?;
                (named, Family::Pss { mask, salt_bytes })
            }
            _ if !signature.is_plain() => return Err(Unverified::UnsupportedAlgorithm),
            oid::RSA => (hash, Family::Pkcs1),
            oid::SHA256_WITH_RSA => (Hash::Sha256, Family::Pkcs1),
            oid::SHA384_WITH_RSA => (Hash::Sha384, Family::Pkcs1),
            oid::SHA512_WITH_RSA => (Hash::Sha512, Family::Pkcs1),
            oid::SHA256_WITH_ECDSA => (Hash::Sha256, Family::Ecdsa),
            oid::SHA384_WITH_ECDSA => (Hash::Sha384, Family::Ecdsa),
            oid::SHA512_WITH_ECDSA => (Hash::Sha512, Family::Ecdsa),
            oid::SHA1_WITH_RSA | oid::SHA1_WITH_ECDSA => return Err(Unverified::Sha1),
            oid::MD5_WITH_RSA => return Err(Unverified::Md5),
            _ => return Err(Unverified::UnsupportedAlgorithm),
        };
        if named == hash { Ok(Self { hash, family }) } else { Err(Unverified::UnsupportedAlgorithm) }
    }

    pub(crate) fn algorithm(self) -> SignatureAlgorithm {
        match (self.family, self.hash) {
            (Family::Pkcs1, Hash::Sha256) => SignatureAlgorithm::RsaSha256,
            (Family::Pkcs1, Hash::Sha384) => SignatureAlgorithm::RsaSha384,
            (Family::Pkcs1, Hash::Sha512) => SignatureAlgorithm::RsaSha512,
            (Family::Pss { .. }, Hash::Sha256) => SignatureAlgorithm::PssSha256,
            (Family::Pss { .. }, Hash::Sha384) => SignatureAlgorithm::PssSha384,
            (Family::Pss { .. }, Hash::Sha512) => SignatureAlgorithm::PssSha512,
            (Family::Ecdsa, Hash::Sha256) => SignatureAlgorithm::EcdsaSha256,
            (Family::Ecdsa, Hash::Sha384) => SignatureAlgorithm::EcdsaSha384,
            (Family::Ecdsa, Hash::Sha512) => SignatureAlgorithm::EcdsaSha512,
        }
    }

    /// AlgorithmIdentifier of the signature.
    pub(crate) fn identifier(self) -> Vec<u8> {
        let null = write(NULL, &[]);
        match (self.family, self.hash) {
            (Family::Pkcs1, Hash::Sha256) => write_algorithm(oid::SHA256_WITH_RSA, &null),
            (Family::Pkcs1, Hash::Sha384) => write_algorithm(oid::SHA384_WITH_RSA, &null),
            (Family::Pkcs1, Hash::Sha512) => write_algorithm(oid::SHA512_WITH_RSA, &null),
            (Family::Ecdsa, Hash::Sha256) => write_algorithm(oid::SHA256_WITH_ECDSA, &[]),
            (Family::Ecdsa, Hash::Sha384) => write_algorithm(oid::SHA384_WITH_ECDSA, &[]),
            (Family::Ecdsa, Hash::Sha512) => write_algorithm(oid::SHA512_WITH_ECDSA, &[]),
            (Family::Pss { mask, salt_bytes }, hash) => {
                let mask = write_algorithm(oid::MGF1, &write_algorithm(mask.oid(), &null));
                // The salt is as long as a digest: one byte, its first bit clear.
                let salt = write(INTEGER, &[&[u8::try_from(salt_bytes).unwrap_or(32)]]);
                let parameters = [
                    write(constructed(0), &[&write_algorithm(hash.oid(), &null)]),
                    write(constructed(1), &[&mask]),
                    write(constructed(2), &[&salt]),
                ];
                write_algorithm(oid::RSA_PSS, &write(SEQUENCE, &parameters.each_ref().map(Vec::as_slice)))
            }
        }
    }

    /// Whether this signature on these bytes was made by the certificate's key.
    pub(crate) fn verify(self, certificate: &Certificate, bytes: &[u8], signature: &[u8]) -> Result<(), Unverified> {
        let fits = match certificate.key_kind() {
            KeyKind::Rsa => self.family != Family::Ecdsa,
            KeyKind::P256 | KeyKind::P384 => self.family == Family::Ecdsa,
        };
        if !fits {
            return Err(Unverified::UnsupportedAlgorithm);
        }
        let verified = || -> Result<bool, ErrorStack> {
            let mut verifier = Verifier::new(self.hash.engine(), certificate.key())?;
            if let Family::Pss { mask, salt_bytes } = self.family {
                verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
                verifier.set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt_bytes.into()))?;
                verifier.set_rsa_mgf1_md(mask.engine())?;
            }
            verifier.update(bytes)?;
            verifier.verify(signature)
        };
        // The engine's error and its no are the same to us: nobody with this key signed this.
        if verified().unwrap_or(false) { Ok(()) } else { Err(Unverified::BadSignature) }
    }

    pub(crate) fn sign(self, key: &PKeyRef<Private>, bytes: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut signer = Signer::new(self.hash.engine(), key)?;
        if let Family::Pss { mask, salt_bytes } = self.family {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt_bytes.into()))?;
            signer.set_rsa_mgf1_md(mask.engine())?;
        }
        signer.update(bytes)?;
        signer.sign_to_vec()
    }
}

/// Digest, digest of the mask and bytes of salt of RSASSA-PSS-params (RFC 4055 §3.1). What is absent means SHA-1.
fn pss_parameters(algorithm: &Algorithm<'_>) -> Result<(Hash, Hash, u16), Unverified> {
    let sequence = algorithm.parameters.filter(|parameters| parameters.tag == SEQUENCE);
    let mut fields = sequence.ok_or(Unverified::Sha1)?.fields()?;
    let inner = |element: Option<Element<'_>>| -> Result<Hash, Unverified> {
        let element = Element::read(element.ok_or(Unverified::Sha1)?.content)?;
        Hash::of(&Algorithm::read(element)?)
    };
    let hash = inner(fields.optional(constructed(0))?)?;
    let mask = fields.optional(constructed(1))?.ok_or(Unverified::Sha1)?;
    let mask = Algorithm::read(Element::read(mask.content)?)?;
    if mask.oid != oid::MGF1 {
        return Err(Unverified::UnsupportedAlgorithm);
    }
    let mask = mask.parameters.ok_or(Unverified::Sha1)?;
    let mask = Hash::of(&Algorithm::read(mask)?)?;
    let salt = match fields.optional(constructed(2))? {
        Some(salt) => Element::read(salt.content)?,
        None => return Ok((hash, mask, 20)),
    };
    match (salt.tag, salt.content) {
        (INTEGER, &[short @ 0..0x80]) => Ok((hash, mask, short.into())),
        (INTEGER, &[high @ 0..0x80, low]) => Ok((hash, mask, u16::from_be_bytes([high, low]))),
        _ => Err(Unverified::Malformed),
    }
}
