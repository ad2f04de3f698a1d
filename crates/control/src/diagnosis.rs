//! What a worker has noticed of a transport beside counting: for those who ask why there is no audio.

use std::net::SocketAddr;
use std::time::Duration;

use srtp::Profile;

use crate::{DtlsRole, LegId, Verdict};

/// What a worker has noticed of a transport beside counting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// How the peer's address is known.
    pub latch: LatchState,
    /// ICE checks received.
    pub checks: CheckCounts,
    /// How far the DTLS association has come; all zero without DTLS.
    pub dtls: DtlsProgress,
    /// Since the last accepted RTP packet. `None`: there was none.
    pub last_rtp_age: Option<Duration>,
    /// The latest datagram but STUN that was not accepted.
    pub last_rejection: Option<LastRejection>,
    /// Payload type of the latest packet that no flow claims.
    pub unclaimed_payload_type: Option<u8>,
    /// From here to the peer and back, by RTCP (RFC 3550 §6.4.1). `None`: no report allows to tell.
    pub round_trip: Option<Duration>,
    /// What fits packets that could not be authenticated or understood, most often found first.
    pub suspicions: Vec<Suspicion>,
}

/// How the address of a peer without ICE is known (RFC 7362).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatchState {
    /// ICE decides, or there is no plan yet.
    #[default]
    Off,
    /// Learning was turned off: the signalled address is used.
    Disabled,
    /// No packet has confirmed or changed the signalled address.
    Signalled,
    /// Learnt from packets; a further one may change it.
    Learnt,
    /// Learnt from packets of a plain leg and kept until signalling says otherwise.
    Locked,
}

/// ICE checks received, by their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Valid.
    pub valid: u64,
    /// With a user name that is not ours: of another call, or from before an ICE restart.
    pub unknown_user: u64,
    /// With our user name and a wrong password.
    pub bad_integrity: u64,
    /// From a peer that claims to be controlled, as we are.
    pub role_conflict: u64,
    /// Malformed, incomplete, or no check at all.
    pub other: u64,
    /// Who sent the latest one that was not valid.
    pub last_refused: Option<SocketAddr>,
}

/// How far a DTLS association has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DtlsProgress {
    /// Our role. `None`: not known yet.
    pub role: Option<DtlsRole>,
    /// Datagrams received for this association.
    pub datagrams_in: u64,
    /// Those among them that begin with a ClientHello.
    pub client_hellos_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// The peer has closed the association after it was keyed (close_notify).
    pub closed_by_peer: bool,
}

/// A datagram that was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRejection {
    /// Why.
    pub verdict: Verdict,
    /// Who sent it.
    pub source: SocketAddr,
    /// How long ago.
    pub age: Duration,
}

/// Something that fits packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// What.
    pub hypothesis: Hypothesis,
    /// Packets that it was found to fit; few are tried.
    pub packets: u64,
    /// Since the latest of them.
    pub age: Duration,
}

/// What fits a packet that could not be authenticated, or that is not what the leg negotiated. Found by trial on a copy;
/// never a reason to accept anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hypothesis {
    /// The right key, and a rollover counter that differs from ours by so much (the peer's less ours).
    RolloverCounter {
        /// -2, -1, 1 or 2.
        offset: i8,
    },
    /// The right key, and a rollover counter that began at 0 again.
    RolloverCounterRestarted,
    /// The key that the peer had before its latest one.
    PreviousKey,
    /// The key that the peer of another leg signalled for what it sends.
    PeerKeyOfLeg(LegId),
    /// The key under which we send to another leg.
    OurKeyOfLeg(LegId),
    /// The key under which we send on this very leg: directions are swapped.
    OurKey,
    /// The right key, used with another profile or tag length.
    OtherProfile(Profile),
    /// The right key, without the MKI that was negotiated.
    MkiMissing,
    /// The right key, with an MKI of so many bytes that was not negotiated.
    MkiUnexpected {
        /// Bytes.
        length: u8,
    },
    /// Not encrypted at all, on a secure leg.
    Plain,
    /// Encrypted, as far as one can see, on a plain leg.
    Encrypted,
    /// None of the above.
    Unknown,
}

impl Hypothesis {
    /// In one word.
    pub fn label(self) -> &'static str {
        match self {
            Self::RolloverCounter { .. } => "rollover_counter",
            Self::RolloverCounterRestarted => "rollover_counter_restarted",
            Self::PreviousKey => "previous_key",
            Self::PeerKeyOfLeg(_) => "peer_key_of_other_leg",
            Self::OurKeyOfLeg(_) => "our_key_of_other_leg",
            Self::OurKey => "our_key",
            Self::OtherProfile(_) => "other_profile",
            Self::MkiMissing => "mki_missing",
            Self::MkiUnexpected { .. } => "mki_unexpected",
            Self::Plain => "plain",
            Self::Encrypted => "encrypted",
            Self::Unknown => "unknown",
        }
    }
}
