//! Messages as text, and a wire on which the test holds the clock.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses some of it")]

pub mod net;

use sallyport_sip::{Carriage, Flow, Limits, Message, Request, Response, Transmit, Transport, receive};

/// Lines with LF become a message.
pub fn message(text: &str) -> Message {
    let text = text.trim_start().replace('\n', "\r\n");
    receive(text.as_bytes(), Carriage::Datagram, &Limits::default())
        .message()
        .unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

pub fn request(text: &str) -> Request {
    match message(text) {
        Message::Request(request) => request,
        Message::Response(response) => panic!("{response:?}"),
    }
}

pub fn response(text: &str) -> Response {
    match message(text) {
        Message::Response(response) => response,
        Message::Request(request) => panic!("{request:?}"),
    }
}

/// What was sent, as a message.
pub fn sent(transmit: &Transmit) -> Message {
    receive(&transmit.bytes, Carriage::Datagram, &Limits::default()).message().unwrap()
}

pub fn sent_request(transmit: &Transmit) -> Request {
    match sent(transmit) {
        Message::Request(request) => request,
        Message::Response(response) => panic!("{response:?}"),
    }
}

pub fn sent_response(transmit: &Transmit) -> Response {
    match sent(transmit) {
        Message::Response(response) => response,
        Message::Request(request) => panic!("{request:?}"),
    }
}

pub fn first_line(transmit: &Transmit) -> String {
    String::from_utf8(transmit.bytes.clone()).unwrap().lines().next().unwrap().to_owned()
}

pub fn udp() -> Flow {
    Flow::udp("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap())
}

pub fn tcp() -> Flow {
    Flow { transport: Transport::Tcp, connection: 7, ..udp() }
}
