//! A session description: its session level and its m= sections.

use std::fmt;

use crate::line::{Ending, Line};
use crate::parse;
use crate::{Effective, Level, Limits, MediaSection, NetworkAddress, Origin, ParseError};

/// A session description (RFC 8866). See the crate page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionDescription {
    pub(crate) session: Level,
    pub(crate) media: Vec<MediaSection>,
    pub(crate) origin: Origin,
    /// Empty lines behind everything else.
    pub(crate) blanks: Vec<Line>,
    /// Of the first line; new lines end so.
    pub(crate) ending: Ending,
    /// The text does not end with a line ending.
    pub(crate) unterminated: bool,
}

impl SessionDescription {
    /// Reads a text under the default [`Limits`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, &Limits::default())
    }

    /// Reads a text under these limits. Time and space are linear in its length.
    pub fn parse_with(text: &str, limits: &Limits) -> Result<Self, ParseError> {
        parse::parse(text, limits)
    }

    /// Reads bytes, which must be UTF-8.
    pub fn parse_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        parse::parse_bytes(bytes, limits)
    }

    /// The o= line.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Rewrites the o= line, unless it says this already.
    pub fn set_origin(&mut self, origin: Origin) {
        if self.origin != origin {
            self.session.set_line('o', &origin.to_string());
            self.origin = origin;
        }
    }

    /// The s= line.
    pub fn session_name(&self) -> Option<&str> {
        self.session.values('s').next()
    }

    /// Rewrites the s= line.
    pub fn set_session_name(&mut self, name: &str) {
        if self.session_name() != Some(name) {
            self.session.set_line('s', name);
        }
    }

    /// The c= line of the session level.
    pub fn connection(&self) -> Option<NetworkAddress> {
        self.session.connection()
    }

    /// Writes the c= line of the session level.
    pub fn set_connection(&mut self, address: &NetworkAddress) {
        self.session.set_connection(address);
    }

    /// Removes the c= line of the session level.
    pub fn remove_connection(&mut self) -> bool {
        self.session.remove_connection()
    }

    /// The lines of the session level.
    pub fn session(&self) -> &Level {
        &self.session
    }

    /// The lines of the session level, to edit.
    pub fn session_mut(&mut self) -> &mut Level {
        &mut self.session
    }

    /// The m= sections, in order.
    pub fn media(&self) -> &[MediaSection] {
        &self.media
    }

    /// The m= sections, to edit.
    pub fn media_mut(&mut self) -> &mut [MediaSection] {
        &mut self.media
    }

    /// Appends a section.
    pub fn push_media(&mut self, mut section: MediaSection) {
        section.adopt_ending(self.ending);
        self.media.push(section);
    }

    /// Takes a section out. (An answer must keep all: RFC 3264 §6.)
    pub fn remove_media(&mut self, index: usize) -> Option<MediaSection> {
        (index < self.media.len()).then(|| self.media.remove(index))
    }

    /// What holds for a section: its own lines, else those of the session level.
    pub fn effective(&self, index: usize) -> Option<Effective<'_>> {
        self.media.get(index).map(|media| Effective::new(&self.session, media))
    }

    /// What holds for each section, in order.
    pub fn effective_media(&self) -> impl Iterator<Item = Effective<'_>> {
        self.media.iter().map(|media| Effective::new(&self.session, media))
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media = self.media.iter().flat_map(MediaSection::lines);
        let mut lines = self.session.lines().iter().chain(media).chain(&self.blanks).peekable();
        while let Some(line) = lines.next() {
            f.write_str(line.text())?;
            if lines.peek().is_some() || !self.unterminated {
                f.write_str(line.ending().text())?;
            }
        }
        Ok(())
    }
}
