//! Protection profiles.

/// An SRTP protection profile: cipher, authentication, lengths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Profile {
    /// AES-128 in counter mode, HMAC-SHA1 with an 80-bit tag (RFC 3711).
    AesCm128HmacSha1_80,
    /// As above with a 32-bit tag on SRTP; SRTCP keeps 80 bits (RFC 4568 §6.2.2).
    AesCm128HmacSha1_32,
    /// AES-192 in counter mode (RFC 6188).
    AesCm192HmacSha1_80,
    /// AES-192 in counter mode, 32-bit SRTP tag.
    AesCm192HmacSha1_32,
    /// AES-256 in counter mode (RFC 6188).
    AesCm256HmacSha1_80,
    /// AES-256 in counter mode, 32-bit SRTP tag.
    AesCm256HmacSha1_32,
    /// AES-128-GCM with a 16-byte tag (RFC 7714).
    AeadAes128Gcm,
    /// AES-256-GCM with a 16-byte tag (RFC 7714).
    AeadAes256Gcm,
    /// No encryption, 80-bit tag (RFC 5764 §4.1.2).
    NullHmacSha1_80,
    /// No encryption, 32-bit SRTP tag.
    NullHmacSha1_32,
}

/// Every profile with the name that SDES gives it and its number in the DTLS `use_srtp` extension.
const TABLE: [(Profile, &str, Option<u16>); 10] = [
    (Profile::AesCm128HmacSha1_80, "AES_CM_128_HMAC_SHA1_80", Some(0x0001)),
    (Profile::AesCm128HmacSha1_32, "AES_CM_128_HMAC_SHA1_32", Some(0x0002)),
    (Profile::AesCm192HmacSha1_80, "AES_192_CM_HMAC_SHA1_80", None),
    (Profile::AesCm192HmacSha1_32, "AES_192_CM_HMAC_SHA1_32", None),
    (Profile::AesCm256HmacSha1_80, "AES_256_CM_HMAC_SHA1_80", None),
    (Profile::AesCm256HmacSha1_32, "AES_256_CM_HMAC_SHA1_32", None),
    (Profile::AeadAes128Gcm, "AEAD_AES_128_GCM", Some(0x0007)),
    (Profile::AeadAes256Gcm, "AEAD_AES_256_GCM", Some(0x0008)),
    (Profile::NullHmacSha1_80, "NULL_HMAC_SHA1_80", Some(0x0005)),
    (Profile::NullHmacSha1_32, "NULL_HMAC_SHA1_32", Some(0x0006)),
];

/// Spellings from drafts that phones still send, with the profile that they mean.
const LEGACY_NAMES: [(&str, Profile); 4] = [
    ("AES_CM_192_HMAC_SHA1_80", Profile::AesCm192HmacSha1_80),
    ("AES_CM_192_HMAC_SHA1_32", Profile::AesCm192HmacSha1_32),
    ("AES_CM_256_HMAC_SHA1_80", Profile::AesCm256HmacSha1_80),
    ("AES_CM_256_HMAC_SHA1_32", Profile::AesCm256HmacSha1_32),
];

/// The larger of the two tag lengths that HMAC-SHA1 is cut to, in bytes.
const HMAC_SHA1_80: usize = 10;
/// The smaller.
const HMAC_SHA1_32: usize = 4;
/// The only tag length of RFC 7714.
const GCM_TAG: usize = 16;

/// What encrypts and what authenticates, without key length or tag length: the unit in which a batch is grouped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    CounterMode,
    Gcm,
    Null,
}

impl Profile {
    /// Every profile, in the order of the enum.
    pub fn all() -> impl Iterator<Item = Profile> {
        TABLE.iter().map(|entry| entry.0)
    }

    /// Length of the master key in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80
            | Self::AesCm128HmacSha1_32
            | Self::AeadAes128Gcm
            | Self::NullHmacSha1_80
            | Self::NullHmacSha1_32 => 16,
            Self::AesCm192HmacSha1_80 | Self::AesCm192HmacSha1_32 => 24,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt in bytes.
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Length of the tag on SRTP packets in bytes.
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => GCM_TAG,
            Self::AesCm128HmacSha1_80
            | Self::AesCm192HmacSha1_80
            | Self::AesCm256HmacSha1_80
            | Self::NullHmacSha1_80 => HMAC_SHA1_80,
            Self::AesCm128HmacSha1_32
            | Self::AesCm192HmacSha1_32
            | Self::AesCm256HmacSha1_32
            | Self::NullHmacSha1_32 => HMAC_SHA1_32,
        }
    }

    /// Length of the tag on SRTCP packets in bytes: 80 bits also where the profile's name ends in 32.
    pub const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { GCM_TAG } else { HMAC_SHA1_80 }
    }

    /// Strength of the encryption in bits; 0 for NULL.
    pub const fn strength_bits(self) -> u16 {
        match self {
            Self::NullHmacSha1_80 | Self::NullHmacSha1_32 => 0,
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 128,
            Self::AesCm192HmacSha1_80 | Self::AesCm192HmacSha1_32 => 192,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 256,
        }
    }

    /// Whether one algorithm encrypts and authenticates (RFC 7714).
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }

    /// Whether nothing is encrypted.
    pub const fn is_null(self) -> bool {
        matches!(self, Self::NullHmacSha1_80 | Self::NullHmacSha1_32)
    }

    /// The suite's name in `a=crypto` (RFC 4568, RFC 6188, RFC 7714). NULL has none that is registered; this is the one in
    /// use.
    pub fn sdes_name(self) -> &'static str {
        TABLE.iter().find(|entry| entry.0 == self).map_or("", |entry| entry.1)
    }

    /// The profile that `a=crypto` calls `name`, in any case, legacy spellings included.
    pub fn from_sdes_name(name: &str) -> Option<Self> {
        let registered = TABLE.iter().find(|entry| entry.1.eq_ignore_ascii_case(name)).map(|entry| entry.0);
        registered.or_else(|| LEGACY_NAMES.iter().find(|entry| entry.0.eq_ignore_ascii_case(name)).map(|entry| entry.1))
    }

    /// A name from before its registration, which some devices still use and know alone.
    pub fn legacy_sdes_name(self) -> Option<&'static str> {
        LEGACY_NAMES.iter().find(|entry| entry.1 == self).map(|entry| entry.0)
    }

    /// Its number in the `use_srtp` extension (RFC 5764 §4.1.2, RFC 7714 §14.2); AES-192 and AES-256 in counter mode have
    /// none.
    pub fn dtls_id(self) -> Option<u16> {
        TABLE.iter().find(|entry| entry.0 == self).and_then(|entry| entry.2)
    }

    /// The profile with that number in `use_srtp`.
    pub fn from_dtls_id(id: u16) -> Option<Self> {
        TABLE.iter().find(|entry| entry.2 == Some(id)).map(|entry| entry.0)
    }

    pub(crate) const fn family(self) -> Family {
        if self.is_aead() {
            Family::Gcm
        } else if self.is_null() {
            Family::Null
        } else {
            Family::CounterMode
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_found_by_its_names() {
        for profile in Profile::all() {
            assert_eq!(Profile::from_sdes_name(profile.sdes_name()), Some(profile));
            assert_eq!(Profile::from_sdes_name(&profile.sdes_name().to_lowercase()), Some(profile));
            if let Some(id) = profile.dtls_id() {
                assert_eq!(Profile::from_dtls_id(id), Some(profile));
            }
        }
        assert_eq!(Profile::from_dtls_id(3), None);
    }

    #[test]
    fn legacy_spellings_are_known_and_shortened_gcm_tags_are_not() {
        assert_eq!(Profile::from_sdes_name("AES_CM_256_HMAC_SHA1_80"), Some(Profile::AesCm256HmacSha1_80));
        assert_eq!(Profile::from_sdes_name("AEAD_AES_256_GCM_8"), None);
        assert_eq!(Profile::from_sdes_name(""), None);
    }

    #[test]
    fn the_srtcp_tag_stays_at_80_bits() {
        assert_eq!(Profile::AesCm128HmacSha1_32.rtp_tag_len(), 4);
        assert_eq!(Profile::AesCm128HmacSha1_32.rtcp_tag_len(), 10);
    }
}
