//! What this crate refuses by itself. (What the session refuses is a `session::Refusal`.)

use std::fmt;

/// Why a message did not become a request, or a request got no answer of the session. `Display` gives the reply's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The message cannot be decoded: the place and the reason.
    Malformed(String),
    /// There is no command.
    NoCommand,
    /// No command of the protocol.
    UnrecognizedCommand(String),
    /// A command of the protocol that is not carried out: the command, the reason.
    UnsupportedCommand(String, &'static str),
    /// A key has a value that cannot be: the key, and what is wrong with it.
    BadValue(String),
    /// More requests under way than allowed.
    TooManyRequests,
    /// The session has not answered.
    NoAnswer,
    /// The reply does not fit its transport.
    ReplyTooLong,
}

impl Fault {
    /// Every metric label, in the order of the variants.
    pub const LABELS: [&'static str; 8] = [
        "malformed_message",
        "no_command",
        "unrecognized_command",
        "unsupported_command",
        "bad_value",
        "too_many_requests",
        "no_answer",
        "reply_too_long",
    ];

    /// The metric label.
    pub fn label(&self) -> &'static str {
        Self::LABELS.get(self.index()).copied().unwrap_or("other")
    }

    pub(crate) fn index(&self) -> usize {
        match self {
            Self::Malformed(_) => 0,
            Self::NoCommand => 1,
            Self::UnrecognizedCommand(_) => 2,
            Self::UnsupportedCommand(..) => 3,
            Self::BadValue(_) => 4,
            Self::TooManyRequests => 5,
            Self::NoAnswer => 6,
            Self::ReplyTooLong => 7,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(cause) => write!(f, "Failed to decode message: {cause}"),
            Self::NoCommand => f.write_str("No command in message"),
            Self::UnrecognizedCommand(command) => write!(f, "Unrecognized command: {command}"),
            Self::UnsupportedCommand(command, reason) => write!(f, "Unsupported command: {command} ({reason})"),
            Self::BadValue(cause) => f.write_str(cause),
            Self::TooManyRequests => f.write_str("Too many requests at a time"),
            Self::NoAnswer => f.write_str("The session did not answer in time"),
            Self::ReplyTooLong => f.write_str("Reply too long for its transport"),
        }
    }
}

impl std::error::Error for Fault {}

/// A bad value, in words.
impl From<String> for Fault {
    fn from(words: String) -> Self {
        Self::BadValue(words)
    }
}
