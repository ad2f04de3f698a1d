//! What both encodings carry.

/// A bencode or JSON value. Strings are bytes: an SDP body need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A string of bytes.
    String(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// Keys with values, in the order in which they came or were put in. Need not be sorted.
    Dictionary(Dictionary),
}

impl Value {
    /// A string value.
    pub fn string(text: impl AsRef<[u8]>) -> Self {
        Self::String(text.as_ref().to_vec())
    }

    /// A number, at most `i64::MAX`.
    pub fn count(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// The bytes of a string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::String(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// What kind of value this is, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Dictionary(_) => "a dictionary",
        }
    }
}

impl From<Dictionary> for Value {
    fn from(dictionary: Dictionary) -> Self {
        Self::Dictionary(dictionary)
    }
}

/// Keys with values. A key that stands twice counts with its first value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dictionary(pub Vec<(Vec<u8>, Value)>);

impl Dictionary {
    /// Nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value behind the others.
    pub fn insert(&mut self, key: impl AsRef<[u8]>, value: Value) {
        self.0.push((key.as_ref().to_vec(), value));
    }

    /// The same, to be chained.
    #[must_use]
    pub fn with(mut self, key: impl AsRef<[u8]>, value: Value) -> Self {
        self.insert(key, value);
        self
    }

    /// The value of this very key.
    pub fn find(&self, key: impl AsRef<[u8]>) -> Option<&Value> {
        let key = key.as_ref();
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}
