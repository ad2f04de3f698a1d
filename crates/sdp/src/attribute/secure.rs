//! Keying: SDES (RFC 4568), DTLS-SRTP (RFC 5763), ZRTP (RFC 6189).

use std::fmt;

use super::{Attribute, AttributeError, AttributeFault, Words, text_attribute};
use crate::name;

/// a=crypto (RFC 4568 §9.1) as text. Holds a key: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    /// 1 to 9 digits.
    pub tag: u32,
    /// Suite, keys and session parameters.
    pub rest: String,
}

impl Attribute for Crypto {
    const NAME: &'static str = name::CRYPTO;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let tag = words.number("tag")?;
        if tag > 999_999_999 {
            return Err(words.fault("tag", AttributeFault::NotInRange));
        }
        Ok(Self { tag, rest: words.rest("suite")?.to_owned() })
    }
}

impl fmt::Display for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.tag, self.rest)
    }
}

/// a=setup (RFC 4145 §4, RFC 5763 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Setup {
    /// The author will be the DTLS client.
    Active,
    /// The author will be the DTLS server.
    Passive,
    /// The author leaves the choice; only in an offer.
    ActPass,
    /// No association for the time being; must not be used for DTLS-SRTP (RFC 5763 §5).
    HoldConn,
}

impl Setup {
    /// As in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

impl Attribute for Setup {
    const NAME: &'static str = name::SETUP;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let word = words.word("role")?;
        [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn]
            .into_iter()
            .find(|setup| setup.name().eq_ignore_ascii_case(word))
            .ok_or_else(|| words.fault("role", AttributeFault::Unknown))
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

text_attribute! {
    /// a=fingerprint (RFC 8122 §5) as text: hash and digest.
    #[derive(Debug, Hash)]
    FingerprintText, name::FINGERPRINT
}
text_attribute! {
    /// a=tls-id (RFC 8842 §4).
    #[derive(Debug, Hash)]
    TlsId, name::TLS_ID
}
text_attribute! {
    /// a=zrtp-hash (RFC 6189 §8.1) as text.
    #[derive(Debug, Hash)]
    ZrtpHash, name::ZRTP_HASH
}
