//! Key strings of SDES: the value of `a=crypto` (RFC 4568, with RFC 6188 and RFC 7714).
//!
//! ```text
//! 1 AES_CM_128_HMAC_SHA1_80 inline:<key||salt in base64>|2^20|1:4 KDR=16 UNENCRYPTED_SRTCP
//! ```
//!
//! A line that cannot be used says why in its [`CryptoError`]; it is passed over, and the media may use another line.

mod mki;
mod parse;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::policy::{MAX_SRTCP_LIFETIME, MAX_SRTP_LIFETIME};
use crate::{MasterKey, Policy, Profile};

/// One usable crypto line. It holds keys and has no `Debug`; `Display` prints the attribute's value, keys included.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoAttribute {
    /// Names the line in offer and answer: 1 to 9 digits.
    pub tag: u32,
    /// The crypto suite.
    pub profile: Profile,
    /// It goes by a name from before its registration, which its writer may know alone.
    pub legacy_name: bool,
    /// One key, or several with MKIs of one length.
    pub keys: Vec<CryptoKey>,
    /// Session parameters.
    pub params: SessionParameters,
}

/// A master key with its salt, MKI and lifetime.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoKey {
    /// Key, salt and MKI.
    pub master: MasterKey,
    /// Packets that the key may protect, at most 2^48; `None` when the line does not say.
    pub lifetime: Option<u64>,
}

/// Session parameters that change how we treat packets (RFC 4568 §6.3).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionParameters {
    /// `KDR`: packets between key derivations, a power of two; 0 when the line does not say.
    pub key_derivation_rate: u64,
    /// `UNENCRYPTED_SRTP`.
    pub unencrypted_srtp: bool,
    /// `UNENCRYPTED_SRTCP`.
    pub unencrypted_srtcp: bool,
    /// `UNAUTHENTICATED_SRTP`.
    pub unauthenticated_srtp: bool,
    /// `FEC_ORDER=FEC_SRTP`, the order that needs nothing of us: SRTP comes last when sending.
    pub fec_before_srtp: bool,
    /// `WSH`: the replay window that the sender suggests, in packets, 64 or more.
    pub window_size_hint: Option<u32>,
}

/// What is refused unless the operator allows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tolerance {
    /// The NULL suites.
    pub null_cipher: bool,
    /// `UNENCRYPTED_SRTP` and `UNENCRYPTED_SRTCP`.
    pub unencrypted: bool,
    /// `UNAUTHENTICATED_SRTP`; refused always under an AEAD suite, where it has no meaning.
    pub unauthenticated: bool,
}

/// Why a crypto line is unusable. Names are cut to what may be shown; keys are never in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CryptoError {
    /// Tag, suite and key parameters are not all there.
    Incomplete,
    /// The tag is not a number of 1 to 9 digits without leading zero.
    Tag,
    /// No suite of ours.
    UnknownSuite(String),
    /// A NULL suite, which is not allowed here.
    NullCipher,
    /// A key method other than `inline`.
    KeyMethod(String),
    /// More than [`MAX_KEYS`](crate::MAX_KEYS) keys.
    TooManyKeys,
    /// The key is not base64.
    KeyEncoding,
    /// The suite wants another number of bytes for key and salt together.
    KeyLength {
        /// Bytes that the suite wants.
        expected: usize,
        /// Bytes that the line has.
        found: usize,
    },
    /// The lifetime is no number of packets from 1 to 2^48.
    Lifetime,
    /// The MKI is no `value:length` with a length of 1 to 128 bytes that holds the value; or keys on one line have none,
    /// equal ones or ones of different lengths.
    Mki,
    /// Something else follows key, lifetime and MKI.
    KeyField,
    /// A session parameter that we do not know; only one that begins with `-` may be passed over.
    UnknownParameter(String),
    /// A session parameter that we know and do not support.
    UnsupportedParameter(String),
    /// A session parameter with a value out of range, or given twice.
    InvalidParameter(String),
    /// `UNENCRYPTED_SRTP` or `UNENCRYPTED_SRTCP`, which is not allowed here.
    Unencrypted,
    /// `UNAUTHENTICATED_SRTP`, which is not allowed here.
    Unauthenticated,
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("tag, suite or key is missing"),
            Self::Tag => f.write_str("the tag is not a number of 1 to 9 digits"),
            Self::UnknownSuite(name) => write!(f, "unknown suite {name}"),
            Self::NullCipher => f.write_str("a suite without encryption is not allowed"),
            Self::KeyMethod(name) => write!(f, "unknown key method {name}"),
            Self::TooManyKeys => f.write_str("too many keys"),
            Self::KeyEncoding => f.write_str("the key is not base64"),
            Self::KeyLength { expected, found } => write!(f, "key and salt are {found} bytes, not {expected}"),
            Self::Lifetime => f.write_str("the lifetime is not a number of packets from 1 to 2^48"),
            Self::Mki => f.write_str("unusable MKI"),
            Self::KeyField => f.write_str("more than key, lifetime and MKI"),
            Self::UnknownParameter(name) => write!(f, "unknown session parameter {name}"),
            Self::UnsupportedParameter(name) => write!(f, "unsupported session parameter {name}"),
            Self::InvalidParameter(name) => write!(f, "invalid session parameter {name}"),
            Self::Unencrypted => f.write_str("sending unencrypted is not allowed"),
            Self::Unauthenticated => f.write_str("sending unauthenticated is not allowed"),
        }
    }
}

impl std::error::Error for CryptoError {}

impl CryptoAttribute {
    /// A line with one key and no parameters.
    pub fn new(tag: u32, master: MasterKey, profile: Profile) -> Self {
        let keys = vec![CryptoKey { master, lifetime: None }];
        Self { tag, profile, legacy_name: false, keys, params: SessionParameters::default() }
    }

    /// Reads an attribute's value (`a=crypto:` before it does no harm), tolerating nothing of [`Tolerance`].
    pub fn parse(value: &str) -> Result<Self, CryptoError> {
        Self::parse_with(value, Tolerance::default())
    }

    /// Reads an attribute's value.
    pub fn parse_with(value: &str, tolerance: Tolerance) -> Result<Self, CryptoError> {
        parse::attribute(value, tolerance)
    }

    /// How packets under this line's keys are treated. Of several lifetimes the shortest counts for all keys.
    pub fn policy(&self) -> Policy {
        let mut policy = Policy::new(self.profile);
        policy.key_derivation_rate = self.params.key_derivation_rate;
        policy.encrypt_rtp = !self.params.unencrypted_srtp;
        policy.encrypt_rtcp = !self.params.unencrypted_srtcp;
        policy.authenticate_rtp = !self.params.unauthenticated_srtp;
        if let Some(hint) = self.params.window_size_hint.and_then(|hint| usize::try_from(hint).ok()) {
            // A hint: a larger window than asked for is safe, a smaller one would drop good packets.
            policy.replay_window = hint.clamp(policy.replay_window, crate::policy::MAX_REPLAY_WINDOW);
        }
        let lifetime = self.keys.iter().filter_map(|key| key.lifetime).min().unwrap_or(MAX_SRTP_LIFETIME);
        policy.srtp_lifetime = lifetime.clamp(1, MAX_SRTP_LIFETIME);
        policy.srtcp_lifetime = lifetime.clamp(1, MAX_SRTCP_LIFETIME);
        policy
    }

    /// The keys, for [`Inbound::new`](crate::Inbound::new).
    pub fn master_keys(&self) -> Vec<MasterKey> {
        self.keys.iter().map(|key| key.master.clone()).collect()
    }
}

impl fmt::Display for CryptoAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let legacy = self.profile.legacy_sdes_name().filter(|_| self.legacy_name);
        write!(f, "{} {} ", self.tag, legacy.unwrap_or(self.profile.sdes_name()))?;
        for (at, key) in self.keys.iter().enumerate() {
            if at > 0 {
                f.write_str(";")?;
            }
            write!(f, "{key}")?;
        }
        let params = &self.params;
        if params.key_derivation_rate != 0 {
            write!(f, " KDR={}", params.key_derivation_rate.ilog2())?;
        }
        for (set, name) in [
            (params.unencrypted_srtcp, "UNENCRYPTED_SRTCP"),
            (params.unencrypted_srtp, "UNENCRYPTED_SRTP"),
            (params.unauthenticated_srtp, "UNAUTHENTICATED_SRTP"),
            (params.fec_before_srtp, "FEC_ORDER=FEC_SRTP"),
        ] {
            if set {
                write!(f, " {name}")?;
            }
        }
        match params.window_size_hint {
            Some(hint) => write!(f, " WSH={hint}"),
            None => Ok(()),
        }
    }
}

/// `inline:` with padded base64: some peers demand the padding, and none refuses it.
impl fmt::Display for CryptoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Zeroizing::new(Vec::with_capacity(crate::key::MAX_KEY + crate::key::MAX_SALT));
        bytes.extend_from_slice(self.master.key());
        bytes.extend_from_slice(self.master.salt());
        let text = Zeroizing::new(STANDARD.encode(&*bytes));
        write!(f, "inline:{}", &*text)?;
        match self.lifetime {
            Some(packets) if packets.is_power_of_two() && packets > 1 => write!(f, "|2^{}", packets.ilog2())?,
            Some(packets) => write!(f, "|{packets}")?,
            None => {}
        }
        match self.master.mki() {
            [] => Ok(()),
            mki => write!(f, "|{}:{}", mki::to_decimal(mki), mki.len()),
        }
    }
}

#[cfg(test)]
mod tests;
