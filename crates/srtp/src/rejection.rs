//! Why a packet was not accepted.

use std::fmt;

/// Why a packet was neither opened nor protected. The packet's bytes and the context's state are as before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rejection {
    /// Shorter than header, tag and trailer together.
    TooShort,
    /// Not of version 2, or a header that its own lengths contradict.
    Malformed,
    /// This index was accepted before.
    Replayed,
    /// The index lies before the replay window.
    TooOld,
    /// The tag does not verify under any key that may be used.
    BadTag,
    /// No key has the packet's MKI.
    UnknownMki,
    /// An authentic SRTCP packet that is not encrypted although encryption was negotiated.
    NotEncrypted,
    /// Authentic, but of one SSRC more than the context keeps state for.
    TooManyStreams,
    /// The master key has protected as many packets as it may; only a new key helps.
    KeyExhausted,
    /// Another packet was already sent under this key, SSRC and index.
    IndexReused,
    /// The buffer has no room for tag and trailer, or the packet is longer than one IV may encrypt.
    TooLong,
    /// The job names a context that does not exist, or one that deals with packets of another kind.
    NoContext,
}

impl Rejection {
    /// A short name in snake case: a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::Malformed => "malformed",
            Self::Replayed => "replayed",
            Self::TooOld => "too_old",
            Self::BadTag => "bad_tag",
            Self::UnknownMki => "unknown_mki",
            Self::NotEncrypted => "not_encrypted",
            Self::TooManyStreams => "too_many_streams",
            Self::KeyExhausted => "key_exhausted",
            Self::IndexReused => "index_reused",
            Self::TooLong => "too_long",
            Self::NoContext => "no_context",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl std::error::Error for Rejection {}
