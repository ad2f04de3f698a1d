//! One line of text and its ending.

use std::fmt;

/// How a line ends. All three are met; a CR alone counts because a peer may take it for an ending too, and must not see
/// lines that we did not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    CrLf,
    Lf,
    Cr,
}

impl Ending {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::CrLf => "\r\n",
            Self::Lf => "\n",
            Self::Cr => "\r",
        }
    }
}

/// `<letter>=<value>`, or an empty line.
#[derive(Clone)]
pub(crate) struct Line {
    text: String,
    ending: Ending,
    /// In the text that was parsed, from 1; 0 for a line that we wrote.
    number: usize,
}

impl Line {
    /// A line as received.
    pub(crate) fn received(text: &str, ending: Ending, number: usize) -> Self {
        Self { text: text.to_owned(), ending, number }
    }

    /// A line of ours.
    pub(crate) fn new(kind: char, value: &str, ending: Ending) -> Self {
        Self { text: clean(&format!("{kind}={value}")), ending, number: 0 }
    }

    /// An a= line of ours; a flag when the value is empty.
    pub(crate) fn attribute(name: &str, value: &str, ending: Ending) -> Self {
        if value.is_empty() { Self::new('a', name, ending) } else { Self::new('a', &format!("{name}:{value}"), ending) }
    }

    pub(crate) fn ending(&self) -> Ending {
        self.ending
    }

    /// Another ending, if the line is ours.
    pub(crate) fn adopt_ending(&mut self, ending: Ending) {
        if self.number == 0 {
            self.ending = ending;
        }
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The letter; `None` for an empty line.
    pub(crate) fn kind(&self) -> Option<char> {
        self.text.split_once('=').and_then(|(kind, _)| kind.chars().next())
    }

    /// What follows the equals sign.
    pub(crate) fn value(&self) -> &str {
        self.text.split_once('=').map_or("", |(_, value)| value)
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Name and value of an a= line. Blanks around the name are not part of it; a flag's value is `None`.
    pub(crate) fn as_attribute(&self) -> Option<(&str, Option<&str>)> {
        let body = self.text.strip_prefix("a=")?;
        Some(match body.split_once(':') {
            Some((name, value)) => (name.trim(), Some(value)),
            None => (body.trim(), None),
        })
    }

    /// Names are compared without case: a peer that does so must not find a line that we overlooked.
    pub(crate) fn is_attribute(&self, name: &str) -> bool {
        self.as_attribute().is_some_and(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// Gives the line another value; its ending and, if that changes nothing, its bytes stay.
    pub(crate) fn set_value(&mut self, kind: char, value: &str) {
        self.text = clean(&format!("{kind}={value}"));
    }

    pub(crate) fn set_attribute(&mut self, name: &str, value: &str) {
        let same = self
            .as_attribute()
            .is_some_and(|(own, text)| own.eq_ignore_ascii_case(name) && text.unwrap_or("").trim() == value);
        if !same {
            *self = Self { number: self.number, ..Self::attribute(name, value, self.ending) };
        }
    }

    /// Replaces a range of [`Line::value`]; out of range, it does nothing.
    pub(crate) fn splice_value(&mut self, range: std::ops::Range<usize>, with: &str) {
        let value = self.value();
        if let (Some(before), Some(after)) = (value.get(..range.start), value.get(range.end..)) {
            let spliced = format!("{before}{with}{after}");
            if let Some(kind) = self.kind() {
                self.set_value(kind, &spliced);
            }
        }
    }
}

/// Lines that print alike are equal, wherever they come from.
impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.ending == other.ending
    }
}

impl Eq for Line {}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(self.ending.text())
    }
}

/// Values of attributes are not shown: keys hide in several of them (crypto, ice-pwd, key-mgmt, acap). Nor is k=.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind(), self.as_attribute()) {
            (_, Some((name, Some(_)))) => write!(f, "a={name}:…"),
            (Some('k'), _) => f.write_str("k=…"),
            _ => f.write_str(&self.text),
        }
    }
}

/// Text that cannot become a second line.
fn clean(text: &str) -> String {
    text.chars().map(|character| if matches!(character, '\r' | '\n' | '\0') { ' ' } else { character }).collect()
}

/// Byte ranges of the blank-separated tokens of a text.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at + rest.find(|character: char| !is_blank(character))?;
        let end = text.get(start..)?.find(is_blank).map_or(text.len(), |length| start + length);
        at = end;
        Some(start..end)
    })
}

/// The blank-separated words of a text. SDP separates by one space; several, and tabs, are met. Nothing else separates.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t']).filter(|word| !word.is_empty())
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}
