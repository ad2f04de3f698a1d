//! What a WS port says to browsers and to those that are none.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sallyport_sip_transport::{Page, Refusal, Transports, WebConfig};
use sip::Transport;
use support::client::{self, read_to_end, read_until};
use support::{Element, PATIENCE, address, config, options_text, until};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};

fn serve(change: impl FnOnce(&mut WebConfig)) -> Transports {
    let mut listening = config(&[Transport::Ws]);
    listening.web.origins = vec!["https://phone.example.com".to_owned()];
    let page =
        |content_type: &str, text: &str| Page { content_type: content_type.to_owned(), bytes: text.as_bytes().into() };
    listening.web.pages.insert("/".to_owned(), page("text/html; charset=utf-8", "<!doctype html>"));
    listening.web.pages.insert("/phone.js".to_owned(), page("text/javascript", "dial()"));
    change(&mut listening.web);
    Element::bind(listening).serve().0
}

async fn connect(server: &Transports) -> TcpStream {
    TcpStream::connect(address(server, Transport::Ws)).await.unwrap()
}

async fn get(server: &Transports, request: &str) -> String {
    let mut stream = connect(server).await;
    client::write(&mut stream, request.replace('\n', "\r\n")).await;
    read_to_end(&mut stream).await
}

#[tokio::test]
async fn pages_are_served_with_strict_headers_and_nothing_else_is() {
    let server = serve(|_| ());
    let page = get(&server, "GET /?from=here HTTP/1.1\nHost: localhost\n\n").await;
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 15\r\n"),
        "{page}"
    );
    assert!(page.ends_with("\r\n\r\n<!doctype html>"));
    for header in [
        "Content-Security-Policy: default-src 'none'; script-src 'self';",
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: DENY",
        "Referrer-Policy: no-referrer",
        "Cross-Origin-Opener-Policy: same-origin",
        "Cross-Origin-Resource-Policy: same-origin",
    ] {
        assert!(page.contains(header), "{header}");
    }
    let head = get(&server, "HEAD /phone.js HTTP/1.1\n\n").await;
    assert!(head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    for (request, status) in [
        ("GET /none HTTP/1.1\n\n", "404"),
        ("GET /../etc/passwd HTTP/1.1\n\n", "404"),
        ("POST / HTTP/1.1\nContent-Length: 0\n\n", "405"),
        ("OPTIONS sip:a@b SIP/2.0\n\n", "400"),
    ] {
        let answer = get(&server, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    until("connections are closed", || server.stats().connections == [0; 5]).await;

    let page = Page { content_type: "text/plain".to_owned(), bytes: Arc::from(&b"new"[..]) };
    server.set_web(WebConfig { pages: [("/".to_owned(), page)].into(), ..WebConfig::default() });
    assert!(get(&server, "GET / HTTP/1.1\n\n").await.ends_with("new"));
}

#[tokio::test]
async fn only_pages_of_the_listed_origins_open_a_websocket() {
    let server = serve(|_| ());
    let try_from = async |origin| client::websocket(connect(&server).await, "ws://localhost/sip", origin, "sip").await;
    try_from(Some("https://phone.example.com")).await.unwrap();
    // No browser.
    try_from(None).await.unwrap();
    for origin in ["https://phone.example.com.evil.example", "http://phone.example.com", "null", ""] {
        match try_from(Some(origin)).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403),
            other => panic!("{origin}: {other:?}"),
        }
    }
    assert_eq!(server.stats().refusals(Refusal::Origin), 4);

    let server = serve(|web| web.allow_missing_origin = false);
    client::websocket(connect(&server).await, "ws://localhost/sip", None, "sip").await.unwrap_err();
    assert_eq!(server.stats().refusals(Refusal::Origin), 1);
}

#[tokio::test]
async fn a_websocket_speaks_sip_or_nothing() {
    let server = serve(|_| ());
    match client::websocket(connect(&server).await, "ws://localhost/sip", None, "chat").await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 400),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.stats().refusals(Refusal::Subprotocol), 1);
    client::websocket(connect(&server).await, "ws://localhost/elsewhere", None, "chat, sip").await.unwrap();
}

#[tokio::test]
async fn a_faulty_request_is_answered_and_too_long_a_message_is_the_end() {
    let mut listening = config(&[Transport::Ws]);
    listening.limits.message.head_bytes = 1000;
    listening.limits.message.body_bytes = 1000;
    let (server, _task) = Element::bind(listening).serve();
    let mut socket = client::websocket(connect(&server).await, "ws://localhost/", None, "sip").await.unwrap();
    let faulty = options_text(Transport::Ws, "a.invalid", 1).replace("CSeq: 1", "CSeq: one");
    assert!(client::ask(&mut socket, &faulty).await.starts_with("SIP/2.0 400 "));
    let answer = client::ask(&mut socket, &options_text(Transport::Ws, "a.invalid", 2)).await;
    assert!(answer.starts_with("SIP/2.0 200 "));
    socket.send(Message::text("x".repeat(3000))).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = socket.next().await {} });
    ended.await.unwrap();
    until("it is counted", || server.stats().refusals(Refusal::WebSocket) == 1).await;
}

#[tokio::test]
async fn a_websocket_is_pinged_and_ends_if_nobody_answers() {
    let server = serve(|web| web.ping_interval = Duration::from_millis(300));
    let mut live = client::websocket(connect(&server).await, "ws://localhost/", None, "sip").await.unwrap();
    // By hand, since a library would answer.
    let mut dead = connect(&server).await;
    let upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
    client::write(&mut dead, upgrade).await;
    let opened = read_until(&mut dead, "\r\n\r\n").await;
    // The example of RFC 6455 §1.3.
    assert!(opened.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{opened}");
    let watched = tokio::spawn(async move { read_to_end(&mut dead).await });
    let mut pings = 0;
    while pings < 6 {
        let message = tokio::time::timeout(PATIENCE, live.next()).await.unwrap().unwrap().unwrap();
        pings += u32::from(message.is_ping());
    }
    assert!(watched.await.unwrap().starts_with('\u{fffd}'), "the frame of a ping, and then the end");
    assert_eq!(server.stats().refusals(Refusal::Silence), 1);
    assert_eq!(server.stats().connections[3], 1);
}
