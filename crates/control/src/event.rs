//! Pump to session.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use srtp::Profile;
use zeroize::Zeroize;

use crate::{CallKey, CallStatistics, HashAlgorithm, RequestId, TransportId};

/// Pump to session. The contract is on the crate page.
#[derive(Clone, Debug)]
pub enum Event {
    /// All ports of an `Open` are bound.
    Opened {
        /// That of the command.
        request: RequestId,
        /// The call.
        call: CallKey,
    },
    /// One port could not be bound, so none is.
    Refused {
        /// That of the command.
        request: RequestId,
        /// The call.
        call: CallKey,
        /// The port's transport.
        transport: TransportId,
        /// The address that was wanted.
        local: SocketAddr,
        /// Why.
        cause: BindFailure,
    },
    /// The answer to `Query`; `None` when the worker does not know the call.
    Statistics {
        /// That of the command.
        request: RequestId,
        /// The call.
        call: CallKey,
        /// As of now.
        statistics: Option<Box<CallStatistics>>,
    },
    /// Something happened on a transport.
    Transport {
        /// The call.
        call: CallKey,
        /// The transport.
        transport: TransportId,
        /// What.
        event: TransportEvent,
    },
    /// No authenticated packet for the plan's `media_timeout`. Said once; again only after media has come back.
    Idle {
        /// The call.
        call: CallKey,
    },
    /// The call is gone.
    Removed {
        /// The call.
        call: CallKey,
        /// As they were at its end.
        statistics: Box<CallStatistics>,
    },
    /// A page of the worker's calls, by rising key.
    Snapshot {
        /// That of the command.
        request: RequestId,
        /// So many as fit a page.
        calls: Vec<CallSnapshot>,
        /// There are calls with keys above the last one's.
        more: bool,
    },
}

/// A call as a session that has just begun gets to know it. The memo holds keys, so there is no `Debug` of it.
#[derive(Clone, PartialEq, Eq)]
pub struct CallSnapshot {
    /// Its name.
    pub call: CallKey,
    /// Of its plan; `None` without a plan, and while every direction is held.
    pub media_timeout: Option<Duration>,
    /// Of its plan: the session's own record. Empty without a plan.
    pub memo: Vec<u8>,
    /// As they are now: open ports, addresses, keys, counts.
    pub statistics: CallStatistics,
}

impl Drop for CallSnapshot {
    fn drop(&mut self) {
        self.memo.zeroize();
    }
}

impl fmt::Debug for CallSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallSnapshot")
            .field("call", &self.call)
            .field("media_timeout", &self.media_timeout)
            .field("memo", &format_args!("{} bytes", self.memo.len()))
            .field("statistics", &self.statistics)
            .finish()
    }
}

/// Why a port was not bound: the operating system's word, and whether another port could do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindFailure {
    /// Somebody else has the port (EADDRINUSE): another one may do.
    InUse,
    /// The address is not one of this machine (EADDRNOTAVAIL): no port of it will do.
    AddressNotAvailable,
    /// No descriptor, no memory: nothing will do until something is freed.
    Exhausted(String),
    /// Anything else, in the system's words.
    Other(String),
}

impl fmt::Display for BindFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("port in use"),
            Self::AddressNotAvailable => f.write_str("address is not one of this machine"),
            Self::Exhausted(words) => write!(f, "out of resources: {words}"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// Something that happened on a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// ICE has a pair to send on.
    Nominated {
        /// The peer's address.
        remote: SocketAddr,
    },
    /// No valid check or authenticated packet for 30 s (RFC 7675): sending has stopped.
    ConsentLost,
    /// Keys are agreed and verified.
    Secured(SecuredBy),
    /// Media goes to this address, learnt from packets, from here on.
    Latched {
        /// The peer's address.
        remote: SocketAddr,
    },
    /// The transport cannot carry media.
    Failed(TransportFailure),
    /// A master key has protected or verified 90 % of the packets that it may.
    KeyNearlySpent {
        /// True: ours, for sending. False: the peer's.
        outbound: bool,
    },
}

/// What keys a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecuredBy {
    /// Keys from SDP.
    Sdes {
        /// Of what we send.
        outbound: Profile,
        /// Of what we receive.
        inbound: Profile,
    },
    /// Keys from a handshake whose certificate matched its fingerprint.
    Dtls {
        /// Both directions.
        profile: Profile,
        /// `DTLSv1.2` or `DTLSv1.3`.
        version: String,
        /// Hash of the fingerprint that matched.
        hash: HashAlgorithm,
        /// Where the peer is.
        remote: SocketAddr,
    },
}

/// Why a transport cannot carry media. Every one is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportFailure {
    /// The certificate matches no fingerprint that the peer signalled.
    FingerprintMismatch,
    /// The peer presented no certificate.
    CertificateMissing,
    /// No use_srtp extension came back.
    NoUseSrtp,
    /// use_srtp, but no profile that both allow.
    NoCommonProfile,
    /// No DTLS version that both speak.
    Version,
    /// The handshake did not end in time.
    HandshakeTimeout,
    /// The peer sent a fatal alert.
    AlertReceived(u8),
    /// The peer broke the protocol.
    ProtocolViolation,
    /// A DTLS 1.2 peer without extended master secret (RFC 7627): its exporter is not safe.
    NoExtendedMasterSecret,
    /// Our own engine failed.
    Internal,
}

impl TransportFailure {
    /// One of each; for metrics.
    pub const ALL: [Self; 10] = [
        Self::FingerprintMismatch,
        Self::CertificateMissing,
        Self::NoUseSrtp,
        Self::NoCommonProfile,
        Self::Version,
        Self::HandshakeTimeout,
        Self::AlertReceived(0),
        Self::ProtocolViolation,
        Self::NoExtendedMasterSecret,
        Self::Internal,
    ];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::CertificateMissing => "certificate_missing",
            Self::NoUseSrtp => "no_use_srtp",
            Self::NoCommonProfile => "no_common_profile",
            Self::Version => "version",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::AlertReceived(_) => "alert_received",
            Self::ProtocolViolation => "protocol_violation",
            Self::NoExtendedMasterSecret => "no_extended_master_secret",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for TransportFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlertReceived(code) => write!(f, "alert_received {code}"),
            other => f.write_str(other.label()),
        }
    }
}
