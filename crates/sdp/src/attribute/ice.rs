//! ICE's credentials and options (RFC 8839).

use std::fmt;

use super::{Attribute, AttributeError, Words, text_attribute};
use crate::name;

text_attribute! {
    /// a=ice-ufrag (RFC 8839 §5.4).
    #[derive(Debug, Hash)]
    IceUfrag, name::ICE_UFRAG
}
text_attribute! {
    /// a=ice-pwd (RFC 8839 §5.4). A secret: no `Debug`.
    IcePwd, name::ICE_PWD
}

/// a=ice-options (RFC 8839 §5.6).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct IceOptions(pub Vec<String>);

impl IceOptions {
    /// Whether this option is among them.
    pub fn contains(&self, option: &str) -> bool {
        self.0.iter().any(|own| own == option)
    }
}

impl Attribute for IceOptions {
    const NAME: &'static str = name::ICE_OPTIONS;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let words = Words::new::<Self>(value).rest("option")?;
        Ok(Self(super::words(words).map(str::to_owned).collect()))
    }
}

impl fmt::Display for IceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}
