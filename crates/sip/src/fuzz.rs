//! Entry points for fuzzing: functions of bytes alone that panic where an invariant does not hold.

use crate::{
    AuthenticationInfo, Carriage, Challenge, Credentials, Limits, Message, Received, StreamFramer, receive,
    split_multipart,
};

/// Reads a datagram, and all views of what it accepts. What is accepted prints to something equal.
pub fn message(bytes: &[u8]) {
    let limits = Limits::default();
    let Received::Message(message) = receive(bytes, Carriage::Datagram, &limits) else { return };
    let again = receive(&message.to_bytes(), Carriage::Datagram, &limits).message();
    assert!(again.is_ok_and(|again| again == message), "what was accepted prints to something else");
    let headers = message.headers();
    let _ = (headers.date(), headers.warnings(), headers.reasons(), headers.replaces(), headers.retry_after());
    let _ = (headers.rseq(), headers.rack(), headers.refer_to(), headers.expires());
    if let Ok(Some(media)) = headers.content_type() {
        let _ = split_multipart(message.body(), &media, &limits);
    }
    if let Message::Request(request) = &message {
        let _ = crate::Capabilities::default().inspect(request);
    }
}

/// Feeds a stream in pieces whose lengths the first byte chooses, and checks that pieces do not matter.
pub fn stream(bytes: &[u8]) {
    let Some((&step, bytes)) = bytes.split_first() else { return };
    let messages = |step: usize| {
        let mut framer = StreamFramer::new(Limits::default());
        let mut messages = Vec::new();
        for piece in bytes.chunks(step.max(1)) {
            framer.push(piece);
            messages.extend(
                std::iter::from_fn(|| framer.next_frame()).filter(|frame| matches!(frame, crate::Frame::Message(_))),
            );
        }
        messages
    };
    // The answer to a head that is too long depends on how much of it was there.
    let count = |messages: Vec<crate::Frame>| {
        messages.into_iter().filter(|frame| matches!(frame, crate::Frame::Message(Received::Message(_)))).count()
    };
    assert_eq!(count(messages(usize::from(step))), count(messages(bytes.len())), "pieces matter");
}

/// Reads text as each of the digest headers. What is read prints to something equal.
pub fn digest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(challenge) = Challenge::parse(text) {
        assert_eq!(Challenge::parse(&challenge.to_string()).as_ref(), Some(&challenge));
    }
    if let Some(credentials) = Credentials::parse(text) {
        assert_eq!(Credentials::parse(&credentials.to_string()).as_ref(), Some(&credentials));
    }
    if let Some(info) = AuthenticationInfo::parse(text) {
        let _ = info.to_string();
    }
}
