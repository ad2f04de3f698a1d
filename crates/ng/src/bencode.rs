//! Bencode. Keys of a dictionary need not be sorted: Kamailio does not sort them.

use std::fmt;

use crate::{Dictionary, Value};

/// Lists and dictionaries inside each other. The deepest key that the protocol knows (`sdp-attr`) needs four.
pub const MAX_DEPTH: usize = 16;

/// Values in one message.
pub const MAX_VALUES: usize = 8192;

/// Decodes one value that fills `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut decoder = Decoder { bytes, offset: 0, values: 0 };
    let value = decoder.value(0)?;
    if decoder.offset < bytes.len() {
        return Err(decoder.error(Flaw::TrailingBytes));
    }
    Ok(value)
}

/// Encodes a value. Keys come out sorted, as strict readers want them.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Where and why decoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Bytes from the start of what was decoded.
    pub offset: usize,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// What can be wrong with a piece of bencode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The message ends inside a value.
    Truncated,
    /// No value starts with this byte.
    UnexpectedByte(u8),
    /// A string is longer than what is left of the message.
    StringTooLong,
    /// A number that is none or does not fit 64 bits.
    BadNumber,
    /// The key of a dictionary is not a string.
    KeyNotString,
    /// Deeper than [`MAX_DEPTH`].
    TooDeep,
    /// More than [`MAX_VALUES`].
    TooManyValues,
    /// Something follows the value.
    TrailingBytes,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flaw {
            Flaw::Truncated => f.write_str("message ends inside a value")?,
            Flaw::UnexpectedByte(byte) => write!(f, "no value starts with byte 0x{byte:02x}")?,
            Flaw::StringTooLong => f.write_str("string longer than the message")?,
            Flaw::BadNumber => f.write_str("not a number of 64 bits")?,
            Flaw::KeyNotString => f.write_str("dictionary key is not a string")?,
            Flaw::TooDeep => write!(f, "nested deeper than {MAX_DEPTH}")?,
            Flaw::TooManyValues => write!(f, "more than {MAX_VALUES} values")?,
            Flaw::TrailingBytes => f.write_str("bytes after the end of the value")?,
        }
        write!(f, " at byte {}", self.offset)
    }
}

impl std::error::Error for DecodeError {}

struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
    values: usize,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.error(Flaw::TooManyValues));
        }
        match self.peek()? {
            b'0'..=b'9' => Ok(Value::String(self.string()?.to_vec())),
            b'i' => {
                self.offset += 1;
                Ok(Value::Integer(self.number()?))
            }
            b'l' => {
                self.descend(depth)?;
                let mut list = Vec::new();
                while !self.end()? {
                    list.push(self.value(depth + 1)?);
                }
                Ok(Value::List(list))
            }
            b'd' => {
                self.descend(depth)?;
                let mut dictionary = Dictionary::new();
                while !self.end()? {
                    if !self.peek()?.is_ascii_digit() {
                        return Err(self.error(Flaw::KeyNotString));
                    }
                    let key = self.string()?;
                    dictionary.insert(key, self.value(depth + 1)?);
                }
                Ok(Value::Dictionary(dictionary))
            }
            byte => Err(self.error(Flaw::UnexpectedByte(byte))),
        }
    }

    fn descend(&mut self, depth: usize) -> Result<(), DecodeError> {
        if depth >= MAX_DEPTH {
            return Err(self.error(Flaw::TooDeep));
        }
        self.offset += 1;
        Ok(())
    }

    /// Takes an `e`, if one is next.
    fn end(&mut self) -> Result<bool, DecodeError> {
        let ends = self.peek()? == b'e';
        self.offset += usize::from(ends);
        Ok(ends)
    }

    /// `length:bytes`. The length is compared with what is there before anything is taken or allocated.
    fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.offset;
        let mut length = 0usize;
        loop {
            let byte = self.peek()?;
            self.offset += 1;
            match byte {
                b':' => break,
                b'0'..=b'9' => {
                    length = length
                        .checked_mul(10)
                        .and_then(|length| length.checked_add(usize::from(byte - b'0')))
                        .filter(|&length| length <= self.bytes.len())
                        .ok_or(DecodeError { offset: start, flaw: Flaw::StringTooLong })?;
                }
                _ => return Err(DecodeError { offset: start, flaw: Flaw::BadNumber }),
            }
        }
        let string = self
            .bytes
            .get(self.offset..)
            .and_then(|rest| rest.get(..length))
            .ok_or(DecodeError { offset: start, flaw: Flaw::StringTooLong })?;
        self.offset += length;
        Ok(string)
    }

    /// The digits of `i<digits>e` and the `e`.
    fn number(&mut self) -> Result<i64, DecodeError> {
        let start = self.offset;
        let flaw = DecodeError { offset: start, flaw: Flaw::BadNumber };
        let rest = self.bytes.get(start..).unwrap_or_default();
        // 20 = the digits of i64::MIN with its sign.
        let Some(length) = rest.iter().take(21).position(|&byte| byte == b'e') else {
            return Err(if rest.len() < 21 { DecodeError { flaw: Flaw::Truncated, ..flaw } } else { flaw });
        };
        self.offset += length + 1;
        rest.get(..length)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| !digits.starts_with('+'))
            .and_then(|digits| digits.parse().ok())
            .ok_or(flaw)
    }

    fn peek(&self) -> Result<u8, DecodeError> {
        self.bytes.get(self.offset).copied().ok_or(self.error(Flaw::Truncated))
    }

    fn error(&self, flaw: Flaw) -> DecodeError {
        DecodeError { offset: self.offset, flaw }
    }
}

fn encode_into(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Integer(number) => out.extend(format!("i{number}e").bytes()),
        Value::String(bytes) => encode_string(bytes, out),
        Value::List(list) => {
            out.push(b'l');
            for value in list {
                encode_into(value, out);
            }
            out.push(b'e');
        }
        Value::Dictionary(dictionary) => {
            let mut entries: Vec<_> = dictionary.0.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            out.push(b'd');
            for (key, value) in entries {
                encode_string(key, out);
                encode_into(value, out);
            }
            out.push(b'e');
        }
    }
}

fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("{}:", bytes.len()).bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flaw(bytes: &[u8]) -> (usize, Flaw) {
        let error = decode(bytes).unwrap_err();
        (error.offset, error.flaw)
    }

    #[test]
    fn a_dictionary_with_unsorted_keys_is_read_in_its_order() {
        let value = decode(b"d1:bi-7e1:al2:xy0:d1:k1:vee3:numi0ee").unwrap();
        let Value::Dictionary(dictionary) = &value else { panic!("{value:?}") };
        let keys: Vec<_> = dictionary.0.iter().map(|(key, _)| key.as_slice()).collect();
        assert_eq!(keys, [b"b".as_slice(), b"a", b"num"]);
        assert_eq!(dictionary.find("b"), Some(&Value::Integer(-7)));
        let inner = Dictionary::new().with("k", Value::string("v"));
        let list = Value::List(vec![Value::string("xy"), Value::string(""), inner.into()]);
        assert_eq!(dictionary.find("a"), Some(&list));
    }

    #[test]
    fn keys_are_written_sorted() {
        let value = Dictionary::new().with("sdp", Value::string("v=0")).with("result", Value::string("ok")).into();
        assert_eq!(encode(&value), b"d6:result2:ok3:sdp3:v=0e");
    }

    #[test]
    fn errors_name_the_byte() {
        assert_eq!(flaw(b""), (0, Flaw::Truncated));
        assert_eq!(flaw(b"d1:a"), (4, Flaw::Truncated));
        assert_eq!(flaw(b"d1:ai5e"), (7, Flaw::Truncated));
        assert_eq!(flaw(b"x"), (0, Flaw::UnexpectedByte(b'x')));
        assert_eq!(flaw(b"d1:a-1:xe"), (4, Flaw::UnexpectedByte(b'-')));
        assert_eq!(flaw(b"di1ei2ee"), (1, Flaw::KeyNotString));
        assert_eq!(flaw(b"d5:abe"), (1, Flaw::StringTooLong));
        assert_eq!(flaw(b"5x:ab"), (0, Flaw::BadNumber));
        assert_eq!(flaw(b"iabce"), (1, Flaw::BadNumber));
        assert_eq!(flaw(b"i+5e"), (1, Flaw::BadNumber));
        assert_eq!(flaw(b"i12"), (1, Flaw::Truncated));
        assert_eq!(flaw(b"i99999999999999999999e"), (1, Flaw::BadNumber));
        assert_eq!(flaw(b"i0000000000000000000000000000e"), (1, Flaw::BadNumber));
        assert_eq!(flaw(b"i1ei2e"), (3, Flaw::TrailingBytes));
    }

    #[test]
    fn lengths_beyond_the_message_are_refused_before_anything_is_allocated() {
        assert_eq!(flaw(b"d3:sdp4294967296:v=0"), (6, Flaw::StringTooLong));
        assert_eq!(flaw(b"99999999999999999999999999999999999999:v"), (0, Flaw::StringTooLong));
        assert_eq!(flaw(b"18446744073709551615:v"), (0, Flaw::StringTooLong));
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
        assert!(decode(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(flaw(&nested(MAX_DEPTH + 1)), (MAX_DEPTH, Flaw::TooDeep));
        assert_eq!(flaw(&vec![b'l'; 60_000]), (MAX_DEPTH, Flaw::TooDeep));
        let many = [b"l".as_slice(), &b"0:".repeat(MAX_VALUES), b"e"].concat();
        assert_eq!(decode(&many).unwrap_err().flaw, Flaw::TooManyValues);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Integer),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::String),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
                prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..12), inner, 0..8)
                    .prop_map(|map| Value::Dictionary(Dictionary(map.into_iter().collect()))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_again(value in any_value()) {
            prop_assert_eq!(decode(&encode(&value)).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn nearly_bencode_does_not_panic(text in "[dile0-9:a-c-]{0,200}") {
            let _ = decode(text.as_bytes());
        }
    }
}
