//! What a WS or WSS port says to a browser: a few fixed pages, and WebSocket (RFC 7118).

mod http;
mod rewound;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::Refusal;
use crate::hub::Hub;
use rewound::Rewound;

/// Pages and WebSocket. A `GET` or `HEAD` without `Upgrade` gets a page or 404; an upgrade on any path is a WebSocket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebConfig {
    /// Pages by path without query: `/`, `/phone.js`.
    pub pages: BTreeMap<String, Page>,
    /// Origins, such as `https://phone.example.com`, whose pages may open a WebSocket. Compared whole, without case.
    pub origins: Vec<String>,
    /// Whether a client without Origin is let in. Browsers always send one; others could send any.
    pub allow_missing_origin: bool,
    /// Content-Security-Policy of all pages.
    pub content_security_policy: String,
    /// How often a WebSocket is pinged. It is closed if the peer was silent for three times as long.
    pub ping_interval: Duration,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            pages: BTreeMap::new(),
            origins: Vec::new(),
            allow_missing_origin: true,
            content_security_policy: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
                .to_owned(),
            ping_interval: Duration::from_secs(25),
        }
    }
}

/// One page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// `text/html; charset=utf-8`.
    pub content_type: String,
    /// The body.
    pub bytes: Arc<[u8]>,
}

/// Bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;

/// Reads one request. A page is served and the connection closed: `None`. An upgrade becomes a WebSocket.
pub(crate) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    hub: &Hub,
    peer: SocketAddr,
) -> Result<Option<WebSocketStream<Rewound<S>>>, Refusal> {
    let head = read_head(&mut stream).await?;
    let config = hub.web();
    if http::Request::parse(&head).is_some_and(|request| request.is_upgrade) {
        return upgrade(Rewound::new(head, stream), hub, &config).await.map(Some);
    }
    let (answer, is_good) =
        if hub.is_within_rate(peer) { answer(&head, &config) } else { (http::refusal("429 Too Many Requests"), true) };
    if stream.write_all(&answer).await.is_ok() {
        let _ = stream.shutdown().await;
    }
    if is_good { Ok(None) } else { Err(Refusal::Http) }
}

/// The answer to a request that is no upgrade, and whether the request was one that a browser makes.
pub(crate) fn answer(head: &[u8], config: &WebConfig) -> (Vec<u8>, bool) {
    match http::Request::parse(head) {
        Some(request) => http::page(&request, config),
        None => (http::refusal("400 Bad Request"), false),
    }
}

/// Up to the empty line, and what came with it.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, Refusal> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let length = stream.read(&mut buffer).await.map_err(|_| Refusal::Http)?;
        let searched = head.len().saturating_sub(3);
        head.extend_from_slice(buffer.get(..length).unwrap_or(&[]));
        if head.get(searched..).unwrap_or(&[]).windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(head);
        }
        if length == 0 || head.len() > MAX_HEAD {
            return Err(Refusal::Http);
        }
    }
}

async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: Rewound<S>,
    hub: &Hub,
    config: &WebConfig,
) -> Result<WebSocketStream<Rewound<S>>, Refusal> {
    let mut reason = Refusal::WebSocket;
    #[expect(clippy::result_large_err, reason = "tungstenite's signature")]
    let check = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let headers = request.headers();
        let texts = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or(""));
        if !config.allows(texts("origin").next()) || texts("origin").count() > 1 {
            reason = Refusal::Origin;
            return Err(error(StatusCode::FORBIDDEN));
        }
        if !texts("sec-websocket-protocol").flat_map(|list| list.split(',')).any(|name| name.trim() == "sip") {
            reason = Refusal::Subprotocol;
            return Err(error(StatusCode::BAD_REQUEST));
        }
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("sip"));
        Ok(response)
    };
    let message = hub.limits.message.head_bytes + hub.limits.message.body_bytes;
    let limits = WebSocketConfig::default()
        .read_buffer_size(8 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * message)
        .max_message_size(Some(message))
        .max_frame_size(Some(message));
    let upgraded = tokio_tungstenite::accept_hdr_async_with_config(stream, check, Some(limits)).await;
    upgraded.map_err(|_| reason)
}

fn error(status: StatusCode) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    response
}

impl WebConfig {
    fn allows(&self, origin: Option<&str>) -> bool {
        match origin {
            Some(origin) => self.origins.iter().any(|own| own.eq_ignore_ascii_case(origin)),
            None => self.allow_missing_origin,
        }
    }
}
