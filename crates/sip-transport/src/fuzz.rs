//! Entry points for fuzzing: functions of bytes alone that panic where an invariant does not hold.

use sip::{Carriage, Frame, Limits, Message, Received, receive};

use crate::via;

/// One WebSocket message, and what is done with what it holds: a refusal is answered where it came from, a request that goes on by
/// TCP is the same request.
pub fn websocket(bytes: &[u8]) {
    let limits = Limits::default();
    let peer = ([192, 0, 2, 1], 40000).into();
    match crate::websocket::frame(bytes, &limits) {
        Frame::Ping | Frame::Pong => {}
        Frame::Message(Received::Refused { response, .. }) => {
            if let Some((bytes, address)) = response.and_then(|response| via::route_refusal(*response, peer)) {
                assert_eq!(address.ip(), peer.ip(), "the answer goes to somebody else");
                assert!(!bytes.is_empty());
            }
        }
        Frame::Message(Received::Message(message)) => {
            let Some(by_tcp) = via::for_tcp(bytes, &limits) else {
                assert!(matches!(message, Message::Response(_)), "a request cannot go by TCP");
                return;
            };
            let by_tcp = receive(&by_tcp, Carriage::Stream, &limits).message();
            let Ok(Message::Request(by_tcp)) = by_tcp else { panic!("a request for TCP is none: {by_tcp:?}") };
            assert_eq!(by_tcp.headers.via().map(|via| via.transport).as_deref(), Ok("TCP"));
            assert_eq!(by_tcp.body(), message.body());
        }
    }
}
