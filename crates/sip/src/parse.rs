//! From bytes to messages: one pass over the head, without recursion.

use crate::headers::HeaderLine;
use crate::{Fault, Headers, Limits, Message, Method, Request, Response, StatusCode, Uri, check, name};

/// How a message came, which decides where its body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carriage {
    /// A datagram or WebSocket message: Content-Length may be missing, and what follows the body is discarded.
    Datagram,
    /// A whole message cut from a stream by [`StreamFramer`](crate::StreamFramer): Content-Length is required and exact.
    Stream,
}

/// What became of the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// A message that passed every check of [`Fault`].
    Message(Message),
    /// No message, or a faulty one.
    Refused {
        /// What was wrong.
        fault: Fault,
        /// The answer to a faulty request, to be sent where the bytes came from; `None` for a response, an ACK, or a request
        /// too broken to be answered. Its Vias are the request's own, without received and rport.
        response: Option<Box<Response>>,
    },
}

impl Received {
    /// The message, if it is one.
    pub fn message(self) -> Result<Message, Fault> {
        match self {
            Self::Message(message) => Ok(message),
            Self::Refused { fault, .. } => Err(fault),
        }
    }
}

/// Reads and checks one message. Linear in the length of the bytes and bounded by the limits; never panics.
pub fn receive(bytes: &[u8], carriage: Carriage, limits: &Limits) -> Received {
    let bytes = skip_line_ends(bytes);
    match read(bytes, carriage, limits) {
        Ok(message) => Received::Message(message),
        Err(fault) => Received::Refused { fault, response: refusal(bytes, fault, limits).map(Box::new) },
    }
}

/// CRLFs before a start line are passed over (RFC 3261 §7.5).
pub(crate) fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or(&[])
}

fn read(bytes: &[u8], carriage: Carriage, limits: &Limits) -> Result<Message, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    let (head, body) = split_head(bytes, limits)?;
    let line_end = head.windows(2).position(|pair| pair == b"\r\n").ok_or(Fault::StartLine)?;
    let (line, rest) = (head.get(..line_end).unwrap_or(&[]), head.get(line_end + 2..).unwrap_or(&[]));
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err(Fault::BareLineEnd);
    }
    let start = StartLine::parse(line)?;
    let headers = parse_headers(rest, limits)?;
    let body = cut_body(&headers, body, carriage, limits)?.to_vec();
    let message = match start {
        StartLine::Request { method, uri, text } => {
            Message::Request(Request::received(method, uri, text, headers, body))
        }
        StartLine::Status { status, reason } => Message::Response(Response::received(status, reason, headers, body)),
    };
    check::check(&message, limits)?;
    Ok(message)
}

/// Head with its last line's CRLF, without the empty line; and what follows that.
fn split_head<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(&'a [u8], &'a [u8]), Fault> {
    let searched = bytes.get(..limits.head_bytes).unwrap_or(bytes);
    match searched.windows(4).position(|end| end == b"\r\n\r\n") {
        Some(end) => Ok((bytes.get(..end + 2).unwrap_or(bytes), bytes.get(end + 4..).unwrap_or(&[]))),
        None if bytes.len() >= limits.head_bytes => Err(Fault::HeadTooLong),
        None => Err(Fault::HeadUnterminated),
    }
}

enum StartLine<'a> {
    Request { method: Method, uri: Uri, text: &'a str },
    Status { status: StatusCode, reason: &'a [u8] },
}

impl<'a> StartLine<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, Fault> {
        if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
            return Self::parse_status(line);
        }
        let line = std::str::from_utf8(line).map_err(|_| Fault::StartLine)?;
        // Exactly one space each (RFC 3261 §7.1); what has more could be read in two ways.
        let (method, rest) = line.split_once(' ').ok_or(Fault::StartLine)?;
        let (uri, version) = rest.rsplit_once(' ').ok_or(Fault::StartLine)?;
        let method = Method::parse(method).ok_or(Fault::StartLine)?;
        check_version(version)?;
        let parsed = Uri::parse(uri).ok_or(Fault::RequestUri)?;
        if parsed.as_sip().is_some_and(|uri| uri.headers().next().is_some()) {
            return Err(Fault::RequestUri);
        }
        Ok(Self::Request { method, uri: parsed, text: uri })
    }

    fn parse_status(line: &'a [u8]) -> Result<Self, Fault> {
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let version = words.next().and_then(|word| std::str::from_utf8(word).ok()).ok_or(Fault::StartLine)?;
        check_version(version)?;
        let code = words.next().and_then(|word| std::str::from_utf8(word).ok()).ok_or(Fault::StartLine)?;
        let code = crate::header::digits(code).filter(|code| code.len() == 3).and_then(|code| code.parse().ok());
        let status = code.and_then(StatusCode::new).ok_or(Fault::StartLine)?;
        Ok(Self::Status { status, reason: words.next().unwrap_or(b"") })
    }
}

/// `SIP/2.0`, or a fault that says whether it is another version or none.
fn check_version(text: &str) -> Result<(), Fault> {
    if text.eq_ignore_ascii_case("SIP/2.0") {
        return Ok(());
    }
    let number = text.get(..4).filter(|start| start.eq_ignore_ascii_case("SIP/")).and_then(|_| text.get(4..));
    let well_formed = number
        .and_then(|number| number.split_once('.'))
        .is_some_and(|(major, minor)| crate::header::digits(major).is_some() && crate::header::digits(minor).is_some());
    Err(if well_formed { Fault::Version } else { Fault::StartLine })
}

/// Header lines with their CRLFs.
pub(crate) fn parse_headers(mut bytes: &[u8], limits: &Limits) -> Result<Headers, Fault> {
    let mut headers = Headers::new();
    let mut count = 0;
    while !bytes.is_empty() {
        count += 1;
        if count > limits.headers {
            return Err(Fault::TooManyHeaders);
        }
        let length = line_length(bytes)?;
        let (line, rest) = bytes.split_at_checked(length).ok_or(Fault::HeaderLine)?;
        headers.push_line(HeaderLine::received(line).ok_or(Fault::HeaderLine)?);
        bytes = rest;
    }
    Ok(headers)
}

/// Length of the first header line with its folds and CRLF.
fn line_length(bytes: &[u8]) -> Result<usize, Fault> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or(&[]);
        let end = at + rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).ok_or(Fault::HeaderLine)?;
        if bytes.get(end..end + 2) != Some(b"\r\n") {
            return Err(Fault::BareLineEnd);
        }
        at = end + 2;
        if !matches!(bytes.get(at), Some(b' ' | b'\t')) {
            return Ok(at);
        }
    }
}

fn cut_body<'a>(headers: &Headers, body: &'a [u8], carriage: Carriage, limits: &Limits) -> Result<&'a [u8], Fault> {
    let length = match (headers.content_length()?, carriage) {
        (Some(length), _) => length,
        (None, Carriage::Datagram) => body.len(),
        (None, Carriage::Stream) => return Err(Fault::ContentLengthMissing),
    };
    if length > limits.body_bytes {
        return Err(Fault::BodyTooLong);
    }
    body.get(..length).ok_or(Fault::ContentLength)
}

/// The answer to a faulty request, from as many of its header lines as can be told apart.
pub(crate) fn refusal(bytes: &[u8], fault: Fault, limits: &Limits) -> Option<Response> {
    let head = bytes.get(..limits.head_bytes).unwrap_or(bytes);
    let line_end = head.windows(2).position(|pair| pair == b"\r\n")?;
    let line = head.get(..line_end)?.trim_ascii();
    let is_response = line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    let version = line.rsplit(|&byte| byte == b' ').next()?;
    let is_request = version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    if is_response || !is_request || line.starts_with(b"ACK ") {
        return None;
    }
    let mut headers = Headers::new();
    let mut rest = head.get(line_end + 2..)?;
    for _ in 0..limits.headers {
        let Ok(length) = line_length(rest) else { break };
        let (line, after) = rest.split_at_checked(length)?;
        if line == b"\r\n" {
            break;
        }
        if let Some(line) = HeaderLine::received(line) {
            headers.push_line(line);
        }
        rest = after;
    }
    let echoed = [name::VIA, name::FROM, name::TO, name::CALL_ID, name::CSEQ];
    // Without a Via the answer cannot find its way back; any other header may be the one that is missing.
    if !headers.contains(name::VIA) || headers.cseq().is_ok_and(|cseq| cseq.method == Method::Ack) {
        return None;
    }
    let mut response = Response::new(fault.status());
    response.set_reason(&format!("{} ({fault})", fault.status().reason()));
    for name in echoed {
        response.headers.copy(&headers, name);
    }
    response.headers.push(name::CONTENT_LENGTH, 0);
    Some(response)
}
