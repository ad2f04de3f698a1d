//! Why a request was not carried out. The words are rtpengine's where it has some, followed by the true cause.

use std::fmt;

/// Why a request was not carried out. The call, if there is one, is as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No Call-ID.
    NoCallId,
    /// No from-tag.
    NoFromTag,
    /// An answer without to-tag.
    NoToTag,
    /// No session description.
    NoSdp,
    /// The session description cannot be read: the line and the reason.
    Unreadable(String),
    /// The session description can be read but says too little or contradicts itself.
    Incomplete(String),
    /// The session description cannot be rewritten.
    NotRewritable(String),
    /// No such call.
    UnknownCallId,
    /// The call has no such party.
    FromTagNotFound,
    /// The call has no such party.
    ToTagNotFound,
    /// The call has no party of this label or address.
    NoSuchParty(String),
    /// An answer, but no offer waits for one.
    NoOffer,
    /// The same or the other party's offer is not answered yet, or its ports are still being bound.
    OfferPending,
    /// No port: why the last one could not be had.
    OutOfPorts(String),
    /// No interface of that name or address family.
    UnknownInterface(String),
    /// An option that asks for something that this relay does not do: its name.
    Unsupported(String),
    /// The configured number of calls is reached.
    LoadLimit(String),
    /// The call ended while the request waited.
    CallEnded,
    /// The worker did not answer in time.
    WorkerSilent,
    /// The process that moves media is out of reach, or its calls are just being taken over.
    MediaHalfAway(&'static str),
}

impl Refusal {
    /// A short name of bounded variety: a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoCallId => "no_call_id",
            Self::NoFromTag => "no_from_tag",
            Self::NoToTag => "no_to_tag",
            Self::NoSdp => "no_sdp",
            Self::Unreadable(_) => "unreadable",
            Self::Incomplete(_) => "incomplete",
            Self::NotRewritable(_) => "not_rewritable",
            Self::UnknownCallId => "unknown_call_id",
            Self::FromTagNotFound => "from_tag_not_found",
            Self::ToTagNotFound => "to_tag_not_found",
            Self::NoSuchParty(_) => "no_such_party",
            Self::NoOffer => "no_offer",
            Self::OfferPending => "offer_pending",
            Self::OutOfPorts(_) => "out_of_ports",
            Self::UnknownInterface(_) => "unknown_interface",
            Self::Unsupported(_) => "unsupported",
            Self::LoadLimit(_) => "load_limit",
            Self::CallEnded => "call_ended",
            Self::WorkerSilent => "worker_silent",
            Self::MediaHalfAway(_) => "media_half_away",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCallId => f.write_str("No call-id in message"),
            Self::NoFromTag => f.write_str("No from-tag in message"),
            Self::NoToTag => f.write_str("No to-tag in message"),
            Self::NoSdp => f.write_str("No SDP body in message"),
            Self::Unreadable(cause) => write!(f, "Failed to parse SDP: {cause}"),
            Self::Incomplete(cause) => write!(f, "Incomplete SDP specification: {cause}"),
            Self::NotRewritable(cause) => write!(f, "Error rewriting SDP: {cause}"),
            Self::UnknownCallId => f.write_str("Unknown call-id"),
            Self::FromTagNotFound => f.write_str("From-tag not found"),
            Self::ToTagNotFound => f.write_str("To-tag not found"),
            Self::NoSuchParty(party) => write!(f, "No party with {party}"),
            Self::NoOffer => f.write_str("Answer without a pending offer"),
            Self::OfferPending => f.write_str("Another offer of this call is pending"),
            Self::OutOfPorts(cause) => write!(f, "Ran out of ports: {cause}"),
            Self::UnknownInterface(name) => write!(f, "Unknown interface: {name}"),
            Self::Unsupported(name) => write!(f, "Unsupported option: {name}"),
            Self::LoadLimit(cause) => f.write_str(cause),
            Self::CallEnded => f.write_str("The call ended meanwhile"),
            Self::WorkerSilent => f.write_str("The media worker did not answer in time"),
            Self::MediaHalfAway(cause) => write!(f, "No media at present: {cause}"),
        }
    }
}

impl std::error::Error for Refusal {}
