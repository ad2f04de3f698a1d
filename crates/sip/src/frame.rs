//! Cuts a byte stream (TCP, TLS) into messages by Content-Length (RFC 3261 §18.3) and answers keep-alives (RFC 5626 §4.4.1).

use crate::headers::HeaderLine;
use crate::{Carriage, Fault, Limits, Received, name, receive};

/// The framer of one connection. Feed bytes with [`StreamFramer::push`], then take items until `None`.
///
/// A fault is final: the place where the next message begins is lost, so the connection ends once the answer, if there is
/// one, is sent. Memory is bounded by the limits of one message and what one `push` brings.
pub struct StreamFramer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were taken.
    start: usize,
    /// Bytes after `start` known to hold no end of the head.
    searched: usize,
    /// Length of the message at `start`, once its head is there.
    length: Option<usize>,
    failed: bool,
}

/// What a stream brings.
#[expect(clippy::large_enum_variant, reason = "nearly every frame is a message")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A message, or a refused one. After a refusal with [`Frame::is_final`] the connection ends.
    Message(Received),
    /// A double CRLF between messages: answer with one CRLF.
    Ping,
    /// A single CRLF between messages: the answer to our ping.
    Pong,
}

impl Frame {
    /// Whether the stream cannot go on: the extent of the message is unknown.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Message(Received::Refused {
                fault: Fault::HeadTooLong
                    | Fault::BodyTooLong
                    | Fault::ContentLength
                    | Fault::ContentLengthMissing
                    | Fault::Repeated(name::CONTENT_LENGTH)
                    | Fault::BareLineEnd,
                ..
            })
        )
    }
}

impl StreamFramer {
    /// A framer for a fresh connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), start: 0, searched: 0, length: None, failed: false }
    }

    /// Adds bytes as they came. After a final fault they are discarded.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.failed {
            self.buffer.drain(..self.start);
            self.start = 0;
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Whether a message has begun and is not whole: the moment to watch for a peer that never ends it.
    pub fn is_inside_message(&self) -> bool {
        !self.pending().is_empty()
    }

    /// The next item, `None` until more bytes come.
    pub fn next_frame(&mut self) -> Option<Frame> {
        if let Some(frame) = self.next_keep_alive() {
            return Some(frame);
        }
        // A line end that is not whole is the beginning of a keep-alive.
        if self.failed || matches!(self.pending(), b"" | b"\r" | b"\r\n\r") {
            return None;
        }
        let length = match self.message_length() {
            Ok(length) => length?,
            Err(fault) => return Some(self.fail(fault)),
        };
        let message = self.pending().get(..length)?;
        let frame = Frame::Message(receive(message, Carriage::Stream, &self.limits));
        self.advance(length);
        if frame.is_final() {
            self.end();
        }
        Some(frame)
    }

    fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or(&[])
    }

    fn advance(&mut self, length: usize) {
        self.start += length;
        self.searched = 0;
        self.length = None;
    }

    fn next_keep_alive(&mut self) -> Option<Frame> {
        let (frame, length) = match self.pending() {
            [b'\r', b'\n', b'\r', b'\n', ..] => (Frame::Ping, 4),
            // The third byte of a ping: its fourth is still to come.
            [b'\r', b'\n', b'\r'] => return None,
            [b'\r', b'\n', ..] => (Frame::Pong, 2),
            _ => return None,
        };
        self.advance(length);
        Some(frame)
    }

    /// Bytes of the message at the start, once its head is there.
    fn message_length(&mut self) -> Result<Option<usize>, Fault> {
        if self.length.is_some() {
            return Ok(self.length);
        }
        let from = self.searched.saturating_sub(3);
        let searched = self.pending().len().min(self.limits.head_bytes);
        let found =
            self.pending().get(from..searched).and_then(|bytes| bytes.windows(4).position(|end| end == b"\r\n\r\n"));
        let Some(end) = found.map(|end| from + end) else {
            self.searched = searched;
            let too_long = self.pending().len() >= self.limits.head_bytes;
            return if too_long { Err(Fault::HeadTooLong) } else { Ok(None) };
        };
        let body = content_length(self.pending().get(..end + 2).unwrap_or(&[]))?;
        if body > self.limits.body_bytes {
            return Err(Fault::BodyTooLong);
        }
        self.length = Some(end + 4 + body);
        Ok(self.length)
    }

    fn fail(&mut self, fault: Fault) -> Frame {
        let response = crate::parse::refusal(self.pending(), fault, &self.limits).map(Box::new);
        self.end();
        Frame::Message(Received::Refused { fault, response })
    }

    fn end(&mut self) {
        self.failed = true;
        self.start = 0;
        self.buffer = Vec::new();
    }
}

/// Content-Length of a head, before anything else of it is believed. A fold before the number is allowed.
fn content_length(head: &[u8]) -> Result<usize, Fault> {
    let mut length = None;
    let mut at = head.windows(2).position(|pair| pair == b"\r\n").map_or(head.len(), |end| end + 2);
    while at < head.len() {
        let start = at;
        loop {
            let rest = head.get(at..).unwrap_or(&[]);
            at += rest.windows(2).position(|pair| pair == b"\r\n").map_or(rest.len(), |end| end + 2);
            if !matches!(head.get(at), Some(b' ' | b'\t')) {
                break;
            }
        }
        let Some(line) = head.get(start..at).and_then(HeaderLine::received) else { continue };
        if name::is_same(line.name(), name::CONTENT_LENGTH) {
            let value = line.value();
            let number = crate::header::digits(&value).and_then(|digits| digits.parse().ok());
            if length.replace(number.ok_or(Fault::ContentLength)?).is_some() {
                return Err(Fault::Repeated(name::CONTENT_LENGTH));
            }
        }
    }
    length.ok_or(Fault::ContentLengthMissing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nTo: <sip:a@b>\r\n\
        From: <sip:c@d>;tag=1\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nl :\r\n 4\r\n\r\nbody";

    fn frames(framer: &mut StreamFramer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next_frame()).collect()
    }

    #[test]
    fn however_a_stream_is_cut_the_messages_are_the_same() {
        let stream = format!("\r\n\r\n{OPTIONS}{OPTIONS}\r\n\r\n{OPTIONS}");
        for step in 1..stream.len() {
            let mut framer = StreamFramer::new(Limits::default());
            let mut messages = 0;
            for piece in stream.as_bytes().chunks(step) {
                framer.push(piece);
                for frame in frames(&mut framer) {
                    if let Frame::Message(received) = frame {
                        assert_eq!(received.message().unwrap().body(), b"body");
                        messages += 1;
                    }
                }
            }
            assert_eq!(messages, 3, "step {step}");
            assert!(!framer.is_inside_message());
        }
    }

    #[test]
    fn keep_alives_are_told_from_messages() {
        let mut framer = StreamFramer::new(Limits::default());
        framer.push(b"\r\n\r\n\r\n");
        assert_eq!(frames(&mut framer), [Frame::Ping, Frame::Pong]);
        framer.push(b"\r\n\r");
        assert_eq!(frames(&mut framer), []);
        framer.push(b"\n");
        assert_eq!(frames(&mut framer), [Frame::Ping]);
    }

    #[test]
    fn a_stream_that_lost_its_frame_ends_and_keeps_no_memory() {
        for (text, fault) in [
            (OPTIONS.replace("\r\n 4", " 4\r\nContent-Length: 5"), Fault::Repeated(name::CONTENT_LENGTH)),
            (OPTIONS.replace("\r\n 4", " -4"), Fault::ContentLength),
            (OPTIONS.replace("l :\r\n 4\r\n", ""), Fault::ContentLengthMissing),
            (OPTIONS.replace("\r\n 4", " 999999999"), Fault::BodyTooLong),
            ("X".repeat(40_000), Fault::HeadTooLong),
        ] {
            let mut framer = StreamFramer::new(Limits::default());
            framer.push(text.as_bytes());
            framer.push(OPTIONS.as_bytes());
            let frames = frames(&mut framer);
            let [frame @ Frame::Message(Received::Refused { fault: found, response })] = frames.as_slice() else {
                panic!("{frames:?}");
            };
            assert!(frame.is_final());
            assert_eq!(*found, fault);
            assert_eq!(response.is_some(), fault != Fault::HeadTooLong);
            framer.push(OPTIONS.as_bytes());
            assert_eq!(framer.next_frame(), None);
        }
    }

    #[test]
    fn a_faulty_message_of_known_length_does_not_end_the_stream() {
        let mut framer = StreamFramer::new(Limits::default());
        framer.push(OPTIONS.replace("CSeq: 1", "CSeq: x").as_bytes());
        framer.push(OPTIONS.as_bytes());
        let frames = frames(&mut framer);
        assert!(matches!(
            frames.as_slice(),
            [Frame::Message(Received::Refused { .. }), Frame::Message(Received::Message(_))]
        ));
        assert!(frames.iter().all(|frame| !frame.is_final()));
    }
}
