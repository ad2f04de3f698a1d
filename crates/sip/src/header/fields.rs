//! Small values: CSeq, RAck, Retry-After, Replaces, Reason, Warning.

use super::{digits, saturating};
use crate::text::{Scanner, quote};
use crate::{Host, Method, Params, StatusCode};
use std::fmt;

/// CSeq (RFC 3261 §20.16).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// Below 2^31 when we choose it; up to 2^32-1 is read.
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl CSeq {
    /// Reads the value.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        let number = scanner.number()?;
        let method = scanner.blanks().then(|| Method::parse(scanner.rest()))??;
        Some(Self { number, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// RAck (RFC 3262 §7.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RAck {
    /// RSeq of the response that is acknowledged.
    pub rseq: u32,
    /// CSeq of that response.
    pub cseq: CSeq,
}

impl RAck {
    /// Reads the value.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        let rseq = scanner.number()?;
        let cseq = scanner.blanks().then(|| CSeq::parse(scanner.rest()))??;
        Some(Self { rseq, cseq })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

/// Retry-After (RFC 3261 §20.33).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryAfter {
    /// Seconds; 2^32-1 for anything above.
    pub seconds: u32,
}

impl RetryAfter {
    /// Reads the seconds; comment and parameters are passed over.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        let seconds = saturating(digits(scanner.take_while(|byte| byte.is_ascii_digit()))?);
        scanner.blanks();
        (scanner.is_end() || b";(".contains(&scanner.peek()?)).then_some(Self { seconds })
    }
}

/// Replaces (RFC 3891 §6.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaces {
    /// Call-ID of the dialog that is replaced.
    pub call_id: String,
    /// The tag of the receiver of the request.
    pub to_tag: String,
    /// The other tag.
    pub from_tag: String,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}

impl Replaces {
    /// Reads the value.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        let call_id = scanner.take_while(|byte| !b"; \t".contains(&byte)).to_owned();
        let params = Params::scan(&mut scanner)?;
        let tag = |name| params.get(name).filter(|tag| !tag.is_empty()).map(str::to_owned);
        let (to_tag, from_tag) = (tag("to-tag")?, tag("from-tag")?);
        (!call_id.is_empty()).then(|| Self { call_id, to_tag, from_tag, early_only: params.contains("early-only") })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        f.write_str(if self.early_only { ";early-only" } else { "" })
    }
}

/// Reason (RFC 3326).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// `SIP`, `Q.850`, …
    pub protocol: String,
    /// The number in that protocol.
    pub cause: Option<u16>,
    /// Words for people.
    pub text: Option<String>,
}

impl Reason {
    /// A cause in SIP's own numbers, for example 200 "Call completed elsewhere".
    pub fn sip(status: StatusCode, text: &str) -> Self {
        Self { protocol: "SIP".into(), cause: Some(status.code()), text: Some(text.into()) }
    }

    /// Reads one element.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        let protocol = scanner.token()?.to_owned();
        let params = Params::scan(&mut scanner)?;
        let cause = params.get("cause").and_then(|cause| cause.parse().ok());
        Some(Self { protocol, cause, text: params.get("text").map(str::to_owned) })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        match &self.text {
            Some(text) => write!(f, ";text={}", quote(text)),
            None => Ok(()),
        }
    }
}

/// Warning (RFC 3261 §20.43).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// Three digits: 399 miscellaneous, 380 "SIPS Not Allowed" and 381 "SIPS Required" (RFC 5630).
    pub code: u16,
    /// Host, or pseudonym, of who warns.
    pub agent: String,
    /// Words for people.
    pub text: String,
}

impl Warning {
    /// Reads one element.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        let code =
            digits(scanner.take_while(|byte| byte.is_ascii_digit())).filter(|code| code.len() == 3)?.parse().ok()?;
        scanner.blanks().then_some(())?;
        let agent = scanner.take_while(|byte| byte > 0x20 && byte != b'"').to_owned();
        let known = Host::parse_with_port(&agent).is_some() || crate::text::is_token(&agent);
        let text = (known && scanner.blanks()).then(|| scanner.quoted())??;
        scanner.is_end().then_some(Self { code, agent, text })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.agent, quote(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_they_are_read() {
        assert_eq!(CSeq::parse("4711 INVITE").unwrap().to_string(), "4711 INVITE");
        assert_eq!(RAck::parse("776656 1 INVITE").unwrap().to_string(), "776656 1 INVITE");
        let reason = "SIP;cause=200;text=\"Call completed elsewhere\"";
        assert_eq!(Reason::parse(reason).unwrap().to_string(), reason);
        let warning = "307 isi.edu \"Session parameter 'foo' not understood\"";
        assert_eq!(Warning::parse(warning).unwrap().to_string(), warning);
        let replaces = "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff";
        assert_eq!(Replaces::parse(replaces).unwrap().to_tag, "ff87ff");
        assert_eq!(RetryAfter::parse("120 (I'm in a meeting)").unwrap().seconds, 120);
        assert_eq!(RetryAfter::parse("949302838503028349304023988").unwrap().seconds, u32::MAX);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert!(CSeq::parse("4294967296 INVITE").is_none());
        assert!(CSeq::parse("1INVITE").is_none());
        assert!(Warning::parse("1812 overture \"In Progress\"").is_none());
        assert!(RetryAfter::parse("12x").is_none());
    }
}
