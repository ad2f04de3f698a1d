//! Typed views of header values, read on demand from the lines and written back whole.

mod address;
mod date;
mod fields;
mod media_type;
mod session;
mod via;

pub use address::NameAddr;
pub use date::Date;
pub use fields::{CSeq, RAck, Reason, Replaces, RetryAfter, Warning};
pub use media_type::{MediaType, Part, split_multipart};
pub use session::{Refresher, SessionExpires};
pub use via::{SentBy, Via};

use crate::text::elements;
use crate::{Fault, Headers, name};
use std::borrow::Cow;

/// Views. `Missing`, `Repeated` and `Malformed` name the header.
impl Headers {
    /// The only line of this name.
    fn single(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, Fault> {
        let mut values = self.values(name);
        let value = values.next();
        if values.next().is_some() { Err(Fault::Repeated(name)) } else { Ok(value) }
    }

    fn required(&self, name: &'static str) -> Result<Cow<'_, str>, Fault> {
        self.single(name)?.ok_or(Fault::Missing(name))
    }

    fn optional<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Fault> {
        self.single(name)?.map(|value| parse(&value).ok_or(Fault::Malformed(name))).transpose()
    }

    fn parsed_list<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Fault> {
        let mut list = Vec::new();
        for value in self.values(name) {
            for element in elements(&value) {
                list.push(parse(element).ok_or(Fault::Malformed(name))?);
            }
        }
        Ok(list)
    }

    /// The topmost Via.
    pub fn via(&self) -> Result<Via, Fault> {
        let value = self.value(name::VIA).ok_or(Fault::Missing(name::VIA))?;
        elements(&value).next().and_then(Via::parse).ok_or(Fault::Malformed(name::VIA))
    }

    /// All Vias, topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, Fault> {
        self.parsed_list(name::VIA, Via::parse)
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, Fault> {
        NameAddr::parse(&self.required(name::FROM)?).ok_or(Fault::Malformed(name::FROM))
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, Fault> {
        NameAddr::parse(&self.required(name::TO)?).ok_or(Fault::Malformed(name::TO))
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<String, Fault> {
        let value = self.required(name::CALL_ID)?;
        let valid = !value.is_empty() && value.bytes().all(|byte| byte > 0x20 && byte != 0x7f);
        if valid { Ok(value.into_owned()) } else { Err(Fault::Malformed(name::CALL_ID)) }
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, Fault> {
        CSeq::parse(&self.required(name::CSEQ)?).ok_or(Fault::Malformed(name::CSEQ))
    }

    /// Contact. A lone `*` (REGISTER) is an empty list with [`Headers::contact_is_star`].
    pub fn contacts(&self) -> Result<Vec<NameAddr>, Fault> {
        if self.contact_is_star() {
            return Ok(Vec::new());
        }
        self.parsed_list(name::CONTACT, NameAddr::parse)
    }

    /// `Contact: *`.
    pub fn contact_is_star(&self) -> bool {
        self.count(name::CONTACT) == 1 && self.value(name::CONTACT).is_some_and(|value| value == "*")
    }

    /// Route, topmost first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, Fault> {
        self.parsed_list(name::ROUTE, NameAddr::parse_bracketed)
    }

    /// Record-Route, topmost first.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, Fault> {
        self.parsed_list(name::RECORD_ROUTE, NameAddr::parse_bracketed)
    }

    /// Refer-To.
    pub fn refer_to(&self) -> Result<NameAddr, Fault> {
        NameAddr::parse(&self.required(name::REFER_TO)?).ok_or(Fault::Malformed(name::REFER_TO))
    }

    /// Max-Forwards, 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, Fault> {
        self.optional(name::MAX_FORWARDS, |text| digits(text)?.parse().ok())
    }

    /// Max-Breadth (RFC 5393 §5.3).
    pub fn max_breadth(&self) -> Result<Option<u32>, Fault> {
        self.optional(name::MAX_BREADTH, |text| Some(saturating(digits(text)?)))
    }

    /// Content-Length.
    pub fn content_length(&self) -> Result<Option<usize>, Fault> {
        match self.single(name::CONTENT_LENGTH)? {
            Some(value) => digits(&value).and_then(|text| text.parse().ok()).map(Some).ok_or(Fault::ContentLength),
            None => Ok(None),
        }
    }

    /// Content-Type.
    pub fn content_type(&self) -> Result<Option<MediaType>, Fault> {
        self.optional(name::CONTENT_TYPE, MediaType::parse)
    }

    /// Expires in seconds; 2^32-1 for anything above.
    pub fn expires(&self) -> Result<Option<u32>, Fault> {
        self.optional(name::EXPIRES, |text| Some(saturating(digits(text)?)))
    }

    /// Date, GMT only.
    pub fn date(&self) -> Result<Option<Date>, Fault> {
        self.optional(name::DATE, Date::parse)
    }

    /// Session-Expires (RFC 4028).
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, Fault> {
        self.optional(name::SESSION_EXPIRES, SessionExpires::parse)
    }

    /// Min-SE in seconds (RFC 4028).
    pub fn min_se(&self) -> Result<Option<u32>, Fault> {
        self.optional(name::MIN_SE, |text| {
            let seconds = text.split(';').next()?;
            Some(saturating(digits(crate::text::trim_blanks(seconds))?))
        })
    }

    /// RSeq (RFC 3262).
    pub fn rseq(&self) -> Result<Option<u32>, Fault> {
        self.optional(name::RSEQ, |text| digits(text)?.parse().ok())
    }

    /// RAck (RFC 3262).
    pub fn rack(&self) -> Result<Option<RAck>, Fault> {
        self.optional(name::RACK, RAck::parse)
    }

    /// Retry-After.
    pub fn retry_after(&self) -> Result<Option<RetryAfter>, Fault> {
        self.optional(name::RETRY_AFTER, RetryAfter::parse)
    }

    /// Replaces (RFC 3891).
    pub fn replaces(&self) -> Result<Option<Replaces>, Fault> {
        self.optional(name::REPLACES, Replaces::parse)
    }

    /// Reason (RFC 3326).
    pub fn reasons(&self) -> Result<Vec<Reason>, Fault> {
        self.parsed_list(name::REASON, Reason::parse)
    }

    /// Warning.
    pub fn warnings(&self) -> Result<Vec<Warning>, Fault> {
        self.parsed_list(name::WARNING, Warning::parse)
    }
}

/// The text if it is digits only.
pub(crate) fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// A number of digits, 2^32-1 for anything above.
pub(crate) fn saturating(digits: &str) -> u32 {
    digits.parse().unwrap_or(u32::MAX)
}
