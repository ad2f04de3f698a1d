//! Messages out of a stream of bytes (TCP): one after the other, nothing in between but line ends.
//!
//! No length stands in front of a message. Where it ends is told by its dictionary: bencode by the `e` that closes it,
//! JSON by its last brace. So does rtpengine on its TCP port.

use std::fmt;

use crate::frame::MAX_COOKIE;
use crate::peer::MAX_STREAM_MESSAGE;

/// Takes messages out of a stream. Time is linear in the bytes pushed; memory is bounded by the longest message and what
/// was pushed last.
#[derive(Default)]
pub struct StreamDecoder {
    buffer: Vec<u8>,
    /// Where the message under way begins.
    start: usize,
    /// What is before it has been looked at.
    at: usize,
    state: State,
}

/// Why nothing more can be read from a stream: nobody could say where the next message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// No cookie of at most 255 visible characters with a space behind it.
    NoCookie,
    /// What follows the cookie is no dictionary.
    NoDictionary,
    /// Neither a value nor an end where one must stand.
    Malformed,
    /// Longer than 2 MiB.
    TooLong,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCookie => "no cookie",
            Self::NoDictionary => "no dictionary behind the cookie",
            Self::Malformed => "malformed dictionary",
            Self::TooLong => "message too long",
        })
    }
}

impl std::error::Error for StreamError {}

#[derive(Clone, Copy, Default)]
enum State {
    /// In front of a message.
    #[default]
    Between,
    Cookie,
    /// At the first byte of the dictionary.
    Body,
    Bencode {
        depth: usize,
        token: Token,
    },
    Json {
        depth: usize,
        in_string: bool,
        escaped: bool,
    },
}

#[derive(Clone, Copy)]
enum Token {
    Next,
    Integer,
    /// The digits of a length so far.
    Length(usize),
}

impl StreamDecoder {
    /// Nothing read.
    pub fn new() -> Self {
        Self::default()
    }

    /// More bytes have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// No message is under way.
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// The next whole message, cookie first. After an error nothing more can be read.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        while let Some(&byte) = self.buffer.get(self.at) {
            let is_end = self.step(byte)?;
            if self.at - self.start > MAX_STREAM_MESSAGE {
                return Err(StreamError::TooLong);
            }
            if is_end {
                let message = self.buffer.get(self.start..self.at).map(<[u8]>::to_vec);
                self.start = self.at;
                self.state = State::Between;
                return Ok(message);
            }
        }
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        Ok(None)
    }

    /// Looks at one byte, or skips a whole string of bencode. True when the message ends behind it.
    fn step(&mut self, byte: u8) -> Result<bool, StreamError> {
        match &mut self.state {
            State::Between if matches!(byte, b'\r' | b'\n') => {
                self.at += 1;
                self.start = self.at;
                return Ok(false);
            }
            State::Between => self.state = State::Cookie,
            State::Cookie => {
                match (byte, self.at - self.start) {
                    (b' ', 1..) => self.state = State::Body,
                    (_, ..MAX_COOKIE) if byte.is_ascii_graphic() => {}
                    _ => return Err(StreamError::NoCookie),
                }
                self.at += 1;
                return Ok(false);
            }
            State::Body => {
                self.state = match byte {
                    b'd' => State::Bencode { depth: 1, token: Token::Next },
                    b'{' => State::Json { depth: 1, in_string: false, escaped: false },
                    _ => return Err(StreamError::NoDictionary),
                };
                self.at += 1;
                return Ok(false);
            }
            State::Bencode { depth, token } => {
                match (*token, byte) {
                    (Token::Next, b'd' | b'l') => *depth += 1,
                    (Token::Next, b'e') => *depth -= 1,
                    (Token::Next, b'i') => *token = Token::Integer,
                    (Token::Next, b'0'..=b'9') => *token = Token::Length(usize::from(byte - b'0')),
                    (Token::Integer, b'e') => *token = Token::Next,
                    (Token::Integer, b'-' | b'0'..=b'9') => {}
                    (Token::Length(length), b'0'..=b'9') => {
                        let longer = length.saturating_mul(10).saturating_add(usize::from(byte - b'0'));
                        *token = Token::Length(longer);
                    }
                    (Token::Length(length), b':') => {
                        *token = Token::Next;
                        // The string itself is not looked at; what has not come yet is stepped over in advance.
                        self.at = self.at.saturating_add(length).min(self.start + MAX_STREAM_MESSAGE);
                    }
                    _ => return Err(StreamError::Malformed),
                }
                self.at += 1;
                return Ok(*depth == 0);
            }
            State::Json { depth, in_string, escaped } => {
                match (byte, *in_string) {
                    _ if *escaped => *escaped = false,
                    (b'\\', true) => *escaped = true,
                    (b'"', _) => *in_string = !*in_string,
                    (b'{' | b'[', false) => *depth += 1,
                    (b'}' | b']', false) => *depth -= 1,
                    _ => {}
                }
                self.at += 1;
                return Ok(*depth == 0);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Dictionary, Encoding, Value};

    fn messages(decoder: &mut StreamDecoder) -> Vec<String> {
        let next = || decoder.next_message().unwrap().map(|message| String::from_utf8(message).unwrap());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn messages_follow_each_other_in_both_encodings() {
        let mut decoder = StreamDecoder::new();
        decoder.push(b"1 d7:command4:pinge2 {\"command\":\"a}\\\"{\",\"x\":[{}]}\r\n3 d1:ali-5e2:eeee4 d");
        assert_eq!(
            messages(&mut decoder),
            ["1 d7:command4:pinge", r#"2 {"command":"a}\"{","x":[{}]}"#, "3 d1:ali-5e2:eeee"]
        );
        decoder.push(b"e");
        assert_eq!(messages(&mut decoder), ["4 de"]);
    }

    #[test]
    fn what_cannot_be_told_apart_ends_the_stream() {
        for (bytes, error) in [
            (&b" de"[..], StreamError::NoCookie),
            (b"\x80 de", StreamError::NoCookie),
            (&[b'c'; 300], StreamError::NoCookie),
            (b"1 le", StreamError::NoDictionary),
            (b"1 dx", StreamError::Malformed),
            (b"1 d99999999999999999999:", StreamError::TooLong),
        ] {
            let mut decoder = StreamDecoder::new();
            decoder.push(bytes);
            assert_eq!(decoder.next_message(), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn a_message_has_an_end_at_two_megabytes() {
        let text = "x".repeat(MAX_STREAM_MESSAGE);
        let mut decoder = StreamDecoder::new();
        decoder.push(format!("1 {{\"command\":\"{text}").as_bytes());
        assert_eq!(decoder.next_message(), Err(StreamError::TooLong));
        let mut decoder = StreamDecoder::new();
        decoder.push(format!("1 d3:sdp{}:{text}e", text.len()).as_bytes());
        assert_eq!(decoder.next_message(), Err(StreamError::TooLong));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come(
            texts in prop::collection::vec("\\PC{0,12}", 1..5),
            json in any::<bool>(),
            cut in 1_usize..9,
        ) {
            let encoding = if json { Encoding::Json } else { Encoding::Bencode };
            let written: Vec<Vec<u8>> = texts
                .iter()
                .map(|text| {
                    let inner = Value::List(vec![Value::string(text), Value::Integer(-3), Dictionary::new().into()]);
                    encoding.print(b"c", Dictionary::new().with(text, inner))
                })
                .collect();
            let mut decoder = StreamDecoder::new();
            let mut read = Vec::new();
            for bytes in written.concat().chunks(cut) {
                decoder.push(bytes);
                while let Some(message) = decoder.next_message().unwrap() {
                    read.push(message);
                }
            }
            prop_assert_eq!(read, written);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = StreamDecoder::new();
            decoder.push(b"1 d");
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_message() {}
        }
    }
}
