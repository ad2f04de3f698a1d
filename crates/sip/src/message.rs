//! Requests and responses.

use crate::{Headers, MediaType, Method, StatusCode, Uri, name};
use std::fmt;

/// A request or a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Message {
    /// The header lines.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Request(request) => &request.body,
            Self::Response(response) => &response.body,
        }
    }

    /// The message as it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    method: Method,
    uri: Uri,
    /// As received, if it is not what `uri` prints.
    uri_text: Option<Box<str>>,
    /// The header lines.
    pub headers: Headers,
    body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, uri_text: None, headers: Headers::new(), body: Vec::new() }
    }

    pub(crate) fn received(method: Method, uri: Uri, text: &str, headers: Headers, body: Vec<u8>) -> Self {
        let uri_text = (uri.to_string() != text).then(|| text.into());
        Self { method, uri, uri_text, headers, body }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The Request-URI as it stands in the message.
    pub fn uri_text(&self) -> String {
        self.uri_text.as_deref().map_or_else(|| self.uri.to_string(), str::to_owned)
    }

    /// Changes the Request-URI.
    pub fn set_uri(&mut self, uri: Uri) {
        self.uri = uri;
        self.uri_text = None;
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Changes the body, Content-Type and Content-Length; without a type (an empty body) Content-Type goes. A body of S/MIME
    /// gets a Content-Disposition that it must be understood.
    pub fn set_body(&mut self, content_type: Option<&str>, body: Vec<u8>) {
        set_body(&mut self.headers, &mut self.body, content_type, body);
    }

    /// A response to this request with Via, From, To, Call-ID and CSeq copied (RFC 3261 §8.2.6.2), the Timestamp too for
    /// 100, and Content-Length 0. The caller adds the To tag with [`Response::set_to_tag`].
    pub fn respond(&self, status: StatusCode) -> Response {
        let mut response = Response::new(status);
        for name in [name::VIA, name::FROM, name::TO, name::CALL_ID, name::CSEQ] {
            response.headers.copy(&self.headers, name);
        }
        if status == StatusCode::TRYING {
            response.headers.copy(&self.headers, name::TIMESTAMP);
        }
        response.headers.push(name::CONTENT_LENGTH, 0);
        response
    }

    /// The request as it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let uri = self.uri_text();
        print(&format!("{} {uri} SIP/2.0\r\n", self.method), &self.headers, &self.body)
    }
}

/// A response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    status: StatusCode,
    /// May hold any bytes but CR and LF.
    reason: Vec<u8>,
    /// The header lines.
    pub headers: Headers,
    body: Vec<u8>,
}

impl Response {
    /// A response without headers and body and with the usual reason phrase.
    pub fn new(status: StatusCode) -> Self {
        Self { status, reason: status.reason().into(), headers: Headers::new(), body: Vec::new() }
    }

    pub(crate) fn received(status: StatusCode, reason: &[u8], headers: Headers, body: Vec<u8>) -> Self {
        Self { status, reason: reason.to_vec(), headers, body }
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Changes the status, and the reason phrase to the usual one.
    pub fn set_status(&mut self, status: StatusCode) {
        self.status = status;
        self.set_reason(status.reason());
    }

    /// The reason phrase.
    pub fn reason(&self) -> String {
        String::from_utf8_lossy(&self.reason).into_owned()
    }

    /// Changes the reason phrase.
    pub fn set_reason(&mut self, reason: &str) {
        self.reason = crate::text::clean(reason).as_bytes().to_vec();
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Changes the body, Content-Type and Content-Length; without a type (an empty body) Content-Type goes. A body of S/MIME
    /// gets a Content-Disposition that it must be understood.
    pub fn set_body(&mut self, content_type: Option<&str>, body: Vec<u8>) {
        set_body(&mut self.headers, &mut self.body, content_type, body);
    }

    /// Gives To a tag if it has none.
    pub fn set_to_tag(&mut self, tag: &str) {
        if let Ok(mut to) = self.headers.to()
            && to.tag().is_none()
        {
            to.params.set("tag", Some(tag));
            self.headers.set(name::TO, to);
        }
    }

    /// The response as it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("SIP/2.0 {} ", self.status).into_bytes();
        bytes.reserve(self.reason.len() + self.headers.printed_len() + self.body.len() + 4);
        bytes.extend_from_slice(&self.reason);
        bytes.extend_from_slice(b"\r\n");
        self.headers.print(&mut bytes);
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

fn set_body(headers: &mut Headers, own: &mut Vec<u8>, content_type: Option<&str>, body: Vec<u8>) {
    // RFC 3261 §23.3: whoever cannot read what is signed or sealed shall not pass over it.
    if content_type.and_then(MediaType::parse).is_some_and(|media| is_secured(&media)) {
        headers.set(name::CONTENT_DISPOSITION, SECURED_DISPOSITION);
    } else if headers.value(name::CONTENT_DISPOSITION).is_some_and(|value| value == SECURED_DISPOSITION) {
        headers.remove(name::CONTENT_DISPOSITION);
    }
    match content_type {
        Some(content_type) => headers.set(name::CONTENT_TYPE, content_type),
        None => drop(headers.remove(name::CONTENT_TYPE)),
    }
    headers.set(name::CONTENT_LENGTH, body.len());
    *own = body;
}

/// Content-Disposition of a signed or sealed body.
const SECURED_DISPOSITION: &str = "attachment;handling=required";

fn is_secured(media: &MediaType) -> bool {
    media.is("multipart", "signed") || media.is("application", "pkcs7-mime")
}

fn print(start: &str, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(start.len() + headers.printed_len() + 2 + body.len());
    bytes.extend_from_slice(start.as_bytes());
    headers.print(&mut bytes);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Start line and names of headers; values hold credentials and bodies hold keys.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} body {}", self.method, self.headers, self.body.len())
    }
}

/// As for [`Request`].
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} body {}", self.status, self.headers, self.body.len())
    }
}

/// What a message carries: its type and its bytes. An SDP offer or answer, mostly.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// Content-Type.
    pub content_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Body {
    /// `application/sdp`.
    pub fn sdp(text: impl Into<Vec<u8>>) -> Self {
        Self { content_type: "application/sdp".into(), bytes: text.into() }
    }

    /// The body of a message; `None` if it is empty. A body without Content-Type counts as SDP, as RFC 2543 had it.
    pub fn of(headers: &Headers, bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        let content_type =
            headers.value(name::CONTENT_TYPE).map_or("application/sdp".into(), |value| value.into_owned());
        Some(Self { content_type, bytes: bytes.to_vec() })
    }

    /// Whether this is a session description: alone, in a multipart body, or in what only its recipient can open (S/MIME).
    pub fn has_sdp(&self) -> bool {
        MediaType::parse(&self.content_type).is_some_and(|media| {
            media.is("application", "sdp") || media.is_multipart() || media.is("application", "pkcs7-mime")
        })
    }
}

/// Type and length; the bytes may hold keys.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.content_type, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_read_a_secured_body_shall_not_pass_over_it() {
        let mut request = Request::new(Method::Invite, Uri::parse("sip:bob@example.com").unwrap());
        for (content_type, disposition) in [
            ("multipart/signed;protocol=\"application/pkcs7-signature\";boundary=x", Some(SECURED_DISPOSITION)),
            ("application/sdp", None),
            ("application/pkcs7-mime;smime-type=enveloped-data", Some(SECURED_DISPOSITION)),
        ] {
            request.set_body(Some(content_type), b"body".to_vec());
            assert_eq!(request.headers.value(name::CONTENT_DISPOSITION).as_deref(), disposition, "{content_type}");
        }
        request.set_body(None, Vec::new());
        request.headers.set(name::CONTENT_DISPOSITION, "session");
        request.set_body(Some("application/sdp"), b"v=0".to_vec());
        assert_eq!(request.headers.value(name::CONTENT_DISPOSITION).as_deref(), Some("session"));
    }
}
