//! What an operator should hear.

use std::fmt;
use std::net::SocketAddr;

use sip::StatusCode;

/// How much an operator should care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// Of no concern unless one looks for it.
    Debug,
    /// What went on.
    Info,
    /// Somebody should look.
    Warn,
}

/// A fact for the log. Names and URIs of users are in none above [`Severity::Debug`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// A call begins: the caller's Call-ID and ours, which the session and call records use.
    Began {
        /// The session's Call-ID.
        call: String,
        /// The caller's.
        sip_call_id: String,
    },
    /// A call is over.
    Over {
        /// The session's Call-ID.
        call: String,
        /// Why, in words.
        why: String,
    },
    /// A call failed before it was answered.
    Failed {
        /// The session's Call-ID.
        call: String,
        /// What the caller was told.
        status: StatusCode,
        /// Why, in words.
        why: String,
    },
    /// A call goes on that a process before this one has made.
    Restored {
        /// The session's Call-ID.
        call: String,
    },
    /// A call's media go on, but its signalling is lost: nobody will be told when it ends.
    NotRestored {
        /// The session's Call-ID.
        call: String,
        /// Why.
        why: String,
    },
    /// SDES keys crossed a network in the clear; once for each peer.
    CleartextKeys {
        /// Who.
        peer: SocketAddr,
        /// By what.
        transport: &'static str,
    },
    /// A signature proves nothing; once for each peer.
    UnverifiedSignature {
        /// Who.
        peer: SocketAddr,
        /// Why.
        cause: &'static str,
    },
    /// What S/MIME on a leg was.
    Smime {
        /// The session's Call-ID.
        call: String,
        /// What the session calls the leg.
        tag: String,
        /// In words. They may name the signer.
        words: String,
    },
    /// A sips call went on without TLS.
    SipsBridged {
        /// The session's Call-ID.
        call: String,
    },
    /// Wrong credentials.
    WrongCredentials {
        /// From where.
        source: SocketAddr,
        /// What was wrong.
        fault: &'static str,
    },
    /// A source is barred for a while.
    Barred {
        /// Which.
        source: SocketAddr,
    },
    /// A request inside a call came from elsewhere than its party, and was refused.
    Elsewhere {
        /// From where.
        source: SocketAddr,
    },
    /// A trunk does not take our credentials.
    TrunkRejectsUs {
        /// Its name.
        trunk: String,
        /// Why.
        why: String,
    },
}

impl Fact {
    /// How much an operator should care.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Failed { .. } => Severity::Info,
            Self::Began { .. }
            | Self::Over { .. }
            | Self::Restored { .. }
            | Self::WrongCredentials { .. }
            | Self::Smime { .. } => Severity::Debug,
            Self::NotRestored { .. }
            | Self::CleartextKeys { .. }
            | Self::UnverifiedSignature { .. }
            | Self::SipsBridged { .. }
            | Self::Barred { .. }
            | Self::Elsewhere { .. }
            | Self::TrunkRejectsUs { .. } => Severity::Warn,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began { call, sip_call_id } => {
                write!(f, "sip: call {call} begins; the caller's Call-ID is {sip_call_id}")
            }
            Self::Over { call, why } => write!(f, "sip: call {call} is over: {why}"),
            Self::Failed { call, status, why } => write!(f, "sip: call {call} failed with {status}: {why}"),
            Self::Restored { call } => write!(f, "sip: call {call} goes on after a restart"),
            Self::NotRestored { call, why } => write!(
                f,
                "sip: the signalling of call {call} is lost in a restart: {why}; its media go on, and end by media timeout"
            ),
            Self::CleartextKeys { peer, transport } => write!(
                f,
                "sip: media keys (SDES) cross {transport} in the clear, {peer}: whoever reads the signalling can listen; \
                 option sip.sdes_over_cleartext"
            ),
            Self::UnverifiedSignature { peer, cause } => write!(
                f,
                "sip: a signature (S/MIME) of {peer} proves nothing: {cause}; options sip.smime.anchors, pinned and unverified"
            ),
            Self::Smime { call, tag, words } => write!(f, "sip: call {call}, leg {tag}: {words}"),
            Self::SipsBridged { call } => {
                write!(f, "sip: call {call} to a sips URI goes on without TLS; option sip.sips_bridge")
            }
            Self::WrongCredentials { source, fault } => write!(f, "sip: wrong credentials from {source}: {fault}"),
            Self::Barred { source } => write!(f, "sip: {source} is barred for a while: too many wrong passwords"),
            Self::Elsewhere { source } => {
                write!(f, "sip: {source} sent a request inside of a call that it has no part in: refused")
            }
            Self::TrunkRejectsUs { trunk, why } => write!(f, "sip: trunk {trunk}: {why}"),
        }
    }
}
