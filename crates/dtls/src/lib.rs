//! DTLS-SRTP endpoints on BoringSSL (RFC 5763, RFC 5764, RFC 8842).

mod endpoint;
mod identity;

pub use endpoint::{Endpoint, EndpointConfig, EndpointEvent, Keyed, Standing, Transmit, Verdict};
pub use identity::{Error, Identity};
