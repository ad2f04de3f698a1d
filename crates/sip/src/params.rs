//! `;name=value` parameters of header fields (generic-param of RFC 3261 §25.1).

use crate::text::{Scanner, clean, is_token, quote};
use std::fmt;

/// Parameters in their order. Names are compared without case; a value is given without quotes and escapes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Params(Vec<Param>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Param {
    name: String,
    value: Option<String>,
    quoted: bool,
}

impl Params {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a parameter: `Some("")` if it is there without a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let param = self.0.iter().find(|param| param.name.eq_ignore_ascii_case(name))?;
        Some(param.value.as_deref().unwrap_or(""))
    }

    /// Whether a parameter is there, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|param| (param.name.as_str(), param.value.as_deref()))
    }

    /// Adds a parameter or changes its value where it stands. A value that is no token or host is quoted.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(|value| clean(value).into_owned());
        let quoted = value.as_deref().is_some_and(|value| !is_token(value) && !is_host(value));
        match self.0.iter_mut().find(|param| param.name.eq_ignore_ascii_case(name)) {
            Some(param) => (param.value, param.quoted) = (value, quoted),
            None => self.0.push(Param { name: clean(name).into_owned(), value, quoted }),
        }
    }

    /// Removes a parameter; true if it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|param| !param.name.eq_ignore_ascii_case(name));
        self.0.len() != before
    }

    /// Reads `*( SEMI param )` to the end of the text; `None` if anything else is there.
    pub(crate) fn scan(scanner: &mut Scanner<'_>) -> Option<Self> {
        let mut params = Vec::new();
        while scanner.separator(b';') {
            let name = scanner.token()?.to_owned();
            let (value, quoted) = if !scanner.separator(b'=') {
                (None, false)
            } else if scanner.peek() == Some(b'"') {
                (Some(scanner.quoted()?), true)
            } else {
                let value = scanner.take_while(|byte| !b" \t;,=\"<>?".contains(&byte) && byte > 0x20 && byte != 0x7f);
                (Some(value.to_owned()).filter(|value| !value.is_empty()), false)
            };
            params.push(Param { name, value, quoted });
        }
        scanner.blanks();
        scanner.is_end().then_some(Self(params))
    }
}

/// A value may be a host (RFC 3261 §25.1 gen-value), an IPv6 address without brackets included (received).
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte))
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.0 {
            write!(f, ";{}", param.name)?;
            match &param.value {
                Some(value) if param.quoted => write!(f, "={}", quote(value))?,
                Some(value) => write!(f, "={value}")?,
                None => {}
            }
        }
        Ok(())
    }
}
