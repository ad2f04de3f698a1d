//! SRTP and SRTCP transforms, contexts, key derivation and SDES key strings.

mod key;
mod policy;
mod profile;

pub use key::{KeyError, MasterKey};
pub use policy::{Policy, RocPolicy};
pub use profile::Profile;
