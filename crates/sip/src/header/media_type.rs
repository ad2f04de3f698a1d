//! Content-Type, and the parts of a multipart body (RFC 3261 §7.4, RFC 2046 §5.1).

use crate::text::Scanner;
use crate::{Fault, Headers, Limits, Params};
use std::fmt;

/// `type/subtype;parameters`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaType {
    /// Before the slash.
    pub kind: String,
    /// After it.
    pub subtype: String,
    /// boundary, protocol, smime-type, …
    pub params: Params,
}

impl MediaType {
    /// Reads the value.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        scanner.blanks();
        let kind = scanner.token()?.to_owned();
        let subtype = scanner.separator(b'/').then(|| scanner.token())??.to_owned();
        Some(Self { kind, subtype, params: Params::scan(&mut scanner)? })
    }

    /// Compares type and subtype without case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// `multipart/…`.
    pub fn is_multipart(&self) -> bool {
        self.kind.eq_ignore_ascii_case("multipart")
    }

    /// Whether this type is in an Accept list, wildcards included.
    pub(crate) fn is_within(&self, range: &str) -> bool {
        let Some(range) = Self::parse(range) else { return false };
        (range.kind == "*" || range.kind.eq_ignore_ascii_case(&self.kind))
            && (range.subtype == "*" || range.subtype.eq_ignore_ascii_case(&self.subtype))
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}

/// One part of a multipart body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part<'a> {
    /// Content-Type, Content-Disposition, …
    pub headers: Headers,
    /// The content.
    pub body: &'a [u8],
    /// Headers, empty line and content byte for byte: what a signature covers (RFC 8551 §3.1).
    pub raw: &'a [u8],
}

impl<'a> Part<'a> {
    /// Reads a MIME entity: headers, an empty line, the content. One without headers begins with the empty line.
    pub fn parse(raw: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        let end = if raw.starts_with(b"\r\n") {
            0
        } else {
            raw.windows(4).position(|end| end == b"\r\n\r\n").map_or(raw.len(), |end| end + 2)
        };
        let headers = crate::parse::parse_headers(raw.get(..end).unwrap_or(raw), limits)?;
        Ok(Self { headers, body: raw.get(end + 2..).unwrap_or(&[]), raw })
    }
}

/// The parts of a multipart body, not descending into them. Text before the first boundary and after the last is passed
/// over; a body that ends without its closing boundary is malformed.
pub fn split_multipart<'a>(body: &'a [u8], media: &MediaType, limits: &Limits) -> Result<Vec<Part<'a>>, Fault> {
    const FAULT: Fault = Fault::Malformed(crate::name::CONTENT_TYPE);
    // RFC 2046 §5.1.1: 1 to 70 characters.
    let boundary = media.params.get("boundary").filter(|text| (1..=70).contains(&text.len())).ok_or(FAULT)?;
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut parts = Vec::new();
    let mut start: Option<usize> = None;
    let mut at = 0;
    while at < body.len() {
        let rest = body.get(at..).unwrap_or(&[]);
        let length = rest.windows(2).position(|pair| pair == b"\r\n").map_or(rest.len(), |end| end + 2);
        let line = rest.get(..length).unwrap_or(rest);
        let tail = line.strip_prefix(delimiter.as_slice()).map(<[u8]>::trim_ascii);
        if let Some(tail @ (b"" | b"--")) = tail {
            if let Some(start) = start {
                if parts.len() >= limits.parts {
                    return Err(Fault::TooManyHeaders);
                }
                // The CRLF before a boundary belongs to the boundary.
                parts.push(Part::parse(body.get(start..at.saturating_sub(2)).unwrap_or(&[]), limits)?);
            }
            if tail == b"--" {
                return Ok(parts);
            }
            start = Some(at + length);
        }
        at += length;
    }
    Err(FAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_split_without_their_boundaries() {
        let media = MediaType::parse("multipart/mixed; boundary=\"a b\"").unwrap();
        let body = b"preamble\r\n--a b\r\nContent-Type: text/plain\r\n\r\none\r\n\r\n--a b  \r\n\r\n--a bc\r\n--a b--\r\nepilogue";
        let parts = split_multipart(body, &media, &Limits::default()).unwrap();
        let bodies: Vec<_> = parts.iter().map(|part| part.body).collect();
        assert_eq!(bodies, [b"one\r\n".as_slice(), b"--a bc"]);
        assert_eq!(parts[0].raw, b"Content-Type: text/plain\r\n\r\none\r\n");
        assert!(split_multipart(b"--a b\r\n\r\nopen", &media, &Limits::default()).is_err());
    }
}
