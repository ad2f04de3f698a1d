//! Certificate fingerprints (RFC 8122).

use std::fmt;
use std::str::FromStr;

/// Hash functions for fingerprints, weakest first. MD5 and MD2 must not be used (RFC 8122 §5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HashAlgorithm {
    /// `sha-1`: read only, never printed by us.
    Sha1,
    /// `sha-224`
    Sha224,
    /// `sha-256`
    Sha256,
    /// `sha-384`
    Sha384,
    /// `sha-512`
    Sha512,
}

impl HashAlgorithm {
    /// The name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Bytes of its digest.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// By its name in SDP, in any case (RFC 8122 §5).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|hash| hash.name().eq_ignore_ascii_case(name))
    }
}

/// A certificate's fingerprint: the value of `a=fingerprint`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint {
    hash: HashAlgorithm,
    digest: Vec<u8>,
}

/// Why a fingerprint cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FingerprintError {
    /// Not a hash function that may be used: its name.
    UnsupportedHash(String),
    /// Not colon-separated pairs of hexadecimal digits.
    Malformed,
    /// The digest has another length than the hash function makes.
    WrongLength,
}

impl fmt::Display for FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedHash(name) => write!(f, "fingerprint hash {name:?} is not supported"),
            Self::Malformed => f.write_str("fingerprint is not colon-separated hexadecimal"),
            Self::WrongLength => f.write_str("fingerprint has the wrong length for its hash"),
        }
    }
}

impl std::error::Error for FingerprintError {}

impl Fingerprint {
    /// A digest under its hash function.
    pub fn new(hash: HashAlgorithm, digest: &[u8]) -> Result<Self, FingerprintError> {
        if digest.len() != hash.digest_len() {
            return Err(FingerprintError::WrongLength);
        }
        Ok(Self { hash, digest: digest.to_vec() })
    }

    /// The hash function.
    pub fn hash(&self) -> HashAlgorithm {
        self.hash
    }

    /// The digest.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let (name, hex) = text.trim().split_once(' ').ok_or(FingerprintError::Malformed)?;
        let hash = HashAlgorithm::from_name(name).ok_or_else(|| FingerprintError::UnsupportedHash(name.to_owned()))?;
        let mut digest = Vec::with_capacity(hash.digest_len());
        for pair in hex.trim().split(':') {
            if pair.len() != 2 || !pair.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(FingerprintError::Malformed);
            }
            if digest.len() == hash.digest_len() {
                return Err(FingerprintError::WrongLength);
            }
            digest.push(u8::from_str_radix(pair, 16).map_err(|_| FingerprintError::Malformed)?);
        }
        Self::new(hash, &digest)
    }
}

/// As in SDP: `sha-256 0A:…`, in upper case (RFC 8122 §5).
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash.name())?;
        for (index, byte) in self.digest.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8122 §5, the example of the section.
    const EXAMPLE: &str =
        "sha-256 12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD";

    #[test]
    fn a_fingerprint_prints_as_it_was_read() {
        let fingerprint: Fingerprint = EXAMPLE.parse().expect("valid");
        assert_eq!(fingerprint.to_string(), EXAMPLE);
    }

    #[test]
    fn hash_name_and_digits_are_read_in_any_case() {
        let lower: Fingerprint = EXAMPLE.to_lowercase().replace("sha-256", "SHA-256").parse().expect("valid");
        assert_eq!(lower.to_string(), EXAMPLE);
    }

    #[test]
    fn md5_and_wrong_lengths_are_refused_with_their_reason() {
        assert_eq!("md5 00:11".parse::<Fingerprint>(), Err(FingerprintError::UnsupportedHash("md5".into())));
        assert_eq!("sha-256 00:11".parse::<Fingerprint>(), Err(FingerprintError::WrongLength));
        assert_eq!(format!("{EXAMPLE}:00").parse::<Fingerprint>(), Err(FingerprintError::WrongLength));
        assert_eq!("sha-1 0:1".parse::<Fingerprint>(), Err(FingerprintError::Malformed));
    }
}
