//! Master keys.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::Profile;

/// The longest master key of any profile, in bytes.
pub(crate) const MAX_KEY: usize = 32;
/// The longest master salt of any profile, in bytes.
pub(crate) const MAX_SALT: usize = 14;
/// The longest master key identifier (RFC 4568 §6.1), in bytes.
pub const MAX_MKI: usize = 128;
/// Most master keys that one context takes at a time.
pub const MAX_KEYS: usize = 16;

/// A master key with its salt and, where the packets carry one, its identifier (MKI).
///
/// It has no `Debug`, compares in constant time and is wiped when dropped.
#[derive(Clone)]
pub struct MasterKey {
    key: [u8; MAX_KEY],
    salt: [u8; MAX_SALT],
    key_len: u8,
    salt_len: u8,
    mki: Box<[u8]>,
}

/// Why a key, or a set of keys, cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The profile wants a master key or a salt of another length.
    WrongLength,
    /// No key, or more than [`MAX_KEYS`].
    WrongNumber,
    /// An MKI longer than [`MAX_MKI`], or of another length than the other keys', or used twice, or missing where several
    /// keys must be told apart.
    Mki,
    /// The policy contradicts itself or the profile: a key derivation rate that is no power of two up to 2^24, a window or
    /// a lifetime out of range, or SRTP without authentication under an AEAD profile.
    Policy,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongLength => "master key or salt of the wrong length",
            Self::WrongNumber => "no master key or too many",
            Self::Mki => "unusable master key identifiers",
            Self::Policy => "contradictory SRTP policy",
        })
    }
}

impl std::error::Error for KeyError {}

impl MasterKey {
    /// A key for `profile`, without MKI.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return Err(KeyError::WrongLength);
        }
        let mut master = Self {
            key: [0; MAX_KEY],
            // Both lengths are a profile's, and far below 256.
            key_len: key.len() as u8,
            salt: [0; MAX_SALT],
            salt_len: salt.len() as u8,
            mki: Box::default(),
        };
        for (to, from) in master.key.iter_mut().zip(key) {
            *to = *from;
        }
        for (to, from) in master.salt.iter_mut().zip(salt) {
            *to = *from;
        }
        Ok(master)
    }

    /// The same key under the identifier that its packets carry: 1 to [`MAX_MKI`] bytes; none when empty.
    pub fn with_mki(mut self, mki: &[u8]) -> Result<Self, KeyError> {
        if mki.len() > MAX_MKI {
            return Err(KeyError::Mki);
        }
        self.mki = mki.into();
        Ok(self)
    }

    /// The key's bytes: for printing `a=crypto` and for the control link.
    pub fn key(&self) -> &[u8] {
        self.key.get(..usize::from(self.key_len)).unwrap_or_default()
    }

    /// The salt's bytes.
    pub fn salt(&self) -> &[u8] {
        self.salt.get(..usize::from(self.salt_len)).unwrap_or_default()
    }

    /// The identifier that packets carry; empty when they carry none.
    pub fn mki(&self) -> &[u8] {
        &self.mki
    }

    /// Whether key and salt are of the lengths that `profile` wants.
    pub fn fits(&self, profile: Profile) -> bool {
        self.key().len() == profile.key_len() && self.salt().len() == profile.salt_len()
    }

    /// The salt, padded with zeros to 112 bits (RFC 7714 §11).
    pub(crate) fn padded_salt(&self) -> [u8; MAX_SALT] {
        self.salt
    }

    /// Whether both name the same secret, whatever their MKI.
    pub(crate) fn same_secret(&self, other: &Self) -> bool {
        let lengths = self.key_len == other.key_len && self.salt_len == other.salt_len;
        lengths & bool::from(self.key.ct_eq(&other.key) & self.salt.ct_eq(&other.salt))
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        self.same_secret(other) & (self.mki == other.mki)
    }
}

impl Eq for MasterKey {}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

/// Checks a set of keys that one context shall use at the same time.
pub(crate) fn check_keys(profile: Profile, keys: &[MasterKey]) -> Result<(), KeyError> {
    let first = keys.first().ok_or(KeyError::WrongNumber)?;
    if keys.len() > MAX_KEYS {
        return Err(KeyError::WrongNumber);
    }
    if !keys.iter().all(|key| key.fits(profile)) {
        return Err(KeyError::WrongLength);
    }
    let distinct = keys.iter().enumerate().all(|(at, key)| keys.iter().take(at).all(|other| other.mki != key.mki));
    if !distinct || keys.iter().any(|key| key.mki.len() != first.mki.len()) {
        return Err(KeyError::Mki);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: Profile = Profile::AesCm128HmacSha1_80;

    fn key(first: u8) -> MasterKey {
        MasterKey::new(PROFILE, &[first; 16], &[2; 14]).unwrap()
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused() {
        assert!(MasterKey::new(PROFILE, &[0; 15], &[0; 14]).is_err());
        assert!(MasterKey::new(PROFILE, &[0; 16], &[0; 12]).is_err());
        assert!(MasterKey::new(Profile::AeadAes256Gcm, &[0; 32], &[0; 12]).is_ok());
    }

    #[test]
    fn keys_are_equal_only_with_the_same_secret_and_identifier() {
        assert!(key(1) == key(1));
        assert!(key(1) != key(2));
        assert!(key(1) != key(1).with_mki(&[1]).unwrap());
    }

    #[test]
    fn several_keys_need_distinct_identifiers_of_one_length() {
        let with = |first, mki: &[u8]| key(first).with_mki(mki).unwrap();
        assert!(check_keys(PROFILE, &[]).is_err());
        assert!(check_keys(PROFILE, &[key(1)]).is_ok());
        assert!(check_keys(PROFILE, &[key(1), key(2)]).is_err());
        assert!(check_keys(PROFILE, &[with(1, &[1]), with(2, &[2])]).is_ok());
        assert!(check_keys(PROFILE, &[with(1, &[1]), with(2, &[0, 2])]).is_err());
        assert!(key(1).with_mki(&[0; MAX_MKI + 1]).is_err());
    }
}
