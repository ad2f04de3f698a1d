//! What a request may ask for. The names are those of rtpengine's control protocol, typed.

use std::net::IpAddr;
use std::time::Duration;

use control::{HashAlgorithm, Profile};

use crate::MediaProfile;

/// What a request may ask for. The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `transport-protocol`
    pub transport_protocol: Option<TransportProtocol>,
    /// `ICE`
    pub ice: Option<IceOption>,
    /// `ICE-lite`. We are lite towards everybody.
    pub ice_lite: Option<IceLite>,
    /// `DTLS`
    pub dtls: Option<DtlsOption>,
    /// `DTLS-fingerprint`: hash of the fingerprint that we print.
    pub dtls_fingerprint: Option<HashAlgorithm>,
    /// `SDES`
    pub sdes: SdesOptions,
    /// `OSRTP`
    pub osrtp: OsrtpOptions,
    /// `rtcp-mux`
    pub rtcp_mux: RtcpMuxOptions,
    /// `direction`, `from-interface` and `to-interface`
    pub interfaces: InterfaceOptions,
    /// `replace`
    pub replace: ReplaceOptions,
    /// `flags`
    pub flags: Flags,
    /// `address-family` of what we write.
    pub address_family: Option<AddressFamily>,
    /// `media-address`: written in place of the interface's own.
    pub media_address: Option<IpAddr>,
    /// `label`, `set-label` of the party that sent this.
    pub label: Option<String>,
    /// `to-label`: label of the other party.
    pub to_label: Option<String>,
    /// `TOS`: DSCP and ECN byte of what we send, for the whole call.
    pub traffic_class: Option<u8>,
    /// `endpoint-learning`
    pub endpoint_learning: Option<EndpointLearning>,
    /// `codec`, the part that only edits text.
    pub codec: CodecOptions,
    /// `sdp-attr`: edits of `a=` lines, in their order.
    pub attributes: Vec<AttributeEdit>,
    /// `sdp-media-remove`: sections of these media types are not offered on, and answered as rejected.
    pub media_remove: Vec<String>,
    /// `extmap: strip`: URIs of header extensions that are taken out of what is written.
    pub extmap_strip: Vec<String>,
    /// `block-DTMF`, `DTMF-security=drop`: telephone events of both parties are not forwarded.
    pub block_dtmf: Option<bool>,
    /// `delete-delay`: how long ports stay open after the call's end.
    pub delete_delay: Option<Duration>,
    /// Names of options that the front door read but that have no place here, and that must not be ignored. The first
    /// one refuses the request.
    pub unsupported: Vec<String>,
}

/// `transport-protocol`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportProtocol {
    /// The profile of the outgoing description.
    Profile(MediaProfile),
    /// `accept`, in an answer: the answerer's profile is taken as it is. (The offerer gets the profile that it offered,
    /// with or without it.)
    Accept,
}

/// `ICE`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceOption {
    /// No ICE in the outgoing description.
    Remove,
    /// Ours, in place of what was there.
    Force,
    /// Only ours, as relay candidates, besides the peer's own. Not supported.
    ForceRelay,
    /// Ours if there was some: as if the option were absent.
    Default,
    /// Ours where there was none. What was there is replaced, since nobody could reach it past us.
    Optional,
}

/// `ICE-lite`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceLite {
    /// Towards the party that gets this.
    Forward,
    /// Towards the party that sent this.
    Backward,
    /// Both.
    Both,
    /// Neither: a full agent. Not supported.
    Off,
}

/// `DTLS`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsOption {
    /// Not offered and not accepted.
    Off,
    /// We take the passive role where we may choose.
    Passive,
    /// We take the active role where we may choose.
    Active,
}

/// `SDES`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SdesOptions {
    /// `off`, `no`, `disable`: not offered and not accepted.
    pub off: bool,
    /// `no-SUITE`: not offered, not accepted.
    pub exclude: Vec<Profile>,
    /// `only-SUITE`: nothing else offered or accepted. Empty: no such limit.
    pub only: Vec<Profile>,
    /// `nonew`: only suites that the peer's offer had are offered on.
    pub no_new: bool,
    /// `order:A;B;…`: these first, in this order.
    pub order: Vec<Profile>,
    /// `offerer_pref:A;B;…`: in the answer to the offerer, the first of these that it offered is chosen.
    pub offerer_preference: Vec<Profile>,
    /// `pad`: base64 padding is printed. It always is.
    pub pad: bool,
    /// `lifetime`: `|2^31` is printed.
    pub lifetime: bool,
    /// `static`: the suites of an earlier exchange stay.
    pub fixed: bool,
    /// `prefer`: where the offer has both SDES and DTLS, SDES is chosen.
    pub prefer: bool,
    /// `unencrypted_srtp`, `encrypted_srtp`
    pub encrypt_rtp: Option<bool>,
    /// `unencrypted_srtcp`, `encrypted_srtcp`
    pub encrypt_rtcp: Option<bool>,
    /// `unauthenticated_srtp`, `authenticated_srtp`
    pub authenticate_rtp: Option<bool>,
}

/// `OSRTP` (RFC 8643)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OsrtpOptions {
    /// `offer`, `offer-RFC`
    pub offer: bool,
    /// `offer-legacy`
    pub offer_legacy: bool,
    /// `accept`, `accept-RFC`
    pub accept: bool,
    /// `accept-legacy`
    pub accept_legacy: bool,
}

/// `rtcp-mux` (RFC 5761)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpMuxOptions {
    /// Offered on, even if the offer had none.
    pub offer: bool,
    /// Offered on with no second port to fall back to.
    pub require: bool,
    /// Accepted from the offerer, not offered on.
    pub demux: bool,
    /// Accepted from the offerer. (It is without this, too.)
    pub accept: bool,
    /// Not accepted from the offerer.
    pub reject: bool,
}

/// `direction`, `from-interface`, `to-interface`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceOptions {
    /// Interface towards the party that sent this.
    pub from: Option<String>,
    /// Interface towards the party that gets this.
    pub to: Option<String>,
}

/// `replace`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaceOptions {
    /// `origin`: our address in `o=`.
    pub origin: bool,
    /// `origin-full`: the whole of `o=` is ours.
    pub origin_full: bool,
    /// `session-connection`: without effect, `c=` is always ours.
    pub session_connection: bool,
    /// `SDP-version`: the version is ours; it grows by one when the text has changed.
    pub sdp_version: bool,
    /// `username` of `o=`.
    pub username: bool,
    /// `session-name`
    pub session_name: bool,
    /// `zero-address`: `c=0.0.0.0` is replaced, too.
    pub zero_address: bool,
    /// `force-increment-sdp-ver`: the version grows each time.
    pub force_increment: bool,
}

/// `flags`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `trust-address`: the address in the description is the peer's. This is the default.
    pub trust_address: bool,
    /// `SIP-source-address`: the peer's media address is that of its signalling.
    pub sip_source_address: bool,
    /// `symmetric`: may latch. This is the default.
    pub symmetric: bool,
    /// `asymmetric`: never latch towards the sender of this.
    pub asymmetric: bool,
    /// `strict-source`
    pub strict_source: bool,
    /// `pierce-NAT`: empty datagrams to the sender of this until it is heard.
    pub pierce_nat: bool,
    /// `NAT-wait`: no media to the sender of this until it is heard.
    pub nat_wait: bool,
    /// `media-handover`: the source may change later.
    pub media_handover: bool,
    /// `port-latching`
    pub port_latching: bool,
    /// `no-port-latching`
    pub no_port_latching: bool,
    /// `generate-mid`
    pub generate_mid: bool,
    /// `reset`: forget the earlier exchange's keys, ICE and version.
    pub reset: bool,
    /// Others can read the signalling of the party that sent this: SDES keys of its leg are entered in the ledger.
    pub from_in_clear: bool,
    /// The same of the party that gets this.
    pub to_in_clear: bool,
    /// The party that gets the offer is offered new keys; those of the other one stay.
    pub renew_keys: bool,
    /// `no-rtcp-attribute`
    pub no_rtcp_attribute: bool,
    /// `full-rtcp-attribute`: it always is.
    pub full_rtcp_attribute: bool,
    /// `loop-protect`
    pub loop_protect: bool,
    /// `trickle-ICE`
    pub trickle_ice: bool,
    /// `WebRTC`: see [`Options::expanded`].
    pub web_rtc: bool,
    /// `original-sendrecv`: direction attributes stay where and as they were.
    pub original_sendrecv: bool,
    /// `no-tls-id`
    pub no_tls_id: bool,
    /// `reject-ICE`: ICE is not accepted from the sender of an offer.
    pub reject_ice: bool,
    /// `pad-crypto`: base64 padding is printed. It always is.
    pub pad_crypto: bool,
    /// `single-codec`: an answer keeps its first codec, and telephone events.
    pub single_codec: bool,
    /// `reorder-codecs`: an answer has its codecs in the order of the offer.
    pub reorder_codecs: bool,
    /// `strip-extmap`: no header extension is written.
    pub strip_extmap: bool,
    /// `fragment`: the description is a piece of one (RFC 8840 §9), with candidates of the sender.
    pub fragment: bool,
    /// `passthrough`, `no-passthrough`: the parties key each other (RFC 7879 §3.1.1). What is not said stays as it was.
    pub pass_through: Option<bool>,
    /// `all`, in a subscription: to every party.
    pub all: bool,
    /// `SIPREC`, in a subscription: every section gets a label (RFC 7866 §7.1.1).
    pub siprec: bool,
}

/// `address-family`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// `IP4`
    Ip4,
    /// `IP6`
    Ip6,
}

/// `endpoint-learning`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointLearning {
    /// `off`
    Off,
    /// `immediate`
    Immediate,
    /// `delayed`
    Delayed,
    /// `heuristic`
    Heuristic,
}

/// `codec`, the part that only edits text. Names as in `a=rtpmap`, with or without clock rate and channels; `all` and
/// `full` name all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodecOptions {
    /// Taken out of what is written.
    pub strip: Vec<String>,
    /// As `strip`, in offers alone. (With a transcoder the codec would still be accepted from the offerer.)
    pub mask: Vec<String>,
    /// Kept though `strip` or `mask` names all.
    pub except: Vec<String>,
    /// As `except`, and in this order in front of all others.
    pub offer: Vec<String>,
}

/// One edit of `sdp-attr`. Values are what follows `a=`, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeEdit {
    /// Where.
    pub level: AttributeLevel,
    /// What.
    pub change: AttributeChange,
}

/// Where an edit of `sdp-attr` applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeLevel {
    /// `none`, `global`: the session.
    Session,
    /// Every section of this media type.
    Media(String),
}

/// An edit of `sdp-attr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeChange {
    /// Unless it is there.
    Add(String),
    /// All lines that begin so.
    Remove(String),
    /// Every line that is the first becomes the second.
    Substitute(String, String),
}

impl Options {
    /// With what `WebRTC` stands for written out: `UDP/TLS/RTP/SAVPF`, ICE force and trickle, rtcp-mux offer and
    /// require, no-rtcp-attribute, SDES off, generate-mid. An explicit option wins.
    #[must_use]
    pub fn expanded(mut self) -> Self {
        if !self.flags.web_rtc {
            return self;
        }
        self.transport_protocol.get_or_insert(TransportProtocol::Profile(MediaProfile::UdpTlsRtpSavpf));
        self.ice.get_or_insert(IceOption::Force);
        self.flags.trickle_ice = true;
        self.rtcp_mux.offer = true;
        self.rtcp_mux.require = true;
        self.flags.no_rtcp_attribute = true;
        self.sdes.off = true;
        self.flags.generate_mid = true;
        self
    }
}
