//! Master keys.

/// A master key with its salt and MKI.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {}

/// Why a key is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Wrong length.
    WrongLength,
}
