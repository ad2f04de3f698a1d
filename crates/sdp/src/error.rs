//! Why a text is no session description.

use std::fmt;

/// Why a text was refused, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: ParseFault,
}

/// What is wrong with a line. All are the peer's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseFault {
    /// There is no text at all.
    Empty,
    /// More bytes than [`Limits::bytes`](crate::Limits::bytes), which is given; the line is the one that crosses it.
    TooManyBytes(usize),
    /// More lines than the limit given.
    TooManyLines(usize),
    /// More bytes in the line than the limit given.
    LineTooLong(usize),
    /// More m= sections than the limit given.
    TooManySections(usize),
    /// More formats in an m= line than the limit given.
    TooManyFormats(usize),
    /// More candidates in a section than the limit given.
    TooManyCandidates(usize),
    /// More crypto lines in a section than the limit given.
    TooManyCryptoLines(usize),
    /// Not UTF-8.
    NotUtf8,
    /// A NUL byte.
    Nul,
    /// Not a letter, an equals sign and a value.
    NotTypeAndValue,
    /// The first line is not v=.
    VersionMissing,
    /// The version is not 0.
    VersionUnsupported,
    /// A second v= line: two descriptions in one text.
    VersionRepeated,
    /// No o= line before the first m= line or the end.
    OriginMissing,
    /// A second o= line.
    OriginRepeated,
    /// Not the six fields of RFC 8866 §5.2.
    OriginMalformed,
    /// Not the three fields of RFC 8866 §5.7.
    ConnectionMalformed,
    /// Fewer than media, port and protocol (RFC 8866 §5.14).
    MediaMalformed,
    /// The port is not a number of 0 to 65535, or its count is not one of 1 to 65535.
    PortMalformed,
}

impl ParseFault {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooManyBytes(_) => "too_many_bytes",
            Self::TooManyLines(_) => "too_many_lines",
            Self::LineTooLong(_) => "line_too_long",
            Self::TooManySections(_) => "too_many_sections",
            Self::TooManyFormats(_) => "too_many_formats",
            Self::TooManyCandidates(_) => "too_many_candidates",
            Self::TooManyCryptoLines(_) => "too_many_crypto_lines",
            Self::NotUtf8 => "not_utf8",
            Self::Nul => "nul",
            Self::NotTypeAndValue => "not_type_and_value",
            Self::VersionMissing => "version_missing",
            Self::VersionUnsupported => "version_unsupported",
            Self::VersionRepeated => "version_repeated",
            Self::OriginMissing => "origin_missing",
            Self::OriginRepeated => "origin_repeated",
            Self::OriginMalformed => "origin_malformed",
            Self::ConnectionMalformed => "connection_malformed",
            Self::MediaMalformed => "media_malformed",
            Self::PortMalformed => "port_malformed",
        }
    }
}

impl fmt::Display for ParseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty session description"),
            Self::TooManyBytes(limit) => write!(f, "session description is longer than {limit} bytes"),
            Self::TooManyLines(limit) => write!(f, "more than {limit} lines"),
            Self::LineTooLong(limit) => write!(f, "line is longer than {limit} bytes"),
            Self::TooManySections(limit) => write!(f, "more than {limit} m= lines"),
            Self::TooManyFormats(limit) => write!(f, "m= has more than {limit} formats"),
            Self::TooManyCandidates(limit) => write!(f, "more than {limit} a=candidate lines in one section"),
            Self::TooManyCryptoLines(limit) => write!(f, "more than {limit} a=crypto lines in one section"),
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::Nul => f.write_str("NUL byte"),
            Self::NotTypeAndValue => f.write_str("not of the form <letter>=<value>"),
            Self::VersionMissing => f.write_str("the first line is not v="),
            Self::VersionUnsupported => f.write_str("v= is not 0"),
            Self::VersionRepeated => f.write_str("second v= line"),
            Self::OriginMissing => f.write_str("no o= line so far"),
            Self::OriginRepeated => f.write_str("second o= line"),
            Self::OriginMalformed => f.write_str("o= has fewer than six fields"),
            Self::ConnectionMalformed => f.write_str("c= does not have three fields"),
            Self::MediaMalformed => f.write_str("m= lacks media, port or protocol"),
            Self::PortMalformed => f.write_str("m= port is not a number of 0 to 65535"),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl std::error::Error for ParseError {}
