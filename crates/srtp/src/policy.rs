//! How a context treats packets.

use crate::Profile;

/// What becomes of the rollover counter when the master key changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RocPolicy {
    /// It goes on (RFC 3711 §3.3.1).
    #[default]
    Keep,
    /// It starts at 0.
    Reset,
    /// On a failure try keep, 0, ±1; commit on the first that verifies.
    Probe,
}

/// How a context treats packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Cipher and authentication.
    pub profile: Profile,
}
