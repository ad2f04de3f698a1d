//! `Digest name=value, name="value", …` (RFC 7235 §2.1 in SIP's grammar).

use crate::text::{Scanner, quote};

/// More parameters than any scheme has.
const MAX_PARAMS: usize = 32;

/// The parameters of a Digest value.
pub(super) struct Values(Vec<(String, String)>);

impl Values {
    /// `None` if the scheme is not Digest, the text is malformed, or a name occurs twice.
    pub(super) fn parse_digest(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        scanner.blanks();
        let scheme = scanner.token()?;
        (scheme.eq_ignore_ascii_case("Digest") && scanner.blanks()).then_some(())?;
        Self::scan(&mut scanner)
    }

    /// The parameters alone, as in Authentication-Info.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::scan(&mut Scanner::new(text))
    }

    fn scan(scanner: &mut Scanner<'_>) -> Option<Self> {
        let mut values: Vec<(String, String)> = Vec::new();
        scanner.blanks();
        loop {
            let name = scanner.token()?.to_ascii_lowercase();
            scanner.separator(b'=').then_some(())?;
            let value = if scanner.peek() == Some(b'"') {
                scanner.quoted()?
            } else {
                // Base64 without quotes is met.
                scanner.take_while(|byte| byte > 0x20 && byte != 0x7f && !b",\"".contains(&byte)).to_owned()
            };
            if values.len() >= MAX_PARAMS || values.iter().any(|(own, _)| *own == name) {
                return None;
            }
            values.push((name, value));
            if !scanner.separator(b',') {
                break;
            }
        }
        scanner.blanks();
        scanner.is_end().then_some(Self(values))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

/// Writes a value of the same form.
pub(super) struct Writer(String);

impl Writer {
    pub(super) fn new(scheme: &str) -> Self {
        Self(scheme.to_owned())
    }

    fn pair(&mut self, name: &str, value: &str) {
        let separator = if self.0.is_empty() {
            ""
        } else if self.0.contains('=') {
            ", "
        } else {
            " "
        };
        self.0.push_str(separator);
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(value);
    }

    pub(super) fn plain(&mut self, name: &str, value: &str) -> &mut Self {
        self.pair(name, value);
        self
    }

    pub(super) fn quoted(&mut self, name: &str, value: &str) -> &mut Self {
        self.pair(name, &quote(value));
        self
    }

    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}
