//! A certificate of our own, with its private key.

use std::fmt;

use boring::pkey::{PKey, PKeyRef, Private};

use crate::certificate::Certificate;

/// Why an identity or a configuration is refused. It is the operator's to mend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misconfigured {
    /// No certificate, or one that cannot be read or has a key of no use (RSA below 2048 bits, another curve).
    Certificate,
    /// The private key cannot be read.
    Key,
    /// The private key is not that of the first certificate.
    KeyMismatch,
    /// The certificate names no SIP URI, and so is nobody's.
    NoIdentity,
    /// The engine refuses the anchors.
    Anchors,
}

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "no certificate with an RSA key of 2048 to 8192 bits or a P-256 or P-384 key",
            Self::Key => "the private key cannot be read",
            Self::KeyMismatch => "the private key is not that of the certificate",
            Self::NoIdentity => "the certificate has no SIP URI among its subject alternative names",
            Self::Anchors => "the anchors cannot be used",
        })
    }
}

impl std::error::Error for Misconfigured {}

/// Whom we can speak for: a certificate with a SIP identity, its key, and the certificates above it. BoringSSL wipes the key
/// when it is dropped; it has no Debug.
pub struct OwnIdentity {
    certificate: Certificate,
    above: Vec<Certificate>,
    key: PKey<Private>,
}

impl OwnIdentity {
    /// Reads a chain in PEM, our certificate first, and its private key in PEM without a password.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Misconfigured> {
        let mut chain = Certificate::from_pem(chain).ok_or(Misconfigured::Certificate)?;
        let certificate = chain.remove(0);
        let key = PKey::private_key_from_pem(key).map_err(|_| Misconfigured::Key)?;
        if !certificate.key().public_eq(&key) {
            return Err(Misconfigured::KeyMismatch);
        }
        if certificate.sip_identities().is_empty() {
            return Err(Misconfigured::NoIdentity);
        }
        Ok(Self { certificate, above: chain, key })
    }

    /// Our certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Our certificate, and those above it.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.certificate).chain(&self.above)
    }

    pub(crate) fn key(&self) -> &PKeyRef<Private> {
        &self.key
    }
}
