//! DTLS-SRTP endpoints on BoringSSL (RFC 5763, RFC 5764, RFC 8842).

mod association;
mod context;
mod endpoint;
mod engine;
mod ffi;
pub mod guard;
mod identity;

pub use context::Versions;
pub use endpoint::{Endpoint, EndpointConfig, EndpointEvent, Keyed, Standing, Transmit, Verdict};
pub use identity::{Error, Identity};
