//! SRTP and SRTCP transforms, contexts, key derivation and SDES key strings.

mod batch;
mod contexts;
mod inbound;
mod key;
mod outbound;
mod policy;
mod profile;
mod rejection;
pub mod sdes;

pub use batch::{Job, Kind, protect_batch, unprotect_batch};
pub use contexts::{ContextId, Contexts};
pub use inbound::{Inbound, StreamState, Unprotected};
pub use key::{KeyError, MAX_KEYS, MAX_MKI, MasterKey};
pub use outbound::Outbound;
pub use policy::{MAX_KEY_DERIVATION_RATE, MAX_SRTCP_LIFETIME, MAX_SRTP_LIFETIME, Policy, RocPolicy};
pub use profile::Profile;
pub use rejection::Rejection;
