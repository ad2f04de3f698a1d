//! A request's dictionary, whatever spelling its keys have.

use crate::{Dictionary, Value};

/// Longest string that names something (Call-ID, tag, label), in bytes.
const MAX_NAME: usize = 1024;

/// Spaces and underscores become hyphens.
pub(crate) fn normal(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' ' | '_') { '-' } else { c }).collect()
}

/// Keys in normal spelling. Takes values out, so that what nobody took is left.
pub(crate) struct Keys(Vec<(String, Value)>);

impl Keys {
    pub(crate) fn new(dictionary: Dictionary) -> Self {
        Self(dictionary.0.into_iter().map(|(key, value)| (normal(&String::from_utf8_lossy(&key)), value)).collect())
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        let index = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(index).1)
    }

    /// A string that names something; a number will do. Missing is empty.
    pub(crate) fn name(&mut self, key: &str) -> Result<Option<String>, String> {
        self.take(key).map(|value| name(key, &value)).transpose()
    }

    /// What nobody took.
    pub(crate) fn rest(self) -> Vec<(String, Value)> {
        self.0
    }
}

/// A string that names something.
pub(crate) fn name(key: &str, value: &Value) -> Result<String, String> {
    let text = text(key, value)?;
    match text.len() {
        0..=MAX_NAME => Ok(text),
        _ => Err(format!("{key} is longer than {MAX_NAME} bytes")),
    }
}

/// A string, or a number as a string.
pub(crate) fn text(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(bytes) => String::from_utf8(bytes.clone())
            .map_err(|error| format!("{key} is not UTF-8 at byte {}", error.utf8_error().valid_up_to())),
        Value::Integer(number) => Ok(number.to_string()),
        other => Err(format!("{key} is {}, not a string", other.kind())),
    }
}

/// A number, or a string that is one.
pub(crate) fn number(key: &str, value: &Value) -> Result<i64, String> {
    match value {
        Value::Integer(number) => Ok(*number),
        Value::String(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| format!("{key} is not a number: {}", excerpt(&String::from_utf8_lossy(bytes)))),
        other => Err(format!("{key} is {}, not a number", other.kind())),
    }
}

/// A list of strings; a string alone is a list of one.
pub(crate) fn strings(key: &str, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::List(list) => list.iter().map(|item| text(key, item)).collect(),
        other => Ok(vec![text(key, other)?]),
    }
}

/// The beginning of a text of a stranger, without control characters: for error messages and logs.
pub(crate) fn excerpt(text: &str) -> String {
    const LENGTH: usize = 64;
    let mut excerpt: String = text.chars().take(LENGTH).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(LENGTH).is_some() {
        excerpt.push('…');
    }
    excerpt
}
