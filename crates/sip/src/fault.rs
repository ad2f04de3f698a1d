//! What is wrong with a message.

use crate::StatusCode;
use std::fmt;

/// Why a message was refused. The sender is at fault in every case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing but line ends: a keep-alive, no message (RFC 3261 §7.5, RFC 5626 §3.5.1).
    Empty,
    /// The first line is neither a request line nor a status line.
    StartLine,
    /// The version is not SIP/2.0.
    Version,
    /// The Request-URI is malformed, or has headers or blanks in it.
    RequestUri,
    /// A CR or LF that is not part of a CRLF, in the head.
    BareLineEnd,
    /// A header line without a name and a colon.
    HeaderLine,
    /// The empty line after the headers is missing.
    HeadUnterminated,
    /// More bytes than [`Limits::head_bytes`](crate::Limits::head_bytes).
    HeadTooLong,
    /// More header lines than [`Limits::headers`](crate::Limits::headers), or more elements than allowed in one of them.
    TooManyHeaders,
    /// More bytes than [`Limits::body_bytes`](crate::Limits::body_bytes).
    BodyTooLong,
    /// Content-Length is no number, or promises more than the datagram holds.
    ContentLength,
    /// A stream needs Content-Length (RFC 3261 §18.3).
    ContentLengthMissing,
    /// This header is required and missing.
    Missing(&'static str),
    /// This header may occur once only.
    Repeated(&'static str),
    /// This header's value does not follow its grammar or range.
    Malformed(&'static str),
    /// The method of CSeq is not the request's.
    MethodMismatch,
}

impl Fault {
    /// The status that answers a request with this fault.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Self::HeadTooLong | Self::TooManyHeaders | Self::BodyTooLong => StatusCode::MESSAGE_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty message"),
            Self::StartLine => f.write_str("malformed start line"),
            Self::Version => f.write_str("version is not SIP/2.0"),
            Self::RequestUri => f.write_str("malformed Request-URI"),
            Self::BareLineEnd => f.write_str("CR or LF alone"),
            Self::HeaderLine => f.write_str("malformed header line"),
            Self::HeadUnterminated => f.write_str("no empty line after the headers"),
            Self::HeadTooLong => f.write_str("headers too long"),
            Self::TooManyHeaders => f.write_str("too many headers"),
            Self::BodyTooLong => f.write_str("body too long"),
            Self::ContentLength => f.write_str("bad Content-Length"),
            Self::ContentLengthMissing => f.write_str("Content-Length missing"),
            Self::Missing(name) => write!(f, "{name} missing"),
            Self::Repeated(name) => write!(f, "{name} repeated"),
            Self::Malformed(name) => write!(f, "malformed {name}"),
            Self::MethodMismatch => f.write_str("CSeq names another method"),
        }
    }
}

impl std::error::Error for Fault {}
