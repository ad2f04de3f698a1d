//! Caps on what is parsed.

/// Caps on what [`SessionDescription::parse_with`](crate::SessionDescription::parse_with) accepts. Each has an error of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of the whole text.
    pub bytes: usize,
    /// Lines of the whole text, empty ones included.
    pub lines: usize,
    /// Bytes of one line without its ending.
    pub line_bytes: usize,
    /// m= sections.
    pub sections: usize,
    /// Formats of one m= line.
    pub formats: usize,
    /// a=candidate lines of one section (or of the session level).
    pub candidates: usize,
    /// a=crypto lines of one section (or of the session level).
    pub crypto_lines: usize,
}

/// 64 KiB, 2000 lines of at most 8 KiB, 64 sections of at most 256 formats, 128 candidates and 32 crypto lines each.
impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 65536,
            lines: 2000,
            line_bytes: 8192,
            sections: 64,
            formats: 256,
            candidates: 128,
            crypto_lines: 32,
        }
    }
}
