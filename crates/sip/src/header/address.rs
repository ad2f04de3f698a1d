//! name-addr and addr-spec with parameters: From, To, Contact, Route, Record-Route, Refer-To (RFC 3261 §20.10).

use crate::text::{Scanner, is_token, is_token_byte, quote};
use crate::{Params, Uri};
use std::fmt;

/// `"display name" <uri>;parameters`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameAddr {
    /// Without quotes and escapes.
    pub display: Option<String>,
    /// What stands in the brackets.
    pub uri: Uri,
    /// What follows them.
    pub params: Params,
}

impl NameAddr {
    /// A URI without display name and parameters.
    pub fn new(uri: impl Into<Uri>) -> Self {
        Self { display: None, uri: uri.into(), params: Params::new() }
    }

    /// Reads one element. Without brackets, parameters belong to the header, and a comma or question mark in the URI is a
    /// fault (RFC 3261 §20).
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, true)
    }

    /// Reads one element whose brackets are required (Route and Record-Route).
    pub fn parse_bracketed(text: &str) -> Option<Self> {
        Self::read(text, false)
    }

    fn read(text: &str, bare: bool) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        scanner.blanks();
        let display = if scanner.peek() == Some(b'"') {
            let display = scanner.quoted()?;
            scanner.blanks();
            (scanner.peek() == Some(b'<')).then_some(Some(display))?
        } else if scanner.rest().contains('<') {
            let words = scanner.take_while(|byte| byte != b'<');
            let words = crate::text::trim_blanks(words);
            let tokens = words.bytes().all(|byte| is_token_byte(byte) || matches!(byte, b' ' | b'\t') || byte >= 0x80);
            if !tokens {
                return None;
            }
            Some(words.to_owned()).filter(|words| !words.is_empty())
        } else {
            None
        };
        let uri = if scanner.byte(b'<') {
            let uri = scanner.take_while(|byte| byte != b'>');
            scanner.byte(b'>').then_some(uri)?
        } else if bare {
            let uri = scanner.take_while(|byte| !b"; \t".contains(&byte));
            (!uri.contains(['?', ','])).then_some(uri)?
        } else {
            return None;
        };
        Some(Self { display, uri: Uri::parse(uri)?, params: Params::scan(&mut scanner)? })
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The same with a tag.
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", Some(tag));
        self
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.display {
            Some(display) if is_token(display) => write!(f, "{display} ")?,
            Some(display) => write!(f, "{} ", quote(display))?,
            None => {}
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}
