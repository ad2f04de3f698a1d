//! The parser: one pass over the lines, without recursion.

use crate::line::{Ending, Line};
use crate::order::Scope;
use crate::{Level, Limits, MediaSection, NetworkAddress, Origin, ParseError, ParseFault, SessionDescription, name};

pub(crate) fn parse_bytes(bytes: &[u8], limits: &Limits) -> Result<SessionDescription, ParseError> {
    check_length(bytes, limits)?;
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text, limits),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            Err(ParseError { line: line_at_end(valid), fault: ParseFault::NotUtf8 })
        }
    }
}

pub(crate) fn parse(text: &str, limits: &Limits) -> Result<SessionDescription, ParseError> {
    check_length(text.as_bytes(), limits)?;
    let mut parser = Parser::new(limits, first_ending(text));
    let mut number = 0;
    let mut rest = text;
    let mut unterminated = false;
    while !rest.is_empty() {
        number += 1;
        if number > limits.lines {
            return Err(ParseError { line: number, fault: ParseFault::TooManyLines(limits.lines) });
        }
        let (content, ending, after) = split_line(rest);
        unterminated = ending.is_none();
        let line = Line::received(content, ending.unwrap_or(parser.ending), number);
        parser.take(line).map_err(|fault| ParseError { line: number, fault })?;
        rest = after;
    }
    parser.finish(unterminated).map_err(|fault| ParseError { line: number.max(1), fault })
}

struct Parser<'a> {
    limits: &'a Limits,
    ending: Ending,
    session: Level,
    origin: Option<Origin>,
    media: Vec<MediaSection>,
    versions: usize,
    /// In the level that is being read.
    candidates: usize,
    /// In the level that is being read.
    crypto_lines: usize,
}

impl<'a> Parser<'a> {
    fn new(limits: &'a Limits, ending: Ending) -> Self {
        Self {
            limits,
            ending,
            session: Level::new(Scope::Session, ending),
            origin: None,
            media: Vec::new(),
            versions: 0,
            candidates: 0,
            crypto_lines: 0,
        }
    }

    fn take(&mut self, line: Line) -> Result<(), ParseFault> {
        if line.text().len() > self.limits.line_bytes {
            return Err(ParseFault::LineTooLong(self.limits.line_bytes));
        }
        if line.text().contains('\0') {
            return Err(ParseFault::Nul);
        }
        if self.versions == 0 {
            return self.take_version(line);
        }
        if line.is_blank() {
            self.keep(line);
            return Ok(());
        }
        let mut characters = line.text().chars();
        let kind = characters.next().filter(char::is_ascii_alphabetic).ok_or(ParseFault::NotTypeAndValue)?;
        if characters.next() != Some('=') {
            return Err(ParseFault::NotTypeAndValue);
        }
        match kind {
            'v' => return Err(ParseFault::VersionRepeated),
            'o' if self.media.is_empty() => {
                let origin = Origin::parse(line.value()).ok_or(ParseFault::OriginMalformed)?;
                if self.origin.replace(origin).is_some() {
                    return Err(ParseFault::OriginRepeated);
                }
            }
            'c' => {
                NetworkAddress::parse(line.value()).ok_or(ParseFault::ConnectionMalformed)?;
            }
            'a' => self.count_attribute(&line)?,
            'm' => return self.take_media(line),
            _ => {}
        }
        self.keep(line);
        Ok(())
    }

    fn take_version(&mut self, line: Line) -> Result<(), ParseFault> {
        let version = line.text().strip_prefix("v=").ok_or(ParseFault::VersionMissing)?;
        if version.trim() != "0" {
            return Err(ParseFault::VersionUnsupported);
        }
        self.versions = 1;
        self.keep(line);
        Ok(())
    }

    fn take_media(&mut self, line: Line) -> Result<(), ParseFault> {
        if self.origin.is_none() {
            return Err(ParseFault::OriginMissing);
        }
        if self.media.len() >= self.limits.sections {
            return Err(ParseFault::TooManySections(self.limits.sections));
        }
        self.media.push(MediaSection::received(line, self.ending, self.limits.formats)?);
        self.candidates = 0;
        self.crypto_lines = 0;
        Ok(())
    }

    fn count_attribute(&mut self, line: &Line) -> Result<(), ParseFault> {
        if line.is_attribute(name::CANDIDATE) {
            self.candidates += 1;
            if self.candidates > self.limits.candidates {
                return Err(ParseFault::TooManyCandidates(self.limits.candidates));
            }
        } else if line.is_attribute(name::CRYPTO) {
            self.crypto_lines += 1;
            if self.crypto_lines > self.limits.crypto_lines {
                return Err(ParseFault::TooManyCryptoLines(self.limits.crypto_lines));
            }
        }
        Ok(())
    }

    fn keep(&mut self, line: Line) {
        self.level().push_line(line);
    }

    fn level(&mut self) -> &mut Level {
        self.media.last_mut().map_or(&mut self.session, MediaSection::level_mut)
    }

    fn finish(mut self, unterminated: bool) -> Result<SessionDescription, ParseFault> {
        if self.versions == 0 {
            return Err(ParseFault::Empty);
        }
        let blanks = self.level().take_trailing_blanks();
        let origin = self.origin.ok_or(ParseFault::OriginMissing)?;
        let Self { session, media, ending, .. } = self;
        Ok(SessionDescription { session, media, origin, blanks, ending, unterminated })
    }
}

fn check_length(bytes: &[u8], limits: &Limits) -> Result<(), ParseError> {
    match bytes.get(..limits.bytes) {
        Some(allowed) if bytes.len() > limits.bytes => {
            Err(ParseError { line: line_at_end(allowed), fault: ParseFault::TooManyBytes(limits.bytes) })
        }
        _ => Ok(()),
    }
}

/// Number of the line that follows or contains the end of this text.
fn line_at_end(bytes: &[u8]) -> usize {
    let breaks = bytes.iter().zip(bytes.iter().skip(1).chain(std::iter::once(&b' ')));
    1 + breaks.filter(|&(&byte, &next)| byte == b'\n' || (byte == b'\r' && next != b'\n')).count()
}

/// Content, ending (`None` at the end of the text) and the rest.
fn split_line(text: &str) -> (&str, Option<Ending>, &str) {
    let Some((content, _)) = text.split_once(['\r', '\n']) else {
        return (text, None, "");
    };
    let tail = text.get(content.len()..).unwrap_or("");
    for ending in [Ending::CrLf, Ending::Lf, Ending::Cr] {
        if let Some(rest) = tail.strip_prefix(ending.text()) {
            return (content, Some(ending), rest);
        }
    }
    (content, None, "")
}

fn first_ending(text: &str) -> Ending {
    split_line(text).1.unwrap_or(Ending::CrLf)
}
