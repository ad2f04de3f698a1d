//! Typed values of attributes.

use std::fmt;

use crate::line::words;

mod candidate;
mod codec;
mod ice;
mod rtcp;
mod secure;
mod source;

pub use candidate::{Candidate, CandidateKind};
pub use codec::{Extmap, Fmtp, Maxptime, Ptime, RtcpFb, Rtpmap};
pub use ice::{IceOptions, IcePwd, IceUfrag};
pub use rtcp::Rtcp;
pub use secure::{Crypto, FingerprintText, Setup, TlsId, ZrtpHash};
pub use source::{Group, Label, Mid, Ssrc, SsrcGroup};

/// A typed attribute value: [`parse`](Self::parse) reads what follows the colon, `Display` writes it.
pub trait Attribute: Sized + fmt::Display {
    /// The attribute's name.
    const NAME: &'static str;

    /// Reads what follows the colon.
    fn parse(value: &str) -> Result<Self, AttributeError>;
}

/// Why an attribute cannot be read. It never quotes the value: that may be a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttributeError {
    /// Name of the attribute.
    pub attribute: &'static str,
    /// The part that is at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: AttributeFault,
}

/// What is wrong with a part of an attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttributeFault {
    /// It is not there.
    Missing,
    /// It is no number, or one out of range.
    NotInRange,
    /// It is none of the words defined.
    Unknown,
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            AttributeFault::Missing => "is missing",
            AttributeFault::NotInRange => "is not a number in its range",
            AttributeFault::Unknown => "is unknown",
        };
        write!(f, "a={}: {} {fault}", self.attribute, self.field)
    }
}

impl std::error::Error for AttributeError {}

/// Reads the blank-separated words of a value one by one.
struct Words<'a> {
    attribute: &'static str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn new<T: Attribute>(value: &'a str) -> Self {
        Self { attribute: T::NAME, rest: value.trim() }
    }

    /// The next word, if there is one.
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (word, rest) = self.rest.split_once([' ', '\t']).unwrap_or((self.rest, ""));
        self.rest = rest.trim_start();
        Some(word)
    }

    fn word(&mut self, field: &'static str) -> Result<&'a str, AttributeError> {
        self.next().ok_or_else(|| self.fault(field, AttributeFault::Missing))
    }

    fn number<N: std::str::FromStr>(&mut self, field: &'static str) -> Result<N, AttributeError> {
        let word = self.word(field)?;
        number(word).ok_or_else(|| self.fault(field, AttributeFault::NotInRange))
    }

    /// 0 to 127.
    fn payload_type(&mut self) -> Result<u8, AttributeError> {
        let number: u8 = self.number("payload type")?;
        if number < 0x80 { Ok(number) } else { Err(self.fault("payload type", AttributeFault::NotInRange)) }
    }

    /// All that follows.
    fn rest(&mut self, field: &'static str) -> Result<&'a str, AttributeError> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() { Err(self.fault(field, AttributeFault::Missing)) } else { Ok(rest) }
    }

    fn fault(&self, field: &'static str, fault: AttributeFault) -> AttributeError {
        AttributeError { attribute: self.attribute, field, fault }
    }
}

/// Digits only: `from_str` alone would take a plus sign.
fn number<N: std::str::FromStr>(word: &str) -> Option<N> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// An attribute that is one non-empty text.
macro_rules! text_attribute {
    ($(#[$about:meta])* $type:ident, $name:expr) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $type(pub String);

        impl $crate::Attribute for $type {
            const NAME: &'static str = $name;

            fn parse(value: &str) -> Result<Self, $crate::AttributeError> {
                Ok(Self($crate::attribute::Words::new::<Self>(value).rest("value")?.to_owned()))
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use text_attribute;
