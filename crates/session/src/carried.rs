//! What a media section carries.

use std::fmt;

use sdp::Protocol;

use crate::MediaProfile;

/// Why a protocol is not relayed.
pub(crate) const CAUSES: [&str; 3] = [NO_TCP, NO_DTLS, UNKNOWN];

const NO_TCP: &str = "there is no TCP on the media path";
const NO_DTLS: &str = "DTLS is ended here for RTP alone";
const UNKNOWN: &str = "it is unknown";

/// What a media section carries.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Carried {
    /// RTP under this profile.
    Rtp(MediaProfile),
    /// Datagrams of another protocol, whose name this is, as it was written: `udptl`.
    Datagrams(String),
}

impl Carried {
    /// What a `proto` field stands for, or why that is not relayed.
    pub(crate) fn read(protocol: &Protocol) -> Result<Self, &'static str> {
        let name = protocol.name();
        if let Ok(profile) = name.parse() {
            return Ok(Self::Rtp(profile));
        }
        let mut parts = name.split('/');
        let first = parts.next().unwrap_or("");
        let is = |part: &str, other: &str| part.eq_ignore_ascii_case(other);
        if is(first, "TCP") {
            return Err(NO_TCP);
        }
        if is(first, "DTLS") || parts.any(|part| is(part, "DTLS") || is(part, "TLS")) {
            return Err(NO_DTLS);
        }
        if is(first, "udptl") || is(first, "udp") { Ok(Self::Datagrams(name.to_owned())) } else { Err(UNKNOWN) }
    }

    pub(crate) fn profile(&self) -> Option<MediaProfile> {
        match self {
            Self::Rtp(profile) => Some(*profile),
            Self::Datagrams(_) => None,
        }
    }

    /// As in SDP.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Rtp(profile) => profile.name(),
            Self::Datagrams(name) => name,
        }
    }

    pub(crate) fn has_feedback(&self) -> bool {
        self.profile().is_some_and(MediaProfile::has_feedback)
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Result<Carried, &'static str> {
        Carried::read(&Protocol::parse(name))
    }

    #[test]
    fn udp_is_relayed_and_what_is_not_says_why() {
        for name in ["udptl", "UDPTL", "udp", "UDP/BFCP"] {
            assert!(matches!(read(name), Ok(Carried::Datagrams(_))), "{name}");
        }
        assert!(read("rtp/savpf").is_ok_and(|carried| carried.profile() == Some(MediaProfile::RtpSavpf)));
        for (name, why) in [
            ("TCP/MSRP", "TCP"),
            ("TCP/TLS/MSRP", "TCP"),
            ("TCP/DTLS/SCTP", "TCP"),
            ("UDP/DTLS/SCTP", "DTLS"),
            ("DTLS/SCTP", "DTLS"),
            ("UDP/TLS/UDPTL", "DTLS"),
            ("RTP/AVPX", "unknown"),
        ] {
            assert!(read(name).err().is_some_and(|cause| cause.contains(why)), "{name}");
        }
    }
}
