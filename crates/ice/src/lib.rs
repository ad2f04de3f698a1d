//! ICE-lite agent and the STUN messages it needs (RFC 8445, RFC 8489).

/// User name fragment and password of one side of ICE.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// 4 to 256 characters.
    pub ufrag: String,
    /// 22 to 256 characters.
    pub pwd: String,
}
