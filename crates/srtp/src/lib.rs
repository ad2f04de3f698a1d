//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714): transforms, contexts, key derivation, and the key strings of SDES
//! (RFC 4568).
//!
//! An [`Inbound`] is the receiving side of a transport, an [`Outbound`] the sending side; each keeps the state of all its
//! SSRCs. Packets are opened and protected in place. The packet path takes whole batches over contexts in a
//! [`Contexts`] slab: [`unprotect_batch`], [`protect_batch`].
//!
//! What holds on every path:
//!
//! * Replay check, then authentication, and only then is an index committed or state created (RFC 3711 §3.3). A packet
//!   that fails leaves its bytes and the context as they were, but for the bounded allowance of probes.
//! * No two packets are encrypted under one key, SSRC and index.
//! * A packet costs no allocation, except the first authentic one of an SSRC under a key, and except under a key derivation
//!   rate, where deriving session keys costs more than the memory for them. State is bounded by [`Policy::max_streams`].
//! * No bytes from the network make it panic.
//! * Keys have no `Debug`, compare in constant time and are wiped when dropped.

mod aes_ctr;
mod batch;
mod contexts;
mod derive;
mod gcm;
mod hmac;
mod inbound;
mod index;
mod key;
mod keyring;
mod outbound;
mod packet;
mod policy;
mod profile;
mod rejection;
pub mod sdes;
mod session;
mod streams;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod vectors;
mod window;

pub use batch::{Job, protect_batch, unprotect_batch};
pub use contexts::{ContextId, Contexts};
pub use inbound::{Inbound, StreamState, Unprotected};
pub use key::{KeyError, MAX_KEYS, MAX_MKI, MasterKey};
pub use keyring::KeyUsage;
pub use outbound::Outbound;
pub use policy::{MAX_KEY_DERIVATION_RATE, MAX_SRTCP_LIFETIME, MAX_SRTP_LIFETIME, Policy, RocPolicy};
pub use profile::Profile;
pub use rejection::Rejection;
pub use session::{Kind, Kinds};
