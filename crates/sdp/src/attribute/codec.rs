//! Attributes of codecs, packets and header extensions.

use std::fmt;

use super::{Attribute, AttributeError, AttributeFault, Words, text_attribute};
use crate::{Direction, name};

/// a=rtpmap (RFC 8866 §6.6).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rtpmap {
    /// 0 to 127.
    pub payload_type: u8,
    /// The codec's name, as written.
    pub encoding: String,
    /// Hz
    pub clock_rate: u32,
    /// Channels, for audio.
    pub parameters: Option<String>,
}

impl Attribute for Rtpmap {
    const NAME: &'static str = name::RTPMAP;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let payload_type = words.payload_type()?;
        let mut parts = words.word("encoding")?.splitn(3, '/');
        let encoding = parts.next().filter(|name| !name.is_empty());
        let encoding = encoding.ok_or_else(|| words.fault("encoding", AttributeFault::Missing))?.to_owned();
        let clock_rate = parts.next().ok_or_else(|| words.fault("clock rate", AttributeFault::Missing))?;
        let clock_rate =
            super::number(clock_rate).ok_or_else(|| words.fault("clock rate", AttributeFault::NotInRange))?;
        Ok(Self { payload_type, encoding, clock_rate, parameters: parts.next().map(str::to_owned) })
    }
}

impl fmt::Display for Rtpmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.payload_type, self.encoding, self.clock_rate)?;
        self.parameters.iter().try_for_each(|parameters| write!(f, "/{parameters}"))
    }
}

/// a=fmtp (RFC 8866 §6.15): the parameters stay as text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fmtp {
    /// A format of the m= line.
    pub format: String,
    /// The rest.
    pub parameters: String,
}

impl Attribute for Fmtp {
    const NAME: &'static str = name::FMTP;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        Ok(Self { format: words.word("format")?.to_owned(), parameters: words.rest("parameters")?.to_owned() })
    }
}

impl fmt::Display for Fmtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.format, self.parameters)
    }
}

/// a=rtcp-fb (RFC 4585 §4.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RtcpFb {
    /// `None`: `*`, all payload types.
    pub payload_type: Option<u8>,
    /// `nack pli`, `transport-cc`, `trr-int 100`, …
    pub feedback: String,
}

impl Attribute for RtcpFb {
    const NAME: &'static str = name::RTCP_FB;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let payload_type = match words.rest.strip_prefix('*') {
            Some(rest) => {
                words.rest = rest.trim_start();
                None
            }
            None => Some(words.payload_type()?),
        };
        Ok(Self { payload_type, feedback: words.rest("feedback")?.to_owned() })
    }
}

impl fmt::Display for RtcpFb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload_type {
            Some(payload_type) => write!(f, "{payload_type} {}", self.feedback),
            None => write!(f, "* {}", self.feedback),
        }
    }
}

/// a=extmap (RFC 8285 §8).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Extmap {
    /// 1 to 14 in one-byte headers, to 255 in two-byte ones, 4096 to 4351 while it is negotiated.
    pub id: u16,
    /// `None`: as the section.
    pub direction: Option<Direction>,
    /// What it is.
    pub uri: String,
    /// What follows the URI.
    pub attributes: Option<String>,
}

impl Attribute for Extmap {
    const NAME: &'static str = name::EXTMAP;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let first = words.word("id")?;
        let (id, direction) = match first.split_once('/') {
            Some((id, direction)) => (id, Some(direction)),
            None => (first, None),
        };
        let id = super::number(id).ok_or_else(|| words.fault("id", AttributeFault::NotInRange))?;
        let direction = match direction {
            None => None,
            Some(name) => {
                Some(Direction::from_name(name).ok_or_else(|| words.fault("direction", AttributeFault::Unknown))?)
            }
        };
        let uri = words.word("uri")?.to_owned();
        let attributes = Some(words.rest).filter(|rest| !rest.is_empty()).map(str::to_owned);
        Ok(Self { id, direction, uri, attributes })
    }
}

impl fmt::Display for Extmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.direction.iter().try_for_each(|direction| write!(f, "/{direction}"))?;
        write!(f, " {}", self.uri)?;
        self.attributes.iter().try_for_each(|attributes| write!(f, " {attributes}"))
    }
}

text_attribute! {
    /// a=ptime (RFC 8866 §6.4): milliseconds, as text (fractions are met).
    #[derive(Debug, Hash)]
    Ptime, name::PTIME
}
text_attribute! {
    /// a=maxptime (RFC 8866 §6.5): milliseconds, as text (fractions are met).
    #[derive(Debug, Hash)]
    Maxptime, name::MAXPTIME
}
