//! The header lines of a message, as they came and in their order.

use crate::name::is_same;
use crate::text::{clean, element_end, elements, is_blank, trim_blanks};
use std::borrow::Cow;
use std::fmt;

/// Header lines. What is not edited prints byte for byte; see the crate page.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    lines: Vec<HeaderLine>,
}

/// One header line with its folds and its line end.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderLine {
    raw: Vec<u8>,
    name_end: usize,
    /// After the colon.
    value_start: usize,
}

impl HeaderLine {
    fn new(name: &str, value: &str) -> Self {
        let mut raw = Vec::with_capacity(name.len() + value.len() + 4);
        raw.extend_from_slice(clean(name).as_bytes());
        raw.extend_from_slice(b": ");
        raw.extend_from_slice(clean(value).as_bytes());
        raw.extend_from_slice(b"\r\n");
        Self { raw, name_end: name.len(), value_start: name.len() + 1 }
    }

    /// A line as received, with its CRLF; `None` if it has no name and colon.
    pub(crate) fn received(raw: &[u8]) -> Option<Self> {
        let colon = raw.iter().position(|&byte| byte == b':')?;
        let name = raw.get(..colon)?;
        let name_end = name.iter().rposition(|&byte| !is_blank(byte))? + 1;
        let token = name.get(..name_end)?.iter().all(|&byte| crate::text::is_token_byte(byte));
        token.then(|| Self { raw: raw.to_vec(), name_end, value_start: colon + 1 })
    }

    /// The name as written.
    pub fn name(&self) -> &str {
        self.raw.get(..self.name_end).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("")
    }

    /// The value without folds and outer blanks. Bytes that are not UTF-8 read as U+FFFD and print as they are.
    pub fn value(&self) -> Cow<'_, str> {
        let value = self.raw.get(self.value_start..).unwrap_or(&[]);
        match String::from_utf8_lossy(value) {
            Cow::Borrowed(text) => unfold(text),
            Cow::Owned(text) => Cow::Owned(unfold(&text).into_owned()),
        }
    }

    fn is_named(&self, name: &str) -> bool {
        is_same(self.name(), name)
    }
}

/// A fold with its blanks is one space (RFC 3261 §7.3.1).
fn unfold(text: &str) -> Cow<'_, str> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if !text.contains("\r\n") {
        return Cow::Borrowed(text);
    }
    let pieces: Vec<_> = text.split("\r\n").map(trim_blanks).collect();
    Cow::Owned(pieces.join(" "))
}

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// All lines in their order.
    pub fn lines(&self) -> &[HeaderLine] {
        &self.lines
    }

    /// The values of all lines of this name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        self.lines.iter().filter(move |line| line.is_named(name)).map(HeaderLine::value)
    }

    /// The value of the first line of this name.
    pub fn value<'a>(&'a self, name: &'a str) -> Option<Cow<'a, str>> {
        self.values(name).next()
    }

    /// Whether there is a line of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.is_named(name))
    }

    /// How many lines have this name.
    pub fn count(&self, name: &str) -> usize {
        self.lines.iter().filter(|line| line.is_named(name)).count()
    }

    /// The comma-separated elements of all lines of this name. Not for the four authentication headers, whose values hold
    /// commas of their own (RFC 3261 §7.3.1).
    pub fn list(&self, name: &str) -> Vec<String> {
        let mut list = Vec::new();
        for value in self.values(name) {
            list.extend(elements(&value).map(str::to_owned));
        }
        list
    }

    /// Whether a list of tokens (Require, Supported, Allow, …) has this one, without regard to case.
    pub fn list_contains(&self, name: &str, token: &str) -> bool {
        self.values(name).any(|value| elements(&value).any(|element| element.eq_ignore_ascii_case(token)))
    }

    /// Adds a line at the end.
    pub fn push(&mut self, name: &str, value: impl fmt::Display) {
        self.lines.push(HeaderLine::new(name, &value.to_string()));
    }

    /// Adds a line before the first of its name; without one, at the top.
    pub fn push_front(&mut self, name: &str, value: impl fmt::Display) {
        let at = self.lines.iter().position(|line| line.is_named(name)).unwrap_or(0);
        self.lines.insert(at, HeaderLine::new(name, &value.to_string()));
    }

    /// Makes this the only line of its name, where the first of them stands or at the end.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) {
        let line = HeaderLine::new(name, &value.to_string());
        match self.lines.iter().position(|line| line.is_named(name)) {
            Some(at) => {
                let same = self.lines.get(at).is_some_and(|own| own.value() == line.value());
                let mut index = 0;
                self.lines.retain(|own| {
                    index += 1;
                    index == at + 1 || !own.is_named(name)
                });
                if let Some(own) = self.lines.get_mut(at).filter(|_| !same) {
                    *own = line;
                }
            }
            None => self.lines.push(line),
        }
    }

    /// Removes all lines of this name; how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let before = self.lines.len();
        self.lines.retain(|line| !line.is_named(name));
        before - self.lines.len()
    }

    /// Removes the topmost element of a list header (the topmost Via or Route) and leaves the rest of its line.
    pub fn remove_first_element(&mut self, name: &str) -> Option<String> {
        let (element, rest) = self.split_first(name)?;
        let at = self.lines.iter().position(|line| line.is_named(name))?;
        match rest {
            Some(rest) => *self.lines.get_mut(at)? = HeaderLine::new(name, &rest),
            None => drop(self.lines.remove(at)),
        }
        Some(element)
    }

    /// Replaces the topmost element of a list header; nothing happens if there is none.
    pub fn replace_first_element(&mut self, name: &str, element: impl fmt::Display) {
        let Some((_, rest)) = self.split_first(name) else { return };
        let value = match rest {
            Some(rest) => format!("{element}, {rest}"),
            None => element.to_string(),
        };
        if let Some(line) = self.lines.iter_mut().find(|line| line.is_named(name)) {
            *line = HeaderLine::new(name, &value);
        }
    }

    /// Copies all lines of this name as they are.
    pub fn copy(&mut self, from: &Headers, name: &str) {
        self.lines.extend(from.lines.iter().filter(|line| line.is_named(name)).cloned());
    }

    /// Adds all lines of others at the end.
    pub fn extend(&mut self, others: &Headers) {
        self.lines.extend(others.lines.iter().cloned());
    }

    pub(crate) fn push_line(&mut self, line: HeaderLine) {
        self.lines.push(line);
    }

    pub(crate) fn print(&self, bytes: &mut Vec<u8>) {
        for line in &self.lines {
            bytes.extend_from_slice(&line.raw);
        }
    }

    pub(crate) fn printed_len(&self) -> usize {
        self.lines.iter().map(|line| line.raw.len()).sum()
    }

    /// The first element of the first line of this name, and the rest of that line.
    fn split_first(&self, name: &str) -> Option<(String, Option<String>)> {
        let value = self.value(name)?;
        let end = element_end(&value);
        let element = trim_blanks(value.get(..end)?).to_owned();
        Some((element, value.get(end + 1..).map(|rest| trim_blanks(rest).to_owned())))
    }
}

/// Names only: values hold credentials and addresses.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines.iter().map(HeaderLine::name)).finish()
    }
}
