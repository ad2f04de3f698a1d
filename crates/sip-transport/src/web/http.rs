//! As much of HTTP/1.1 as a few fixed pages need (RFC 9112).

use crate::{Page, WebConfig};

/// A request's line, and whether it asks for another protocol.
#[derive(Debug)]
pub(super) struct Request<'a> {
    method: &'a str,
    /// Without query.
    path: &'a str,
    /// It has `Upgrade: websocket`.
    pub(super) is_upgrade: bool,
}

impl<'a> Request<'a> {
    pub(super) fn parse(head: &'a [u8]) -> Option<Self> {
        let end = head.windows(4).position(|end| end == b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(head.get(..end)?).ok()?.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") || !target.starts_with('/') {
            return None;
        }
        let mut is_upgrade = false;
        for line in lines {
            let (name, value) = line.split_once(':')?;
            is_upgrade |= name.eq_ignore_ascii_case("upgrade") && value.trim().eq_ignore_ascii_case("websocket");
        }
        let path = target.split(['?', '#']).next()?;
        Some(Self { method, path, is_upgrade })
    }
}

/// A page, or why there is none; and whether the method is one of a browser's.
pub(super) fn page(request: &Request<'_>, config: &WebConfig) -> (Vec<u8>, bool) {
    if !matches!(request.method, "GET" | "HEAD") {
        return (refusal("405 Method Not Allowed\r\nAllow: GET, HEAD"), false);
    }
    let Some(Page { content_type, bytes }) = config.pages.get(request.path) else {
        return (refusal("404 Not Found"), true);
    };
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nContent-Security-Policy: {}\r\n{FIXED}\r\n",
        one_line(content_type),
        bytes.len(),
        one_line(&config.content_security_policy),
    )
    .into_bytes();
    if request.method == "GET" {
        answer.extend_from_slice(bytes);
    }
    (answer, true)
}

/// With every page: no guessing of types, no frames, no referrer, no other origin; of the devices the microphone and the camera.
const FIXED: &str = "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n\
    Permissions-Policy: camera=(self), microphone=(self), geolocation=(), payment=(), usb=()\r\n\
    Cache-Control: no-cache\r\nConnection: close\r\n";

/// An answer without a body.
pub(super) fn refusal(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// The configuration's text does not become a header of its own.
fn one_line(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, String, bool)> {
        let request = Request::parse(text.as_bytes())?;
        Some((request.method.to_owned(), request.path.to_owned(), request.is_upgrade))
    }

    #[test]
    fn a_request_is_its_line_and_its_upgrade() {
        let page = parse("GET /phone.js?v=1 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert_eq!(page, ("GET".to_owned(), "/phone.js".to_owned(), false));
        assert!(parse("GET /sip HTTP/1.1\r\nHost: a\r\nupgrade:  WebSocket\r\n\r\nbytes").unwrap().2);
        for bad in [
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
            "INVITE sip:a@b SIP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\n",
        ] {
            assert!(Request::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
