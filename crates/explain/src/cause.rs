//! Why there is no audio: every cause with its name and its words.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use control::{Hypothesis, LegId, TransportFailure, Verdict};
use serde::{Serialize, Serializer};

/// Why media does not get from one leg to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No answer has come.
    NotAnswered,
    /// The leg is a branch that lost.
    LostBranch,
    /// The section was refused with port 0.
    Refused,
    /// The sender's description says that it does not send.
    SenderHolds,
    /// The receiver's description says that it does not receive.
    ReceiverHolds,
    /// Its worker did not tell of this transport.
    WorkerSilent,
    /// No datagram has come at all.
    NothingReceived,
    /// There was media, and it has stopped.
    Stopped {
        /// Since the last packet.
        age: Duration,
    },
    /// Only RTCP comes.
    OnlyRtcp,
    /// No ICE check has come.
    NoChecks,
    /// ICE checks carry a wrong password.
    WrongIcePassword {
        /// Who sent the latest.
        source: Option<SocketAddr>,
    },
    /// ICE checks carry another user name than ours.
    WrongIceUser {
        /// Who sent the latest.
        source: Option<SocketAddr>,
    },
    /// The peer claims to be controlled, as we are.
    IceRoleConflict,
    /// Checks come, and none nominates.
    NotNominated,
    /// Nothing has come for 30 s that renews consent (RFC 7675).
    ConsentLost,
    /// The peer has closed its DTLS association.
    ClosedByPeer,
    /// No address to send to.
    NoAddress,
    /// No keys from signalling.
    NoKeys,
    /// DTLS waits for a path.
    DtlsAwaitsPath,
    /// We wait for a ClientHello, and so, it seems, does the peer.
    NoClientHello,
    /// We wait for a ClientHello, and media comes instead.
    MediaWithoutDtls,
    /// Our ClientHello is not answered.
    DtlsUnanswered {
        /// Datagrams sent.
        datagrams: u64,
    },
    /// Both sides send a ClientHello.
    BothActive,
    /// Flights go to and fro.
    DtlsInProgress,
    /// The handshake has failed.
    Dtls(TransportFailure),
    /// What a trial of failed packets has found.
    Found(Hypothesis),
    /// Authentication fails, and no trial has told why.
    AuthenticationFails,
    /// Packets name a key that was never signalled.
    UnknownMki,
    /// Media comes from another address than it should.
    UnexpectedSource {
        /// Where it comes from.
        source: SocketAddr,
        /// Where it should come from.
        expected: Option<SocketAddr>,
    },
    /// No flow claims the packets.
    NoFlow {
        /// Their payload type.
        payload_type: Option<u8>,
    },
    /// Packets are dropped.
    Dropped(Verdict),
}

impl Cause {
    /// In one word, for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAnswered => "not_answered",
            Self::LostBranch => "lost_branch",
            Self::Refused => "refused",
            Self::SenderHolds => "sender_holds",
            Self::ReceiverHolds => "receiver_holds",
            Self::WorkerSilent => "worker_silent",
            Self::NothingReceived => "nothing_received",
            Self::Stopped { .. } => "stopped",
            Self::OnlyRtcp => "only_rtcp",
            Self::NoChecks => "no_ice_checks",
            Self::WrongIcePassword { .. } => "wrong_ice_password",
            Self::WrongIceUser { .. } => "wrong_ice_user",
            Self::IceRoleConflict => "ice_role_conflict",
            Self::NotNominated => "not_nominated",
            Self::ConsentLost => "consent_lost",
            Self::ClosedByPeer => "closed_by_peer",
            Self::NoAddress => "no_address",
            Self::NoKeys => "no_keys",
            Self::DtlsAwaitsPath => "dtls_awaits_path",
            Self::NoClientHello => "no_client_hello",
            Self::MediaWithoutDtls => "media_without_dtls",
            Self::DtlsUnanswered { .. } => "dtls_unanswered",
            Self::BothActive => "dtls_both_active",
            Self::DtlsInProgress => "dtls_in_progress",
            Self::Dtls(failure) => failure.label(),
            Self::Found(Hypothesis::Unknown) => "wrong_key",
            Self::Found(hypothesis) => hypothesis.label(),
            Self::AuthenticationFails => "authentication_fails",
            Self::UnknownMki => "unknown_mki",
            Self::UnexpectedSource { .. } => "unexpected_source",
            Self::NoFlow { .. } => "no_flow",
            Self::Dropped(verdict) => verdict.label(),
        }
    }

    /// In an operator's words. `whose`: the leg that it is about; `name` gives other legs' names.
    pub fn words(self, whose: &str, name: &dyn Fn(LegId) -> String) -> String {
        match self {
            Self::NotAnswered => "the call is not answered".into(),
            Self::LostBranch => format!("{whose} is a branch that another answer has taken the place of"),
            Self::Refused => format!("{whose} refused this section (port 0)"),
            Self::SenderHolds => {
                format!("{whose}'s description says that it does not send (recvonly or inactive): on hold")
            }
            Self::ReceiverHolds => {
                format!(
                    "{whose}'s description says that it does not receive (sendonly, inactive or c=0.0.0.0): on hold"
                )
            }
            Self::WorkerSilent => "the worker does not tell".into(),
            Self::NothingReceived => format!(
                "nothing has come from {whose}: it does not send, a firewall or NAT drops it, or the address in our description \
                 cannot be reached from there"
            ),
            Self::Stopped { age } => format!("{whose} sent media and stopped {} s ago", age.as_secs()),
            Self::OnlyRtcp => format!("{whose} sends RTCP and no RTP: muted, or its sender does not run"),
            Self::NoChecks => format!(
                "no ICE check has come from {whose}: a firewall drops UDP, or the address in our candidates cannot be reached \
                 from there"
            ),
            Self::WrongIcePassword { source } => format!(
                "{whose}'s ICE checks carry a wrong password{}: it has another ice-pwd than our description, which something \
                 on the way has changed or mixed up",
                from(source)
            ),
            Self::WrongIceUser { source } => format!(
                "{whose}'s ICE checks carry another user name than ours{}: they belong to another call, or to our description \
                 before an ICE restart",
                from(source)
            ),
            Self::IceRoleConflict => {
                format!(
                    "{whose} claims to be controlled by us, and we are ICE-lite: it has to take the controlling role"
                )
            }
            Self::NotNominated => format!("ICE checks come from {whose} and none of them nominates a pair"),
            Self::ConsentLost => {
                format!(
                    "{whose} has sent no ICE check and no authentic packet for 30 s: consent is lost, and sending has stopped"
                )
            }
            Self::ClosedByPeer => format!("{whose} has closed its DTLS association (close_notify)"),
            Self::NoAddress => {
                format!("there is no address to send to: {whose}'s description names none, and nothing came")
            }
            Self::NoKeys => format!("no keys for {whose} have come by signalling"),
            Self::DtlsAwaitsPath => format!("DTLS with {whose} waits for an address"),
            Self::NoClientHello => format!(
                "{whose} should start DTLS and has sent no ClientHello: both sides wait (a=setup mixed up), or DTLS is dropped \
                 on the way"
            ),
            Self::MediaWithoutDtls => {
                format!("{whose} sends media and no DTLS: it does not use the keying that its description agreed to")
            }
            Self::DtlsUnanswered { datagrams } => format!(
                "{whose} answers none of our {datagrams} DTLS datagrams: DTLS is dropped on the way, or it waits for nobody"
            ),
            Self::BothActive => format!(
                "{whose} sends a ClientHello although we are the client too: both are active (a=setup mixed up)"
            ),
            Self::DtlsInProgress => format!("the DTLS handshake with {whose} has not ended"),
            Self::Dtls(failure) => failed(failure, whose),
            Self::Found(hypothesis) => found(hypothesis, whose, name),
            Self::AuthenticationFails => {
                format!("{whose}'s packets fail authentication: it uses other keys than its description says")
            }
            Self::UnknownMki => format!("{whose}'s packets name a key (MKI) that was never signalled"),
            Self::UnexpectedSource { source, expected } => format!(
                "{whose}'s media comes from {source}{}: another device, a NAT that changed its mapping, or somebody else",
                expected.map(|expected| format!(", not from {expected}")).unwrap_or_default()
            ),
            Self::NoFlow { payload_type: Some(payload_type) } => {
                format!("{whose} sends payload type {payload_type}, which no section of its description names")
            }
            Self::NoFlow { payload_type: None } => format!("no section of {whose}'s description claims its packets"),
            Self::Dropped(verdict) => format!("{whose}'s packets are dropped: {}", guess(verdict)),
        }
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

fn from(source: Option<SocketAddr>) -> String {
    source.map(|source| format!(" (from {source})")).unwrap_or_default()
}

fn failed(failure: TransportFailure, whose: &str) -> String {
    let why = match failure {
        TransportFailure::FingerprintMismatch => {
            "its certificate is not the one of its description's a=fingerprint: somebody rewrote the description, or sits in \
             between"
        }
        TransportFailure::CertificateMissing => "it presented no certificate",
        TransportFailure::NoUseSrtp => "it does not speak DTLS-SRTP (no use_srtp)",
        TransportFailure::NoCommonProfile => "no SRTP profile is common to both",
        TransportFailure::Version => "no DTLS version is common to both",
        TransportFailure::HandshakeTimeout => "it did not end in time: datagrams are lost, or too large for the path",
        TransportFailure::AlertReceived(alert) => {
            return format!("the DTLS handshake with {whose} failed: it sent alert {alert} ({})", alert_name(alert));
        }
        TransportFailure::ProtocolViolation => "it broke the protocol",
        TransportFailure::NoExtendedMasterSecret => "it does not know extended_master_secret (RFC 7627)",
        TransportFailure::Internal => "by an error of our own: see the log",
    };
    format!("the DTLS handshake with {whose} failed: {why}")
}

/// RFC 8446 §6.
fn alert_name(alert: u8) -> &'static str {
    match alert {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate: it does not accept our certificate or fingerprint",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown: it does not accept our certificate or fingerprint",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        116 => "certificate_required",
        _ => "unknown",
    }
}

fn found(hypothesis: Hypothesis, whose: &str, name: &dyn Fn(LegId) -> String) -> String {
    let fails = format!("{whose}'s packets fail authentication");
    match hypothesis {
        Hypothesis::RolloverCounter { offset } => format!(
            "{fails}: they verify with a rollover counter that is {} by {}",
            if offset > 0 { "ahead of ours" } else { "behind ours" },
            offset.unsigned_abs()
        ),
        Hypothesis::RolloverCounterRestarted => {
            format!("{fails}: they verify with a rollover counter of 0 (the phone has begun anew under the same key)")
        }
        Hypothesis::PreviousKey => {
            format!("{fails}: they verify under the previous key (re-INVITE not applied by the phone)")
        }
        Hypothesis::PeerKeyOfLeg(leg) => {
            format!("{fails}: they verify under the key that {} signalled for itself (keys are swapped)", name(leg))
        }
        Hypothesis::OurKeyOfLeg(leg) => {
            format!("{fails}: they verify under the key that we signalled to {} (descriptions are mixed up)", name(leg))
        }
        Hypothesis::OurKey => {
            format!("{fails}: they verify under the key that we send with (the phone uses our key for what it sends)")
        }
        Hypothesis::OtherProfile(profile) => {
            format!("{fails}: they verify with the same key as {} (another suite or tag length)", profile.sdes_name())
        }
        Hypothesis::MkiMissing => format!("{fails}: they lack the MKI that was negotiated"),
        Hypothesis::MkiUnexpected { length } => {
            format!("{fails}: they carry an MKI of {length} bytes that was not negotiated")
        }
        Hypothesis::Plain => format!("{whose} sends plain RTP although security was negotiated"),
        Hypothesis::Encrypted => format!(
            "{whose}'s packets look encrypted although plain RTP was negotiated: what the other side hears is noise"
        ),
        Hypothesis::Unknown => format!(
            "{fails}: under none of the keys of this call, no other profile and no near rollover counter; it uses keys that it \
             did not signal"
        ),
    }
}

/// The likely cause of packets that ended so; empty for those that are as they should be.
pub(crate) fn guess(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Truncated => "longer than any media datagram",
        Verdict::Malformed => "not RTP, RTCP, STUN or DTLS; probes, or keep-alives of one byte",
        Verdict::UnexpectedZrtp => "the phone tries ZRTP, which is not negotiated here; harmless",
        Verdict::UnexpectedDtls => "the phone speaks DTLS on a leg that is not keyed by it",
        Verdict::UnexpectedStun => "the phone sends STUN on a leg without ICE; harmless",
        Verdict::BadStun => "checks with wrong credentials, or responses that nobody asked for",
        Verdict::WrongComponent => "RTP on the RTCP port or the other way round: ports are mixed up",
        Verdict::UnexpectedSource => "from another address than signalled, nominated or latched",
        Verdict::RejectedDtls => "DTLS from an address without standing",
        Verdict::NotKeyed => "media before the handshake or the answer",
        Verdict::Replayed => "duplicated on the way, or repeated by somebody",
        Verdict::TooOld => "delayed by more than the replay window",
        Verdict::BadTag => "the peer uses other keys than it signalled, or its rollover counter does not fit",
        Verdict::UnknownMki => "the packets name a key that was never signalled",
        Verdict::NotEncrypted => "RTCP in the clear on a leg that agreed to encrypt it",
        Verdict::TooManyStreams => "more sources than a transport may have",
        Verdict::KeyExhausted => "the master key has reached the end of its lifetime: a re-INVITE is overdue",
        Verdict::NoFlow => "a payload type or MID that no section names, or no answer yet",
        Verdict::OtherBranch => "from a party whose answer another one has taken the place of",
        Verdict::Held => "the description puts this direction on hold",
        Verdict::Filtered => "RTCP that the other leg does not take",
        Verdict::EgressNotReady => "the other leg has no keys, no address or no consent yet",
        Verdict::IndexReused => "the source repeats sequence numbers; they must not be encrypted twice",
        Verdict::TooLong => "too long for the other leg's encryption",
        Verdict::Probation => "the source has not shown three consistent packets",
        Verdict::QueueFull => "more DTLS than the handshake threads can take",
        _ => "",
    }
}
