//! Characters and scanning of header text (RFC 3261 §25.1).

use std::borrow::Cow;

/// `token` of RFC 3261 §25.1.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// A non-empty token.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(crate) fn trim_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Text that cannot end a header line or hide in one: CR, LF and NUL become spaces.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(['\r', '\n', '\0']) {
        Cow::Owned(text.replace(['\r', '\n', '\0'], " "))
    } else {
        Cow::Borrowed(text)
    }
}

/// A quoted-string with its quotes.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// A cursor over one unfolded header value. Delimiters are ASCII, so every position is a character boundary.
#[derive(Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn is_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Skips blanks; true if there were any.
    pub(crate) fn blanks(&mut self) -> bool {
        !self.take_while(is_blank).is_empty()
    }

    /// Skips blanks, then takes this byte, then blanks again. Nothing is skipped if the byte is not there.
    pub(crate) fn separator(&mut self, byte: u8) -> bool {
        let start = self.at;
        self.blanks();
        if self.byte(byte) {
            self.blanks();
            true
        } else {
            self.at = start;
            false
        }
    }

    pub(crate) fn byte(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    pub(crate) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !accept(byte)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or("")
    }

    pub(crate) fn token(&mut self) -> Option<&'a str> {
        Some(self.take_while(is_token_byte)).filter(|token| !token.is_empty())
    }

    pub(crate) fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.take_while(|byte| byte.is_ascii_digit()).parse().ok()
    }

    /// A quoted-string, without quotes and escapes. `None` if there is none here or it does not end.
    pub(crate) fn quoted(&mut self) -> Option<String> {
        let rest = self.rest();
        let mut characters = rest.char_indices();
        if characters.next()?.1 != '"' {
            return None;
        }
        let mut text = String::new();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += at + 1;
                    return Some(text);
                }
                '\\' => text.push(characters.next()?.1),
                other => text.push(other),
            }
        }
        None
    }
}

/// The elements of a comma-separated value: commas inside quotes or angle brackets do not separate.
pub(crate) fn elements(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = element_end(text);
        rest = text.get(end + 1..);
        text.get(..end).map(trim_blanks)
    })
}

/// Where the first element ends: at its comma or at the end of the text.
pub(crate) fn element_end(text: &str) -> usize {
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            _ if quoted => {}
            b'<' => bracketed = true,
            b'>' => bracketed = false,
            b',' if !bracketed => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_separate() {
        let list: Vec<_> = elements(r#""a, \" b" <sip:x@y;p=1,2> , c,"#).collect();
        assert_eq!(list, [r#""a, \" b" <sip:x@y;p=1,2>"#, "c", ""]);
    }

    #[test]
    fn quoted_pairs_lose_their_backslash_and_regain_it() {
        let mut scanner = Scanner::new(r#""a\"b\\" rest"#);
        let text = scanner.quoted().unwrap();
        assert_eq!((text.as_str(), scanner.rest()), (r#"a"b\"#, " rest"));
        assert_eq!(quote(&text), r#""a\"b\\""#);
        assert!(Scanner::new(r#""open\""#).quoted().is_none());
    }
}
