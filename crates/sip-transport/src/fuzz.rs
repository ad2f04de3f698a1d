//! Entry points for fuzzing: functions of bytes alone that panic where an invariant does not hold.

use std::net::SocketAddr;

use sip::{Flow, Frame, Limits, Message, Received, Transport};

use crate::{WebConfig, via, web};

/// What a WS port does with bytes: as the head of an HTTP request, and as one WebSocket message. Whatever is answered goes to where
/// the bytes came from.
pub fn websocket(bytes: &[u8]) {
    let answer = web::answer(bytes, &WebConfig::default()).0;
    assert!(answer.starts_with(b"HTTP/1.1 ") && answer.ends_with(b"\r\n\r\n"), "no answer without a page");

    let limits = Limits::default();
    let peer: SocketAddr = ([192, 0, 2, 1], 40000).into();
    let flow = Flow { transport: Transport::Tls, local: ([192, 0, 2, 2], 5061).into(), peer, connection: 1 };
    match crate::websocket::frame(bytes, &limits) {
        Frame::Ping | Frame::Pong => {}
        Frame::Message(Received::Refused { response, .. }) => {
            if let Some((bytes, address)) = response.and_then(|response| via::route_refusal(*response, peer)) {
                assert_eq!(address.ip(), peer.ip(), "the answer goes to somebody else");
                assert!(bytes.starts_with(b"SIP/2.0 "));
            }
        }
        Frame::Message(Received::Message(Message::Request(request))) => {
            let response = request.respond(sip::StatusCode::OK).to_bytes();
            let way_back = via::way_back(&response, flow, &limits);
            assert!(way_back.is_none_or(|key| key.peer.ip() == peer.ip()), "a response goes to somebody else");
        }
        Frame::Message(Received::Message(Message::Response(response))) => {
            assert!(!via::is_ours(&response, std::iter::empty()));
        }
    }
}
