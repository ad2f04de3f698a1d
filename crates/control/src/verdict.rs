//! Every way a packet can end.

/// Every way a packet can end. Each is a metric label; one packet has one verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// RTP or RTCP that left on another transport; where keys pass through, DTLS and ZRTP as well.
    Forwarded,
    /// A datagram of a protocol other than RTP that left on another transport as it came.
    Relayed,
    /// STUN that was dealt with.
    Stun,
    /// DTLS that went to its association.
    Dtls,
    /// Longer than a slot takes.
    Truncated,
    /// No first byte that we know (RFC 7983), or too short for its kind.
    Malformed,
    /// ZRTP on a leg that is not keyed by it.
    UnexpectedZrtp,
    /// DTLS on a leg that is not keyed by it.
    UnexpectedDtls,
    /// STUN on a leg without ICE.
    UnexpectedStun,
    /// A STUN message whose integrity does not verify, or that has no use.
    BadStun,
    /// RTP on the RTCP port or the other way round.
    WrongComponent,
    /// The source is not the peer's validated, latched or signalled address.
    UnexpectedSource,
    /// DTLS whose source has no standing (not validated, not signalled, or beyond the number of tentative associations).
    RejectedDtls,
    /// The leg has no keys yet.
    NotKeyed,
    /// The index was seen before.
    Replayed,
    /// The index is behind the replay window.
    TooOld,
    /// Authentication failed.
    BadTag,
    /// The MKI names no key that we have.
    UnknownMki,
    /// SRTCP in the clear on a leg that negotiated encryption.
    NotEncrypted,
    /// One SSRC more than a transport may have.
    TooManyStreams,
    /// The master key has reached the end of its lifetime.
    KeyExhausted,
    /// No flow claims it.
    NoFlow,
    /// Authentic, but of an answer to our offer that another one has taken the place of.
    OtherBranch,
    /// Held or blocked.
    Held,
    /// RTCP that the egress leg does not want.
    Filtered,
    /// The egress leg is not ready: no keys, no address or no consent.
    EgressNotReady,
    /// Would repeat or precede an index already used under the egress key.
    IndexReused,
    /// Grew beyond the slot when encrypted.
    TooLong,
    /// Sequence numbers of a plain source that is not valid yet (RFC 3550 A.1).
    Probation,
    /// Waits in a short queue for keys or for the role; counted again when it leaves the queue.
    Queued,
    /// The queue in front of a handshake thread is full.
    QueueFull,
}

impl Verdict {
    /// One of each.
    pub const ALL: [Self; 31] = [
        Self::Forwarded,
        Self::Relayed,
        Self::Stun,
        Self::Dtls,
        Self::Truncated,
        Self::Malformed,
        Self::UnexpectedZrtp,
        Self::UnexpectedDtls,
        Self::UnexpectedStun,
        Self::BadStun,
        Self::WrongComponent,
        Self::UnexpectedSource,
        Self::RejectedDtls,
        Self::NotKeyed,
        Self::Replayed,
        Self::TooOld,
        Self::BadTag,
        Self::UnknownMki,
        Self::NotEncrypted,
        Self::TooManyStreams,
        Self::KeyExhausted,
        Self::NoFlow,
        Self::OtherBranch,
        Self::Held,
        Self::Filtered,
        Self::EgressNotReady,
        Self::IndexReused,
        Self::TooLong,
        Self::Probation,
        Self::Queued,
        Self::QueueFull,
    ];

    /// Position in [`Verdict::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Relayed => "relayed",
            Self::Stun => "stun",
            Self::Dtls => "dtls",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::UnexpectedZrtp => "unexpected_zrtp",
            Self::UnexpectedDtls => "unexpected_dtls",
            Self::UnexpectedStun => "unexpected_stun",
            Self::BadStun => "bad_stun",
            Self::WrongComponent => "wrong_component",
            Self::UnexpectedSource => "unexpected_source",
            Self::RejectedDtls => "rejected_dtls",
            Self::NotKeyed => "not_keyed",
            Self::Replayed => "replayed",
            Self::TooOld => "too_old",
            Self::BadTag => "bad_tag",
            Self::UnknownMki => "unknown_mki",
            Self::NotEncrypted => "not_encrypted",
            Self::TooManyStreams => "too_many_streams",
            Self::KeyExhausted => "key_exhausted",
            Self::NoFlow => "no_flow",
            Self::OtherBranch => "other_branch",
            Self::Held => "held",
            Self::Filtered => "filtered",
            Self::EgressNotReady => "egress_not_ready",
            Self::IndexReused => "index_reused",
            Self::TooLong => "too_long",
            Self::Probation => "probation",
            Self::Queued => "queued",
            Self::QueueFull => "queue_full",
        }
    }

    /// True for packets that came to their end as intended.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Forwarded | Self::Relayed | Self::Stun | Self::Dtls)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_verdict_stands_at_its_index_and_has_a_label_of_its_own() {
        for (index, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(verdict.index(), index);
        }
        let labels: HashSet<_> = Verdict::ALL.iter().map(|verdict| verdict.label()).collect();
        assert_eq!(labels.len(), Verdict::ALL.len());
    }
}
