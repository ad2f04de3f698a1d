//! The transport protocol of an m= line (RFC 8866 §5.14).

use std::fmt;

/// The transport protocol of an m= line. Read in any case, printed as registered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// `RTP/AVP` (RFC 3551)
    RtpAvp,
    /// `RTP/AVPF` (RFC 4585)
    RtpAvpf,
    /// `RTP/SAVP` (RFC 3711)
    RtpSavp,
    /// `RTP/SAVPF` (RFC 5124)
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764)
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764)
    UdpTlsRtpSavpf,
    /// `TCP/DTLS/RTP/SAVP` (RFC 7850)
    TcpDtlsRtpSavp,
    /// `TCP/DTLS/RTP/SAVPF` (RFC 7850)
    TcpDtlsRtpSavpf,
    /// `udptl` (T.38)
    Udptl,
    /// `UDP/TLS/UDPTL` (RFC 7345)
    UdpTlsUdptl,
    /// `UDP/DTLS/SCTP` (RFC 8841)
    UdpDtlsSctp,
    /// `TCP/DTLS/SCTP` (RFC 8841)
    TcpDtlsSctp,
    /// Anything else, as written.
    Other(String),
}

const KNOWN: [Protocol; 12] = [
    Protocol::RtpAvp,
    Protocol::RtpAvpf,
    Protocol::RtpSavp,
    Protocol::RtpSavpf,
    Protocol::UdpTlsRtpSavp,
    Protocol::UdpTlsRtpSavpf,
    Protocol::TcpDtlsRtpSavp,
    Protocol::TcpDtlsRtpSavpf,
    Protocol::Udptl,
    Protocol::UdpTlsUdptl,
    Protocol::UdpDtlsSctp,
    Protocol::TcpDtlsSctp,
];

impl Protocol {
    /// Reads any token; an unknown one is kept.
    pub fn parse(token: &str) -> Self {
        KNOWN
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(token))
            .unwrap_or_else(|| Self::Other(token.to_owned()))
    }

    /// As printed.
    pub fn name(&self) -> &str {
        match self {
            Self::RtpAvp => "RTP/AVP",
            Self::RtpAvpf => "RTP/AVPF",
            Self::RtpSavp => "RTP/SAVP",
            Self::RtpSavpf => "RTP/SAVPF",
            Self::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
            Self::TcpDtlsRtpSavp => "TCP/DTLS/RTP/SAVP",
            Self::TcpDtlsRtpSavpf => "TCP/DTLS/RTP/SAVPF",
            Self::Udptl => "udptl",
            Self::UdpTlsUdptl => "UDP/TLS/UDPTL",
            Self::UdpDtlsSctp => "UDP/DTLS/SCTP",
            Self::TcpDtlsSctp => "TCP/DTLS/SCTP",
            Self::Other(name) => name,
        }
    }

    /// RTP under one of the eight known profiles.
    pub fn is_rtp(&self) -> bool {
        matches!(self, Self::RtpAvp | Self::RtpAvpf) || self.is_secure_rtp()
    }

    /// Encrypted: an RTP profile with an S, or any protocol over DTLS.
    pub fn is_secure(&self) -> bool {
        self.is_secure_rtp() || self.is_dtls()
    }

    fn is_secure_rtp(&self) -> bool {
        matches!(
            self,
            Self::RtpSavp
                | Self::RtpSavpf
                | Self::UdpTlsRtpSavp
                | Self::UdpTlsRtpSavpf
                | Self::TcpDtlsRtpSavp
                | Self::TcpDtlsRtpSavpf
        )
    }

    /// The F: RTCP feedback of RFC 4585.
    pub fn is_feedback(&self) -> bool {
        matches!(self, Self::RtpAvpf | Self::RtpSavpf | Self::UdpTlsRtpSavpf | Self::TcpDtlsRtpSavpf)
    }

    /// DTLS is part of the protocol's name.
    pub fn is_dtls(&self) -> bool {
        matches!(
            self,
            Self::UdpTlsRtpSavp
                | Self::UdpTlsRtpSavpf
                | Self::TcpDtlsRtpSavp
                | Self::TcpDtlsRtpSavpf
                | Self::UdpTlsUdptl
                | Self::UdpDtlsSctp
                | Self::TcpDtlsSctp
        )
    }

    /// The same profile with or without the F; itself when it is no RTP profile.
    pub fn with_feedback(&self, feedback: bool) -> Self {
        match (self, feedback) {
            (Self::RtpAvp | Self::RtpAvpf, true) => Self::RtpAvpf,
            (Self::RtpAvp | Self::RtpAvpf, false) => Self::RtpAvp,
            (Self::RtpSavp | Self::RtpSavpf, true) => Self::RtpSavpf,
            (Self::RtpSavp | Self::RtpSavpf, false) => Self::RtpSavp,
            (Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf, true) => Self::UdpTlsRtpSavpf,
            (Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf, false) => Self::UdpTlsRtpSavp,
            (Self::TcpDtlsRtpSavp | Self::TcpDtlsRtpSavpf, true) => Self::TcpDtlsRtpSavpf,
            (Self::TcpDtlsRtpSavp | Self::TcpDtlsRtpSavpf, false) => Self::TcpDtlsRtpSavp,
            (other, _) => other.clone(),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_read_in_any_case_and_printed_as_registered() {
        assert_eq!(Protocol::parse("udp/tls/rtp/savpf"), Protocol::UdpTlsRtpSavpf);
        assert_eq!(Protocol::parse("UDPTL").to_string(), "udptl");
        assert_eq!(Protocol::parse("TCP/MSRP").to_string(), "TCP/MSRP");
    }

    #[test]
    fn the_letters_of_a_profile_tell_security_and_feedback() {
        let table = [
            ("RTP/AVP", false, false, false),
            ("RTP/AVPF", false, true, false),
            ("RTP/SAVP", true, false, false),
            ("RTP/SAVPF", true, true, false),
            ("UDP/TLS/RTP/SAVP", true, false, true),
            ("UDP/TLS/RTP/SAVPF", true, true, true),
            ("TCP/DTLS/RTP/SAVP", true, false, true),
            ("TCP/DTLS/RTP/SAVPF", true, true, true),
        ];
        for (name, secure, feedback, dtls) in table {
            let protocol = Protocol::parse(name);
            assert_eq!(
                (protocol.is_rtp(), protocol.is_secure(), protocol.is_feedback(), protocol.is_dtls()),
                (true, secure, feedback, dtls),
                "{name}"
            );
        }
        assert!(!Protocol::Udptl.is_rtp());
        assert!(Protocol::UdpDtlsSctp.is_dtls() && !Protocol::UdpDtlsSctp.is_rtp());
    }
}
