//! Key strings of `a=crypto` (RFC 4568).
#![allow(missing_docs, unused_variables)]
use crate::{MasterKey, Policy, Profile};

#[derive(Clone, PartialEq, Eq)]
pub struct CryptoAttribute {
    pub tag: u32,
    pub profile: Profile,
    pub keys: Vec<CryptoKey>,
    pub params: SessionParameters,
}
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoKey {
    pub master: MasterKey,
    /// Packets, not exponent.
    pub lifetime: Option<u64>,
}
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionParameters {
    pub key_derivation_rate: u64,
    pub unencrypted_srtp: bool,
    pub unencrypted_srtcp: bool,
    pub unauthenticated_srtp: bool,
    pub window_size_hint: Option<u32>,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tolerance {
    pub null_cipher: bool,
    pub unencrypted: bool,
    pub unauthenticated: bool,
}
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CryptoError {
    Syntax,
}
impl std::fmt::Display for CryptoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::error::Error for CryptoError {}
impl std::fmt::Display for CryptoAttribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl CryptoAttribute {
    pub fn new(tag: u32, master: MasterKey, profile: Profile) -> Self {
        todo!()
    }
    pub fn parse(value: &str) -> Result<Self, CryptoError> {
        todo!()
    }
    pub fn parse_with(value: &str, tolerance: Tolerance) -> Result<Self, CryptoError> {
        todo!()
    }
    pub fn policy(&self) -> Policy {
        todo!()
    }
    pub fn master_keys(&self) -> Vec<MasterKey> {
        todo!()
    }
}
