//! The o= line (RFC 8866 §5.2).

use std::fmt;

use crate::NetworkAddress;
use crate::line::tokens;

/// The o= line.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// `-` if none. Phones that put a display name here are met: it may contain blanks.
    pub username: String,
    /// As text: nothing binds its size.
    pub session_id: String,
    /// As text: nothing binds its size.
    pub session_version: String,
    /// Where the author says it is.
    pub address: NetworkAddress,
}

impl Origin {
    /// Reads the last five tokens; what stands before them is the username.
    pub fn parse(text: &str) -> Option<Self> {
        let spans: Vec<_> = tokens(text).collect();
        let first_of_five = spans.len().checked_sub(5).filter(|&count| count > 0)?;
        let at = |index: usize| spans.get(first_of_five + index).and_then(|span| text.get(span.clone()));
        let username = text.get(..spans.get(first_of_five)?.start)?.trim();
        Some(Self {
            username: username.to_owned(),
            session_id: at(0)?.to_owned(),
            session_version: at(1)?.to_owned(),
            address: NetworkAddress {
                net_type: at(2)?.to_owned(),
                addr_type: at(3)?.to_owned(),
                address: at(4)?.to_owned(),
            },
        })
    }

    /// The version as a number; `None` when it is none or does not fit.
    pub fn session_version_number(&self) -> Option<u64> {
        self.session_version.parse().ok()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let username = if self.username.is_empty() { "-" } else { &self.username };
        write!(f, "{username} {} {} {}", self.session_id, self.session_version, self.address)
    }
}
