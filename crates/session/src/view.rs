//! What an operator sees of a call: its legs, keying, endpoints and the security ledger.

use std::fmt;
use std::net::SocketAddr;
use std::time::SystemTime;

use control::{Component, LegId, SecuredBy, TransportFailure, TransportId};

use crate::WorkerId;

/// One line of the list of calls.
#[derive(Clone, Debug)]
pub struct CallSummary {
    /// The Call-ID.
    pub call_id: String,
    /// When its first offer came.
    pub created: SystemTime,
    /// The worker that owns it.
    pub worker: WorkerId,
    /// Its state.
    pub state: CallState,
    /// How many legs it has.
    pub legs: usize,
    /// Any leg is or was less secure than another, or than asked for.
    pub downgraded: bool,
}

/// A call's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// Offered, not answered.
    Offered,
    /// Answered.
    Answered,
    /// Deleted; its ports stay open for a while.
    Ending,
}

impl CallState {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Answered => "answered",
            Self::Ending => "ending",
        }
    }
}

/// A call in full.
#[derive(Clone, Debug)]
pub struct CallView {
    /// The line of the list.
    pub summary: CallSummary,
    /// Its legs.
    pub legs: Vec<LegView>,
    /// What happened that bears on its security, oldest first.
    pub ledger: Vec<LedgerEntry>,
}

/// A leg.
#[derive(Clone, Debug)]
pub struct LegView {
    /// Its name inside the call.
    pub id: LegId,
    /// The legs that it talks with, itself if it hears itself; for a branch that lost, those that it would.
    pub partners: Vec<LegId>,
    /// Its tag; empty when not known yet.
    pub tag: String,
    /// Of the request that reached it.
    pub via_branch: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Name of its interface.
    pub interface: String,
    /// Media flow between this leg and the offerer. False for a branch that lost.
    pub active: bool,
    /// Its media sections.
    pub sections: Vec<SectionView>,
}

/// A media section of a leg.
#[derive(Clone, Debug)]
pub struct SectionView {
    /// From 0.
    pub index: usize,
    /// `audio`, `video` …
    pub kind: String,
    /// `a=mid`
    pub mid: Option<String>,
    /// As in SDP: `RTP/SAVP`, `udptl`. Empty when rejected before it was known.
    pub protocol: String,
    /// How it is keyed.
    pub keying: KeyingKind,
    /// Port 0 on one side.
    pub rejected: bool,
    /// The peer is ready to receive.
    pub peer_receives: bool,
    /// The peer is ready to send.
    pub peer_sends: bool,
    /// RTP, then RTCP if it has a port of its own. Bundled sections name the same.
    pub transports: Vec<TransportView>,
}

/// How a section is keyed, as far as signalling knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyingKind {
    /// Plain RTP.
    Plain,
    /// Not agreed yet.
    Pending,
    /// SDES.
    Sdes,
    /// DTLS-SRTP.
    Dtls,
    /// By the parties themselves: we hold no keys.
    PassThrough,
}

impl KeyingKind {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Pending => "pending",
            Self::Sdes => "SDES",
            Self::Dtls => "DTLS-SRTP",
            Self::PassThrough => "pass-through",
        }
    }
}

/// A transport.
#[derive(Clone, Debug)]
pub struct TransportView {
    /// Its name inside the call: that of the worker's statistics.
    pub id: TransportId,
    /// What it carries.
    pub component: Component,
    /// Bound address.
    pub local: SocketAddr,
    /// Of the peer's description.
    pub signalled: Option<SocketAddr>,
    /// Where media goes, by nomination or latching.
    pub remote: Option<SocketAddr>,
    /// ICE is used.
    pub ice: bool,
    /// What keys it; `None` until keys are there, and on a plain leg.
    pub secured_by: Option<SecuredBy>,
    /// Why it cannot carry media.
    pub failure: Option<TransportFailure>,
}

/// An entry of the security ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// When.
    pub at: SystemTime,
    /// Tag of the leg, empty when the whole call is meant.
    pub tag: String,
    /// What.
    pub note: LedgerNote,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerNote {
    /// A leg carries plain RTP while another one is secure.
    PlainLeg,
    /// The SDES keys of a leg crossed the network in the clear: whoever could read its signalling can listen.
    KeysInClear,
    /// Security was offered to this leg or by it, but not insisted on: whether the answer took it. Nobody who could change
    /// the descriptions on their way was kept from taking it away.
    Opportunistic {
        /// How it was offered.
        form: OpportunisticForm,
        /// SRTP is used.
        secured: bool,
    },
    /// A section that was secure goes on in the clear, as what.
    SecurityLeft(String),
    /// A leg's keys are weaker than another one's: strength in bits, of this and of the stronger one.
    WeakerKeys {
        /// Of this leg.
        bits: usize,
        /// Of the strongest one.
        strongest: usize,
    },
    /// A transport has its keys.
    Secured(SecuredBy),
    /// The parties key each other on this leg: we hold no keys, and cannot say whether and how it is secured.
    PassedThrough,
    /// What the front door found out about the signalling.
    Signalling(String),
    /// A transport failed.
    Failed(TransportFailure),
    /// A peer's offer was passed over in part: the crypto line or other reason.
    Skipped(String),
    /// A master key is at 90 % of its lifetime: a re-offer with a new one is due.
    KeyNearlySpent {
        /// True: ours, for sending to this leg. False: the peer's.
        outbound: bool,
    },
    /// The peer stopped its consent.
    ConsentLost,
    /// The end, and why.
    Ended(EndReason),
}

impl LedgerNote {
    /// Less secure than it could be.
    pub fn is_downgrade(&self) -> bool {
        matches!(
            self,
            Self::PlainLeg
                | Self::KeysInClear
                | Self::SecurityLeft(_)
                | Self::WeakerKeys { .. }
                | Self::Opportunistic { secured: false, .. }
        )
    }
}

impl fmt::Display for LedgerNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainLeg => f.write_str("plain RTP beside a secure leg"),
            Self::KeysInClear => f.write_str("SDES keys in signalling that others can read"),
            Self::Opportunistic { form, secured: true } => write!(f, "opportunistic SRTP by {form}: accepted"),
            Self::Opportunistic { form, secured: false } => {
                write!(f, "opportunistic SRTP by {form}: declined, plain RTP")
            }
            Self::SecurityLeft(protocol) => write!(f, "was secure, is {protocol} in the clear"),
            Self::WeakerKeys { bits, strongest } => write!(f, "{bits}-bit keys beside {strongest}-bit ones"),
            Self::Secured(SecuredBy::Sdes { outbound, inbound }) => {
                write!(f, "secured by SDES: {} out, {} in", outbound.sdes_name(), inbound.sdes_name())
            }
            Self::Secured(SecuredBy::Dtls { profile, version, hash, .. }) => {
                write!(f, "secured by {version}: {}, {} fingerprint verified", profile.sdes_name(), hash.name())
            }
            Self::PassedThrough => f.write_str("keys pass through: the parties key each other, and we hold none"),
            Self::Signalling(words) => f.write_str(words),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::Skipped(cause) => write!(f, "passed over: {cause}"),
            Self::KeyNearlySpent { outbound } => {
                let whose = if *outbound { "our" } else { "the peer's" };
                write!(f, "{whose} master key is at 90 % of its lifetime")
            }
            Self::ConsentLost => f.write_str("consent lost"),
            Self::Ended(reason) => write!(f, "ended: {}", reason.label()),
        }
    }
}

/// How security is offered that is not insisted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpportunisticForm {
    /// Keys under RTP/AVP (RFC 8643).
    Osrtp,
    /// The same media twice, under RTP/SAVP and under RTP/AVP.
    Twice,
    /// A potential configuration (RFC 5939).
    Capability,
}

impl fmt::Display for OpportunisticForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Osrtp => "OSRTP",
            Self::Twice => "duplicate sections",
            Self::Capability => "capability negotiation",
        })
    }
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// By a request.
    Deleted,
    /// No media.
    MediaTimeout,
    /// Nobody answered the offer.
    OfferTimeout,
    /// Its worker does not know it.
    WorkerLost,
    /// The process that moved its media has ended.
    PumpLost,
}

impl EndReason {
    /// One of each; for metrics.
    pub const ALL: [Self; 5] =
        [Self::Deleted, Self::MediaTimeout, Self::OfferTimeout, Self::WorkerLost, Self::PumpLost];

    /// A metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::MediaTimeout => "media_timeout",
            Self::OfferTimeout => "offer_timeout",
            Self::WorkerLost => "worker_lost",
            Self::PumpLost => "pump_lost",
        }
    }
}
