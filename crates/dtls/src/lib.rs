//! DTLS-SRTP endpoints on BoringSSL (RFC 5763, RFC 5764, RFC 8842).
