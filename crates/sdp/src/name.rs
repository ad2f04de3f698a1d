//! Names of the attributes that a relay reads or writes.

/// RFC 3605.
pub const RTCP: &str = "rtcp";
/// RFC 5761. A flag.
pub const RTCP_MUX: &str = "rtcp-mux";
/// RFC 8858. A flag.
pub const RTCP_MUX_ONLY: &str = "rtcp-mux-only";
/// RFC 5506. A flag.
pub const RTCP_RSIZE: &str = "rtcp-rsize";
/// RFC 4585.
pub const RTCP_FB: &str = "rtcp-fb";
/// RFC 8866 §6.6.
pub const RTPMAP: &str = "rtpmap";
/// RFC 8866 §6.15.
pub const FMTP: &str = "fmtp";
/// RFC 8866 §6.4.
pub const PTIME: &str = "ptime";
/// RFC 8866 §6.5.
pub const MAXPTIME: &str = "maxptime";
/// RFC 5888.
pub const MID: &str = "mid";
/// RFC 4574.
pub const LABEL: &str = "label";
/// RFC 5888.
pub const GROUP: &str = "group";
/// RFC 9143. A flag.
pub const BUNDLE_ONLY: &str = "bundle-only";
/// RFC 5576.
pub const SSRC: &str = "ssrc";
/// RFC 5576.
pub const SSRC_GROUP: &str = "ssrc-group";
/// RFC 8830.
pub const MSID: &str = "msid";
/// RFC 8285.
pub const EXTMAP: &str = "extmap";
/// RFC 4568.
pub const CRYPTO: &str = "crypto";
/// RFC 4145.
pub const SETUP: &str = "setup";
/// RFC 4145.
pub const CONNECTION: &str = "connection";
/// RFC 8122.
pub const FINGERPRINT: &str = "fingerprint";
/// RFC 8842.
pub const TLS_ID: &str = "tls-id";
/// RFC 6189.
pub const ZRTP_HASH: &str = "zrtp-hash";
/// RFC 8839.
pub const ICE_UFRAG: &str = "ice-ufrag";
/// RFC 8839.
pub const ICE_PWD: &str = "ice-pwd";
/// RFC 8839. A flag.
pub const ICE_LITE: &str = "ice-lite";
/// RFC 8839. A flag.
pub const ICE_MISMATCH: &str = "ice-mismatch";
/// RFC 8839.
pub const ICE_OPTIONS: &str = "ice-options";
/// RFC 8839.
pub const ICE_PACING: &str = "ice-pacing";
/// RFC 8839.
pub const CANDIDATE: &str = "candidate";
/// RFC 8839.
pub const REMOTE_CANDIDATES: &str = "remote-candidates";
/// RFC 8840. A flag.
pub const END_OF_CANDIDATES: &str = "end-of-candidates";
/// RFC 4567: a keying protocol's message, which may hold a key.
pub const KEY_MGMT: &str = "key-mgmt";
/// RFC 5939: attributes of a potential configuration; may hold an a=crypto line.
pub const ACAP: &str = "acap";
/// RFC 5939: protocols of a potential configuration.
pub const TCAP: &str = "tcap";
/// RFC 5939: potential configuration.
pub const PCFG: &str = "pcfg";
/// RFC 5939: actual configuration.
pub const ACFG: &str = "acfg";
/// RFC 5939: capabilities supported.
pub const CSUP: &str = "csup";
/// RFC 5939: capabilities required.
pub const CREQ: &str = "creq";
