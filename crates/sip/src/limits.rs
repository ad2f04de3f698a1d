//! Caps on what is parsed.

/// Caps on one message. Each has a [`Fault`](crate::Fault) of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes from the start line to the empty line, both included.
    pub head_bytes: usize,
    /// Header lines; a folded one counts once.
    pub headers: usize,
    /// Elements of all lists of one header name (Via, Route, Contact, …) that are read as one.
    pub elements: usize,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// Parts of a multipart body.
    pub parts: usize,
}

/// 32 KiB of head, 256 header lines, 128 elements, 128 KiB of body, 32 parts.
impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 32 << 10, headers: 256, elements: 128, body_bytes: 128 << 10, parts: 32 }
    }
}
