//! Whatever the bytes: no panic, no loop without bound, and what is accepted prints as it came.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sallyport_sip::{Carriage, Fault, Limits, Received, StreamFramer, receive};

fn header() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Via: SIP/2.0/UDP h:5060;branch=z9hG4bKx;rport".to_owned()),
        Just("v : SIP / 2.0 / TCP\r\n [::1] ; branch = z9hG4bKy , SIP/2.0/TLS h".to_owned()),
        Just("From: \"a \\\" , b\" <sip:a@b>;tag=1".to_owned()),
        Just("t: sip:a@b;x=y".to_owned()),
        Just("i: 1@h".to_owned()),
        Just("CSeq: 1 INVITE".to_owned()),
        Just("Contact: <sip:a@b>, \"x\" <tel:1>;q=0".to_owned()),
        Just("Content-Type: application/sdp".to_owned()),
        "[A-Za-z-]{1,12}[ \t]{0,2}:[ \t]{0,2}[ -~]{0,40}",
        "[A-Za-z-]{1,12}: [ -~]{0,20}\r\n[ \t]{1,3}[ -~]{0,20}",
        "[ -~]{0,30}",
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        Just("INVITE sip:a@b SIP/2.0".to_owned()),
        Just("INVITE sip:%61@B;lr SIP/2.0".to_owned()),
        Just("SIP/2.0 200 \u{41e}K".to_owned()),
        "[ -~]{0,40}",
    ];
    (start, prop::collection::vec(header(), 0..14), prop::collection::vec(any::<u8>(), 0..40)).prop_map(
        |(start, headers, body)| {
            let mut bytes = start.into_bytes();
            bytes.extend_from_slice(b"\r\n");
            for header in headers {
                bytes.extend_from_slice(header.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(&body);
            bytes
        },
    )
}

/// A message that is valid but for what is inserted.
fn nearly_valid() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(header(), 0..4), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(
        |(headers, at, byte, flip)| {
            let mut text = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                To: sip:b@c\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nSupported:\r\n"
                .to_owned();
            for header in headers.iter().filter(|header| header.contains(": ") && !header.contains("tag")) {
                text.push_str(header);
                text.push_str("\r\n");
            }
            text.push_str("\r\nv=0\r\n");
            let mut bytes = text.into_bytes();
            if flip {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_taken_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for carriage in [Carriage::Datagram, Carriage::Stream] {
            let _ = receive(&bytes, carriage, &Limits::default());
        }
    }

    #[test]
    fn what_is_accepted_prints_as_it_came(bytes in prop_oneof![message(), nearly_valid()]) {
        if let Received::Message(message) = receive(&bytes, Carriage::Datagram, &Limits::default()) {
            let printed = message.to_bytes();
            // What follows the announced body is discarded, and the protocol's name is written in its own case.
            prop_assert!(bytes.get(..printed.len()).is_some_and(|start| start.eq_ignore_ascii_case(&printed)));
            let again = receive(&printed, Carriage::Datagram, &Limits::default()).message();
            prop_assert_eq!(again.unwrap(), message);
        }
    }

    #[test]
    fn digest_headers_print_as_they_are_read(
        text in "(Digest )?((realm|nonce|uri|username|response|nc|qop|cnonce|algorithm|opaque|stale) ?= ?(\"[ -~]{0,12}\"|auth|MD5|[0-9a-f]{0,32}),? ?){0,8}"
    ) {
        sallyport_sip::fuzz::digest(text.as_bytes());
    }

    #[test]
    fn the_pieces_of_a_stream_do_not_matter(step in 1u8.., messages in prop::collection::vec(message(), 0..5)) {
        sallyport_sip::fuzz::stream(&[vec![step], messages.concat()].concat());
    }

    #[test]
    fn every_view_of_a_message_can_be_asked_for(bytes in prop_oneof![message(), nearly_valid()]) {
        sallyport_sip::fuzz::message(&bytes);
    }

    #[test]
    fn a_stream_is_framed_without_panic_and_its_memory_is_bounded(
        pieces in prop::collection::vec(prop_oneof![message(), prop::collection::vec(any::<u8>(), 0..60)], 0..8)
    ) {
        let mut framer = StreamFramer::new(Limits::default());
        for piece in &pieces {
            framer.push(piece);
            while framer.next_frame().is_some() {}
        }
    }
}

#[test]
fn each_limit_has_its_fault() {
    let head = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: sip:b@c\r\n\
        Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n";
    let fault = |text: String| match receive(text.as_bytes(), Carriage::Datagram, &Limits::default()) {
        Received::Refused { fault, response } => {
            assert_eq!(response.unwrap().status().code(), 513);
            fault
        }
        Received::Message(message) => panic!("{message:?}"),
    };
    assert_eq!(fault(format!("{head}X: {}\r\n\r\n", "x".repeat(40_000))), Fault::HeadTooLong);
    assert_eq!(fault(format!("{head}{}\r\n", "X: y\r\n".repeat(300))), Fault::TooManyHeaders);
    assert_eq!(fault(format!("{head}Route: <sip:a>{}\r\n\r\n", ",<sip:a>".repeat(200))), Fault::TooManyHeaders);
    assert_eq!(fault(format!("{head}\r\n{}", "x".repeat(200_000))), Fault::BodyTooLong);
}

/// A bare CR or LF would be a line end to some readers and none to others: a header hides behind it.
#[test]
fn a_line_end_that_is_not_crlf_is_refused() {
    for smuggled in ["Subject: a\nX: b\r\n", "Subject: a\rX: b\r\n", "Subject: a\r\r\n"] {
        let text = format!(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: sip:b@c\r\n\
            Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n{smuggled}\r\n"
        );
        let received = receive(text.as_bytes(), Carriage::Datagram, &Limits::default());
        assert!(matches!(received, Received::Refused { fault: Fault::BareLineEnd, response: Some(_) }), "{smuggled:?}");
    }
}

#[test]
fn edits_touch_one_line_and_cannot_make_another() {
    let text = "OPTIONS sip:a@b SIP/2.0\r\nv:  SIP/2.0/UDP h;branch=z9hG4bK1 ,\r\n SIP/2.0/UDP g\r\nX-Odd   :kept\r\n\
        f: <sip:a@b>;tag=1\r\nTo: sip:b@c\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards:  70\r\n\r\n";
    let received = receive(text.as_bytes(), Carriage::Datagram, &Limits::default()).message().unwrap();
    let sallyport_sip::Message::Request(mut request) = received else { panic!() };
    request.headers.set("Max-Forwards", 70);
    request.headers.set("Call-ID", "2\r\nEvil: 1");
    assert_eq!(request.headers.remove_first_element("Via").as_deref(), Some("SIP/2.0/UDP h;branch=z9hG4bK1"));
    request.headers.push_front("Via", "SIP/2.0/UDP f;branch=z9hG4bK2");
    request.headers.push("X-New", "n");
    let expected = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP f;branch=z9hG4bK2\r\nVia: SIP/2.0/UDP g\r\nX-Odd   :kept\r\n\
        f: <sip:a@b>;tag=1\r\nTo: sip:b@c\r\nCall-ID: 2  Evil: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards:  70\r\nX-New: n\r\n\r\n";
    assert_eq!(String::from_utf8(request.to_bytes()).unwrap(), expected);
}
