//! Reading a crypto line (RFC 4568 §9.2).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::{CryptoAttribute, CryptoError, CryptoKey, SessionParameters, Tolerance, mki};
use crate::key::{MAX_KEYS, MAX_MKI};
use crate::policy::MAX_SRTP_LIFETIME;
use crate::{MasterKey, Profile};

/// The standard alphabet; what is left over in the last character is nobody's fault but the encoder's.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The smallest `WSH` (RFC 4568 §6.3.7).
const MIN_WINDOW_HINT: u32 = 64;
/// The largest exponent of `KDR` (RFC 4568 §6.3.1).
const MAX_RATE_EXPONENT: u32 = 24;

pub(super) fn attribute(value: &str, tolerance: Tolerance) -> Result<CryptoAttribute, CryptoError> {
    let value = value.trim_ascii();
    let value = value.strip_prefix("a=").unwrap_or(value);
    let value = value.strip_prefix("crypto:").unwrap_or(value);
    let mut words = value.split_ascii_whitespace();
    let mut word = || words.next().ok_or(CryptoError::Incomplete);
    let tag = tag(word()?)?;
    let suite = word()?;
    let profile = Profile::from_sdes_name(suite).ok_or_else(|| CryptoError::UnknownSuite(shown(suite)))?;
    if profile.is_null() && !tolerance.null_cipher {
        return Err(CryptoError::NullCipher);
    }
    let keys = keys(profile, word()?)?;
    let params = parameters(profile, words, tolerance)?;
    let legacy_name = profile.legacy_sdes_name().is_some_and(|legacy| legacy.eq_ignore_ascii_case(suite));
    Ok(CryptoAttribute { tag, profile, legacy_name, keys, params })
}

fn tag(word: &str) -> Result<u32, CryptoError> {
    if word.len() > 9 { Err(CryptoError::Tag) } else { number(word).ok_or(CryptoError::Tag) }
}

fn keys(profile: Profile, word: &str) -> Result<Vec<CryptoKey>, CryptoError> {
    let mut keys = Vec::new();
    for parameter in word.split(';') {
        if keys.len() == MAX_KEYS {
            return Err(CryptoError::TooManyKeys);
        }
        keys.push(key(profile, parameter)?);
    }
    // Packets can be told apart by nothing but the MKI.
    let masters: Vec<MasterKey> = keys.iter().map(|key| key.master.clone()).collect();
    crate::key::check_keys(profile, &masters).map_err(|_| CryptoError::Mki)?;
    Ok(keys)
}

fn key(profile: Profile, parameter: &str) -> Result<CryptoKey, CryptoError> {
    let (method, info) = parameter.split_once(':').ok_or(CryptoError::Incomplete)?;
    if !method.eq_ignore_ascii_case("inline") {
        return Err(CryptoError::KeyMethod(shown(method)));
    }
    let mut fields = info.split('|');
    let master = master_key(profile, fields.next().unwrap_or_default())?;
    let (mut lifetime, mut identifier) = (None, None);
    for field in fields {
        // Either field may be missing; only the MKI has a colon, and it comes last.
        match field.split_once(':') {
            Some((value, len)) if identifier.is_none() => identifier = Some(read_mki(value, len)?),
            None if lifetime.is_none() && identifier.is_none() => lifetime = Some(read_lifetime(field)?),
            _ => return Err(CryptoError::KeyField),
        }
    }
    let master = match identifier {
        Some(identifier) => master.with_mki(&identifier).map_err(|_| CryptoError::Mki)?,
        None => master,
    };
    Ok(CryptoKey { master, lifetime })
}

fn master_key(profile: Profile, text: &str) -> Result<MasterKey, CryptoError> {
    let expected = profile.key_len() + profile.salt_len();
    let unpadded = text.trim_end_matches('=');
    if text.len() - unpadded.len() > 2 {
        return Err(CryptoError::KeyEncoding);
    }
    // Nothing longer than the longest key is worth decoding.
    if unpadded.len() > 2 * expected {
        return Err(CryptoError::KeyLength { expected, found: unpadded.len() / 4 * 3 });
    }
    let bytes = Zeroizing::new(BASE64.decode(unpadded).map_err(|_| CryptoError::KeyEncoding)?);
    let wrong_length = CryptoError::KeyLength { expected, found: bytes.len() };
    let (key, salt) = bytes.split_at_checked(profile.key_len()).ok_or(wrong_length.clone())?;
    MasterKey::new(profile, key, salt).map_err(|_| wrong_length)
}

fn read_lifetime(field: &str) -> Result<u64, CryptoError> {
    let packets = match field.strip_prefix("2^") {
        Some(exponent) => number(exponent).and_then(|exponent| 1u64.checked_shl(exponent)),
        None => number(field),
    };
    packets.filter(|packets| (1..=MAX_SRTP_LIFETIME).contains(packets)).ok_or(CryptoError::Lifetime)
}

fn read_mki(value: &str, len: &str) -> Result<Vec<u8>, CryptoError> {
    let len = number::<usize>(len).filter(|len| (1..=MAX_MKI).contains(len)).ok_or(CryptoError::Mki)?;
    mki::from_decimal(value, len).ok_or(CryptoError::Mki)
}

fn parameters<'a>(
    profile: Profile,
    words: impl Iterator<Item = &'a str>,
    tolerance: Tolerance,
) -> Result<SessionParameters, CryptoError> {
    let mut params = SessionParameters::default();
    for word in words {
        if word.starts_with('-') {
            continue;
        }
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let invalid = || CryptoError::InvalidParameter(shown(name));
        match (name, value) {
            ("KDR", Some(value)) => {
                let exponent = number::<u32>(value).filter(|exponent| *exponent <= MAX_RATE_EXPONENT);
                let rate = 1 << exponent.ok_or_else(invalid)?;
                if params.key_derivation_rate != 0 {
                    return Err(invalid());
                }
                params.key_derivation_rate = rate;
            }
            ("WSH", Some(value)) => {
                let hint = number::<u32>(value).filter(|hint| *hint >= MIN_WINDOW_HINT).ok_or_else(invalid)?;
                if params.window_size_hint.replace(hint).is_some() {
                    return Err(invalid());
                }
            }
            ("UNENCRYPTED_SRTP", None) => params.unencrypted_srtp = true,
            ("UNENCRYPTED_SRTCP", None) => params.unencrypted_srtcp = true,
            ("UNAUTHENTICATED_SRTP", None) => params.unauthenticated_srtp = true,
            ("FEC_ORDER", Some("FEC_SRTP")) => params.fec_before_srtp = true,
            ("FEC_ORDER", Some("SRTP_FEC")) | ("FEC_KEY", Some(_)) => {
                return Err(CryptoError::UnsupportedParameter(shown(name)));
            }
            (
                "KDR"
                | "WSH"
                | "UNENCRYPTED_SRTP"
                | "UNENCRYPTED_SRTCP"
                | "UNAUTHENTICATED_SRTP"
                | "FEC_ORDER"
                | "FEC_KEY",
                _,
            ) => return Err(invalid()),
            _ => return Err(CryptoError::UnknownParameter(shown(name))),
        }
    }
    if (params.unencrypted_srtp || params.unencrypted_srtcp) && !tolerance.unencrypted {
        return Err(CryptoError::Unencrypted);
    }
    if params.unauthenticated_srtp && (profile.is_aead() || !tolerance.unauthenticated) {
        return Err(CryptoError::Unauthenticated);
    }
    Ok(params)
}

/// A decimal number without sign and without leading zero.
fn number<N: std::str::FromStr>(digits: &str) -> Option<N> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

/// What may be shown of a name: its first 40 characters that a name can have, so that no key gets into a log.
fn shown(name: &str) -> String {
    let of_a_name = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    name.chars().take_while(of_a_name).take(40).collect()
}
