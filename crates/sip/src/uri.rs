//! SIP and SIPS URIs, and URIs of other schemes kept as text (RFC 3261 §19.1).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A URI of any scheme.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Uri {
    /// `sip:` or `sips:`.
    Sip(SipUri),
    /// Any other scheme, such as `tel:`.
    Other(OtherUri),
}

impl Uri {
    /// Reads a URI. A scheme that is not SIP's is kept as text if it has no blanks, quotes, brackets or controls.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            return SipUri::after_scheme(scheme.len() == 4, rest).map(Self::Sip);
        }
        let mut bytes = scheme.bytes();
        let named = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let plain =
            !rest.is_empty() && rest.bytes().all(|byte| byte > 0x20 && byte != 0x7f && !b"<>\"".contains(&byte));
        (named && plain).then(|| Self::Other(OtherUri { text: text.to_owned(), scheme: scheme.len() }))
    }

    /// The SIP or SIPS URI, if it is one.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Other(_) => None,
        }
    }

    /// `sip`, `sips` or the other scheme as written.
    pub fn scheme(&self) -> &str {
        match self {
            Self::Sip(uri) if uri.secure => "sips",
            Self::Sip(_) => "sip",
            Self::Other(uri) => uri.text.get(..uri.scheme).unwrap_or(""),
        }
    }

    /// Whether both name the same resource: RFC 3261 §19.1.4 for SIP, the same text otherwise.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sip(own), Self::Sip(other)) => own.is_equivalent(other),
            (Self::Other(own), Self::Other(other)) => {
                own.scheme == other.scheme
                    && self.scheme().eq_ignore_ascii_case(other.text.get(..other.scheme).unwrap_or(""))
                    && own.text.get(own.scheme..) == other.text.get(other.scheme..)
            }
            _ => false,
        }
    }
}

impl From<SipUri> for Uri {
    fn from(uri: SipUri) -> Self {
        Self::Sip(uri)
    }
}

impl std::str::FromStr for Uri {
    type Err = UriMalformed;

    fn from_str(text: &str) -> Result<Self, UriMalformed> {
        Self::parse(text).ok_or(UriMalformed)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => uri.fmt(f),
            Self::Other(uri) => f.write_str(&uri.text),
        }
    }
}

/// The text is no URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UriMalformed;

impl fmt::Display for UriMalformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed URI")
    }
}

impl std::error::Error for UriMalformed {}

/// A URI that is not SIP's, as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherUri {
    text: String,
    scheme: usize,
}

/// `sip:user:password@host:port;parameters?headers`. Every part keeps its escapes as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SipUri {
    /// `sips:`.
    pub secure: bool,
    /// What stands before the at sign and before a colon in it, escapes as written.
    pub user: Option<String>,
    /// What follows the colon before the at sign.
    pub password: Option<String>,
    /// Name or address.
    pub host: Host,
    /// As written; a missing port is not the same as the default port (RFC 3261 §19.1.4).
    pub port: Option<u16>,
    params: Vec<(String, Option<String>)>,
    headers: Vec<(String, String)>,
}

impl SipUri {
    /// `sip:host`, or `sip:user@host` (the user is escaped as needed).
    pub fn new(user: Option<&str>, host: Host, port: Option<u16>) -> Self {
        let user = user.map(escape_user);
        Self { secure: false, user, password: None, host, port, params: Vec::new(), headers: Vec::new() }
    }

    /// The user with its escapes resolved, as bytes read as UTF-8.
    pub fn user_unescaped(&self) -> Option<String> {
        self.user.as_deref().map(|user| String::from_utf8_lossy(&unescape(user)).into_owned())
    }

    /// Value of a parameter, compared without case and with escapes resolved; `Some("")` for one without a value.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(own, _)| same_unescaped(own, name)).map(|(_, value)| value.as_deref().unwrap_or(""))
    }

    /// All parameters as written.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.params.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Adds a parameter or changes its value. Characters that may not stand there are escaped.
    pub fn set_param(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(escape_param);
        match self.params.iter_mut().find(|(own, _)| same_unescaped(own, name)) {
            Some((_, own)) => *own = value,
            None => self.params.push((escape_param(name), value)),
        }
    }

    /// Removes a parameter; true if it was there.
    pub fn remove_param(&mut self, name: &str) -> bool {
        let before = self.params.len();
        self.params.retain(|(own, _)| !same_unescaped(own, name));
        self.params.len() != before
    }

    /// The `?name=value&…` part, escapes as written.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A header of the URI with its escapes resolved, for example `Replaces` in a Refer-To.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(own, _)| same_unescaped(own, name))?;
        Some(String::from_utf8_lossy(&unescape(value)).into_owned())
    }

    /// Removes the header part and the `method` parameter, which may not stand in a Request-URI (RFC 3261 §19.1.1).
    pub fn remove_headers(&mut self) {
        self.headers.clear();
        self.remove_param("method");
    }

    /// The comparison of RFC 3261 §19.1.4.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.secure == other.secure
            && same_part(self.user.as_deref(), other.user.as_deref())
            && same_part(self.password.as_deref(), other.password.as_deref())
            && self.host.is_equivalent(&other.host)
            && self.port == other.port
            && self.params_agree(other)
            && other.params_agree(self)
            && self.headers.len() == other.headers.len()
            && self.headers.iter().all(|(name, value)| other.has_header(name, value))
    }

    fn params_agree(&self, other: &Self) -> bool {
        // These five never match when only one side has them; others are then ignored.
        const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
        self.params.iter().all(|(name, value)| {
            match other.params.iter().find(|(theirs, _)| same_unescaped(theirs, name)) {
                Some((_, theirs)) => same_unescaped(value.as_deref().unwrap_or(""), theirs.as_deref().unwrap_or("")),
                None => !DECISIVE.iter().any(|decisive| same_unescaped(name, decisive)),
            }
        })
    }

    fn has_header(&self, name: &str, value: &str) -> bool {
        self.headers.iter().any(|(own, theirs)| same_unescaped(own, name) && normal(theirs) == normal(value))
    }

    fn after_scheme(secure: bool, text: &str) -> Option<Self> {
        // An at sign stands unescaped nowhere else, while the user part may hold `;`, `?` and `/`.
        let (userinfo, rest) = match text.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, text),
        };
        let (user, password) =
            match userinfo.map(|info| info.split_once(':').map_or((info, None), |(u, p)| (u, Some(p)))) {
                Some((user, password)) => {
                    let valid = !user.is_empty()
                        && is_escaped(user, USER)
                        && password.is_none_or(|password| is_escaped(password, PASSWORD));
                    if !valid {
                        return None;
                    }
                    (Some(user.to_owned()), password.map(str::to_owned))
                }
                None => (None, None),
            };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, parse_headers(headers)?),
            None => (rest, Vec::new()),
        };
        let mut pieces = rest.split(';');
        let (host, port) = Host::parse_with_port(pieces.next()?)?;
        let mut params = Vec::new();
        for piece in pieces {
            let (name, value) = piece.split_once('=').map_or((piece, None), |(name, value)| (name, Some(value)));
            if name.is_empty() || !is_escaped(name, PARAM) || !value.is_none_or(|value| is_escaped(value, PARAM)) {
                return None;
            }
            params.push((name.to_owned(), value.map(str::to_owned)));
        }
        Some(Self { secure, user, password, host, port, params, headers })
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        for (name, value) in &self.params {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// A host name, or an address as written (IPv6 with its brackets).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host(String);

impl Host {
    /// Reads a host name, an IPv4 address or an IPv6 reference in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                // Underscores are no part of a host name but stand in many.
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            }
        };
        valid.then(|| Self(text.to_owned()))
    }

    /// Name or address, and a port after a colon.
    pub(crate) fn parse_with_port(text: &str) -> Option<(Self, Option<u16>)> {
        let host_end = text.find(']').map_or(0, |end| end + 1);
        let (host, port) = match text.get(host_end..)?.split_once(':') {
            Some((host, port)) => (text.get(..host_end + host.len())?, Some(port)),
            None => (text, None),
        };
        let port = match port {
            Some(port) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok()?)
            }
            Some(_) => return None,
            None => None,
        };
        Some((Self::parse(host)?, port))
    }

    /// As written, IPv6 in its brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Same address, or same name without regard to case.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        match (self.ip(), other.ip()) {
            (Some(own), Some(other)) => own == other,
            _ => self.0.eq_ignore_ascii_case(&other.0),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self(address.to_string()),
            IpAddr::V6(address) => Self(format!("[{address}]")),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const MARK: &[u8] = b"-_.!~*'()";
/// user-unreserved; the number sign is no part of it but common in dial strings.
const USER: &[u8] = b"&=+$,;?/#";
const PASSWORD: &[u8] = b"&=+$,";
const PARAM: &[u8] = b"[]/:&+$";
const HEADER: &[u8] = b"[]/?:+$";

fn is_plain(byte: u8, extra: &[u8]) -> bool {
    byte.is_ascii_alphanumeric() || MARK.contains(&byte) || extra.contains(&byte)
}

/// Only allowed characters and whole escapes.
fn is_escaped(text: &str, extra: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let valid = match byte {
            b'%' => {
                bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit())
                    && bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit())
            }
            other => is_plain(other, extra),
        };
        if !valid {
            return false;
        }
    }
    true
}

fn parse_headers(text: &str) -> Option<Vec<(String, String)>> {
    text.split('&')
        .map(|header| {
            let (name, value) = header.split_once('=')?;
            let valid = !name.is_empty() && is_escaped(name, HEADER) && is_escaped(value, HEADER);
            valid.then(|| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

fn escape(text: &str, extra: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte, extra) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn escape_user(text: &str) -> String {
    escape(text, b"&=+$,;?/")
}

fn escape_param(text: &str) -> String {
    escape(text, PARAM)
}

fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped =
            text.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        plain.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    plain
}

/// Equal under §19.1.4: an escape equals the character unless the character is reserved.
fn normal(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut normal = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped =
            text.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) if is_plain(byte, b"") => normal.push(char::from(byte)),
            Some(byte) => normal.push_str(&format!("%{byte:02X}")),
            None => normal.push(char::from(byte)),
        }
        at += if escaped.is_some() { 3 } else { 1 };
    }
    normal
}

fn same_part(own: Option<&str>, other: Option<&str>) -> bool {
    own.map(normal) == other.map(normal)
}

fn same_unescaped(own: &str, other: &str) -> bool {
    normal(own).eq_ignore_ascii_case(&normal(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(own: &str, other: &str) -> bool {
        Uri::parse(own).unwrap().is_equivalent(&Uri::parse(other).unwrap())
    }

    /// The examples of RFC 3261 §19.1.4.
    #[test]
    fn uris_compare_as_in_the_rfcs_examples() {
        for (own, other) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(same(own, other) && same(other, own), "{own} {other}");
        }
        for (own, other) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@b", "sips:a@b"),
            ("sip:a@b;user=phone", "sip:a@b"),
            ("sip:a%40c@b", "sip:a@b"),
        ] {
            assert!(!same(own, other) && !same(other, own), "{own} {other}");
        }
    }

    #[test]
    fn a_uri_prints_as_written() {
        for text in [
            "sip:alice@atlanta.com",
            "sips:alice:secretword@atlanta.com;transport=tcp",
            "sip:+1-212-555-1212:1234@gateway.com;user=phone",
            "sip:alice;day=tuesday@atlanta.com",
            "sip:[2001:DB8::10]:5070;lr",
            "sip:sips%3Auser%40example.com@example.net?a=b&c=%20",
            "tel:+358-555-1234567;postd=pp22",
        ] {
            assert_eq!(Uri::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            "sip",
            "sip:",
            "sip:@host",
            "sip:a@b@c",
            "sip:a b@c",
            "sip:a@b;",
            "sip:a@b;;x",
            "sip:a@b:99999",
            "sip:a@b:",
            "sip:a%4@b",
            "sip:a@[::1",
            "sip:a@[zz]",
            "sip:a@b?x",
            "sip:a@b; lr",
            "sip:a@b;x=\"y\"",
            "1tel:5",
            "tel:",
            "tel:a b",
        ] {
            assert!(Uri::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn escapes_are_made_and_resolved() {
        let mut uri = SipUri::new(Some("a b@c"), Host::parse("h").unwrap(), None);
        uri.set_param("p", Some("x;y"));
        assert_eq!(uri.to_string(), "sip:a%20b%40c@h;p=x%3By");
        assert_eq!(uri.user_unescaped().as_deref(), Some("a b@c"));
        let uri = Uri::parse("sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31").unwrap();
        let uri = uri.as_sip().unwrap();
        assert_eq!(uri.param("lr"), Some(""));
        assert!(uri.param("name").is_some());
    }
}
