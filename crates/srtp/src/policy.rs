//! How a context treats packets.

use crate::{KeyError, Profile};

/// What becomes of the rollover counter when the master key changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RocPolicy {
    /// It goes on (RFC 3711 §3.3.1).
    #[default]
    Keep,
    /// It starts at 0.
    Reset,
    /// It goes on; when a packet fails, also 0 and one more or less are tried, and the first that verifies is committed.
    Probe,
}

/// Most packets of one master key that SRTP may protect (RFC 3711 §9.2).
pub const MAX_SRTP_LIFETIME: u64 = 1 << 48;
/// Most packets of one master key that SRTCP may protect (RFC 3711 §9.2).
pub const MAX_SRTCP_LIFETIME: u64 = 1 << 31;
/// The largest key derivation rate (RFC 3711 §8.2).
pub const MAX_KEY_DERIVATION_RATE: u64 = 1 << 24;
/// The largest replay window, in packets: half of the sequence space would make the index guess ambiguous.
pub(crate) const MAX_REPLAY_WINDOW: usize = 1 << 14;
/// The smallest (RFC 3711 §3.3.2), in packets.
const MIN_REPLAY_WINDOW: usize = 64;

/// How a context treats packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Cipher and authentication.
    pub profile: Profile,
    /// New session keys every this many packets (RFC 3711 §4.3.1): 0 for never, or a power of two up to 2^24.
    pub key_derivation_rate: u64,
    /// Packets that the replay window (receiving) and the reuse window (sending) look back: 64 to 16384.
    pub replay_window: usize,
    /// Off: `UNENCRYPTED_SRTP` was negotiated.
    pub encrypt_rtp: bool,
    /// Off: `UNENCRYPTED_SRTCP` was negotiated.
    pub encrypt_rtcp: bool,
    /// Off: `UNAUTHENTICATED_SRTP` was negotiated. SRTCP is always authenticated.
    pub authenticate_rtp: bool,
    /// Take SRTCP packets that are authentic but not encrypted although `encrypt_rtcp` is on.
    pub accept_unencrypted_rtcp: bool,
    /// What becomes of the rollover counter when this policy's keys replace others.
    pub roc_on_rekey: RocPolicy,
    /// SRTP packets that one master key may protect, at most 2^48.
    pub srtp_lifetime: u64,
    /// SRTCP packets that one master key may protect, at most 2^31.
    pub srtcp_lifetime: u64,
    /// SSRCs that one context keeps state for.
    pub max_streams: usize,
}

impl Policy {
    /// The defaults for `profile`: everything encrypted and authenticated, no key derivation rate, a window of 1024, the
    /// longest lifetimes, 64 streams.
    pub const fn new(profile: Profile) -> Self {
        Self {
            profile,
            key_derivation_rate: 0,
            replay_window: 1024,
            encrypt_rtp: true,
            encrypt_rtcp: true,
            authenticate_rtp: true,
            accept_unencrypted_rtcp: false,
            roc_on_rekey: RocPolicy::Keep,
            srtp_lifetime: MAX_SRTP_LIFETIME,
            srtcp_lifetime: MAX_SRTCP_LIFETIME,
            max_streams: 64,
        }
    }

    /// Most bytes that protection adds to an RTP packet whose key has an MKI of `mki_len` bytes.
    pub const fn rtp_overhead(&self, mki_len: usize) -> usize {
        self.rtp_tag_len() + mki_len
    }

    /// Most bytes that protection adds to an RTCP packet: tag, E bit with index, MKI.
    pub const fn rtcp_overhead(&self, mki_len: usize) -> usize {
        self.profile.rtcp_tag_len() + 4 + mki_len
    }

    pub(crate) const fn rtp_tag_len(&self) -> usize {
        if self.authenticate_rtp { self.profile.rtp_tag_len() } else { 0 }
    }

    pub(crate) fn check(&self) -> Result<(), KeyError> {
        let rate = self.key_derivation_rate;
        let rate_fits = rate == 0 || (rate.is_power_of_two() && rate <= MAX_KEY_DERIVATION_RATE);
        let window_fits = (MIN_REPLAY_WINDOW..=MAX_REPLAY_WINDOW).contains(&self.replay_window);
        let lifetimes_fit = (1..=MAX_SRTP_LIFETIME).contains(&self.srtp_lifetime)
            && (1..=MAX_SRTCP_LIFETIME).contains(&self.srtcp_lifetime);
        let tag_fits = self.authenticate_rtp || !self.profile.is_aead();
        if rate_fits && window_fits && lifetimes_fit && tag_fits { Ok(()) } else { Err(KeyError::Policy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_not() {
        let good = Policy::new(Profile::AeadAes128Gcm);
        assert_eq!(good.check(), Ok(()));
        let bad = [
            Policy { key_derivation_rate: 3, ..good.clone() },
            Policy { key_derivation_rate: 1 << 25, ..good.clone() },
            Policy { replay_window: 63, ..good.clone() },
            Policy { replay_window: 1 << 15, ..good.clone() },
            Policy { srtp_lifetime: 0, ..good.clone() },
            Policy { srtcp_lifetime: 1 << 32, ..good.clone() },
            Policy { authenticate_rtp: false, ..good.clone() },
        ];
        for policy in bad {
            assert_eq!(policy.check(), Err(KeyError::Policy), "{policy:?}");
        }
    }
}
