//! STUN messages (RFC 8489).
