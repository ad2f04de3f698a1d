//! ICE-lite agent and the STUN messages it needs (RFC 8445, RFC 8489).

mod agent;
mod credentials;
pub mod stun;

pub use agent::{IceEvent, LiteAgent, LiteConfig, Outcome, StunVerdict};
pub use credentials::{Credentials, CredentialsError};
