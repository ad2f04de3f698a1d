//! What `/calls` shows.

use serde::Serialize;

/// `/calls`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Calls {
    /// Calls that exist; the list may hold fewer.
    pub total: usize,
    /// The longest-lived first.
    pub calls: Vec<CallSummary>,
}

/// One line of `/calls`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CallSummary {
    /// The Call-ID.
    pub id: String,
    /// Seconds since its first offer.
    pub age_seconds: f64,
    /// `offered`, `answered`, `ending`.
    pub state: &'static str,
    /// How many legs it has.
    pub legs: usize,
    /// A leg is or was less secure than another, or than asked for.
    pub downgraded: bool,
}

/// `/calls/ID`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CallDetail {
    /// The Call-ID.
    pub id: String,
    /// Seconds since its first offer.
    pub age_seconds: f64,
    /// `offered`, `answered`, `ending`.
    pub state: &'static str,
    /// The worker that carries it.
    pub worker: u16,
    /// Its legs.
    pub legs: Vec<LegDetail>,
    /// What it receives, on all legs.
    pub streams: Vec<StreamDetail>,
    /// What bears on its security, oldest first, in words.
    pub ledger: Vec<String>,
    /// Of a call of SIP: users, trunks, route, transports and times.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub sip: serde_json::Value,
    /// Why there is audio or not, leg by leg.
    pub explanation: serde_json::Value,
    /// The same for people.
    #[serde(skip)]
    pub text: String,
}

/// One side of a call.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LegDetail {
    /// The dialog's tag; empty before the answer.
    pub tag: String,
    /// As the ng client named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether media flow between it and the offerer; not for a branch that lost.
    pub active: bool,
    /// Its `m=` sections.
    pub sections: Vec<SectionDetail>,
}

/// One `m=` section.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SectionDetail {
    /// From 1, in SDP order.
    pub index: usize,
    /// `audio`, `video` …
    pub media: String,
    /// `RTP/SAVPF` …
    pub protocol: String,
    /// One, or two when RTCP has a port of its own.
    pub transports: Vec<TransportDetail>,
}

/// One local port.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TransportDetail {
    /// `rtp`, `rtcp` or `muxed`.
    pub component: &'static str,
    /// Where we receive.
    pub local: Option<Address>,
    /// Where the peer's description says that media goes.
    pub signalled: Option<Address>,
    /// Where we send; nothing: nowhere yet.
    pub remote: Option<Address>,
    /// Whether ICE is used.
    pub ice: bool,
    /// What keys it: `plain`, `pending`, `SDES`, `DTLS-SRTP`.
    pub keying: &'static str,
    /// Protection profile of what we send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<&'static str>,
    /// DTLS version and the hash of the fingerprint that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
    /// Why it cannot carry media.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// RTP and RTCP packets received, authentic.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Datagrams that were not accepted.
    pub rejected: u64,
    /// RTP and RTCP packets sent.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Seconds since the last authentic packet.
    pub last_packet_seconds: Option<f64>,
}

/// Address and port.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub struct Address(pub std::net::SocketAddr);

/// RTP packets of one SSRC, as received.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamDetail {
    /// The SSRC.
    pub ssrc: u32,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Expected less received.
    pub lost: i64,
    /// In timestamp units (RFC 3550 A.8).
    pub jitter: u32,
}
