//! An m= line and the lines under it (RFC 8866 §5.14).

use std::fmt;
use std::ops::{Deref, DerefMut, Range};

use crate::line::{Ending, Line, tokens, words};
use crate::order::Scope;
use crate::{Level, ParseFault, Protocol, name};

/// An m= line and the lines under it, which are reached by `Deref`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaSection {
    line: Line,
    port: u16,
    port_count: Option<u16>,
    protocol: Protocol,
    level: Level,
}

const MEDIA: usize = 0;
const PORT: usize = 1;
const PROTOCOL: usize = 2;
const FIRST_FORMAT: usize = 3;

impl MediaSection {
    pub(crate) fn received(line: Line, ending: Ending, max_formats: usize) -> Result<Self, ParseFault> {
        let mut words = words(line.value());
        let (Some(_media), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return Err(ParseFault::MediaMalformed);
        };
        let (port, port_count) = parse_port(port).ok_or(ParseFault::PortMalformed)?;
        if words.count() > max_formats {
            return Err(ParseFault::TooManyFormats(max_formats));
        }
        let protocol = Protocol::parse(protocol);
        Ok(Self { line, port, port_count, protocol, level: Level::new(Scope::Media, ending) })
    }

    /// A section of ours, with nothing under its m= line. Its line ending is set when it joins a description.
    pub fn new<'a>(media: &str, port: u16, protocol: Protocol, formats: impl IntoIterator<Item = &'a str>) -> Self {
        let mut value = format!("{media} {port} {protocol}");
        for format in formats {
            value.push(' ');
            value.push_str(format);
        }
        let line = Line::new('m', &value, Ending::CrLf);
        Self { line, port, port_count: None, protocol, level: Level::new(Scope::Media, Ending::CrLf) }
    }

    /// `audio`, `video`, `image`, `application`, …, as written.
    pub fn media_type(&self) -> &str {
        self.word(MEDIA).unwrap_or("")
    }

    /// 0 = rejected, or in an offer with `a=bundle-only`, part of a bundle.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Rewrites the port; a count behind it stays.
    pub fn set_port(&mut self, port: u16) {
        self.port = port;
        self.write_port();
    }

    /// The number of ports, if it is given.
    pub fn port_count(&self) -> Option<u16> {
        self.port_count
    }

    /// Gives a number of ports, or takes it away.
    pub fn set_port_count(&mut self, count: Option<u16>) {
        self.port_count = count;
        self.write_port();
    }

    /// The transport protocol.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Rewrites the transport protocol, unless it is this one already.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        if self.protocol != protocol {
            self.write_word(PROTOCOL, protocol.name());
            self.protocol = protocol;
        }
    }

    /// The formats, as written: payload types where the protocol is RTP.
    pub fn formats(&self) -> impl Iterator<Item = &str> {
        words(self.line.value()).skip(FIRST_FORMAT)
    }

    /// The formats that are payload types (0 to 127).
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats()
            .filter_map(|format| u8::try_from(number(format)?).ok())
            .filter(|&payload_type| payload_type < 0x80)
    }

    /// Rewrites the formats, unless they are these already. (The grammar wants at least one, also in a rejected section.)
    pub fn set_formats<'a>(&mut self, formats: impl IntoIterator<Item = &'a str>) {
        let wanted: Vec<&str> = formats.into_iter().collect();
        if self.formats().eq(wanted.iter().copied()) {
            return;
        }
        let from = self.span(PROTOCOL).map_or(0, |span| span.end);
        let mut text = String::new();
        for format in wanted {
            text.push(' ');
            text.push_str(format);
        }
        let end = self.line.value().len();
        self.line.splice_value(from..end, &text);
    }

    /// Removes a format from the m= line, and its rtpmap, fmtp and rtcp-fb lines. Returns whether the m= line had it.
    pub fn remove_format(&mut self, format: &str) -> bool {
        self.retain_formats(|own| own != format) > 0
    }

    /// Keeps only the formats that this is true of, and removes the rtpmap, fmtp and rtcp-fb lines of the others.
    /// Returns how many went.
    pub fn retain_formats(&mut self, mut keep: impl FnMut(&str) -> bool) -> usize {
        let all: Vec<String> = self.formats().map(str::to_owned).collect();
        let (kept, gone): (Vec<&str>, Vec<&str>) = all.iter().map(String::as_str).partition(|&format| keep(format));
        self.set_formats(kept);
        self.level.retain_attributes(|attribute| {
            let of_codec = [name::RTPMAP, name::FMTP, name::RTCP_FB].iter().any(|name| attribute.is(name));
            let format = attribute.value.and_then(|value| words(value).next());
            !of_codec || format.is_none_or(|format| !gone.contains(&format))
        });
        gone.len()
    }

    /// Port 0 without `a=bundle-only` (RFC 9143 §6).
    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.has(name::BUNDLE_ONLY)
    }

    /// Number of the m= line in the text that was parsed, from 1; `None` for a section that we made.
    pub fn line(&self) -> Option<usize> {
        Some(self.line.number()).filter(|&number| number > 0)
    }

    pub(crate) fn level_mut(&mut self) -> &mut Level {
        &mut self.level
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.line).chain(self.level.lines())
    }

    /// Makes our own lines end as the description's do.
    pub(crate) fn adopt_ending(&mut self, ending: Ending) {
        self.line.adopt_ending(ending);
        self.level.adopt_ending(ending);
    }

    fn span(&self, index: usize) -> Option<Range<usize>> {
        tokens(self.line.value()).nth(index)
    }

    fn word(&self, index: usize) -> Option<&str> {
        self.line.value().get(self.span(index)?)
    }

    fn write_word(&mut self, index: usize, with: &str) {
        if let Some(span) = self.span(index) {
            self.line.splice_value(span, with);
        }
    }

    fn write_port(&mut self) {
        let text = match self.port_count {
            Some(count) => format!("{}/{count}", self.port),
            None => self.port.to_string(),
        };
        if self.word(PORT) != Some(text.as_str()) {
            self.write_word(PORT, &text);
        }
    }
}

impl Deref for MediaSection {
    type Target = Level;

    fn deref(&self) -> &Level {
        &self.level
    }
}

impl DerefMut for MediaSection {
    fn deref_mut(&mut self) -> &mut Level {
        &mut self.level
    }
}

impl fmt::Display for MediaSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().try_for_each(|line| fmt::Display::fmt(line, f))
    }
}

/// `port` or `port/count`.
fn parse_port(token: &str) -> Option<(u16, Option<u16>)> {
    match token.split_once('/') {
        None => Some((number(token)?, None)),
        Some((port, count)) => Some((number(port)?, Some(number(count).filter(|&count| count > 0)?))),
    }
}

/// Digits only: `u16::from_str` alone would take a plus sign.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
