//! The lines of one level: those of the session, or those of one m= section.

use std::fmt;

use crate::line::{Ending, Line};
use crate::order::{Scope, rank};
use crate::{Attribute, AttributeError, Direction, NetworkAddress};

/// The lines of one level: those of the session, or those of one m= section without the m= line.
///
/// Attribute names are compared without case. New lines go where [the order of what we write](Level::insert) puts them
/// and end as the description's first line does; all others stay where they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Level {
    lines: Vec<Line>,
    scope: Scope,
    ending: Ending,
}

/// An a= line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttributeLine<'a> {
    /// The name, as written.
    pub name: &'a str,
    /// What follows the colon, as written; `None` for a flag.
    pub value: Option<&'a str>,
    /// Its number in the text that was parsed, from 1; `None` for a line that we wrote.
    pub line: Option<usize>,
}

impl AttributeLine<'_> {
    /// Whether it is this text (what follows `a=`), or begins with it up to a colon or a space.
    pub fn begins_with(&self, text: &str) -> bool {
        let own = match self.value {
            Some(value) => format!("{}:{value}", self.name),
            None => self.name.to_owned(),
        };
        let rest = own.strip_prefix(text).filter(|_| !text.is_empty());
        rest.is_some_and(|rest| rest.is_empty() || text.ends_with(':') || rest.starts_with([':', ' ']))
    }

    /// Whether it has this name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl Level {
    pub(crate) fn new(scope: Scope, ending: Ending) -> Self {
        Self { lines: Vec::new(), scope, ending }
    }

    pub(crate) fn push_line(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(crate) fn adopt_ending(&mut self, ending: Ending) {
        self.ending = ending;
        self.lines.iter_mut().for_each(|line| line.adopt_ending(ending));
    }

    pub(crate) fn take_trailing_blanks(&mut self) -> Vec<Line> {
        let kept = self.lines.iter().rposition(|line| !line.is_blank()).map_or(0, |last| last + 1);
        self.lines.split_off(kept)
    }

    /// Values of the lines of this letter, in order: `values('b')`.
    pub fn values(&self, kind: char) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |line| line.kind() == Some(kind)).map(Line::value)
    }

    /// All a= lines, in order.
    pub fn attributes(&self) -> impl Iterator<Item = AttributeLine<'_>> {
        self.lines.iter().filter_map(attribute_line)
    }

    /// Whether there is an a= line of this name.
    pub fn has(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.is_attribute(name))
    }

    /// The value of the first a= line of this name without blanks around it; empty for a flag.
    pub fn find(&self, name: &str) -> Option<&str> {
        let (_, value) = self.lines.iter().find(|line| line.is_attribute(name))?.as_attribute()?;
        Some(value.unwrap_or("").trim())
    }

    /// The values of all a= lines of this name without blanks around them; empty for a flag.
    pub fn find_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines
            .iter()
            .filter_map(Line::as_attribute)
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or("").trim())
    }

    /// The first attribute of this type that can be read.
    pub fn first<T: Attribute>(&self) -> Option<T> {
        self.all().next()
    }

    /// All attributes of this type that can be read.
    pub fn all<T: Attribute>(&self) -> impl Iterator<Item = T> {
        self.try_all().filter_map(Result::ok)
    }

    /// All attributes of this type, or why they cannot be read.
    pub fn try_all<T: Attribute>(&self) -> impl Iterator<Item = Result<T, AttributeError>> {
        self.find_all(T::NAME).map(T::parse)
    }

    /// Adds an a= line, a flag when the value is empty. It goes behind the last line that our order puts before it or
    /// beside it, so that among our own lines the order is always right.
    ///
    /// The order in a section: i=, c=, b=, k=, mid, label, bundle-only, codec lines (rtpmap, fmtp, rtcp-fb), extmap,
    /// others, direction, rtcp, rtcp-mux, rtcp-mux-only, crypto, setup, connection, fingerprint, tls-id, ptime,
    /// maxptime, ice-ufrag, ice-pwd, ice-options, candidates, remote-candidates, end-of-candidates. At session level
    /// attributes go to the end.
    pub fn insert(&mut self, name: &str, value: &str) {
        self.place(Line::attribute(name, value, self.ending));
    }

    /// Adds an attribute as [`insert`](Self::insert) does.
    pub fn add<T: Attribute>(&mut self, attribute: &T) {
        self.insert(T::NAME, &attribute.to_string());
    }

    /// Gives the first a= line of this name another value where it stands and removes further ones; inserts it if there is none.
    pub fn replace(&mut self, name: &str, value: &str) {
        self.replace_where(|line| line.is_attribute(name), name, value);
    }

    /// Replaces an attribute as [`replace`](Self::replace) does.
    pub fn set<T: Attribute>(&mut self, attribute: &T) {
        self.replace(T::NAME, &attribute.to_string());
    }

    /// Removes all a= lines of this name. Returns how many there were.
    pub fn remove_all(&mut self, name: &str) -> usize {
        self.retain_lines(|line| !line.is_attribute(name))
    }

    /// Removes all a= lines that have one of these names. Returns how many there were.
    pub fn remove_any(&mut self, names: &[&str]) -> usize {
        self.retain_lines(|line| !names.iter().any(|name| line.is_attribute(name)))
    }

    /// Keeps only the a= lines that this is true of; other lines stay. Returns how many went.
    pub fn retain_attributes(&mut self, mut keep: impl FnMut(AttributeLine<'_>) -> bool) -> usize {
        self.retain_lines(|line| attribute_line(line).is_none_or(&mut keep))
    }

    /// Gives the a= lines that read so (behind `a=`, as a whole) another text where they stand. Returns how many there
    /// were.
    pub fn substitute_attributes(&mut self, from: &str, to: &str) -> usize {
        let mut count = 0;
        for line in self.lines.iter_mut().filter(|line| line.kind() == Some('a') && line.value() == from) {
            line.set_value('a', to);
            count += 1;
        }
        count
    }

    /// The c= line of this level (the first one).
    pub fn connection(&self) -> Option<NetworkAddress> {
        self.values('c').find_map(NetworkAddress::parse)
    }

    /// Puts this c= line in place of all that are there.
    pub fn set_connection(&mut self, address: &NetworkAddress) {
        if self.values('c').count() == 1 && self.connection().as_ref() == Some(address) {
            return;
        }
        self.set_line('c', &address.to_string());
    }

    /// Removes all c= lines. Returns whether there was one.
    pub fn remove_connection(&mut self) -> bool {
        self.retain_lines(|line| line.kind() != Some('c')) > 0
    }

    /// The b= lines: type and value. What is no number is left out.
    pub fn bandwidths(&self) -> impl Iterator<Item = (&str, u64)> {
        self.values('b').filter_map(|value| {
            let (kind, number) = value.split_once(':')?;
            Some((kind.trim(), number.trim().parse().ok()?))
        })
    }

    /// Removes the b= lines of this type. Returns how many there were.
    pub fn remove_bandwidth(&mut self, kind: &str) -> usize {
        self.retain_lines(|line| {
            let own = line.value().split(':').next().unwrap_or("").trim();
            line.kind() != Some('b') || !own.eq_ignore_ascii_case(kind)
        })
    }

    /// The direction said at this level (the first, if there are several).
    pub fn direction(&self) -> Option<Direction> {
        self.attributes().find_map(|attribute| Direction::from_name(attribute.name))
    }

    /// Says this direction where the first one stands and removes further ones; inserts it if there is none.
    pub fn set_direction(&mut self, direction: Direction) {
        self.replace_where(is_direction, direction.name(), "");
    }

    /// Removes what is said of direction. Returns how many lines there were.
    pub fn remove_direction(&mut self) -> usize {
        self.retain_lines(|line| !is_direction(line))
    }

    /// Brings all lines of the level into [the order of what we write](Self::insert); those of equal rank stay as they are.
    pub fn arrange(&mut self) {
        let scope = self.scope;
        self.lines.sort_by_key(|line| rank(line, scope));
    }

    /// Gives the first line of this letter this value and removes further ones; places it if there is none.
    pub(crate) fn set_line(&mut self, kind: char, value: &str) {
        let mut seen = false;
        self.lines.retain_mut(|line| {
            if line.kind() != Some(kind) {
                return true;
            }
            if seen {
                return false;
            }
            seen = true;
            line.set_value(kind, value);
            true
        });
        if !seen {
            self.place(Line::new(kind, value, self.ending));
        }
    }

    fn replace_where(&mut self, matches: impl Fn(&Line) -> bool, name: &str, value: &str) {
        let mut seen = false;
        self.lines.retain_mut(|line| {
            if !matches(line) {
                return true;
            }
            if seen {
                return false;
            }
            seen = true;
            line.set_attribute(name, value);
            true
        });
        if !seen {
            self.insert(name, value);
        }
    }

    fn place(&mut self, line: Line) {
        let own = rank(&line, self.scope);
        let before = self.lines.iter().rposition(|other| rank(other, self.scope) <= own);
        let at = before.map_or(0, |index| index + 1);
        self.lines.insert(at, line);
    }

    fn retain_lines(&mut self, keep: impl FnMut(&Line) -> bool) -> usize {
        let before = self.lines.len();
        self.lines.retain(keep);
        before - self.lines.len()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| fmt::Display::fmt(line, f))
    }
}

fn attribute_line(line: &Line) -> Option<AttributeLine<'_>> {
    let (name, value) = line.as_attribute()?;
    Some(AttributeLine { name, value, line: Some(line.number()).filter(|&number| number > 0) })
}

fn is_direction(line: &Line) -> bool {
    line.as_attribute().is_some_and(|(name, _)| Direction::from_name(name).is_some())
}
