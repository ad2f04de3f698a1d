//! Request methods.

use crate::text::is_token;
use std::fmt;

/// A request method. Methods are compared with case (RFC 3261 §7.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Method {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13, §17.
    Ack,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §10.
    Register,
    /// RFC 3261 §11.
    Options,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 3515.
    Refer,
    /// RFC 6086.
    Info,
    /// RFC 3428.
    Message,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3903.
    Publish,
    /// Any other token.
    Other(Box<str>),
}

const KNOWN: [(Method, &str); 14] = [
    (Method::Invite, "INVITE"),
    (Method::Ack, "ACK"),
    (Method::Cancel, "CANCEL"),
    (Method::Bye, "BYE"),
    (Method::Register, "REGISTER"),
    (Method::Options, "OPTIONS"),
    (Method::Prack, "PRACK"),
    (Method::Update, "UPDATE"),
    (Method::Refer, "REFER"),
    (Method::Info, "INFO"),
    (Method::Message, "MESSAGE"),
    (Method::Subscribe, "SUBSCRIBE"),
    (Method::Notify, "NOTIFY"),
    (Method::Publish, "PUBLISH"),
];

impl Method {
    /// Reads a token.
    pub fn parse(text: &str) -> Option<Self> {
        match KNOWN.iter().find(|(_, name)| *name == text) {
            Some((method, _)) => Some(method.clone()),
            None => is_token(text).then(|| Self::Other(text.into())),
        }
    }

    /// As it stands in a message.
    pub fn as_str(&self) -> &str {
        if let Self::Other(text) = self {
            return text;
        }
        KNOWN.iter().find(|(method, _)| method == self).map_or("", |(_, name)| name)
    }

    /// Whether the standard that defines the method knows it; others are answered with 501, known ones with 405.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Whether a 2xx to a request of this method inside a dialog may change the remote target (RFC 3261 §12.2, RFC 3311,
    /// RFC 6665).
    pub fn refreshes_target(&self) -> bool {
        matches!(self, Self::Invite | Self::Update | Self::Subscribe | Self::Notify | Self::Refer)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
