//! Names of sections and of sources.

use std::fmt;

use super::{Attribute, AttributeError, AttributeFault, Words, text_attribute};
use crate::name;

text_attribute! {
    /// a=mid (RFC 5888 §4).
    #[derive(Debug, Hash)]
    Mid, name::MID
}
text_attribute! {
    /// a=label (RFC 4574).
    #[derive(Debug, Hash)]
    Label, name::LABEL
}

/// a=group (RFC 5888 §5).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Group {
    /// `BUNDLE`, `LS`, …
    pub semantics: String,
    /// Values of a=mid.
    pub tags: Vec<String>,
}

impl Group {
    /// RFC 9143.
    pub fn is_bundle(&self) -> bool {
        self.semantics.eq_ignore_ascii_case("BUNDLE")
    }
}

impl Attribute for Group {
    const NAME: &'static str = name::GROUP;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let semantics = words.word("semantics")?.to_owned();
        Ok(Self { semantics, tags: super::words(words.rest).map(str::to_owned).collect() })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.tags.iter().try_for_each(|tag| write!(f, " {tag}"))
    }
}

/// a=ssrc (RFC 5576 §4.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ssrc {
    /// The source.
    pub id: u32,
    /// `cname`, `msid`, …
    pub attribute: String,
    /// What follows the attribute's colon.
    pub value: Option<String>,
}

impl Attribute for Ssrc {
    const NAME: &'static str = name::SSRC;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let id = words.number("source")?;
        let text = words.rest("attribute")?;
        let (attribute, value) = match text.split_once(':') {
            Some((attribute, value)) => (attribute, Some(value.to_owned())),
            None => (text, None),
        };
        Ok(Self { id, attribute: attribute.to_owned(), value })
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.attribute)?;
        self.value.iter().try_for_each(|value| write!(f, ":{value}"))
    }
}

/// a=ssrc-group (RFC 5576 §4.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SsrcGroup {
    /// `FID`, `SIM`, …
    pub semantics: String,
    /// The sources.
    pub ids: Vec<u32>,
}

impl Attribute for SsrcGroup {
    const NAME: &'static str = name::SSRC_GROUP;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let semantics = words.word("semantics")?.to_owned();
        let mut ids = Vec::new();
        while let Some(word) = words.next() {
            ids.push(super::number(word).ok_or_else(|| words.fault("source", AttributeFault::NotInRange))?);
        }
        Ok(Self { semantics, ids })
    }
}

impl fmt::Display for SsrcGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.ids.iter().try_for_each(|id| write!(f, " {id}"))
    }
}
