//! The wanted state of a call's media.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use srtp::{MasterKey, Policy, Profile};
use zeroize::Zeroize;

use crate::{Credentials, Fingerprint, LegId, TransportId};

/// The wanted state of a call's media, whole.
#[derive(Clone)]
pub struct Plan {
    /// Every transport that stays open.
    pub transports: Vec<TransportPlan>,
    /// Every flow.
    pub flows: Vec<FlowPlan>,
    /// [`Event::Idle`](crate::Event::Idle) comes when no authenticated packet has arrived on any transport for this
    /// long. `None` while every direction is held.
    pub media_timeout: Option<Duration>,
    /// The session's own record of the call: opaque here, at most 64 KiB, handed back to a restarted session.
    pub memo: Vec<u8>,
}

/// The memo holds keys.
impl Drop for Plan {
    fn drop(&mut self) {
        self.memo.zeroize();
    }
}

/// The wanted state of one transport.
#[derive(Clone, PartialEq)]
pub struct TransportPlan {
    /// Its name; its port was opened before.
    pub id: TransportId,
    /// The leg it belongs to.
    pub leg: LegId,
    /// What it carries.
    pub component: Component,
    /// Where the peer's SDP says that media goes. `None`: not known yet (no answer), or `c=0.0.0.0`.
    pub remote: Option<SocketAddr>,
    /// `None`: no ICE on this transport.
    pub ice: Option<IcePlan>,
    /// How it may leave `remote` for the address that packets come from. Without meaning when `ice` is set and the
    /// peer is a full agent.
    pub latching: Latching,
    /// Counts the signalling events that may move the peer (an offer or answer of its own): a new number opens the latch
    /// once more.
    pub latch_generation: u32,
    /// What helps with NAT where there is no ICE.
    pub nat: NatTraversal,
    /// How it is keyed.
    pub keying: Keying,
    /// Which answer to our offer `remote`, `ice`, `latching` and `keying` are of.
    pub branch: BranchId,
    /// The other answers to the same offer, when somebody downstream has forked it; at most [`MAX_BRANCHES`] less one.
    /// What comes from them is authenticated and counted, and goes no further; nothing is sent to them but ICE and DTLS.
    /// Keys that the branches share for sending share one context, so that no index is used twice under one key.
    pub others: Vec<BranchPlan>,
    /// DSCP and ECN byte of what is sent. `None`: as the system sets it.
    pub traffic_class: Option<u8>,
}

/// Answers to one offer that a transport can tell apart: what a forged packet costs grows with their number.
pub const MAX_BRANCHES: usize = 8;

/// Names one of several answers to one offer, inside its transport: an early dialog (RFC 3261 §12.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct BranchId(pub u16);

/// Another answer to the offer of a transport. The fields are those of [`TransportPlan`].
#[derive(Clone, PartialEq)]
pub struct BranchPlan {
    /// Its name.
    pub id: BranchId,
    /// Where this peer's SDP says that media goes.
    pub remote: Option<SocketAddr>,
    /// ICE with this peer. `local` is the same for all.
    pub ice: Option<IcePlan>,
    /// How this peer may be learnt.
    pub latching: Latching,
    /// As in [`TransportPlan`].
    pub latch_generation: u32,
    /// How this branch is keyed.
    pub keying: Keying,
}

/// What a transport carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Component {
    /// RTP alone; RTCP has a transport of its own.
    Rtp,
    /// RTCP alone.
    Rtcp,
    /// Both (RFC 5761).
    Muxed,
    /// Datagrams of a protocol other than RTP, such as UDPTL (T.38): relayed as they are, between transports of this kind
    /// alone. Keyed by [`Keying::Plain`]; under any other keying nothing passes.
    Datagrams,
}

/// ICE on one transport. We are ICE-lite.
#[derive(Clone, PartialEq, Eq)]
pub struct IcePlan {
    /// Ours. Changed credentials are an ICE restart.
    pub local: Credentials,
    /// The peer's; `None` until its SDP has come.
    pub remote: Option<Credentials>,
    /// The peer is lite as well: nobody checks; `remote` is where to send and an authenticated packet may latch.
    pub remote_lite: bool,
    /// The peer's candidates for this component with an address (those hidden by mDNS are not here). For diagnosis:
    /// checks decide.
    pub remote_candidates: Vec<SocketAddr>,
}

/// How a transport without ICE learns its peer's address (RFC 7362).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Latching {
    /// Secure: on any packet that authenticates. Plain: locks after three consistent packets of one source and stays
    /// locked until a plan changes `remote` or `latch_generation`. [`Component::Datagrams`]: locks on the first datagram
    /// from where the peer is expected, or on the third in a row from elsewhere; that may be another host only where the
    /// signalled address is private.
    #[default]
    Authenticated,
    /// Never: send to the signalled address, accept from any.
    Off,
    /// Never: send to the signalled address, accept from nowhere else.
    Strict,
}

/// What helps with NAT on a transport without ICE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NatTraversal {
    /// Until the first packet has come, an empty datagram goes to the peer each second, so that a NAT on our side has a
    /// binding for what the peer sends.
    pub pierce: bool,
    /// No media is sent before the first packet has come, so that a NAT on the peer's side makes its binding itself and no
    /// firewall takes us for an attacker.
    pub wait: bool,
}

/// How a transport is keyed.
#[derive(Clone, PartialEq)]
pub enum Keying {
    /// Plain RTP.
    Plain,
    /// Secure, keys not known yet: nothing is sent, nothing is accepted but ICE.
    Pending,
    /// Keys from signalling (RFC 4568).
    Sdes(Box<SdesKeys>),
    /// Keys from a DTLS handshake on the media path (RFC 5764).
    Dtls(Box<DtlsPlan>),
    /// The parties key each other and we hold no keys (RFC 7879 §3.1): RTP, RTCP, DTLS and ZRTP are relayed as they are,
    /// and only between transports that are both keyed so.
    PassThrough,
}

/// Both directions of an SDES-keyed transport.
#[derive(Clone, PartialEq)]
pub struct SdesKeys {
    /// The peer's: for what we receive. `None` until its SDP has come.
    pub inbound: Option<(Policy, Vec<MasterKey>)>,
    /// Ours: for what we send.
    pub outbound: (Policy, MasterKey),
}

/// One DTLS association, wanted.
#[derive(Clone, PartialEq)]
pub struct DtlsPlan {
    /// Counts the associations that signalling asked for (RFC 8842); a new number is a new association, and the keys of
    /// the one before stay valid for receiving until the first packet under the new ones.
    pub generation: u32,
    /// `None` until the answer has fixed it; until then datagrams wait in a short queue.
    pub role: Option<DtlsRole>,
    /// The peer's certificate must match one of those that use the strongest hash named here. Empty until its SDP has come.
    pub fingerprints: Vec<Fingerprint>,
    /// What we offer or accept, most preferred first.
    pub profiles: Vec<Profile>,
    /// The handshake fails when it has not ended this long after its role is known.
    pub deadline: Duration,
}

/// Who starts the handshake (RFC 4145 `setup`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DtlsRole {
    /// `active`: we send the ClientHello.
    Client,
    /// `passive`: we wait for it.
    Server,
}

/// Names a flow inside its call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowId(pub u16);

/// One-way forwarding of one section: what comes from the peer on the ingress transports leaves on the egress ones.
/// Between transports for [`Component::Datagrams`] the RTCP names equal the RTP ones, and the selector is empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowPlan {
    /// Its name. The same name in the next plan is the same flow: its egress sequence goes on.
    pub id: FlowId,
    /// RTP comes in here.
    pub ingress_rtp: TransportId,
    /// RTCP comes in here (equal to `ingress_rtp` when muxed).
    pub ingress_rtcp: TransportId,
    /// RTP leaves here.
    pub egress_rtp: TransportId,
    /// RTCP leaves here (equal to `egress_rtp` when muxed).
    pub egress_rtcp: TransportId,
    /// Which of the ingress transport's packets are this flow's. Empty: all that no other flow of the transport claims.
    pub selector: Selector,
    /// False on hold or when blocked: RTP is authenticated, counted and dropped; RTCP still passes.
    pub forward_media: bool,
    /// Of these payload types nothing is forwarded, whatever `forward_media` says.
    pub blocked: PayloadTypes,
    /// What is forwarded as silence.
    pub silenced: Silenced,
    /// What becomes of RTCP. Without meaning where `echo` is set.
    pub rtcp: RtcpPolicy,
    /// Set where ingress and egress are one transport: what the peer says goes back to itself.
    pub echo: Option<EchoPlan>,
}

/// How a peer's own media goes back to it: under SSRCs of ours, with reports of ours. A sender that met its own SSRC would
/// take it for a loop (RFC 3550 §8.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EchoPlan {
    /// Our SSRC of a stream is the peer's, exclusive-or this random number.
    pub ssrc_mask: NonZeroU32,
    /// Our CNAME in RTCP (RFC 7022 §4.2), at most 255 bytes.
    pub cname: String,
}

/// A set of RTP payload types.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PayloadTypes(
    /// Bit n stands for payload type n.
    pub u128,
);

impl PayloadTypes {
    /// All 128.
    pub const ALL: Self = Self(u128::MAX);

    /// Whether it has this payload type.
    pub fn contains(self, payload_type: u8) -> bool {
        payload_type < 0x80 && self.0 >> payload_type & 1 == 1
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<u8> for PayloadTypes {
    /// What is above 127 is left out.
    fn from_iter<I: IntoIterator<Item = u8>>(payload_types: I) -> Self {
        let own = payload_types.into_iter().filter(|&payload_type| payload_type < 0x80);
        Self(own.fold(0, |set, payload_type| set | 1 << payload_type))
    }
}

/// Payload types whose packets pass with every octet of their payload replaced by digital silence (ITU-T G.711, table 2:
/// the code for zero).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Silenced {
    /// μ-law: 0xFF.
    pub mu_law: PayloadTypes,
    /// A-law: 0xD5.
    pub a_law: PayloadTypes,
}

impl Silenced {
    /// The octet that packets of this payload type are filled with; `None`: they stay as they are.
    pub fn octet(self, payload_type: u8) -> Option<u8> {
        if self.mu_law.contains(payload_type) {
            Some(0xff)
        } else if self.a_law.contains(payload_type) {
            Some(0xd5)
        } else {
            None
        }
    }
}

/// Tells the sections of a bundled transport apart (RFC 9143 §9.2): by MID, else by SSRC, else by payload type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selector {
    /// The section's `a=mid`.
    pub mid: Option<String>,
    /// Header extension id of `urn:ietf:params:rtp-hdrext:sdes:mid` on the ingress leg.
    pub mid_extension: Option<u8>,
    /// SSRCs that `a=ssrc` names.
    pub ssrcs: Vec<u32>,
    /// Payload types of the section's formats.
    pub payload_types: Vec<u8>,
}

/// What becomes of RTCP on its way through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RtcpPolicy {
    /// Everything passes.
    #[default]
    Forward,
    /// The egress leg is AVP: transport-layer and payload-specific feedback (types 205 and 206) is taken out; the
    /// compound rules of RFC 3550 hold for what remains.
    WithoutFeedback,
    /// The egress leg wants none.
    Drop,
}
