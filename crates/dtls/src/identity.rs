//! Our own certificate, and the BoringSSL contexts that present it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use boring::asn1::Asn1Time;
use boring::bn::{BigNum, MsbOption};
use boring::ec::{EcGroup, EcKey};
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::ssl::SslContext;
use boring::x509::{X509, X509NameBuilder};
use control::{Fingerprint, HashAlgorithm, Profile};

use crate::context::{self, Versions};

/// Contexts kept for reuse. More lists of profiles than an operator can configure sensibly; further ones are built anew.
const MAX_CONTEXTS: usize = 32;

/// Days that a certificate is valid. Nobody checks (its fingerprint is what counts), but it should look sane.
const VALID_DAYS: u32 = 365;

/// Why an identity or an endpoint cannot be made. All are our side's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// BoringSSL's words.
    Engine(String),
    /// No profile in the list has a DTLS identifier.
    NoProfiles,
    /// No fingerprint to check the peer by.
    NoFingerprints,
    /// The private key is not that of the certificate.
    KeyMismatch,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(words) => write!(f, "DTLS engine: {words}"),
            Self::NoProfiles => f.write_str("no SRTP profile that DTLS-SRTP can negotiate"),
            Self::KeyMismatch => f.write_str("the private key is not that of the certificate"),
            Self::NoFingerprints => f.write_str("no fingerprint to check the peer's certificate by"),
        }
    }
}

impl std::error::Error for Error {}

impl From<ErrorStack> for Error {
    fn from(stack: ErrorStack) -> Self {
        Self::Engine(stack.to_string())
    }
}

/// Our certificate and its key. Cheap to clone; clones share the engine's contexts.
#[derive(Clone)]
pub struct Identity {
    shared: Arc<Shared>,
}

struct Shared {
    /// DER.
    certificate: Vec<u8>,
    key: PKey<Private>,
    fingerprints: [Fingerprint; 4],
    contexts: Mutex<Vec<(Vec<Profile>, Versions, SslContext)>>,
}

impl Identity {
    /// A new ECDSA P-256 key in a self-signed certificate with a random serial number and a name that says nothing.
    pub fn generate() -> Result<Self, Error> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let certificate = certificate(&key)?;
        Self::from_parts(certificate, key)
    }

    /// With a certificate and key in PEM that somebody else has made. ECDSA P-256 is what every peer accepts.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
        let (certificate, key) = (X509::from_pem(certificate)?, PKey::private_key_from_pem(key)?);
        if !certificate.public_key()?.public_eq(&key) {
            return Err(Error::KeyMismatch);
        }
        Self::from_parts(certificate, key)
    }

    fn from_parts(certificate: X509, key: PKey<Private>) -> Result<Self, Error> {
        let certificate = certificate.to_der()?;
        let fingerprints = [
            fingerprint_of(&certificate, HashAlgorithm::Sha224)?,
            fingerprint_of(&certificate, HashAlgorithm::Sha256)?,
            fingerprint_of(&certificate, HashAlgorithm::Sha384)?,
            fingerprint_of(&certificate, HashAlgorithm::Sha512)?,
        ];
        Ok(Self { shared: Arc::new(Shared { certificate, key, fingerprints, contexts: Mutex::new(Vec::new()) }) })
    }

    /// The certificate's fingerprint, for `a=fingerprint`. SHA-1 is never printed (RFC 8122 §5): it gives SHA-256.
    pub fn fingerprint(&self, hash: HashAlgorithm) -> Fingerprint {
        let [sha224, sha256, sha384, sha512] = &self.shared.fingerprints;
        match hash {
            HashAlgorithm::Sha224 => sha224,
            HashAlgorithm::Sha1 | HashAlgorithm::Sha256 => sha256,
            HashAlgorithm::Sha384 => sha384,
            HashAlgorithm::Sha512 => sha512,
        }
        .clone()
    }

    /// The context for associations that offer or accept these profiles, in this order.
    pub(crate) fn context(&self, profiles: &[Profile], versions: Versions) -> Result<SslContext, Error> {
        // A poisoned list is still a list of whole entries.
        let mut contexts = self.shared.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, context)) = contexts.iter().find(|(known, range, _)| known == profiles && *range == versions)
        {
            return Ok(context.clone());
        }
        let context = context::build(&self.shared.certificate, &self.shared.key, profiles, versions)?;
        if contexts.len() < MAX_CONTEXTS {
            contexts.push((profiles.to_vec(), versions, context.clone()));
        }
        Ok(context)
    }
}

fn certificate(key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::COMMONNAME, "media")?;
    let name = name.build();
    // 127 random bits: positive, and far more than RFC 5280's peers look at.
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::ONE, false)?;
    let mut builder = X509::builder()?;
    // Version 3 is written as 2 (RFC 5280 §4.1.2.1).
    builder.set_version(2)?;
    let serial = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    let yesterday = Asn1Time::from_unix(Asn1Time::days_from_now(0).and_then(|now| unix(&now))? - 86_400)?;
    builder.set_not_before(&yesterday)?;
    builder.set_not_after(Asn1Time::days_from_now(VALID_DAYS)?.as_ref())?;
    builder.set_pubkey(key)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn unix(time: &boring::asn1::Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

/// Fingerprint of a certificate in DER (RFC 8122 §5).
pub(crate) fn fingerprint_of(certificate: &[u8], hash: HashAlgorithm) -> Result<Fingerprint, ErrorStack> {
    let digest = match hash {
        HashAlgorithm::Sha1 => MessageDigest::sha1(),
        HashAlgorithm::Sha224 => MessageDigest::sha224(),
        HashAlgorithm::Sha256 => MessageDigest::sha256(),
        HashAlgorithm::Sha384 => MessageDigest::sha384(),
        HashAlgorithm::Sha512 => MessageDigest::sha512(),
    };
    let digest = boring::hash::hash(digest, certificate)?;
    Ok(Fingerprint::new(hash, &digest).expect("a digest has the length of its hash"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_identities_differ_and_clones_do_not() {
        let one = Identity::generate().unwrap();
        let other = Identity::generate().unwrap();
        assert_eq!(one.fingerprint(HashAlgorithm::Sha256), one.clone().fingerprint(HashAlgorithm::Sha256));
        assert_ne!(one.fingerprint(HashAlgorithm::Sha256), other.fingerprint(HashAlgorithm::Sha256));
    }

    #[test]
    fn the_certificate_is_p256_version_3_self_signed_and_valid_since_yesterday() {
        let identity = Identity::generate().unwrap();
        let certificate = &X509::from_der(&identity.shared.certificate).unwrap();
        assert_eq!(certificate.public_key().unwrap().bits(), 256);
        assert!(certificate.verify(&identity.shared.key).unwrap());
        let now = Asn1Time::days_from_now(0).unwrap();
        let age = certificate.not_before().diff(&now).unwrap();
        assert_eq!((age.days, age.secs), (1, 0));
        assert_eq!(now.diff(certificate.not_after()).unwrap().days, 365);
        assert!(certificate.to_der().unwrap().len() < 400, "small enough for one datagram");
    }

    #[test]
    fn a_certificate_with_the_key_of_another_one_is_refused() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let certificate = X509::from_der(&one.shared.certificate).unwrap().to_pem().unwrap();
        let pem = |identity: &Identity| identity.shared.key.private_key_to_pem_pkcs8().unwrap();
        let same = Identity::from_pem(&certificate, &pem(&one)).unwrap();
        assert_eq!(same.fingerprint(HashAlgorithm::Sha256), one.fingerprint(HashAlgorithm::Sha256));
        assert_eq!(Identity::from_pem(&certificate, &pem(&other)).err(), Some(Error::KeyMismatch));
    }

    #[test]
    fn contexts_are_shared_between_clones_and_bounded() {
        let identity = Identity::generate().unwrap();
        let profiles = [Profile::AeadAes128Gcm];
        identity.context(&profiles, Versions::Both).unwrap();
        identity.clone().context(&profiles, Versions::Both).unwrap();
        assert_eq!(identity.shared.contexts.lock().unwrap().len(), 1);
        for length in 2..50 {
            identity.context(&vec![Profile::AeadAes128Gcm; length], Versions::Both).unwrap();
        }
        assert_eq!(identity.shared.contexts.lock().unwrap().len(), MAX_CONTEXTS);
    }
}
