//! The forms of keys, policies and credentials, whose types are those of `srtp` and `ice`. Each is checked by its own type
//! when it is read.

use srtp::sdes::{CryptoAttribute, CryptoKey, SessionParameters};
use srtp::{MasterKey, Policy, Profile, RocPolicy};

use super::{Reader, Wire, WireError, Writer};
use crate::Credentials;

crate::wire! {
    /// Of these types.
    pub(super) const SHAPE;
    enum Profile {
        0 => AesCm128HmacSha1_80,
        1 => AesCm128HmacSha1_32,
        2 => AesCm192HmacSha1_80,
        3 => AesCm192HmacSha1_32,
        4 => AesCm256HmacSha1_80,
        5 => AesCm256HmacSha1_32,
        6 => AeadAes128Gcm,
        7 => AeadAes256Gcm,
        8 => NullHmacSha1_80,
        9 => NullHmacSha1_32,
    }
    enum RocPolicy { 0 => Keep, 1 => Reset, 2 => Probe }
    struct Policy {
        profile,
        key_derivation_rate,
        replay_window,
        encrypt_rtp,
        encrypt_rtcp,
        authenticate_rtp,
        accept_unencrypted_rtcp,
        roc_on_rekey,
        srtp_lifetime,
        srtcp_lifetime,
        max_streams via streams,
    }
    struct CryptoAttribute { tag, profile, legacy_name, keys, params }
    struct CryptoKey { master, lifetime }
    struct SessionParameters {
        key_derivation_rate,
        unencrypted_srtp,
        unencrypted_srtcp,
        unauthenticated_srtp,
        fec_before_srtp,
        window_size_hint,
    }
}

/// Everything in a [`Policy`] is checked where a context is made, but for the number of streams, which is memory.
mod streams {
    use super::{Reader, Wire, WireError, Writer};

    const MAX_STREAMS: usize = 4096;

    pub(super) fn encode(streams: &usize, writer: &mut Writer) {
        streams.encode(writer);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<usize, WireError> {
        usize::decode(reader)
            .and_then(|streams| if streams <= MAX_STREAMS { Ok(streams) } else { Err(WireError::TooLong) })
    }
}

impl Wire for MasterKey {
    fn encode(&self, writer: &mut Writer) {
        writer.counted(self.key());
        writer.counted(self.salt());
        writer.counted(self.mki());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let (key, salt, mki) = (reader.counted()?, reader.counted()?, reader.counted()?);
        // Whichever profile has these lengths; the context that takes the key asks for its own.
        let profile = Profile::all().find(|profile| profile.key_len() == key.len() && profile.salt_len() == salt.len());
        let key = profile.and_then(|profile| Self::new(profile, key, salt).ok()?.with_mki(mki).ok());
        key.ok_or(WireError::Invalid("master key"))
    }
}

impl Wire for Credentials {
    fn encode(&self, writer: &mut Writer) {
        writer.counted(self.ufrag.as_bytes());
        writer.counted(self.pwd.as_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let invalid = WireError::Invalid("ICE credentials");
        let (ufrag, pwd) = (reader.counted()?, reader.counted()?);
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| invalid);
        Self::new(text(ufrag)?, text(pwd)?).map_err(|_| invalid)
    }
}
