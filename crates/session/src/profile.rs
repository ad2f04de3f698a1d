//! The RTP profile of a media section: its `proto` field.

use std::fmt;
use std::str::FromStr;

/// The RTP profile of a media section: the `proto` field of `m=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaProfile {
    /// `RTP/AVP` (RFC 3551)
    RtpAvp,
    /// `RTP/AVPF` (RFC 4585)
    RtpAvpf,
    /// `RTP/SAVP` (RFC 3711): keyed by SDES, or by DTLS with some old stacks.
    RtpSavp,
    /// `RTP/SAVPF` (RFC 5124): keyed by SDES, or by DTLS with some old stacks.
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764)
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764)
    UdpTlsRtpSavpf,
}

impl MediaProfile {
    /// One of each.
    pub const ALL: [Self; 6] =
        [Self::RtpAvp, Self::RtpAvpf, Self::RtpSavp, Self::RtpSavpf, Self::UdpTlsRtpSavp, Self::UdpTlsRtpSavpf];

    /// As in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::RtpAvp => "RTP/AVP",
            Self::RtpAvpf => "RTP/AVPF",
            Self::RtpSavp => "RTP/SAVP",
            Self::RtpSavpf => "RTP/SAVPF",
            Self::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }

    /// The early feedback of RFC 4585.
    pub fn has_feedback(self) -> bool {
        matches!(self, Self::RtpAvpf | Self::RtpSavpf | Self::UdpTlsRtpSavpf)
    }

    /// SRTP.
    pub fn is_secure(self) -> bool {
        !matches!(self, Self::RtpAvp | Self::RtpAvpf)
    }

    /// The same with SRTP; itself where it has it.
    pub(crate) fn secured(self) -> Self {
        match self {
            Self::RtpAvp => Self::RtpSavp,
            Self::RtpAvpf => Self::RtpSavpf,
            secure => secure,
        }
    }

    /// The same without SRTP.
    pub(crate) fn plain(self) -> Self {
        if self.has_feedback() { Self::RtpAvpf } else { Self::RtpAvp }
    }

    /// Keyed by DTLS, whatever else the section says.
    pub fn is_dtls(self) -> bool {
        matches!(self, Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf)
    }
}

impl fmt::Display for MediaProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The `proto` field of `m=` names no RTP profile that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProfile;

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an RTP profile")
    }
}

impl std::error::Error for UnknownProfile {}

impl FromStr for MediaProfile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.into_iter().find(|profile| profile.name().eq_ignore_ascii_case(text)).ok_or(UnknownProfile)
    }
}
