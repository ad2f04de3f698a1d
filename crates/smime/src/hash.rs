//! The digests, and what an identifier says about them.

use boring::hash::MessageDigest;
use der::asn1::ObjectIdentifier;
use sha2::Digest as _;

use crate::asn1::Algorithm;
use crate::facts::Unverified;
use crate::oid;

/// A digest of the SHA-2 family that is long enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// The digest of this identifier; others are refused by their name where they have one.
    pub(crate) fn of(algorithm: &Algorithm<'_>) -> Result<Self, Unverified> {
        match algorithm.oid {
            _ if !algorithm.is_plain() => Err(Unverified::UnsupportedAlgorithm),
            oid::SHA256 => Ok(Self::Sha256),
            oid::SHA384 => Ok(Self::Sha384),
            oid::SHA512 => Ok(Self::Sha512),
            oid::SHA1 => Err(Unverified::Sha1),
            oid::MD5 => Err(Unverified::Md5),
            _ => Err(Unverified::UnsupportedAlgorithm),
        }
    }

    pub(crate) fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
        }
    }

    /// As `micalg` has it (RFC 8551 §3.5.3.2).
    pub(crate) fn micalg(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    pub(crate) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
        }
    }

    pub(crate) fn engine(self) -> MessageDigest {
        match self {
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }
}
