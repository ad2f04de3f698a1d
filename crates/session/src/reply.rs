//! What a front door gets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use control::{CallStatistics, Counters, Profile, Quality};

/// What a front door gets.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To an offer or answer: the description to send on.
    Sdp(RewrittenSdp),
    /// To a subscription: the offer to the subscriber.
    Subscribed(Box<Subscribed>),
    /// To a delete.
    Deleted(Deleted),
    /// To a query.
    Query(Box<CallReport>),
    /// It is done, and there is nothing to tell.
    Done,
    /// To a list: the Call-IDs, oldest first.
    List(Vec<String>),
    /// To statistics.
    Statistics(Box<SessionStatistics>),
}

/// The description to send on.
#[derive(Clone, PartialEq, Eq)]
pub struct RewrittenSdp {
    /// The text.
    pub sdp: Vec<u8>,
    /// What was not as it should be, but could be dealt with.
    pub warnings: Vec<String>,
}

/// The text holds keys: only its length is shown.
impl fmt::Debug for RewrittenSdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewrittenSdp")
            .field("sdp", &format_args!("{} bytes", self.sdp.len()))
            .field("warnings", &self.warnings)
            .finish()
    }
}

/// To a subscription.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// The offer to the subscriber, all of whose sections are `sendonly`.
    pub offer: RewrittenSdp,
    /// Names the subscriber.
    pub to_tag: String,
    /// The parties that are heard, in the order of the offer's sections.
    pub sources: Vec<SubscribedParty>,
}

/// A party that is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribedParty {
    /// Its tag.
    pub tag: String,
    /// Its label.
    pub label: Option<String>,
    /// Its sections.
    pub medias: Vec<SubscribedMedia>,
}

/// A section that is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribedMedia {
    /// Number of the party's section, from 1.
    pub index: usize,
    /// `audio`, `video` …
    pub kind: String,
    /// `a=label` of the offer, with [`Flags::siprec`](crate::Flags).
    pub label: Option<String>,
    /// The party's own direction: `sendrecv` …
    pub mode: &'static str,
}

/// To a delete.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// Final statistics; `None` with `fast`, or when nothing matched.
    pub report: Option<Box<CallReport>>,
    /// `Call-ID not found or tags didn't match`
    pub warning: Option<&'static str>,
}

/// What is known of a call.
#[derive(Clone, Debug)]
pub struct CallReport {
    /// The Call-ID.
    pub call_id: String,
    /// When this was known.
    pub at: SystemTime,
    /// When its first offer came.
    pub created: SystemTime,
    /// When its latest offer or answer came.
    pub last_signal: SystemTime,
    /// Sum over all streams, as received.
    pub totals: Totals,
    /// By SSRC, as received.
    pub ssrcs: BTreeMap<u32, SsrcReport>,
    /// One for each party; a branch that has not answered has an empty tag.
    pub tags: Vec<TagReport>,
    /// All of it as the worker told it. `None`: it did not answer.
    pub statistics: Option<CallStatistics>,
}

/// RTP and RTCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// RTP.
    pub rtp: Tally,
    /// RTCP.
    pub rtcp: Tally,
}

/// Packets, bytes and errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets that were accepted.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that were not.
    pub errors: u64,
}

impl From<Counters> for Tally {
    fn from(counters: Counters) -> Self {
        Self { packets: counters.packets, bytes: counters.bytes, errors: 0 }
    }
}

/// A received stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SsrcReport {
    /// RTP packets.
    pub packets: u64,
    /// RTP bytes.
    pub bytes: u64,
    /// Of the last packet.
    pub last_timestamp: u32,
    /// Of the last packet.
    pub last_sequence_number: u16,
    /// RFC 3550 A.3; below zero with duplicates.
    pub cumulative_loss: i64,
    /// RFC 3550 A.8, in timestamp units.
    pub jitter: u32,
    /// How it sounds, in samples. `None`: no sample yet.
    pub quality: Option<Quality>,
}

/// A party.
#[derive(Clone, Debug)]
pub struct TagReport {
    /// Its tag; empty when not known yet.
    pub tag: String,
    /// Of the request that reached it.
    pub via_branch: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// When it came into the call.
    pub created: SystemTime,
    /// Tags of those that it talks with; of a party without tag, nothing.
    pub in_dialogue_with: Vec<String>,
    /// Its media sections.
    pub medias: Vec<MediaReport>,
}

/// A media section.
#[derive(Clone, Debug)]
pub struct MediaReport {
    /// From 1, in the order of the description.
    pub index: usize,
    /// `audio`, `video` …
    pub kind: String,
    /// The `proto` field of `m=`.
    pub protocol: String,
    /// Name of the first format.
    pub codec: Option<String>,
    /// What is on: `ICE`, `rtcp-mux`, `DTLS-SRTP`, `SDES`, `send`, `recv` …
    pub flags: Vec<&'static str>,
    /// SSRCs that come in.
    pub ingress_ssrcs: Vec<u32>,
    /// SSRCs that go out.
    pub egress_ssrcs: Vec<u32>,
    /// RTP, then RTCP if it has a port of its own.
    pub streams: Vec<StreamReport>,
}

/// A local port.
#[derive(Clone, Debug)]
pub struct StreamReport {
    /// Bound address and port.
    pub local: SocketAddr,
    /// Where we send.
    pub endpoint: Option<SocketAddr>,
    /// What the peer's description says.
    pub advertised_endpoint: Option<SocketAddr>,
    /// Profile of the keys in use.
    pub crypto_suite: Option<Profile>,
    /// When the last authentic packet came.
    pub last_packet: Option<SystemTime>,
    /// SSRCs that come in.
    pub ssrcs: Vec<u32>,
    /// What it is: `RTP`, `RTCP`, `DTLS fingerprint verified` …
    pub flags: Vec<&'static str>,
    /// Received, RTP and RTCP.
    pub received: Tally,
    /// Sent, RTP and RTCP.
    pub sent: Tally,
}

/// Totals over all calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStatistics {
    /// Since the start.
    pub uptime: Duration,
    /// Calls that are there.
    pub calls: u64,
    /// Legs of these.
    pub legs: u64,
    /// Transports of these.
    pub transports: u64,
    /// Calls since the start.
    pub calls_total: u64,
    /// Of those that have ended: by delete.
    pub ended_by_delete: u64,
    /// Of those that have ended: by media timeout.
    pub ended_by_media_timeout: u64,
    /// Of those that have ended: an offer without an answer.
    pub ended_by_offer_timeout: u64,
    /// Sum of the lifetimes of those that have ended.
    pub ended_duration: Duration,
    /// Media of those that have ended, as received.
    pub ended_media: Totals,
    /// Offers since the start, refused ones too.
    pub offers: u64,
    /// Answers since the start, refused ones too.
    pub answers: u64,
    /// Deletes since the start.
    pub deletes: u64,
    /// Queries since the start.
    pub queries: u64,
    /// Requests refused, by [`Refusal::label`](crate::Refusal::label).
    pub refusals: BTreeMap<&'static str, u64>,
    /// Ports that somebody else had.
    pub port_retries: u64,
}
