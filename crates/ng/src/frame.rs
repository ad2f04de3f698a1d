//! A message on the wire: `<cookie> SP <dictionary>`.

use crate::{Dictionary, Value, bencode, json};

/// Longest cookie, in bytes. Kamailio's has about 20.
pub const MAX_COOKIE: usize = 255;

/// How a dictionary is written. A reply uses its request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Starts with `d`.
    Bencode,
    /// Starts with `{`.
    Json,
}

/// A datagram, taken apart but not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Comes back in the reply.
    pub cookie: &'a [u8],
    /// As the first byte of the body says; bencode when it says nothing.
    pub encoding: Encoding,
    /// What follows the space.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// `None` when no cookie can be read, so that nobody could be answered.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let length = datagram.iter().take(MAX_COOKIE + 1).position(|&byte| byte == b' ')?;
        let cookie = datagram.get(..length)?;
        let body = datagram.get(length + 1..)?;
        if cookie.is_empty() || !cookie.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let encoding = if body.first() == Some(&b'{') { Encoding::Json } else { Encoding::Bencode };
        Some(Self { cookie, encoding, body })
    }

    /// Decodes the body. The error names the place; bytes are counted from the start of the body.
    pub fn decode(&self) -> Result<Dictionary, String> {
        let value = match self.encoding {
            Encoding::Bencode => bencode::decode(self.body).map_err(|error| error.to_string())?,
            Encoding::Json => json::decode(self.body)?,
        };
        match value {
            Value::Dictionary(dictionary) => Ok(dictionary),
            other => Err(format!("message is {}, not a dictionary", other.kind())),
        }
    }
}

impl Encoding {
    /// Writes a message.
    pub fn print(self, cookie: &[u8], dictionary: Dictionary) -> Vec<u8> {
        let value = Value::Dictionary(dictionary);
        let body = match self {
            Self::Bencode => bencode::encode(&value),
            Self::Json => json::encode(&value),
        };
        [cookie, b" ", &body].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_of_the_body_tells_the_encoding() {
        let frame = Frame::parse(b"5323_1 d7:command4:pinge").unwrap();
        assert_eq!((frame.cookie, frame.encoding), (b"5323_1".as_slice(), Encoding::Bencode));
        let frame = Frame::parse(b"5323_1 {\"command\": \"ping\"}").unwrap();
        assert_eq!((frame.cookie, frame.encoding), (b"5323_1".as_slice(), Encoding::Json));
        assert_eq!(frame.decode().unwrap().find("command"), Some(&Value::string("ping")));
    }

    #[test]
    fn without_a_cookie_there_is_no_frame() {
        assert_eq!(Frame::parse(b""), None);
        assert_eq!(Frame::parse(b"cookie"), None);
        assert_eq!(Frame::parse(b" d7:command4:pinge"), None);
        assert_eq!(Frame::parse(b"\x80\x00\x01 de"), None);
        assert_eq!(Frame::parse(&[&[b'c'; 300], b" de".as_slice()].concat()), None);
    }

    #[test]
    fn a_message_must_be_a_dictionary() {
        assert_eq!(Frame::parse(b"1 le").unwrap().decode().unwrap_err(), "message is a list, not a dictionary");
        assert_eq!(Frame::parse(b"1 ").unwrap().decode().unwrap_err(), "message ends inside a value at byte 0");
    }
}
