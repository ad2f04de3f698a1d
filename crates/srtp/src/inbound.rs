//! Receiving.
#![allow(missing_docs, unused_variables)]
use crate::{KeyError, MasterKey, Policy, Rejection};

pub struct Inbound {}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unprotected {
    pub len: usize,
    pub index: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamState {
    pub ssrc: u32,
    pub rtp_index: Option<u64>,
    pub rtcp_index: Option<u32>,
}

impl Inbound {
    pub fn new(policy: Policy, keys: &[MasterKey]) -> Result<Self, KeyError> {
        todo!()
    }
    pub fn rekey(&mut self, policy: Policy, keys: &[MasterKey]) -> Result<(), KeyError> {
        todo!()
    }
    pub fn succeed(&mut self, policy: Policy, keys: &[MasterKey]) -> Result<(), KeyError> {
        todo!()
    }
    pub fn unprotect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<Unprotected, Rejection> {
        todo!()
    }
    pub fn unprotect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<Unprotected, Rejection> {
        todo!()
    }
    pub fn rollover_counter(&self, ssrc: u32) -> Option<u32> {
        todo!()
    }
    pub fn set_rollover_counter(&mut self, ssrc: u32, roc: u32) -> bool {
        todo!()
    }
    pub fn streams(&self) -> impl Iterator<Item = StreamState> + '_ {
        std::iter::empty()
    }
    pub fn probe_count(&self) -> u64 {
        todo!()
    }
    pub fn take_lifetime_warning(&mut self) -> bool {
        todo!()
    }
}
